"""Whose work a branch of ours holds, as Git shows it. PURE.

The branch may hold our commits and merges of its base: people update a pull request's branch, and
forges rebase it. Everything else is somebody's work, which is never rewritten. A commit of ours
carries our trailer. One that somebody else committed may be rebased by a forge, or amended by a
person: the lines that the branch changes tell which.
"""

from __future__ import annotations

import hashlib

from mlflow_gitops.branches import Ahead, BranchCommit
from mlflow_gitops.planning.messages import SERVICE, clean, parse_trailers

__all__ = ["edit_mark", "foreign_work"]

PLACES = ("diff --git ", "index ", "--- ", "+++ ", "@@ ", " ")
"""Lines of a diff that change where its base moves on, though the edit stays the same."""


def edit_mark(diff: str) -> str:
    """Return a fingerprint of the lines that a unified diff removes and adds."""
    lines = sorted(line for line in diff.split("\n") if line and not line.startswith(PLACES))
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


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
    if commit.kind == "resolved":  # by hand, to what we would write
        return is_same
    if commit.kind == "commit":
        return parse_trailers(commit.message).get(SERVICE) == service
    return commit.kind == "update"
