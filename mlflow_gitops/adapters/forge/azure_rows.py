"""What Azure DevOps's replies say, as values. PURE: a reply that is none raises KeyError and the
like.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

from mlflow_gitops.adapters.forge.closing import Comment
from mlflow_gitops.adapters.forge.versions import head_at, utc
from mlflow_gitops.pull_requests import Approval, PullRequest

__all__ = [
    "HEADS",
    "OF_VERDICT",
    "STATES",
    "TEAM",
    "approvals_of",
    "comments_of",
    "name_of",
    "pull_of",
    "status_of",
]

Json = Mapping[str, Any]
HEADS = "refs/heads/"
TEAM = "team:"
APPROVING = (5, 10)  # approved with suggestions, approved
OF_VERDICT: Mapping[str, str] = {
    "success": "succeeded",
    "failure": "failed",
    "pending": "pending",
}
VERDICTS = {state: verdict for verdict, state in OF_VERDICT.items()}
STATES: Mapping[str, Literal["open", "closed", "merged"]] = {
    "active": "open",
    "abandoned": "closed",
    "completed": "merged",
}
MERGEABLE = {"succeeded": True, "conflicts": False}


def name_of(identity: Json | None) -> str:
    """A user's name to log in with, or `team:<name>`."""
    if not identity:
        return ""
    if identity.get("isContainer"):
        return TEAM + str(identity["displayName"]).rpartition("\\")[2]
    return str(identity.get("uniqueName") or identity["displayName"])


def status_of(row: Json) -> tuple[str, str, str]:
    """Return a status's name, verdict and text."""
    context, state = row["context"], str(row["state"])
    name = "/".join(part for part in (context.get("genre"), context["name"]) if part)
    return name, VERDICTS.get(state, state), str(row.get("description") or "")


def pull_of(
    row: Json,
    web: str,
    labels: Iterable[str],
    approvals: tuple[Approval, ...] = (),
    comment: str = "",
) -> PullRequest:
    state = STATES[row["status"]]
    is_open = state == "open"
    return PullRequest(
        number=int(row["pullRequestId"]),
        url=f"{web}/pullrequest/{row['pullRequestId']}",
        state=state,
        branch=row["sourceRefName"].removeprefix(HEADS),
        base=row["targetRefName"].removeprefix(HEADS),
        head=_commit(row, "lastMergeSourceCommit"),
        title=str(row["title"]),
        body=str(row.get("description") or ""),
        labels=tuple(labels),
        author=name_of(row["createdBy"]),
        approvals=approvals,
        mergeable=MERGEABLE.get(row.get("mergeStatus", "")) if is_open else None,
        merge_commit=_commit(row, "lastMergeCommit") if state == "merged" else "",
        decided_by="" if is_open else name_of(row.get("closedBy")),
        decided_at="" if is_open else utc(row.get("closedDate")),
        comment=comment,
        created=utc(row["creationDate"]),
        asked=tuple(map(name_of, row.get("reviewers") or ())),
    )


def approvals_of(
    reviewers: Iterable[Json], threads: Sequence[Json], iterations: Iterable[Json], head: str
) -> tuple[Approval, ...]:
    """Azure's votes name no commit: each counts for the head that was there at its time, and for
    today's where no time is told, so that nothing is rewritten under somebody's approval.
    """
    heads = [(utc(each["createdDate"]), _commit(each, "sourceRefCommit")) for each in iterations]
    times = dict(_votes(threads))
    found = []
    for each in reviewers:
        if each["vote"] in APPROVING and not each.get("isContainer"):
            time = times.get(_plain_id(each["id"]), "")
            found.append(Approval(name_of(each), head_at(heads, time) if time else head, time))
    return tuple(found)


def _votes(threads: Iterable[Json]) -> Iterator[tuple[str, str]]:
    """Who voted, and when; the threads are the oldest first."""
    for thread in threads:
        told = {key: each["$value"] for key, each in (thread.get("properties") or {}).items()}
        if told.get("CodeReviewThreadType") != "VoteUpdate":
            continue
        people = thread.get("identities") or {}
        voter = people.get(str(told.get("CodeReviewVotedByIdentity")))
        by = voter["id"] if voter else told.get("CodeReviewVotedByTfId", "")
        yield _plain_id(str(by)), utc(thread["publishedDate"])


def _plain_id(text: str) -> str:
    """Azure writes the same one with dashes and without."""
    return text.replace("-", "").lower()


def comments_of(threads: Iterable[Json]) -> Iterator[Comment]:
    """What people said."""
    for thread in threads:
        for each in thread["comments"]:
            if each["commentType"] == "text" and not each.get("isDeleted"):
                text = each.get("content") or ""
                yield Comment(name_of(each["author"]), utc(each["publishedDate"]), text)


def _commit(row: Json, key: str) -> str:
    return str((row.get(key) or {}).get("commitId") or "")
