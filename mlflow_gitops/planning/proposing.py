"""How a change is proposed: what our pull request may be made to say, and the words of it. PURE.

One branch for each service, and at most one open pull request from it. One that somebody approved,
or whose branch holds somebody's work, is never rewritten: it is withdrawn, and another is opened.
Where the same edit is made again, it goes on from the head that it has.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from datetime import datetime
from enum import StrEnum

from mlflow_gitops.planning.decisions import in_force
from mlflow_gitops.planning.marker import marker, read_marker
from mlflow_gitops.planning.messages import clean
from mlflow_gitops.planning.plan import Plan
from mlflow_gitops.pull_requests import WITHDRAWN, CommitStatus, Draft, PullRequest
from mlflow_gitops.state import State

__all__ = [
    "Step",
    "body_for",
    "edit_mark_of",
    "hold_told",
    "keeps_head",
    "kept_branch",
    "lacks",
    "moot",
    "request_of",
    "says",
    "step_for",
    "title_of",
    "unchecked",
    "unchecked_statuses",
    "until_next_look",
    "why_again",
    "withdrawal",
]

TITLE_LIMIT = 200
HOLD, TEXT, EDIT = "hold", "text", "edit"
AROUND = ("index ", "@@ ", " ")  # lines of a diff that change with its base
STATUS_LIMIT = 140  # characters; GitHub takes no more
SOONEST, LATEST = 30.0, 600.0  # seconds between two looks at an open pull request


class Step(StrEnum):
    """What becomes of the pull request: a new one, the open one says it now, or one for another.

    `AGAIN` merges the base into the open one's branch, with the same edit made again.
    """

    OPEN = "open"
    UPDATE = "update"
    AGAIN = "again"
    REPLACE = "replace"


def step_for(plan: Plan, foreign: str = "", *, is_same: bool = False) -> tuple[Step, str]:
    """Return the step for a plan that changes Git, and why where the open one is not rewritten.

    `foreign` is what the open pull request's branch holds of other people's work. `is_same` says
    that the branch holds the same edit already, so that only its base moved. An approval of an
    older head counts, too: the forge may still count it.
    """
    pull = plan.pull
    if pull is None or pull.state != "open":
        return Step.OPEN, ""
    if WITHDRAWN in pull.labels:  # a person's closing of it would not be seen as a rejection
        return Step.REPLACE, "it was withdrawn before"
    if foreign:
        return Step.REPLACE, f"its branch holds {foreign}, which mlflow-gitops did not make"
    if pull.approvals and not is_same:
        return Step.REPLACE, "it was approved as it is, and what is asked for now is not that"
    return (Step.AGAIN if is_same and keeps_head(pull) else Step.UPDATE), ""


def keeps_head(pull: PullRequest) -> bool:
    """Return whether the same edit goes on from the head of an open pull request: where somebody
    approved it, or where it conflicts. Of one that conflicts, approvals are mostly not asked for.
    """
    return pull.state == "open" and (bool(pull.approvals) or pull.mergeable is False)


def why_again(pull: PullRequest) -> str:
    """Return why the edit of an open pull request is made again, for the commit's message."""
    what = "It conflicted with" if pull.mergeable is False else "It is asked for again, on"
    base = clean(pull.base)
    return f"{what} {base}, so this merges {base} into it and makes the same edit again."


def unchecked(foreign: str) -> str:
    """Return the note for the registry about a branch that holds other people's work."""
    return (
        f"its branch holds {foreign}, which mlflow-gitops did not make, so its checks fail there: "
        "take it off the branch, or ask for the version again to get a new pull request"
    )


def unchecked_statuses(foreign: str, statuses: Iterable[CommitStatus]) -> tuple[CommitStatus, ...]:
    """Return the same checks as failed, since they did not look at what the branch holds."""
    text = f"not checked: take {foreign} off the branch, or ask for the version again"
    return tuple(CommitStatus(each.name, "failure", text[:STATUS_LIMIT]) for each in statuses)


def kept_branch(branch: str, head: str) -> str:
    """Return the name of the branch that keeps other people's work when ours is rewritten.

    No environment can be called `_kept`, so it is never a service's own branch.
    """
    return branch.replace("/", "/_kept/", 1) + f"/{head[:12]}"


def moot(plan: Plan) -> PullRequest | None:
    """The open pull request that proposes what nobody asks for any more, if there is one."""
    pull = plan.pull
    settled = plan.state in (State.COMMITTED, State.RETIRED) and not plan.changes_git
    return pull if settled and pull is not None and pull.state == "open" else None


def withdrawal(plan: Plan, why: str) -> str:
    """The comment under a pull request that we close."""
    version = clean(plan.version.number, 20) if plan.version else ""
    now = f"version {version}" if plan.after and version else "that the service is retired"
    return f"Withdrawn by mlflow-gitops: {why}. The registry asks for {now}."


def title_of(message: str) -> str:
    """The subject of the commit message."""
    return message.partition("\n")[0][:TITLE_LIMIT]


def hold_told(plan: Plan) -> str:
    """The hold that this promotion ends, or that the open pull request which it replaces ended."""
    if plan.decision is not None:
        return in_force(plan.decision)
    pull = plan.pull
    return read_marker(pull.body).get(HOLD, "") if pull and pull.state == "open" else ""


def body_for(plan: Plan, text: str, edit: str = "") -> str:
    """Return the pull request's whole text: what people read, and a marker.

    A later look finds the request by it, whatever became of the registry's tag, whether what there
    is to say has changed, and whether people changed our edit, by its mark `edit`.
    """
    values = {
        "service": f"{plan.key.environment}/{plan.place.service}",
        "request": clean(plan.request.id) if plan.request else "",
        HOLD: hold_told(plan),
        TEXT: _fingerprint(text),
        EDIT: edit,
    }
    return f"{text}\n\n{marker({key: value for key, value in values.items() if value})}"


def says(pull: PullRequest, text: str) -> bool:
    """Whether this is what it was made to say, whatever people wrote into it since."""
    return read_marker(pull.body).get(TEXT) == _fingerprint(text)


def edit_mark_of(pull: PullRequest | None) -> str:
    """Return the mark of the edit that it was made for; "" where its text does not say."""
    return read_marker(pull.body).get(EDIT, "") if pull else ""


def lacks(pull: PullRequest, draft: Draft) -> bool:
    """Whether a label or a reviewer is missing. Forges take upper and lower case for the same."""
    return _is_missing(draft.labels, pull.labels) or _is_missing(draft.reviewers, pull.asked)


def _is_missing(wanted: Sequence[str], there: Sequence[str]) -> bool:
    known = {each.casefold() for each in there}
    return any(each.casefold() not in known for each in wanted)


def _fingerprint(text: str) -> str:
    """Without the lines of a diff that change when the base moves on: they say nothing new."""
    lines, is_diff = [], False
    for line in text.split("\n"):
        if line.startswith("```"):
            is_diff = line.endswith("diff")
        if not (is_diff and line.startswith(AROUND)):
            lines.append(line)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def request_of(pull: PullRequest) -> str:
    """The id of the request that it was opened for; "" where its text does not say any more."""
    return read_marker(pull.body).get("request", "")


def until_next_look(pull: PullRequest, now: str) -> float:
    """Seconds: often while something happens there, ever more rarely where nothing does."""
    try:
        since = datetime.fromisoformat(pull.updated or pull.created)
        quiet = (datetime.fromisoformat(now) - since).total_seconds()
    except (ValueError, TypeError):
        return LATEST
    return min(LATEST, max(SOONEST, quiet / 4))
