"""What the history says: which commits are ours, for which service, and what is older than what.

One walk over a history serves every service, since a resync asks for all of them; what was
walked is kept, and a head that moved on costs only its new commits.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import TypeVar

from mlflow_gitops.adapters.git_objects import Objects
from mlflow_gitops.adapters.git_process import Answer, GitProcess
from mlflow_gitops.adapters.git_tree import is_commit
from mlflow_gitops.errors import RepositoryError, TransientError
from mlflow_gitops.planning.commit_facts import is_titled_revert
from mlflow_gitops.planning.messages import SERVICE, parse_trailers, trailer_lines
from mlflow_gitops.state import Delivery

__all__ = ["History", "decoded", "delivery_of", "seconds_of"]

WALKS_KEPT = 16
HEADS_KEPT = 4
QUESTIONS = 8  # about one head, until all of its history is read at once
LINE = 2_000  # commits
BATCH = 50

Key = TypeVar("Key")
Value = TypeVar("Value")

Walk = Mapping[str, tuple[str, ...]]
"""Service to the commits that name it, newest first."""


class History:
    """Safe for threads."""

    def __init__(self, git: GitProcess, objects: Objects) -> None:
        self._git = git
        self._objects = objects
        self._lock = threading.Lock()
        self._walks: OrderedDict[tuple[str, str], Walk] = OrderedDict()
        self._ancestors: OrderedDict[str, frozenset[bytes]] = OrderedDict()
        self._asked: OrderedDict[str, dict[str, bool]] = OrderedDict()
        self._lines: OrderedDict[str, Mapping[str, int]] = OrderedDict()

    def forget(self) -> None:
        with self._lock:
            for kept in (self._walks, self._ancestors, self._asked, self._lines):
                kept.clear()

    def deliveries(self, service: str, head: str, since: str) -> Iterator[Delivery]:
        """Our commits to the service that are no ancestors of `since`, read as they are taken.

        A `since` that is unknown (dropped from its branch, or made up) has no ancestors.
        """
        with self._lock:
            known = since if self._is_known(since, head) else ""
            commits = self._after(service, head, known)
        for start in range(0, len(commits), BATCH):
            batch = commits[start : start + BATCH]
            for commit, data in zip(batch, self._objects.raw(batch), strict=True):
                delivery = _parse(commit, data, service)
                if delivery is not None:
                    yield delivery

    def _is_known(self, commit: str, head: str) -> bool:
        if not is_commit(commit):
            return False
        is_older = head in self._ancestors and bytes.fromhex(commit) in self._ancestors[head]
        return is_older or self._asked.get(head, {}).get(commit) or self._objects.known(commit)

    def is_ancestor(self, commit: str, of: str) -> bool:
        """Whether `commit` is known and is `of`, or older than it."""
        if not is_commit(commit) or not is_commit(of):
            return False
        with self._lock:
            return self._is_ancestor(commit, of)

    def _is_ancestor(self, commit: str, of: str) -> bool:
        if of not in self._ancestors:
            asked = self._asked.setdefault(of, {})
            _bound(self._asked, HEADS_KEPT)
            if asked and commit not in asked and commit in self._line(of):
                asked[commit] = True  # whoever asks about two will ask about more
            if commit not in asked and len(asked) < QUESTIONS:
                asked[commit] = self._merge_base(commit, of)
            if commit in asked:
                return asked[commit]
            self._ancestors[of] = self._read_ancestors(of)
            _bound(self._ancestors, HEADS_KEPT)
        return bytes.fromhex(commit) in self._ancestors[of]

    def _merge_base(self, commit: str, of: str) -> bool:
        answer = self._git.run("merge-base", "--is-ancestor", commit, of)
        if answer.code > 1 and self._objects.known(commit):
            raise self._unreadable(of, answer)
        return answer.code == 0

    def _read_ancestors(self, of: str) -> frozenset[bytes]:
        for head in reversed(self._ancestors):
            if self._merge_base(head, of):
                return self._ancestors.pop(head) | self._listed(of, "--not", head)
        return self._listed(of)

    def _listed(self, *revisions: str) -> frozenset[bytes]:
        answer = self._git.run("rev-list", *revisions)
        if answer.code != 0:
            raise self._unreadable(revisions[0], answer)
        return frozenset(map(bytes.fromhex, answer.out.decode().split()))

    def _after(self, service: str, head: str, since: str) -> Sequence[str]:
        """Many services are asked for, each since its own delivery: mostly one walk has them all.

        On the line of first parents, what is newer than `since` is none of its ancestors.
        """
        longer = self._walked_longer(head, since)
        if longer is None:
            return self._walk(head, since).get(service, ())
        found, line = self._walks[head, longer].get(service, ()), self._line(head)
        if any(commit not in line for commit in found):
            return self._walk(head, since).get(service, ())
        return [commit for commit in found if line[commit] < line[since]]

    def _walked_longer(self, head: str, since: str) -> str | None:
        """The start of a walk to the same head that is older than `since`."""
        starts = [start for walked, start in self._walks if walked == head and start]
        if not since or since in starts or not starts:
            return None
        line = self._line(head)
        longer = (start for start in starts if line.get(start, -1) > line.get(since, LINE))
        return next(longer, None)

    def _line(self, head: str) -> Mapping[str, int]:
        """The newest first parents of the head, by how far they are from it."""
        if head not in self._lines:
            answer = self._git.run("rev-list", "--first-parent", f"--max-count={LINE}", head)
            if answer.code != 0:
                raise self._unreadable(head, answer)
            commits = answer.out.decode().split()
            self._lines[head] = {commit: place for place, commit in enumerate(commits)}
            _bound(self._lines, HEADS_KEPT)
        return self._lines[head]

    def _walk(self, head: str, since: str) -> Walk:
        if (head, since) not in self._walks:
            older = None if since else self._walked_before(head)
            if older:
                new = self._read_walk(head, older)
                walk = _joined(new, self._walks.pop((older, "")))
            else:
                walk = self._read_walk(head, since)
            self._walks[head, since] = walk
            _bound(self._walks, WALKS_KEPT)
        return self._walks[head, since]

    def _walked_before(self, head: str) -> str | None:
        walked = [walked for walked, since in reversed(self._walks) if not since]
        return next((each for each in walked if self._is_ancestor(each, head)), None)

    def _read_walk(self, head: str, since: str) -> Walk:
        if not is_commit(head):
            raise _no_commit(head)
        answer = self._git.run(
            "rev-list",
            "--date-order",
            "--encoding=UTF-8",
            "--fixed-strings",
            f"--grep={SERVICE}: ",
            f"--format==%(trailers:key={SERVICE},valueonly,unfold,separator=%x00)",
            *((head, "--not", since) if since else (head,)),
        )
        if answer.code == 0:
            return _services(answer.out)
        raise self._unreadable(head, answer)

    def _unreadable(self, head: str, answer: Answer) -> RepositoryError | TransientError:
        """The head was never fetched; or it was, and the clone is damaged."""
        if not self._objects.known(head):
            return _no_commit(head)
        return self._objects.damage(answer.words)


def delivery_of(
    commit: str, parent: str, seconds: int, message: str, service: str
) -> Delivery | None:
    """What a commit says of the service, if it names it in its trailers.

    A revert is a person's, also where the host repeats the message of what it takes back. Where a
    commit names several services (people squashed commits) the other trailers could be anyone's.
    """
    services = [value for key, value in trailer_lines(message) if key == SERVICE]
    if service not in services or is_titled_revert(message):
        return None
    time = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    trailers = parse_trailers(message) if len(set(services)) == 1 else {SERVICE: service}
    return Delivery(commit, parent, time, trailers)


def _services(out: bytes) -> Walk:
    """From pairs of lines: `commit <hash>`, and `=` before the services."""
    found: dict[str, list[str]] = {}
    lines = out.decode("utf-8", "replace").split("\n")
    for about, services in zip(lines[::2], lines[1::2], strict=False):
        for service in set(services[1:].split("\0")):
            if service:
                found.setdefault(service, []).append(about.removeprefix("commit "))
    return {service: tuple(commits) for service, commits in found.items()}


def _joined(newer: Walk, older: Walk) -> Walk:
    joined = dict(older)
    for service, commits in newer.items():
        joined[service] = commits + joined.get(service, ())
    return joined


def _parse(commit: str, data: bytes, service: str) -> Delivery | None:
    head, _, message = data.partition(b"\n\n")
    parent, seconds, encoding = "", 0, "utf-8"
    for line in head.decode("utf-8", "replace").split("\n"):
        key, _, value = line.partition(" ")
        if key == "parent" and not parent:
            parent = value
        elif key == "committer":
            seconds = seconds_of(value)
        elif key == "encoding":
            encoding = value
    return delivery_of(commit, parent, seconds, decoded(message, encoding), service)


def seconds_of(committer: str) -> int:
    words = committer.rsplit(" ", 2)
    latest = 253402300799  # the end of the year 9999
    return min(int(words[1]), latest) if len(words) == 3 and words[1].isdecimal() else 0


def decoded(message: bytes, encoding: str) -> str:
    try:
        return message.decode(encoding, "replace")
    except LookupError:
        return message.decode("utf-8", "replace")


def _bound(kept: OrderedDict[Key, Value], most: int) -> None:
    while len(kept) > most:
        kept.popitem(last=False)


def _no_commit(head: str) -> RepositoryError:
    return RepositoryError(
        "there is no such commit in what was fetched", where=head[:64], hint="fetch it first"
    )
