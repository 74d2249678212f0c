"""What GitLab's replies say, as values. PURE: a reply that is none raises KeyError and the like."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from mlflow_gitops.adapters.forge.versions import head_at, utc
from mlflow_gitops.pull_requests import Approval, PullRequest

__all__ = ["approvals_of", "inert", "is_own", "made_by", "name_of", "pull_of"]

Json = Mapping[str, Any]
UNKNOWN = ("unchecked", "checking", "preparing", "approvals_syncing", "cannot_be_merged_recheck")
CONFLICT = ("conflict", "cannot_be_merged")
RESULT = re.compile(r"refs/merge-requests/\d+/(merge|train)")
APPROVED = "approved this merge request"
STATES: Mapping[str, Literal["open", "closed", "merged"]] = {
    "opened": "open",
    "locked": "open",
    "closed": "closed",
    "merged": "merged",
}


def is_own(row: Json) -> bool:
    """Whether its branch is in the project itself, and not in a fork."""
    return bool(row["source_project_id"] == row["target_project_id"])


def made_by(row: Json) -> tuple[object, ...]:
    """Return the commits that a merge made, and the head: a later merge may hold these, too."""
    return row.get("merge_commit_sha"), row.get("squash_commit_sha"), row.get("sha")


def name_of(user: Json | None) -> str:
    return str(user["username"]) if user else ""


def pull_of(row: Json, approvals: tuple[Approval, ...] = (), comment: str = "") -> PullRequest:
    state = STATES[row["state"]]
    decided_by = ""
    if state == "merged":
        decided_by = name_of(row.get("merge_user") or row.get("merged_by"))
    elif state == "closed":
        decided_by = name_of(row.get("closed_by"))
    made = row.get("merge_commit_sha") or row.get("squash_commit_sha") or row.get("sha") or ""
    return PullRequest(
        number=int(row["iid"]),
        url=str(row["web_url"]),
        state=state,
        branch=str(row["source_branch"]),
        base=str(row["target_branch"]),
        head=str(row.get("sha") or ""),
        title=str(row["title"]),
        body=str(row.get("description") or ""),
        labels=tuple(str(label) for label in row["labels"]),
        author=name_of(row.get("author")),
        approvals=approvals,
        mergeable=_mergeable(row) if state == "open" else None,
        merge_commit=str(made) if state == "merged" else "",
        decided_by=decided_by,
        decided_at=utc(row.get(f"{state}_at")),
        comment=comment,
        created=utc(row["created_at"]),
        updated=utc(row.get("updated_at")),
        asked=tuple(name_of(user) for user in row.get("reviewers") or ()),
        results=_results(row) if state == "open" else (),
    )


def _results(row: Json) -> tuple[str, ...]:
    """Return the commit of its pipeline where that tries the merge: a merged result, or a train."""
    pipeline = row.get("head_pipeline") or {}
    is_merge = RESULT.fullmatch(str(pipeline.get("ref") or ""))
    return (str(pipeline["sha"]),) if is_merge and pipeline.get("sha") else ()


def _mergeable(row: Json) -> bool | None:
    """Whether there is no conflict: what else GitLab wants before it merges does not matter."""
    if row.get("has_conflicts"):
        return False
    status = row.get("detailed_merge_status") or row.get("merge_status")
    if status in CONFLICT:
        return False
    return None if status is None or status in UNKNOWN else True


def approvals_of(
    rows: Sequence[Json], notes: Sequence[Json], versions: Sequence[Json], head: str
) -> tuple[Approval, ...]:
    """GitLab's approvals name no commit: each counts for the version that was there at its time.

    `notes` tell the time where GitLab is too old to say it. One whose time nobody tells counts for
    the head, so that nothing is rewritten under somebody's approval.
    """
    told = {
        name_of(note["author"]): note["created_at"]
        for note in notes
        if note["system"] and note["body"] == APPROVED
    }
    ordered = sorted(versions, key=lambda each: (utc(each["created_at"]), each["id"]))
    heads = [(utc(each["created_at"]), str(each["head_commit_sha"])) for each in ordered]
    found = []
    for row in rows:
        by = name_of(row["user"])
        time = utc(row.get("approved_at") or told.get(by))
        found.append(Approval(by, head_at(heads, time) if time else head, time))
    return tuple(found)


def inert(text: str) -> str:
    """Without quick actions: a line that begins with a slash is a command to GitLab."""
    return re.sub(r"(?m)^([ \t]*)/", r"\1\\/", text)
