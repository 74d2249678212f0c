"""What the history of a branch is made of: frozen values, without I/O.

A branch's history is its first parents: a merge commit brings what it merges at once, when it is
pushed. Positions count from the oldest commit, which is 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from mlflow_gitops.ports import Tree
from mlflow_gitops.state import CommitFacts, ServiceSpec

__all__ = ["HistoryIndex", "HistoryReader", "Merge", "Standing", "Step", "Touched"]


@dataclass(frozen=True, slots=True)
class Touched:
    """One commit of a branch, and every path in which it differs from its first parent.

    `time` is when it was committed, in seconds since the epoch. `listed` maps a path to what the
    commit added to its lists, where it did nothing else to it: files and folders.
    """

    commit: str
    parent: str
    time: int
    paths: tuple[str, ...]
    listed: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Standing:
    """What a commit says of a service: its managed part, None without one.

    `problem` is why that cannot be told ("" where it can). `sources` are the files, there or not,
    whose change can change it.
    """

    spec: ServiceSpec | None
    problem: str = ""
    sources: frozenset[str] = frozenset()

    @property
    def said(self) -> tuple[ServiceSpec | None, bool]:
        """What is compared: one reason that it cannot be told is as good as another."""
        return self.spec, bool(self.problem)


@dataclass(frozen=True, slots=True)
class Step:
    """A commit that changed a service: `position` in the branch, and what stood around it."""

    position: int
    commit: str
    before: Standing
    after: Standing


@dataclass(frozen=True, slots=True)
class Merge:
    """What the forge says of the pull request that brought a commit. `reference` is like `#12`, ""
    where none did. `approvers` approved what was merged, `earlier` an older commit of it. `time` is
    when it was merged (ISO 8601 in UTC), `head` the newest commit of its branch then. `why` is what
    a person wrote into the text of a revert.
    """

    reference: str = ""
    url: str = ""
    merger: str = ""
    approvers: tuple[str, ...] = ()
    earlier: tuple[str, ...] = ()
    time: str = ""
    head: str = ""
    why: str = ""


class HistoryReader(Protocol):
    """Git's history, as last fetched. Raises RepositoryError for a commit that is not there."""

    def head(self, branch: str) -> str:
        """Raises RepositoryError where there is no such branch."""

    def touched(self, head: str, since: str = "", *, most: int = 0) -> Iterable[Touched]:
        """The commits of head's first parents that are not reachable from `since`, oldest first.

        With `most`, only that many of the newest.
        """

    def added_lines(
        self, commits: Sequence[Touched], names: Sequence[str]
    ) -> Iterator[tuple[str, str, Sequence[str]]]:
        """(commit, path, lines) of each file of such a name that a commit only added lines to."""

    def line(self, head: str) -> Sequence[tuple[str, int]]:
        """All first parents with their times in seconds, oldest first, `head` last."""

    def facts(self, commits: Sequence[str]) -> Sequence[CommitFacts]: ...

    def message(self, commit: str) -> str:
        """The message of a commit by its name, which may be short; "" where there is none."""

    def narrow(self, commit: str, paths: Iterable[str]) -> Tree:
        """Only those files of the commit that are named."""

    def tree_at(self, commit: str) -> Tree: ...

    def merged(self, merge: str, paths: Iterable[str]) -> Sequence[str]:
        """What a merge commit brought to the paths: commits that are no merges, newest first."""


class HistoryIndex(Protocol):
    """What is kept between two looks at one branch: it can be lost at any time.

    It knows every commit, and the paths of those from the position `low` on.
    """

    def end(self) -> tuple[int, str]:
        """The newest position and its commit; (-1, "") while it is empty."""

    def extend(self, commits: Iterable[Touched], keep: int) -> None:
        """Forget every position from `keep` on, and go on from there."""

    def restart(self, line: Sequence[tuple[str, int]], keep: int, last: str) -> None:
        """Store the commits of a branch, and the paths of none. Positions before `keep` stay.

        Does nothing where the newest known commit is no longer `last`.
        """

    def low(self) -> int:
        """The position from which on the paths of every commit are known."""

    def deepen(self, commits: Sequence[Touched], first: int) -> None:
        """Store the paths of the commits from `first` up to `low`, which becomes `first`.

        Does nothing where `low` is no longer where they end.
        """

    def commits(self) -> Sequence[str]:
        """All of them, the oldest first."""

    def commit(self, position: int) -> str: ...

    def at_time(self, seconds: int) -> int:
        """The newest position that was committed by then, or -1."""

    def last_touch(self, paths: Iterable[str], until: int) -> int:
        """The newest known position up to `until` that touched one of the paths, or -1.

        One that only listed other files in it does not count.
        """

    def paths_at(self, position: int) -> Sequence[str]: ...

    def paths_named(self, word: str) -> frozenset[str]:
        """Every path ever touched that has `word` as a folder, or as a file's name."""

    def standing(self, scope: str, service: str, until: int) -> tuple[int, Standing] | None:
        """What was read last of the service at `until` or before, and at which position.

        A `scope` is the settings that it was read by.
        """

    def keep(self, scope: str, position: int, commit: str, found: Mapping[str, Standing]) -> None:
        """By service. Best effort."""

    def services(self, scope: str) -> Iterator[str]:
        """Every service that was ever seen by these settings."""

    def has_all(self, scope: str) -> bool:
        """Whether all services of a commit were read once."""

    def keep_all(self, scope: str) -> None:
        """Remember that they were. Best effort."""

    def merge(self, commit: str) -> Merge | None:
        """What was kept of it; None where nothing was."""

    def keep_merge(self, commit: str, merge: Merge) -> None:
        """Best effort."""
