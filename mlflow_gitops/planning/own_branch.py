"""Whose work a branch of ours holds, as Git shows it. PURE.

The branch may hold our commits and merges of its base: people update a pull request's branch, and
forges rebase it. Everything else is somebody's work, which is never rewritten. A commit of ours
carries our trailer. One that somebody else committed may be rebased by a forge, or amended by a
person: the lines that the branch changes tell which. A merge of the base in which we made our edit
again carries our trailer, too.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import replace

from mlflow_gitops.branches import Ahead, BranchCommit
from mlflow_gitops.planning.messages import SERVICE, clean, parse_trailers
from mlflow_gitops.ports import Tree
from mlflow_gitops.pull_requests import PullRequest

__all__ = [
    "carried",
    "digest_in",
    "edit_mark",
    "foreign_work",
    "holds_already",
    "is_same_edit",
]

PLACES = ("diff --git ", "index ", "--- ", "+++ ", "@@ ", " ")
"""Lines of a diff that change where its base moves on, though the edit stays the same."""


def edit_mark(diff: str) -> str:
    """Return a fingerprint of the lines that a unified diff removes and adds."""
    lines = sorted(line for line in diff.split("\n") if line and not line.startswith(PLACES))
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def holds_already(ahead: Ahead, message: str, diff: str, *, is_approved: bool = False) -> bool:
    """Return whether a branch that holds no other people's work needs no push.

    It changes the lines that `diff` does, and Git can merge it. Its commit has this message, as
    after a crash between the push and the pull request; or somebody approved the commit, and a
    push would only change who asked, and when.
    """
    made = [each.message.strip() for each in ahead.commits if each.kind != "update"]
    is_said = len(made) == 1 and made[0].startswith(message.strip())
    is_same = ahead.conflicts is False and edit_mark(ahead.diff) == edit_mark(diff)
    return is_same and (is_said or is_approved)


def digest_in(service: str, commits: Iterable[BranchCommit]) -> str:
    """Return the digest of the files that our newest commit on the branch would deliver."""
    own = (parse_trailers(each.message) for each in commits)
    found = (each.get("Artifact-Digest", "") for each in own if each.get(SERVICE) == service)
    return next(found, "")


def foreign_work(service: str, ahead: Ahead, *marks: str) -> str:
    """Return what the branch holds beyond our edit, for people to read; "" where there is nothing.

    `service` is `<environment>/<service>`. `marks` are those of edits that would be ours, empty
    ones aside; without any, a change that somebody made to our own commit is not seen.
    """
    known = set(filter(None, marks))
    is_same = edit_mark(ahead.diff) in known
    is_rewritten = any(each.kind == "commit" and not each.is_own for each in ahead.commits)
    for each in ahead.commits:
        if not _is_ours(each, service, is_same=is_same):
            return f"commit {each.commit[:12]} by {clean(each.author, 40)}"
    if known and not is_same and is_rewritten:
        return f"changes to our commit, up to commit {ahead.commits[0].commit[:12]}"
    return ""


def _is_ours(commit: BranchCommit, service: str, *, is_same: bool) -> bool:
    has_trailer = parse_trailers(commit.message).get(SERVICE) == service
    if commit.kind == "resolved":  # by us, or by hand to what we would write
        return is_same or (commit.is_own and has_trailer)
    return has_trailer if commit.kind == "commit" else commit.kind == "update"


def carried(ahead: Ahead, pull: PullRequest) -> PullRequest:
    """Return the pull request with approvals of an older head counted for its present one, where
    the branch took nothing but its base since then. `ahead` is of the present head.
    """
    own = (parse_trailers(each.message).get(SERVICE) for each in ahead.commits if each.is_own)
    service, same = next(filter(None, own), ""), set[str]()
    for commit in ahead.commits:
        same.add(commit.commit)
        if commit.kind == "commit" or not _is_ours(commit, service, is_same=False):
            break
    approvals = (
        replace(each, commit=pull.head) if each.commit in same else each for each in pull.approvals
    )
    return replace(pull, approvals=tuple(approvals))


def is_same_edit(files: Mapping[str, str | None], base: Tree, fork: Tree, head: Tree) -> bool:
    """Return whether an edit of the base does to files what a branch does that began at `fork`.

    Both change the same paths, and write the same texts into files that only they make. A file that
    the base has may differ, since others may have changed it meanwhile: what the edit makes of the
    objects in it is for the caller to compare.
    """
    paths = {*fork.paths(), *head.paths()}
    changed = {path for path in paths if _blob(fork, path) != _blob(head, path)}
    return changed.issuperset(files) and all(
        (path in files and path in base) or files.get(path, _text(base, path)) == _text(head, path)
        for path in changed
    )


def _blob(tree: Tree, path: str) -> str | None:
    return tree.blob(path) if path in tree else None


def _text(tree: Tree, path: str) -> str | None:
    return tree.read(path) if path in tree else None
