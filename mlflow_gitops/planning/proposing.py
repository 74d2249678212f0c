"""How a change is proposed: what our pull request may be made to say, and the words of it. PURE.

One branch for each service, and at most one open pull request from it. One that somebody approved,
or whose branch holds a commit that is not ours, is never rewritten: it is withdrawn and another
one is opened.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum

from mlflow_gitops.planning.decisions import in_force
from mlflow_gitops.planning.marker import marker, read_marker
from mlflow_gitops.planning.messages import SERVICE, clean, parse_trailers
from mlflow_gitops.planning.plan import Plan
from mlflow_gitops.pull_requests import WITHDRAWN, PullRequest
from mlflow_gitops.state import State

__all__ = [
    "Step",
    "body_for",
    "has_foreign",
    "hold_told",
    "moot",
    "request_of",
    "says",
    "step_for",
    "title_of",
    "until_next_look",
    "withdrawal",
]

TITLE_LIMIT = 200
HOLD, TEXT = "hold", "text"
SOONEST, LATEST = 30.0, 600.0  # seconds between two looks at an open pull request


class Step(StrEnum):
    """What becomes of the pull request: a new one, the open one says it now, or one for another."""

    OPEN = "open"
    UPDATE = "update"
    REPLACE = "replace"


def step_for(plan: Plan, messages: Iterable[str]) -> tuple[Step, str]:
    """The step for a plan that changes Git, with the reason where the open one is not rewritten.

    `messages` are those of the commits that the open pull request's branch has beyond its base.
    """
    pull = plan.pull
    if pull is None or pull.state != "open":
        return Step.OPEN, ""
    if WITHDRAWN in pull.labels:  # a person's closing of it would not be seen as a rejection
        return Step.REPLACE, "it was withdrawn before"
    if pull.is_approved:
        return Step.REPLACE, "it was approved as it is, and what is asked for now is not that"
    if has_foreign(plan, messages):
        return Step.REPLACE, "its branch holds a commit that mlflow-gitops did not make"
    return Step.UPDATE, ""


def has_foreign(plan: Plan, messages: Iterable[str]) -> bool:
    """Whether one of the branch's commits, by their messages, is not ours for this service."""
    service = f"{plan.key.environment}/{plan.place.service}"
    return any(parse_trailers(message).get(SERVICE) != service for message in messages)


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


def body_for(plan: Plan, text: str) -> str:
    """The pull request's whole text: what people read, and a marker.

    A later look finds the request by it, whatever became of the registry's tag, and whether what
    there is to say has changed.
    """
    values = {
        "service": f"{plan.key.environment}/{plan.place.service}",
        "request": clean(plan.request.id) if plan.request else "",
        HOLD: hold_told(plan),
        TEXT: _fingerprint(text),
    }
    return f"{text}\n\n{marker({key: value for key, value in values.items() if value})}"


def says(pull: PullRequest, text: str) -> bool:
    """Whether this is what it was made to say, whatever people wrote into it since."""
    return read_marker(pull.body).get(TEXT) == _fingerprint(text)


def _fingerprint(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


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
