"""The history of a branch, as Git has it: which commits touched which paths, and who made them.

Implements `past.HistoryReader`. Reads the clone that the repository keeps, and knows no services.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from mlflow_gitops.adapters.git_history import decoded, seconds_of
from mlflow_gitops.adapters.git_objects import Objects
from mlflow_gitops.adapters.git_process import Answer, GitProcess
from mlflow_gitops.adapters.git_tree import Entries, GitTree, Trees, is_commit, is_plain
from mlflow_gitops.errors import RepositoryError
from mlflow_gitops.past import Touched
from mlflow_gitops.ports import Tree
from mlflow_gitops.state import CommitFacts

__all__ = ["GitLog"]

ALL_OF_IT = 15  # times the timeout, for what is read once: every commit's paths
PATHS_AT_ONCE = 1000
NAME = re.compile(r"[0-9a-f]{7,64}")


@dataclass(frozen=True, slots=True)
class GitLog:
    git: GitProcess
    objects: Objects
    trees: Trees
    heads: Callable[[str], str]
    """The head of a branch, as last fetched."""

    def head(self, branch: str) -> str:
        return self.heads(branch)

    def touched(self, head: str, since: str = "", *, most: int = 0) -> Iterator[Touched]:
        mark = secrets.token_hex(16)  # a path can hold anything
        git = self.git if since else replace(self.git, timeout=self.git.timeout * ALL_OF_IT)
        answer = git.run(
            "log",
            "-z",
            "--first-parent",
            "--diff-merges=first-parent",
            "--name-only",
            "--no-renames",
            "--reverse",
            f"--format={mark} %H %ct %P",
            *([f"--max-count={most}"] if most else []),
            head,
            *(["--not", since] if since else []),
        )
        if answer.code != 0 and since and not self.objects.known(since):
            raise _no_commit(since)
        self._check(head, answer)
        yield from _touched(answer.out.decode("utf-8", "surrogateescape"), f"{mark} ")

    def added_lines(
        self, commits: Sequence[Touched], names: Sequence[str]
    ) -> Iterator[tuple[str, str, Sequence[str]]]:
        mark = secrets.token_hex(16)
        pairs = "".join(f"{each.commit} {each.parent}\n" for each in commits if each.parent)
        if not pairs:
            return
        answer = replace(self.git, timeout=self.git.timeout * ALL_OF_IT).run(
            "diff-tree",
            "--stdin",
            "-r",
            "-p",
            "-U0",
            "--no-renames",
            "--no-ext-diff",
            "--no-textconv",
            "--no-color",
            "--no-prefix",
            "--diff-filter=M",
            f"--format={mark} %H",
            "--",
            *(f":(glob)**/{name}" for name in names),
            stdin=pairs.encode(),
        )
        self._check(commits[-1].commit, answer)
        yield from _added(answer.out.decode("utf-8", "surrogateescape"), f"{mark} ")

    def line(self, head: str) -> Sequence[tuple[str, int]]:
        answer = self.git.run("rev-list", "--first-parent", "--reverse", "--timestamp", head)
        self._check(head, answer)
        words = answer.out.decode().split()
        return [(commit, int(time)) for time, commit in zip(words[::2], words[1::2], strict=True)]

    def facts(self, commits: Sequence[str]) -> Sequence[CommitFacts]:
        raw = self.objects.raw(commits)
        return [_facts(commit, data) for commit, data in zip(commits, raw, strict=True)]

    def message(self, commit: str) -> str:
        if not NAME.fullmatch(commit):
            return ""
        answer = self.git.run("log", "-1", "--format=%B", commit)
        return answer.out.decode("utf-8", "replace") if answer.code == 0 else ""

    def touching(
        self, paths: Iterable[str], head: str, since: str, most: int
    ) -> Sequence[CommitFacts]:
        """See `ports.Repository`. Two steps, since Git bounds what it finds, not what it reads."""
        known = since if is_commit(since) and self.objects.known(since) else ""
        newer = ["--not", known] if known else []
        line = self.git.run("rev-list", "--first-parent", f"--max-count={most + 1}", head, *newer)
        self._check(head, line)
        commits = line.out.decode().split()
        named = [path for path in sorted(paths) if path and "\0" not in path]
        if not commits or not named:
            return ()
        oldest = commits[most] if len(commits) > most else known
        answer = self.git.run(
            "--literal-pathspecs",
            "rev-list",
            "--first-parent",
            head,
            *(["--not", oldest] if oldest else []),
            "--",
            *named,
        )
        self._check(head, answer)
        return self.facts(answer.out.decode().split())

    def narrow(self, commit: str, paths: Iterable[str]) -> Tree:
        entries: dict[str, tuple[str, str]] = {}
        named = [path for path in dict.fromkeys(paths) if path and "\0" not in path]
        for start in range(0, len(named), PATHS_AT_ONCE):
            chunk = named[start : start + PATHS_AT_ONCE]
            entries |= self._entries(commit, chunk)
        return GitTree(commit, entries, self.objects)

    def _entries(self, commit: str, paths: Sequence[str]) -> Entries:
        if not is_commit(commit):
            raise _no_commit(commit)
        answer = self.git.run("ls-tree", "-z", "--full-tree", commit, "--", *paths)
        self._check(commit, answer)
        lines = answer.out.decode("utf-8", "surrogateescape").split("\0")[:-1]
        found = {}
        for line in lines:
            about, path = line.split("\t", 1)
            mode, _, blob = about.split(" ")
            found[path] = (mode, blob)
        return found

    def tree_at(self, commit: str) -> Tree:
        return self.trees.at(commit)

    def merged(self, merge: str, paths: Iterable[str]) -> Sequence[str]:
        answer = self.git.run(
            "--literal-pathspecs",
            "rev-list",
            "--no-merges",
            merge,
            "--not",
            f"{merge}^1",
            "--",
            *sorted(paths),
        )
        self._check(merge, answer)
        return answer.out.decode().split()

    def _check(self, commit: str, answer: Answer) -> None:
        if answer.code == 0:
            return
        if not self.objects.known(commit):
            raise _no_commit(commit)
        raise self.objects.damage(answer.words)


def _touched(text: str, mark: str) -> Iterator[Touched]:
    head: list[str] = []
    paths: list[str] = []
    for token in text.split("\0"):
        if token.startswith(mark):
            if head:
                yield _one(head, paths)
            head, paths = token.strip("\n").split(" ")[1:], []
        elif token:
            paths.append(token.removeprefix("\n") if not paths else token)
    if head:
        yield _one(head, paths)


def _one(head: Sequence[str], paths: Iterable[str]) -> Touched:
    commit, time, *parents = head
    plain = tuple(path for path in paths if path.isprintable() or is_plain(path))
    return Touched(commit, parents[0] if parents else "", int(time or 0), plain)


def _added(text: str, mark: str) -> Iterator[tuple[str, str, Sequence[str]]]:
    """From diffs without context; a file with any other line than an added one is left out."""
    commit = ""
    for part in text.split(f"{mark}")[1:]:
        commit, _, diffs = part.partition("\n")
        for diff in f"\n{diffs}".split("\ndiff --git ")[1:]:
            head, _, hunks = diff.partition("\n@@ ")
            path = head.rpartition("\n+++ ")[2].rstrip("\t")
            lines = f"@@ {hunks}".rstrip("\n").split("\n")
            if not path.startswith('"') and all(x.startswith(("@@ ", "+")) for x in lines):
                yield commit, path, [line[1:] for line in lines if line.startswith("+")]


def _facts(commit: str, data: bytes) -> CommitFacts:
    head, _, message = data.partition(b"\n\n")
    fields: dict[str, str] = {}
    parents = []
    for line in head.decode("utf-8", "replace").split("\n"):
        key, _, value = line.partition(" ")
        if key == "parent":
            parents.append(value)
        fields.setdefault(key, value)
    committer = fields.get("committer", "")
    moment = datetime.fromtimestamp(seconds_of(committer), UTC)
    return CommitFacts(
        commit,
        tuple(parents),
        _person(fields.get("author", "")),
        _person(committer),
        moment.strftime("%Y-%m-%dT%H:%M:%SZ"),
        decoded(message, fields.get("encoding", "utf-8")),
    )


def _person(line: str) -> str:
    return line.rpartition(">")[0] + ">" if ">" in line else line


def _no_commit(commit: str) -> RepositoryError:
    return RepositoryError(
        "there is no such commit in what was fetched", where=commit[:64], hint="fetch it first"
    )
