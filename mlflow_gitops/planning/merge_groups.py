"""What a merge queue tries together, by the branches that it makes, and the verdict on it. PURE.

GitHub makes the branch `gh-readonly-queue/<base>/pr-<number>-<commit>` for each pull request in the
queue: a merge of it with all that are before it. `<commit>` is what it was made on: the base's
head, or the head of the group before it. Checks that are required are wanted on its head.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from mlflow_gitops.planning.messages import clean
from mlflow_gitops.pull_requests import CommitStatus

__all__ = ["QUEUE", "Group", "groups_of", "numbers_in", "worst_of"]

QUEUE = "gh-readonly-queue/"
NAME = re.compile(r"pr-(\d{1,12})-([0-9a-f]{40,64})")
TEXT = 140  # characters of a status
VERDICTS = ("failure", "pending", "success")


@dataclass(frozen=True, slots=True)
class Group:
    """`number` is the last pull request in it, `onto` the commit that it was made on."""

    number: int
    onto: str
    head: str


def groups_of(base: str, branches: Mapping[str, str]) -> tuple[Group, ...]:
    """Return the groups of a base's queue, from branches and their heads."""
    prefix = f"{QUEUE}{base}/"
    names = ((NAME.fullmatch(n.removeprefix(prefix)), head) for n, head in branches.items())
    return tuple(Group(int(name[1]), name[2], head) for name, head in names if name)


def numbers_in(group: Group, groups: Iterable[Group]) -> tuple[int, ...]:
    """Return the pull requests that the names tell of: its own, and those of the groups below."""
    below = {each.head: each for each in groups}
    found: list[int] = []
    at: Group | None = group
    while at is not None and at.number not in found:
        found.append(at.number)
        at = below.get(at.onto)
    return tuple(found)


def worst_of(parts: Mapping[str, Sequence[CommitStatus]]) -> tuple[CommitStatus, ...]:
    """Return one status of each name, for several services at once: the worst, saying whose.

    A check that one of them does not have yet is pending.
    """
    if len(parts) == 1:
        return tuple(*parts.values())
    names = dict.fromkeys(each.name for statuses in parts.values() for each in statuses)
    return tuple(_worst(name, parts) for name in names)


def _worst(name: str, parts: Mapping[str, Sequence[CommitStatus]]) -> CommitStatus:
    found = []
    for service in sorted(parts):
        own = next((each for each in parts[service] if each.name == name), None)
        found.append((service, own or CommitStatus(name, "pending", "was not looked at yet")))
    service, status = min(found, key=lambda each: VERDICTS.index(each[1].verdict))
    text = clean(f"{service}: {status.text}", TEXT)
    return CommitStatus(name, status.verdict, text, status.url)
