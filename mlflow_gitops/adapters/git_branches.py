"""Compares a branch with its base: which commits it adds, and whether the two merge.

Merges are computed with `git merge-tree` in the clone, without a work tree. Nothing points to the
trees that it writes.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from mlflow_gitops.adapters.git_log import GitLog
from mlflow_gitops.adapters.git_objects import Objects
from mlflow_gitops.adapters.git_process import GitProcess
from mlflow_gitops.adapters.git_tree import is_commit
from mlflow_gitops.branches import Ahead, BranchCommit, CommitKind
from mlflow_gitops.errors import RepositoryError
from mlflow_gitops.state import CommitFacts

__all__ = ["Branches"]

MOST = 100  # commits of a branch that are read
KEPT = 256  # comparisons
MERGES_KEPT = 2_000
CLEAN = 0
CONFLICTS = {CLEAN: False, 1: True}  # by the exit codes of `git merge-tree`


@dataclass(frozen=True, slots=True)
class Branches:
    """Safe for threads. Commits never change, so a comparison is made once.

    `committer` gives the tool's own identity, as a commit has it.
    """

    git: GitProcess
    objects: Objects
    log: GitLog
    committer: Callable[[], str]
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _known: OrderedDict[tuple[str, str], Ahead] = field(default_factory=OrderedDict)
    _merges: OrderedDict[tuple[str, str], bool | None] = field(default_factory=OrderedDict)

    def ahead(self, base: str, head: str) -> Ahead:
        """Raises RepositoryError where one of the commits was not fetched."""
        with self._lock:
            if (base, head) not in self._known:
                self._check(base)
                self._check(head)
                self._known[base, head] = self._compare(base, head)
            if len(self._known) > KEPT:
                self._known.popitem(last=False)
            return self._known[base, head]

    def conflicts(self, base: str, head: str) -> bool | None:
        """Return whether the two do not merge; None where this Git cannot tell."""
        with self._lock:
            if (base, head) not in self._merges:
                self._merges[base, head] = self._conflicts(base, head)
            if len(self._merges) > MERGES_KEPT:
                self._merges.popitem(last=False)
            return self._merges[base, head]

    def _check(self, commit: str) -> None:
        if not is_commit(commit) or not self.objects.known(commit):
            raise RepositoryError(
                "there is no such commit in what was fetched",
                where=commit[:64],
                hint="fetch it first",
            )

    def _compare(self, base: str, head: str) -> Ahead:
        fork = self._fork(base, head)
        commits = self._lines("rev-list", f"--max-count={MOST}", head, "--not", base)
        facts = self.log.facts(commits)
        added, own = frozenset(commits), self.committer()
        return Ahead(
            tuple(self._classified(each, added, own) for each in facts),
            self._diff(fork or base, head),
            self._conflicts(base, head),
            fork,
        )

    def _classified(self, facts: CommitFacts, added: frozenset[str], own: str) -> BranchCommit:
        author, kind = facts.author.rpartition(" <")[0] or facts.author, self._kind(facts, added)
        is_own = facts.committer == own
        return BranchCommit(facts.commit, author, facts.message, kind, is_own)

    def _kind(self, facts: CommitFacts, added: frozenset[str]) -> CommitKind:
        """Every parent that the branch does not add is one that the base has."""
        if not facts.is_merge:
            return "commit"
        if len(facts.parents) != 2 or added.issuperset(facts.parents):
            return "merge"
        _, merged = self._merged(*facts.parents)
        return "update" if merged == self._tree(facts.commit) else "resolved"

    def _fork(self, base: str, head: str) -> str:
        return next(iter(self._lines("merge-base", base, head)), "")

    def _conflicts(self, base: str, head: str) -> bool | None:
        """An older Git can still tell that there is nothing to merge."""
        found = CONFLICTS.get(self._merged(base, head)[0])
        return False if found is None and self._fork(base, head) == base else found

    def _merged(self, ours: str, theirs: str) -> tuple[int, str]:
        """The exit code, and the tree of a clean merge ("" without one)."""
        answer = self.git.run("merge-tree", "--write-tree", ours, theirs)
        tree = answer.out.decode("ascii", "replace").strip() if answer.code == CLEAN else ""
        return answer.code, tree

    def _tree(self, commit: str) -> str:
        return self.objects.raw([commit])[0].partition(b"\n")[0].decode().removeprefix("tree ")

    def _diff(self, base: str, head: str) -> str:
        answer = self.git.run("diff-tree", "-p", "--no-ext-diff", "--no-renames", base, head)
        if answer.code != 0:
            raise self.objects.damage(answer.words)
        return answer.out.decode("utf-8", "replace")

    def _lines(self, *command: str) -> list[str]:
        answer = self.git.run(*command)
        if answer.code > 1:  # `merge-base` ends with 1 where the two have no commit in common
            raise self.objects.damage(answer.words)
        return answer.out.decode().split()
