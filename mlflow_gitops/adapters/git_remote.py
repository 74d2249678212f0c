"""Talks with the remote: lists its branches, gets their objects, and pushes with a lease."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from mlflow_gitops.adapters.git_cache import HEADS, Cache
from mlflow_gitops.adapters.git_failures import (
    push_fates,
    push_refusal,
    remote_failure,
    says_damaged,
)
from mlflow_gitops.adapters.git_objects import Objects
from mlflow_gitops.adapters.git_process import GitProcess
from mlflow_gitops.adapters.git_tree import is_plain
from mlflow_gitops.errors import GitOpsError

__all__ = ["Got", "Heads", "Move", "Remote"]

log = logging.getLogger(__name__)

FIRST_TIMEOUT = 10  # times the timeout: the first fetch gets all of the history
VANISHED = re.compile(r"couldn't find remote ref|not our ref|no such remote ref")
NONEXISTENT = re.compile(r"nonexistent object|not a valid (SHA1|object|oid)")


class Got(StrEnum):
    """How getting the branches ended: `moved` between listing and fetching, or `damaged` clone."""

    ALL = "all"
    MOVED = "moved"
    DAMAGED = "damaged"


@dataclass(frozen=True, slots=True)
class Heads:
    """What the remote has: branch to commit, and its default branch ("" where it has none)."""

    commits: Mapping[str, str]
    default: str

    @property
    def object_format(self) -> str:
        return "sha256" if any(len(c) == 64 for c in self.commits.values()) else "sha1"

    @classmethod
    def parse(cls, text: str) -> Heads:
        """From `git ls-remote --symref`: `ref: <name><tab>HEAD`, and `<hash><tab><name>`."""
        commits: dict[str, str] = {}
        default = head = ""
        for line in text.split("\n"):
            what, _, name = line.partition("\t")
            if name == "HEAD" and what.startswith(f"ref: {HEADS}"):
                default = what.removeprefix(f"ref: {HEADS}")
            elif name == "HEAD":
                head = what
            elif name.startswith(HEADS) and is_plain(name):
                commits[name.removeprefix(HEADS)] = what
        if not default and head:  # a server that does not say: the branch that is where HEAD is
            same = [name for name, commit in commits.items() if commit == head]
            default = next((name for name in ("main", "master", *same) if name in same), "")
        return cls(commits, default)


@dataclass(frozen=True, slots=True)
class Move:
    """A branch from one commit to another; "" where it is not there, or is not to be there.

    Where `new` stands on `old`, no commit is dropped; only a branch of ours is moved otherwise.
    """

    branch: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Remote:
    git: GitProcess
    cache: Cache
    objects: Objects

    def heads(self) -> Heads:
        """What the remote has now. Works whatever became of the clone."""
        nowhere = replace(self.git, git_dir=self.git.git_dir.with_name("none"))
        answer = nowhere.run("ls-remote", "--symref", "--", self._url, remote=True)
        if answer.code != 0:
            raise remote_failure("reading the branches", answer.words, self._where)
        return Heads.parse(answer.out.decode("utf-8", "surrogateescape"))

    def get(self, heads: Heads) -> Got:
        """Get the objects, then make the clone's refs equal to `heads`. With its lock held."""
        old = self.cache.heads()
        there = set(old.values())
        missing = [name for name, commit in heads.commits.items() if commit not in there]
        if missing and (failure := self._fetch(missing, first=not old)):
            return failure
        words = self.cache.set_heads(old, heads.commits)
        if words is None:
            return Got.ALL
        return Got.MOVED if NONEXISTENT.search(words) else Got.DAMAGED

    def _fetch(self, branches: list[str], *, first: bool) -> Got | None:
        """Objects only: a fetch that is killed, or outlives us, changes no ref."""
        git = replace(self.git, timeout=self.git.timeout * FIRST_TIMEOUT) if first else self.git
        answer = git.run(
            "fetch",
            "--quiet",
            "--no-tags",
            "--no-write-fetch-head",
            "--recurse-submodules=no",
            "--stdin",
            "--",
            self._url,
            stdin="".join(f"{HEADS}{name}\n" for name in branches).encode(),
            remote=True,
        )
        if answer.code == 0:
            return None
        if VANISHED.search(answer.words):
            return Got.MOVED
        if says_damaged(answer.words):
            log.warning("the clone of %s is damaged: %s", self._where, answer.words)
            return Got.DAMAGED
        raise remote_failure("fetching", answer.words, self._where)

    def send(self, moves: Sequence[Move]) -> Mapping[str, GitOpsError]:
        """Compare and swap each branch, all with one push. Returns what was not taken, by branch.

        A lease holds only where the remote's branch still is where it is to move from. Raises
        where the remote says nothing of the branches.
        """
        answer = self.git.run(
            "push",
            "--porcelain",
            "--no-verify",
            "--no-follow-tags",
            "--no-signed",
            "--recurse-submodules=no",
            *(f"--force-with-lease={HEADS}{move.branch}:{move.old}" for move in moves),
            "--",
            self._url,
            *(f"{move.new}:{HEADS}{move.branch}" for move in moves),
            remote=True,
        )
        if answer.code == 0:
            return {}
        fates = push_fates(answer.out.decode("utf-8", "replace"))
        refused = {
            branch: push_refusal(branch, refusal, answer.words, self._where)
            for branch, refusal in fates.items()
            if refusal
        }
        if not refused and says_damaged(answer.words):
            raise self.objects.damage(answer.words)
        if not refused:
            raise remote_failure("pushing", answer.words, self._where)
        unsaid = [move.branch for move in moves if move.branch not in fates]
        lost = remote_failure("pushing", answer.words, self._where)
        return refused | dict.fromkeys(unsaid, lost)

    @property
    def _url(self) -> str:
        return self.git.address.url

    @property
    def _where(self) -> str:
        return self.git.address.identity
