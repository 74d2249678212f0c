"""Which revisions nothing points to any more. PURE.

Every doubt keeps: one is removed only where all that could point to it was read, and did not.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from mlflow_gitops.planning.revisions import Published
from mlflow_gitops.state import Snapshot

__all__ = ["Choice", "choose", "mentioned"]


@dataclass(frozen=True, slots=True)
class Choice:
    """Whether a revision is kept, and why."""

    revision: Published
    keep: bool
    why: str


def choose(
    revision: Published, mentions: Sequence[str], snapshot: Snapshot | None, *, since: str
) -> Choice:
    """`mentions` is where Git names the path since then; `since` is ISO 8601 in UTC. `snapshot` is
    None where the registry has no such model.
    """
    claim = revision.claim
    if revision.used:
        return Choice(revision, True, f"used by {', '.join(revision.used)}")
    if revision.problem or claim is None:
        return Choice(revision, True, f"unknown: {revision.problem}")
    if mentions:
        return Choice(revision, True, f"Git names it: {mentions[0]}")
    if snapshot is None:
        return Choice(revision, True, "the registry has no such model: nobody knows who selects it")
    if claim.model != snapshot.model and not _has(snapshot, revision):
        return Choice(revision, True, f"it is of another model, {claim.model}")
    if revision.shelved.changed >= since:
        return Choice(revision, True, f"written on {revision.shelved.changed[:10]}")
    what = "never sealed, and " if revision.state == "unfinished" else ""
    return Choice(revision, False, f"{what}nothing points to it since {since[:10]}")


def _has(snapshot: Snapshot, revision: Published) -> bool:
    """A model can have been renamed: the versions stay what they are."""
    assert revision.claim is not None
    return any(version.identity == revision.claim.identity for version in snapshot.versions)


def mentioned(
    uris: Iterable[str], lines: Iterable[tuple[str, str]]
) -> Mapping[str, tuple[str, ...]]:
    """Where each URI is named: by its last two parts, since a line may hold only these."""
    names = {uri: "/".join(uri.rstrip("/").split("/")[-2:]) for uri in uris}
    wanted = {name: uri for uri, name in names.items()}
    found: dict[str, list[str]] = {uri: [] for uri in names}
    for line, where in lines:
        for name in REVISION.findall(line):
            for part in _readings(name):
                if part in wanted:
                    found[wanted[part]].append(where)
    return {uri: tuple(dict.fromkeys(each)) for uri, each in found.items()}


REVISION = re.compile(r"(?=(?:^|[^A-Za-z0-9._-])([A-Za-z0-9._-]+/v[A-Za-z0-9._-]+))")


def _readings(name: str) -> tuple[str, ...]:
    """With and without what may end a sentence."""
    return tuple(dict.fromkeys((name, name.rstrip("._-"))))
