"""What a branch holds beyond its base, as Git has it: values without I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["Ahead", "BranchCommit", "CommitKind"]

CommitKind = Literal["commit", "update", "resolved", "merge"]
"""`update` merges the base, and holds exactly what Git makes of both sides; `resolved` merges the
base and holds something else, such as a conflict that a person resolved; `merge` merges another
branch; `commit` is any other commit.
"""


@dataclass(frozen=True, slots=True)
class BranchCommit:
    """One commit that the base does not have. `author` is a name; `is_own` says that the tool's own
    identity committed it.
    """

    commit: str
    author: str
    message: str
    kind: CommitKind = "commit"
    is_own: bool = False


@dataclass(frozen=True, slots=True)
class Ahead:
    """A branch compared with its base.

    `commits` are those that the base does not have, newest first, at most 100. `diff` is the
    unified diff from `fork`, the newest commit that both have ("" where there is none), to the
    branch's head. `conflicts` says whether Git cannot merge the two; None where this Git cannot
    tell.
    """

    commits: tuple[BranchCommit, ...] = ()
    diff: str = ""
    conflicts: bool | None = False
    fork: str = ""
