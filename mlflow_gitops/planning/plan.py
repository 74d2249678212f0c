"""What to do about one service: the three states compared. PURE.

desired (the registry), committed (Git) and delivered (what this tool did last) decide together,
in one ladder with a reason on each rung, so that a person's decision in Git is never undone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from mlflow_gitops.planning.decisions import Decided, Decision, on_stands, rejected
from mlflow_gitops.planning.desired import Desired
from mlflow_gitops.planning.messages import clean
from mlflow_gitops.pull_requests import WITHDRAWN, PullRequest
from mlflow_gitops.state import (
    EMPTY,
    Delivered,
    Hold,
    Identity,
    ModelVersion,
    Request,
    ServiceKey,
    ServiceSpec,
    State,
    Status,
)

__all__ = [
    "PASSING",
    "Kind",
    "Place",
    "Plan",
    "held_by",
    "make_plan",
    "next_delivered",
    "reports",
    "waiting",
]


STANDING = frozenset(
    {
        State.COMMITTED,
        State.PUBLISHING,
        State.HELD,
        State.UNSELECTED,
        State.AMBIGUOUS,
        State.ADOPTED,
        State.PROPOSED,
        State.REJECTED,
    }
)
"""States that a version can be in only until another one is committed."""

PASSING = frozenset({State.FAILED, State.REQUESTED})
"""States that are of a service's delivery: they end for a version when another is delivered."""


class Kind(StrEnum):
    """The effects of a plan: a commit (promote, retire), a record only, or none."""

    PROMOTE = "promote"
    RETIRE = "retire"
    RECORD = "record"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a service's manifests are: what makes a `delivered` record ours; and how changes come
    there, by a pull request or by a commit.
    """

    repository: str
    branch: str
    service: str
    by_pull_request: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """One service's actions and the reason. `before` is committed, `after` is what it becomes.

    `pull` is our pull request for the service, where one was looked at. `decision` is a person's
    that holds the service, or that a promotion ends. `not_proved` says why no build proved the
    edit, the one to make or the one that was delivered.
    """

    key: ServiceKey
    place: Place
    kind: Kind
    state: State
    reason: str
    before: ServiceSpec | None = None
    after: ServiceSpec | None = None
    version: ModelVersion | None = None
    request: Request | None = None
    matched: Mapping[str, str] = field(default_factory=lambda: EMPTY)
    refused: tuple[str, ...] = ()
    left: str = ""
    candidates: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    pull: PullRequest | None = None
    decision: Decision | None = None
    not_proved: str = ""

    @property
    def remarks(self) -> tuple[str, ...]:
        """The notes for people, one of them where no build proved what is committed."""
        if not self.not_proved:
            return self.notes
        return (*self.notes, f"not proved by a build: {self.not_proved}")

    @property
    def changes_git(self) -> bool:
        return self.kind in (Kind.PROMOTE, Kind.RETIRE)


def make_plan(
    key: ServiceKey,
    place: Place,
    desired: Desired,
    committed: ServiceSpec | None,
    delivered: Delivered | None,
    hold: Hold | None = None,
    pull: PullRequest | None = None,
) -> Plan:
    """The ladder of rule 3. `delivered` is None where no record of ours can be trusted.

    `hold` is the comment in Git that holds the service, if there is one. `pull` is the pull
    request that `delivered` names, as the forge has it now; None where it was not looked at.
    """
    refused = delivered.refused if delivered else ()
    plan = Plan(
        key=key,
        place=place,
        kind=Kind.NONE,
        state=State.COMMITTED,
        reason=desired.reason,
        before=committed,
        after=committed,
        version=desired.version,
        request=desired.request,
        matched=desired.matched,
        refused=refused,
        left=desired.left,
        candidates=desired.candidates,
        notes=desired.notes,
        pull=pull,
        not_proved=_not_proved(committed, delivered),
    )
    if desired.state is not None:  # nothing selected, or several: change nothing
        return replace(plan, state=desired.state)
    if delivered and _is_renamed(key, place, delivered):  # the tags travel with a rename
        held = _held(plan, Decided.RENAMED, delivered)
        return replace(held, matched=desired.kept, reason=_renamed(key, delivered))
    if desired.spec == committed:  # Git says it already, whoever wrote it
        return _in_sync(plan, desired, delivered)
    if hold is not None:  # written by hand: it holds against every request, until it is removed
        held = held_by(plan, hold)
        return replace(held, matched=desired.kept, reason=_commented(hold, plan))
    if not desired.new and delivered and delivered.is_proposed:
        proposed = _proposed(plan, delivered, pull)
        if proposed is not None:
            return proposed
    elif not desired.new:  # the request was answered: what differs is a person's or a setting's
        return _differs_without_request(plan, desired, committed, delivered)
    if _has_foreign_rollout(committed, delivered):  # a canary that we did not write
        return replace(
            _held(plan, Decided.CANARY, delivered),
            matched=desired.kept,
            reason="the manifest has a canary that mlflow-gitops did not write: finish or remove "
            "it in Git first",
        )
    return replace(
        _change(plan, desired.spec),
        refused=_refused_after(desired, delivered),
        decision=_overruled(plan, delivered, pull),
    )


def _change(plan: Plan, after: ServiceSpec | None) -> Plan:
    kind = Kind.RETIRE if after is None else Kind.PROMOTE
    state = State.RETIRED if kind is Kind.RETIRE else State.COMMITTED
    if plan.place.by_pull_request:
        state = State.PROPOSED
    return replace(plan, kind=kind, state=state, after=after, not_proved="")


def _not_proved(committed: ServiceSpec | None, delivered: Delivered | None) -> str:
    """Why no build proved what is committed, or proposed."""
    if delivered is None or not (delivered.is_proposed or delivered.spec == committed):
        return ""
    return delivered.not_proved


def _proposed(plan: Plan, delivered: Delivered, pull: PullRequest | None) -> Plan | None:
    """The request was answered with a pull request. None where that is no reason to wait."""
    name = f"pull request #{delivered.pull}"
    if pull is None:  # not looked at: only a reconcile asks the forge
        return replace(plan, state=State.PROPOSED, after=delivered.spec, reason=f"{name} waits")
    if pull.state == "open" and pull.mergeable is False:
        if _has_foreign_rollout(plan.before, delivered):
            return None
        reason = f"{name} is in conflict with what came since: the edit is made again"
        return replace(_change(plan, delivered.spec), reason=reason)
    if pull.state == "open":
        reason = waiting(plan.reason, pull)
        return replace(plan, state=State.PROPOSED, after=delivered.spec, reason=reason)
    if pull.state == "closed" and WITHDRAWN in pull.labels:
        return None
    refused = tuple(sorted({*plan.refused, delivered.request.version}))
    stands = f"{_text(plan.before)} stands until another version, or this one again, is asked for"
    if pull.state == "merged":
        reason = f"{name} was merged, and a person decided otherwise in Git since: {stands}"
        held = _held(plan, _kind(delivered, plan.before), delivered)
        return replace(held, refused=refused, reason=reason, left="")
    said = f' ("{clean(pull.comment, 200)}")' if pull.comment else ""
    reason = f"{name} was closed{_by_whom(pull)} without merging it{said}: {stands}"
    rejection = rejected(plan.key, _number(delivered), plan.before, pull)
    return replace(
        plan, state=State.REJECTED, refused=refused, reason=reason, left="", decision=rejection
    )


def waiting(reason: str, pull: PullRequest) -> str:
    """What is told of a change in an open pull request, when it is made and while it waits."""
    approved = ", approved" if pull.is_approved else ""
    return f"{reason}; pull request #{pull.number} is open{approved}: {pull.url}"


def _by_whom(pull: PullRequest) -> str:
    by = f" by {clean(pull.decided_by)}" if pull.decided_by else ""
    return by + (f" at {clean(pull.decided_at)}" if pull.decided_at else "")


def _held(
    plan: Plan, kind: Decided, delivered: Delivered | None, comment: Hold | None = None
) -> Plan:
    """Who decided so, and when, is read from Git later."""
    number = plan.version.number if plan.version else _number(delivered)
    if plan.request and plan.request.action == "retire":
        number = ""
    decision = Decision(kind, plan.key, number, plan.before, comment=comment)
    return replace(plan, state=State.HELD, decision=decision)


def held_by(plan: Plan, comment: Hold) -> Plan:
    return _held(plan, Decided.COMMENT, None, comment)


def _number(delivered: Delivered | None) -> str:
    return delivered.request.version if delivered and delivered.spec is not None else ""


def _overruled(
    plan: Plan, delivered: Delivered | None, pull: PullRequest | None
) -> Decision | None:
    """What a person decided otherwise since the last delivery, and a new request ends."""
    if delivered is None or _is_elsewhere(plan, delivered) or delivered.spec == plan.before:
        return None
    if delivered.is_proposed and pull and pull.is_rejected:
        return rejected(plan.key, _number(delivered), plan.before, pull)
    if delivered.is_proposed and (pull is None or pull.state != "merged"):
        return None  # it waits, or we withdrew it
    return Decision(_kind(delivered, plan.before), plan.key, _number(delivered), plan.before)


def _kind(delivered: Delivered, committed: ServiceSpec | None) -> Decided:
    if committed is None:
        return Decided.RETIRED
    is_canary = delivered.spec is not None and not _is_turned_down(delivered.spec, committed)
    return Decided.CANARY if is_canary else Decided.PINNED


def _is_elsewhere(plan: Plan, delivered: Delivered) -> bool:
    return (delivered.service, delivered.branch) != (plan.place.service, plan.place.branch)


def _commented(hold: Hold, plan: Plan) -> str:
    why = f" ({hold.reason})" if hold.reason else ""
    return (
        f"a comment holds it: `mlflow-gitops: hold` at {hold.file}:{hold.line}{why}; "
        f"{_text(plan.before)} stands until the comment is removed"
    )


def _in_sync(plan: Plan, desired: Desired, delivered: Delivered | None) -> Plan:
    state = State.RETIRED if desired.spec is None else State.COMMITTED
    refused = _refused_after(desired, delivered)
    if desired.spec is None and delivered is not None and delivered.adopted and not desired.new:
        state = State.ADOPTED
    is_merged = not (delivered and delivered.is_proposed)
    if not desired.new and delivered is not None and is_merged and _is_current(plan, delivered):
        return replace(plan, state=state, refused=refused, left="")
    return replace(plan, kind=Kind.RECORD, state=state, refused=refused)


def _is_current(plan: Plan, delivered: Delivered) -> bool:
    known = (delivered.spec, delivered.service, delivered.branch, delivered.model)
    return known == (plan.before, plan.place.service, plan.place.branch, plan.key.model)


def _differs_without_request(
    plan: Plan, desired: Desired, committed: ServiceSpec | None, delivered: Delivered | None
) -> Plan:
    assert delivered is not None  # without a record every request is new
    if _is_elsewhere(plan, delivered) or delivered.spec == committed:
        state = State.ADOPTED if delivered.adopted else State.COMMITTED
        what = "adopted as it stood" if delivered.adopted else "settings drift"
        reason = (
            f"{what}: Git has {_text(committed)} and {_text(desired.spec)} would be written today; "
            "it goes out with the next promotion, or when the version is asked for again"
        )
        return replace(plan, state=state, reason=reason, left="")
    refused = set(plan.refused)
    if _is_turned_down(delivered.spec, committed):
        refused.add(delivered.request.version)
    return replace(
        _held(plan, _kind(delivered, committed), delivered),
        reason=f"{_last_done(delivered)}, and a person decided otherwise in Git: "
        f"{_text(committed)} stands until another version, or this one again, is asked for",
        refused=tuple(sorted(refused)),
        left="",
    )


def _is_turned_down(delivered: ServiceSpec | None, committed: ServiceSpec | None) -> bool:
    """A canary beside the version is a hold, and says nothing against the version."""
    if delivered is None:
        return False
    return committed is None or replace(committed, rollout="") != replace(delivered, rollout="")


def _last_done(delivered: Delivered) -> str:
    if delivered.adopted:
        return f"{_text(delivered.spec)} was adopted"
    if delivered.spec is None:
        return "the service was retired"
    return f"version {delivered.request.version} was delivered"


def _is_renamed(key: ServiceKey, place: Place, delivered: Delivered) -> bool:
    return delivered.model != key.model and delivered.service != place.service


def _renamed(key: ServiceKey, delivered: Delivered) -> str:
    return (
        f"the model was called {delivered.model} when its service {delivered.service} was "
        f"delivered: add `services: {{{key.model}: {delivered.service}}}` to the settings (to "
        f"environments.{key.environment} if it has names of its own) to keep serving it under "
        "that name"
    )


def _has_foreign_rollout(committed: ServiceSpec | None, delivered: Delivered | None) -> bool:
    if committed is None or not committed.rollout:
        return False
    if delivered is None or delivered.spec is None or delivered.adopted:
        return True
    return committed.rollout != delivered.spec.rollout


def _refused_after(desired: Desired, delivered: Delivered | None) -> tuple[str, ...]:
    """A version that is asked for is refused no more; one that a rollback leaves is."""
    before = set(delivered.refused) if delivered else set()
    if desired.request and desired.request.action == "rollback" and delivered:
        before.add(delivered.request.version)
    if desired.version is not None:
        before.discard(desired.version.number)
    return tuple(sorted(before))


def _text(spec: ServiceSpec | None) -> str:
    if spec is None:
        return "no service"
    canary = f" with rollout {spec.rollout}" if spec.rollout else ""
    return f"version {spec.version or '(no label)'} at {spec.uri or '(no storageUri)'}{canary}"


def next_delivered(
    plan: Plan,
    delivered: Delivered | None,
    *,
    head: str,
    commit: str = "",
    digest: str = "",
    pull: int = 0,
) -> Delivered | None:
    """The record to keep after the plan's effects; None where there is nothing to keep.

    `pull` is the number of the pull request that was opened instead of a commit. Where only `head`
    would differ the old record is returned, so that nothing is written.
    """
    if plan.changes_git or plan.kind is Kind.RECORD:
        assert plan.request is not None
        same = delivered is not None and delivered.spec == plan.after
        return Delivered(
            request=plan.request,
            identity=_identity(plan, delivered if same else None),
            model=plan.key.model,
            service=plan.place.service,
            repository=plan.place.repository,
            branch=plan.place.branch,
            head=head,
            spec=plan.after,
            commit="" if pull else commit or _known_commit(plan, delivered if same else None, head),
            digest=digest,
            matched=plan.matched,
            refused=plan.refused,
            adopted=plan.kind is Kind.RECORD and delivered is None,
            pull=pull or (delivered.pull if delivered and same else 0),
            not_proved=plan.not_proved,
        )
    if delivered is None:
        return None
    return replace(delivered, matched=plan.matched, refused=plan.refused, left=plan.left)


def _identity(plan: Plan, delivered: Delivered | None) -> Identity:
    if plan.version is not None:
        return plan.version.identity
    return delivered.identity if delivered else Identity(created=0)


def _known_commit(plan: Plan, delivered: Delivered | None, head: str) -> str:
    """Where nothing was committed now: what people merged, or what was known before."""
    if delivered is None or not delivered.is_proposed:
        return delivered.commit if delivered else ""
    return (plan.pull.merge_commit if plan.pull else "") or head


def reports(
    plan: Plan,
    delivered: Delivered | None,
    *,
    told: Mapping[str, State] | None = None,
    unanswered: Mapping[str, str] = EMPTY,
    commit: str = "",
    digest: str = "",
    time: str = "",
    pull: str = "",
) -> Mapping[str, Status]:
    """What the registry's versions are to be told: number to status.

    `told` is what they were told before: whatever another version was told is superseded, also
    where the run that replaced it did not live to say so. `unanswered` are the versions that were
    told a failure, or what they wait for, each with the time of that.
    """
    message = "; ".join([plan.reason, *plan.remarks])
    before = delivered.request.version if delivered else ""
    if not before.isdecimal():  # a label in Git that is no version of the registry
        before = ""
    current = plan.version.number if plan.version else before
    spec, known = _told_about(plan, delivered, current)
    status = Status(
        state=plan.state,
        message=message,
        commit=commit or (known.commit if known else ""),
        uri=spec.uri if spec else "",
        digest=digest or (known.digest if known else ""),
        time=time,
        request=plan.request.id if plan.request and plan.request.recorded else "",
        pull=pull or (plan.pull.url if plan.pull else ""),
    )
    if plan.candidates:
        return dict.fromkeys(plan.candidates, replace(status, commit="", digest=""))
    news = {current: status} if current else {}
    ended = _ended(plan, delivered, unanswered)
    if plan.state is State.PROPOSED:
        waited = {n for n, state in (told or {}).items() if state is State.PROPOSED}
        over = Status(State.SUPERSEDED, f"version {current} is proposed instead", time=time)
        news |= dict.fromkeys(sorted((waited | ended) - {current}), over)
    if plan.state in (State.COMMITTED, State.RETIRED):
        replaced = {number for number, state in (told or {}).items() if state in STANDING}
        replaced |= ended
        replaced |= {before} if plan.changes_git and before else set()
        by = f"replaced by version {current}" if plan.after else "the service was retired"
        gone = Status(State.SUPERSEDED, by, commit=status.commit, time=time)
        news |= dict.fromkeys(sorted(replaced - {current}), gone)
    decision = plan.decision
    is_told = plan.state is State.HELD and decision is not None and decision.turns_down
    if is_told and decision and decision.standing not in ("", current):
        uri = plan.before.uri if plan.before else ""
        told_so = on_stands(decision)
        news[decision.standing] = Status(State.HELD, told_so, decision.commit, uri, time=time)
    return news


def _told_about(
    plan: Plan, delivered: Delivered | None, current: str
) -> tuple[ServiceSpec | None, Delivered | None]:
    """Return the spec that version `current` is told, and the record that belongs to it.

    A version that is held or rejected is told its own, never that of the version in its place.
    """
    if plan.state in (State.HELD, State.REJECTED):
        known = delivered if delivered and delivered.request.version == current else None
        return (known.spec if known else None), known
    is_other = plan.kind is not Kind.NONE and delivered and delivered.spec != plan.after
    is_same = delivered is not None and _uri(delivered.spec) == _uri(plan.after)
    return plan.after, delivered if is_same and not is_other else None


def _uri(spec: ServiceSpec | None) -> str:
    return spec.uri if spec else ""


def _ended(
    plan: Plan, delivered: Delivered | None, unanswered: Mapping[str, str]
) -> frozenset[str]:
    """Versions with a failure, or a wait, from before what is delivered.

    What a later request was answered stays: somebody may still wait for it.
    """
    since = delivered.request.time if delivered else ""
    is_now = plan.kind is not Kind.NONE
    return frozenset(n for n, time in unanswered.items() if is_now or time < since)
