"""What Bitbucket Data Center's replies say, as values. PURE: a reply that is none raises KeyError
and the like. `past` are a pull request's activities, the newest first.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import Any

from mlflow_gitops.adapters.forge.closing import Comment
from mlflow_gitops.pull_requests import Approval

__all__ = ["HEADS", "approvals_of", "comments_of", "is_own", "matches", "name_of", "time_of"]

Json = Mapping[str, Any]
HEADS = "refs/heads/"


def matches(matcher: Json, branch: str) -> bool:
    """Whether a rule is for the branch; one for kinds of branches may be."""
    kind, name = matcher["type"]["id"], str(matcher["id"])
    if kind == "BRANCH":
        return name.removeprefix(HEADS) == branch
    return fnmatchcase(branch, name) if kind == "PATTERN" else kind == "ANY_REF"


def is_own(row: Json) -> bool:
    """Whether its branch is in the repository itself, and not in a fork."""
    return bool(row["fromRef"]["repository"]["id"] == row["toRef"]["repository"]["id"])


def name_of(user: Json) -> str:
    return str(user["name"])


def time_of(milliseconds: int | None) -> str:
    if not milliseconds:
        return ""
    moment = datetime.fromtimestamp(milliseconds / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def approvals_of(people: Iterable[Json], past: Sequence[Json], head: str) -> Iterator[Approval]:
    """Each names the commit it was given on, where Bitbucket is not too old for that."""
    given = [each for each in past if each["action"] == "APPROVED"]
    times = {name_of(each["user"]): time_of(each["createdDate"]) for each in given[::-1]}
    for each in people:
        by = name_of(each["user"])
        yield Approval(by, each.get("lastReviewedCommit") or head, times.get(by, ""))


def comments_of(past: Iterable[Json]) -> Iterator[Comment]:
    for each in past:
        if each["action"] == "COMMENTED" and each.get("comment"):
            said = each["comment"]
            yield Comment(name_of(said["author"]), time_of(said["createdDate"]), said["text"])
