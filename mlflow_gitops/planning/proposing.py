"""How a change is proposed: what our pull request may be made to say, and the words of it. PURE.

One branch for each service, and at most one open pull request from it. One that somebody approved,
or whose branch holds somebody's work, is never rewritten: it is withdrawn, and another is opened.
Where the same edit is made again, it goes on from the head that it has.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from enum import StrEnum

from mlflow_gitops.errors import GitOpsError
from mlflow_gitops.planning.decisions import in_force
from mlflow_gitops.planning.marker import marker, read_marker
from mlflow_gitops.planning.messages import clean
from mlflow_gitops.planning.naming import OURS
from mlflow_gitops.planning.plan import Kind, Plan
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
    "outdated",
    "replaced_by",
    "replaced_of",
    "replaces",
    "request_of",
    "restored",
    "step_for",
    "title_of",
    "unchecked",
    "unchecked_statuses",
    "until_next_look",
    "why_again",
    "withdrawal",
]

TITLE_LIMIT = 200
HOLD, TEXT, EDIT, REPLACED, NOTE = "hold", "text", "edit", "replaced", "note"
LENGTH = re.compile(r"<details><summary>\d+ lines</summary>")  # counts such lines
FOLDS = re.compile(r"</?(?:details|summary)[^>\n]*>|[\\*]")
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
    if foreign:
        return Step.REPLACE, f"its branch holds {foreign}, which mlflow-gitops did not make"
    if pull.approvals and not is_same:
        return Step.REPLACE, f"it was approved as it is, and {_changed(plan, pull)}"
    if WITHDRAWN in pull.labels:  # a person's closing of it would not be seen as a rejection
        return Step.REPLACE, "its label says that it was withdrawn before"
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


def _changed(plan: Plan, pull: PullRequest) -> str:
    if plan.request and request_of(pull) == clean(plan.request.id):
        return "it conflicts with what came to its base since: an edit without conflict differs"
    return "what is asked for now is not that"


def unchecked(foreign: str) -> str:
    """Return the note for the registry about a branch that holds other people's work."""
    return (
        f"its branch holds {foreign}, which mlflow-gitops did not make, so its checks fail there: "
        "take it off the branch, or ask for the version again to get a new pull request"
    )


def outdated(error: GitOpsError) -> str:
    """Return the note for the registry about a pull request that cannot be kept up to date."""
    hint = f"; next: {error.hint}" if error.hint else ""
    return f"the pull request could not be brought up to date: {error.what}{hint}"


def unchecked_statuses(foreign: str, statuses: Iterable[CommitStatus]) -> tuple[CommitStatus, ...]:
    """Return the same checks as failed, since they did not look at what the branch holds."""
    text = f"not checked: take {foreign} off the branch, or ask for the version again"
    return tuple(CommitStatus(each.name, "failure", text[:STATUS_LIMIT]) for each in statuses)


def kept_branch(environment: str, service: str, head: str) -> str:
    """Return the name of the branch that keeps other people's work when ours is rewritten.

    No environment can be called `_kept`, so it is never a service's own branch.
    """
    return f"{OURS}_kept/{environment}/{service}/{head[:12]}"


def moot(plan: Plan) -> PullRequest | None:
    """The open pull request that proposes what nobody asks for any more, if there is one.

    One that we closed just now still has its branch, if that was not recorded any more.
    """
    pull = plan.pull
    settled = plan.state in (State.COMMITTED, State.RETIRED) and not plan.changes_git
    if not settled or pull is None:
        return None
    is_half_done = plan.kind is Kind.RECORD and pull.state == "closed" and WITHDRAWN in pull.labels
    return pull if pull.state == "open" or is_half_done else None


def withdrawal(plan: Plan, pull: PullRequest, why: str) -> str:
    """The comment under a pull request that we close."""
    version = clean(plan.version.number, 20) if plan.version else ""
    now = f"version {version}" if plan.after and version else "that the service is retired"
    asked = f"The registry asks for {now}."
    return " ".join(filter(None, (f"Withdrawn by mlflow-gitops: {why}.", _approved(pull), asked)))


def replaced_by(pull: PullRequest) -> str:
    """Return the comment under a withdrawn pull request that links the one in its place."""
    return f"mlflow-gitops opened another pull request in its place: {pull.url}"


def replaces(pull: PullRequest) -> tuple[int, str]:
    """Return the number of a withdrawn pull request, and what the one in its place says of it."""
    said = f"This replaces {pull.url}, where the reason is."
    return pull.number, " ".join(filter(None, (said, _approved(pull))))


def _approved(pull: PullRequest) -> str:
    names = [clean(each.by, 80) for each in pull.approvals]
    return f"It had been approved by {', '.join(names)}." if names else ""


def replaced_of(pull: PullRequest | None) -> tuple[int, str]:
    """Return the number of the pull request that this one replaces, 0 for none, and the note."""
    values = read_marker(pull.body) if pull else {}
    number = values.get(REPLACED, "")
    return (int(number), values.get(NOTE, "")) if re.fullmatch("[0-9]{1,18}", number) else (0, "")


def title_of(message: str) -> str:
    """The subject of the commit message."""
    return message.partition("\n")[0][:TITLE_LIMIT]


def hold_told(plan: Plan) -> str:
    """The hold that this promotion ends, or that the open pull request which it replaces ended."""
    if plan.decision is not None:
        return in_force(plan.decision)
    pull = plan.pull
    return read_marker(pull.body).get(HOLD, "") if pull and pull.state == "open" else ""


def body_for(plan: Plan, text: str, edit: str = "", replaced: tuple[int, str] = (0, "")) -> str:
    """Return the pull request's whole text: what people read, and a marker.

    A later look finds the request by it, whatever became of the registry's tag, whether what there
    is to say has changed, and whether people changed our edit, by its mark `edit`. `replaced` is
    the pull request that was withdrawn for this one, and what the text says of it.
    """
    values = {
        "service": f"{plan.key.environment}/{plan.place.service}",
        "request": clean(plan.request.id) if plan.request else "",
        HOLD: hold_told(plan),
        TEXT: _fingerprint(text),
        EDIT: edit,
        REPLACED: str(replaced[0] or ""),
        NOTE: replaced[1],
    }
    return f"{text}\n\n{marker({key: value for key, value in values.items() if value})}"


def restored(pull: PullRequest, draft: Draft, text: str) -> Draft:
    """Return the draft with what people added to the open one; `text` is the draft's, bare.

    What they changed or took away comes back, and their additions stay until there is something
    else to say.
    """
    is_said = read_marker(pull.body).get(TEXT) == _fingerprint(text)
    is_whole = _plain(_lasting(text)) in _plain(_lasting(pull.body.replace("\r", "")))
    body = pull.body if is_said and is_whole else draft.body
    title = pull.title if _plain(draft.title) in _plain(pull.title) else draft.title
    return replace(draft, title=title, body=body)


def _plain(text: str) -> str:
    """Without what forges, browsers and adapters change: space, escapes, folded parts."""
    return "".join(FOLDS.sub("", text).split())


def edit_mark_of(pull: PullRequest | None) -> str:
    """Return the mark of the edit that it was made for; "" where its text does not say."""
    return read_marker(pull.body).get(EDIT, "") if pull else ""


def lacks(pull: PullRequest, draft: Draft) -> bool:
    """Whether it has another title or text, or a label or a reviewer is missing.

    Forges take upper and lower case of names for the same.
    """
    is_other = (pull.title, pull.body) != (draft.title, draft.body)
    is_asked = not _is_missing(draft.reviewers, pull.asked)
    return is_other or _is_missing(draft.labels, pull.labels) or not is_asked


def _is_missing(wanted: Sequence[str], there: Sequence[str]) -> bool:
    known = {each.casefold() for each in there}
    return any(each.casefold() not in known for each in wanted)


def _fingerprint(text: str) -> str:
    return hashlib.sha256(_lasting(text).encode()).hexdigest()[:16]


def _lasting(text: str) -> str:
    """Without the lines of a diff that change when the base moves on: they say nothing new."""
    lines, is_diff = [], False
    for line in text.split("\n"):
        if line.startswith("```"):
            is_diff = line.endswith("diff")
        if not ((is_diff and line.startswith(AROUND)) or LENGTH.fullmatch(line)):
            lines.append(line)
    return "\n".join(lines)


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
