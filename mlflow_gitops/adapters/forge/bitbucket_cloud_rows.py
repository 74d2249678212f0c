"""What Bitbucket Cloud's replies say, as values. PURE: a reply that is none raises KeyError and the
like. `past` is a pull request's activity, the newest first.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from mlflow_gitops.adapters.forge.closing import Comment, closing_comment
from mlflow_gitops.adapters.forge.versions import head_at, utc
from mlflow_gitops.pull_requests import Approval

__all__ = ["approvals_of", "comments_of", "decided_at", "is_own", "may_write", "name_of", "said_of"]

Json = Mapping[str, Any]
NEEDED = ("repository", "pullrequest")


def may_write(scopes: Sequence[str]) -> bool:
    return all(any(_gives(scope, needed) for scope in scopes) for needed in NEEDED)


def _gives(scope: str, needed: str) -> bool:
    return scope in (f"{needed}:write", f"{needed}:admin", f"write:{needed}:bitbucket")


def is_own(row: Json) -> bool:
    """Whether its branch is in the repository itself, and not in a fork."""
    source = row["source"].get("repository")
    return bool(source) and source["full_name"] == row["destination"]["repository"]["full_name"]


def name_of(user: Json | None) -> str:
    """A user's nickname; an app and a token have a display name alone."""
    return str(user.get("nickname") or user["display_name"]) if user else ""


def decided_at(past: Iterable[Json], row: Json) -> str:
    updates = (each["update"] for each in past if "update" in each)
    times = [utc(each["date"]) for each in updates if each["state"] == row["state"]]
    return max(times, default=utc(row["updated_on"]))


def said_of(row: Json, past: Iterable[Json], by: str, time: str) -> str:
    """At its closing, as a comment or as the reason that Bitbucket asks for."""
    return str(row.get("reason") or "") or closing_comment(comments_of(past), by, time)


def comments_of(past: Iterable[Json]) -> Iterator[Comment]:
    for each in past:
        said = each.get("comment")
        if said is not None and not said.get("deleted"):
            yield Comment(
                name_of(said["user"]), utc(said["created_on"]), said["content"]["raw"] or ""
            )


def approvals_of(users: Iterable[Json], past: Sequence[Json], head: str) -> Iterator[Approval]:
    """Each counts for the head that was there at its time, and for today's where no time is told,
    so that nothing is rewritten under somebody's approval. Heads are as Bitbucket shortens them.
    """
    updates = [each["update"] for each in past if "update" in each]
    heads = sorted((utc(each["date"]), each["source"]["commit"]["hash"]) for each in updates)
    given = [each["approval"] for each in past if "approval" in each]
    times = {each["user"]["uuid"]: utc(each["date"]) for each in given[::-1]}
    for user in users:
        time = times.get(user["uuid"], "")
        yield Approval(name_of(user), head_at(heads, time) if time else head, time)
