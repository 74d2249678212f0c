"""What the registry asks of one service, now. PURE.

The registry says which versions a selector matches, and the request records say who asked for
which, and when. This turns both, with what was delivered before, into one wish: a version, an
absence, or a reason why there is none. It never looks at Git: `plan` compares the wish with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from mlflow_gitops.planning.misses import near_miss
from mlflow_gitops.planning.naming import as_published, check_ready, spec_of, spec_or
from mlflow_gitops.state import (
    EMPTY,
    Delivered,
    Environment,
    ModelVersion,
    Request,
    ServiceSpec,
    Settings,
    Snapshot,
    State,
)

__all__ = ["Desired", "desired_service", "laid_out"]

DROPPED_STAGES = ("None", "Archived")


@dataclass(frozen=True, slots=True)
class Desired:
    """One service's wish. `state` is set where nothing is wished for, whatever Git says.

    `new` tells a request that came after `delivered` from the one that was delivered. `matched`
    is the selector's set to remember once the wish is granted, `kept` (and `left`, see
    `Delivered`) while it is not. `spec` is None for an absence (a retirement).
    """

    request: Request | None = None
    version: ModelVersion | None = None
    spec: ServiceSpec | None = None
    new: bool = False
    matched: Mapping[str, str] = field(default_factory=lambda: EMPTY)
    kept: Mapping[str, str] = field(default_factory=lambda: EMPTY)
    left: str = ""
    state: State | None = None
    reason: str = ""
    candidates: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def desired_service(
    snapshot: Snapshot,
    environment: Environment,
    delivered: Delivered | None,
    requests: Mapping[str, Request],
    settings: Settings,
    now: str,
) -> Desired:
    """The wish for one service (rule 9 of the design: several versions may match a selector).

    `requests` maps a version's number to its newest request record for this environment.
    Raises RegistryError where the wanted version cannot be delivered as it is.
    """
    selected = tuple(v for v in snapshot.versions if environment.select.matches(v))
    kept = _still_matched(selected, delivered)
    look = _Look(snapshot, environment, delivered, requests, settings, now, selected, kept)
    return replace(_wished(look), kept=kept, left=_left(look))


def laid_out(
    desired: Desired, committed: ServiceSpec | None, delivered: Delivered | None
) -> Desired:
    """The wish, at the very URI where the version was published already.

    The layout follows from the files and their server, neither of which the registry tells: it is
    no difference between what is asked for and what is there.
    """
    if desired.spec is None:
        return desired
    for known in (committed, delivered.spec if delivered else None):
        spec = as_published(desired.spec, known)
        if known is not None and (spec.uri, spec.version) == (known.uri, known.version):
            return replace(desired, spec=spec)
    return desired


@dataclass(frozen=True, slots=True)
class _Look:
    """What is looked at. `kept` is what is left of the set that `delivered` remembers."""

    snapshot: Snapshot
    environment: Environment
    delivered: Delivered | None
    requests: Mapping[str, Request]
    settings: Settings
    now: str
    selected: tuple[ModelVersion, ...]
    kept: Mapping[str, str]

    def record(self, version: ModelVersion) -> Request | None:
        """The version's record, unless it is to retire and was answered or overtaken."""
        request = self.requests.get(version.number)
        is_old = request and request.action == "retire" and not _is_new(request, self)
        return None if is_old else request

    def request(self, version: ModelVersion) -> Request:
        """The new record, or the sight of it: an old record is not what brought it here."""
        request = self.requests.get(version.number)
        return request if request and _is_new(request, self) else _seen(version, self.now)


def _wished(look: _Look) -> Desired:
    asked = [v for v in look.selected if _is_asked(v, look)]
    retire = _retirement(look)
    if retire and all(_is_before(look.record(v), retire) for v in asked):
        return _retired(look, retire)
    rivals = {v.number for v in asked}
    if retire and look.delivered:
        rivals.add(retire.version)
    if len(rivals) > 1 and any(look.record(v) is None for v in asked):
        return _ambiguous(look, asked, retire)
    if asked:
        chosen = max(asked, key=lambda v: _order(look.record(v)))
        return _version(look, chosen, look.request(chosen))
    return _unchanged(look)


def _retired(look: _Look, retire: Request) -> Desired:
    return Desired(
        request=retire,
        version=look.snapshot.version(retire.version),
        new=True,
        matched=_all_seen(look),
        reason=_why_retired(retire),
    )


def _ambiguous(look: _Look, asked: Sequence[ModelVersion], retire: Request | None) -> Desired:
    names = tuple(v.number for v in asked)
    which = f"versions {', '.join(names)} match" if names[1:] else f"version {names[0]} matches"
    also = ", it was asked to retire the service," if retire else ""
    select, model = look.environment.select, look.snapshot.model
    return Desired(
        matched=look.kept,
        state=State.AMBIGUOUS,
        candidates=names,
        reason=f"{which} {select}{also} and nothing says which was asked for last: "
        "take all but one out of it, or ask for one with "
        f"`mlflow deployments update -t gitops --name {look.environment.name}/{model} "
        f"-m models:/{model}/<version>`",
    )


def _version(look: _Look, chosen: ModelVersion, request: Request) -> Desired:
    check_ready(chosen)
    return Desired(
        request=request,
        version=chosen,
        spec=spec_of(look.settings, chosen, look.environment),
        new=True,
        matched=_all_seen(look),
        reason=_why(chosen, request, look.environment),
    )


def _why(version: ModelVersion, request: Request, environment: Environment) -> str:
    """The same sentence before the promotion and at every later look."""
    if request.id.startswith("adopted:"):
        why = "adopted as it stood"
    elif not request.recorded:
        why = request.reason or f"it is in {environment.select}"
    else:
        verb = "a rollback to it was asked for" if request.action == "rollback" else "asked for"
        why = verb + _by(request) + (f": {request.reason}" if request.reason else "")
    return f"version {version.number}: {why}"


def _why_retired(request: Request) -> str:
    return f"asked to retire it{_by(request)}" + (f": {request.reason}" if request.reason else "")


def _unchanged(look: _Look) -> Desired:
    """Nothing was asked for since `delivered`."""
    delivered, selected = look.delivered, look.selected
    if delivered is None or (not selected and delivered.spec is not None):
        return Desired(
            request=delivered.request if delivered else None,
            version=look.snapshot.version(delivered.request.version) if delivered else None,
            matched=look.kept,
            state=State.UNSELECTED,
            reason=_none_selected(look),
        )
    if delivered.spec is None:
        is_ours = not delivered.adopted
        reason = _why_retired(delivered.request) if is_ours else "adopted without a service"
        return Desired(request=delivered.request, matched=look.kept, reason=reason)
    current = look.snapshot.version(delivered.request.version)
    if current is None or current not in selected:
        return _without_current(look, delivered)
    return Desired(
        request=delivered.request,
        version=current,
        spec=spec_or(look.settings, current, look.environment, delivered.spec),
        matched=look.kept,
        reason=_why(current, delivered.request, look.environment),
        notes=_newer(current, selected),
    )


def _none_selected(look: _Look) -> str:
    select = look.environment.select
    near = near_miss(select, look.snapshot)
    if near:
        return f"no version is in {select}, but {near}; nothing changes until then"
    return (
        f"no version is in {select}: nothing changes, and nothing is removed; ask for a version, "
        "or to retire the service"
    )


def _without_current(look: _Look, delivered: Delivered) -> Desired:
    """The delivered version is out of the selector; all that are in it were there before."""
    left, remaining, number = _left(look), look.selected[0], delivered.request.version
    select = look.environment.select
    is_sole = len(look.selected) == 1 and remaining.number not in delivered.refused
    if left == "dropped" and is_sole:
        why = f"version {number} left {select}; only this remains"
        return _version(look, remaining, replace(_seen(remaining, look.now), reason=why))
    unchanged = Desired(
        request=delivered.request,
        version=look.snapshot.version(number),
        matched=look.kept,
        state=State.UNSELECTED,
    )
    if left == "adopted":
        reason = "adopted as it stood: nothing changes until a version is asked for"
        return replace(unchanged, state=State.ADOPTED, reason=reason)
    how = {"moved on": "moved on to another environment", "gone": "was deleted"}
    names = ", ".join(v.number for v in look.selected)
    reason = (
        f"version {number}, which was delivered, {how.get(left, f'left {select}')}; version "
        f"{names} was there before and was not asked for again: nothing changes"
    )
    return replace(unchanged, reason=reason)


def _still_matched(
    selected: Iterable[ModelVersion], delivered: Delivered | None
) -> Mapping[str, str]:
    """A version seen outside the selector leaves the set at once: its return is a request."""
    if delivered is None:
        return {}
    numbers = {v.number for v in selected}
    return {n: seen_id for n, seen_id in delivered.matched.items() if n in numbers}


def _all_seen(look: _Look) -> Mapping[str, str]:
    found = ((v.number, look.requests.get(v.number)) for v in look.selected)
    return {number: request.id if request else "" for number, request in found}


def _seen(version: ModelVersion, now: str) -> Request:
    """A version that entered the selector without a record: the sight of it is the request."""
    return Request(
        id=f"seen:{version.number}:{version.identity.created}", version=version.number, time=now
    )


def _is_asked(version: ModelVersion, look: _Look) -> bool:
    delivered = look.delivered
    if delivered is None or version.number not in look.kept:
        return True
    if version.number == delivered.request.version and version.identity != delivered.identity:
        return True  # the number was used again: another version altogether
    request = look.requests.get(version.number)
    return request is not None and _is_new(request, look)


def _is_new(request: Request, look: _Look) -> bool:
    """Whether the record is later than what `delivered` answered.

    The sight of a version has no time of its own: then any other record of a version that is
    still remembered is new, too.
    """
    delivered = look.delivered
    if delivered is None:
        return True
    if request.id in (delivered.request.id, *look.kept.values()):
        return False
    if _order(request) > _order(delivered.request):
        return True
    return not delivered.request.recorded and request.version in look.kept


def _retirement(look: _Look) -> Request | None:
    """The newest request to retire that was not answered yet."""
    wishes = (r for r in look.requests.values() if r.action == "retire" and _is_new(r, look))
    return max(wishes, key=_order, default=None)


def _is_before(request: Request | None, other: Request) -> bool:
    return request is not None and _order(request) <= _order(other)


def _order(request: Request | None) -> tuple[str, str]:
    return (request.time, request.id) if request else ("", "")


def _left(look: _Look) -> str:
    """How the delivered version left the selector. What was once told stays: it moved on first."""
    delivered, environment = look.delivered, look.environment
    if delivered is None or delivered.left or delivered.spec is None:
        return delivered.left if delivered else ""
    version = look.snapshot.version(delivered.request.version)
    if version is None:
        return "gone"
    if environment.select.matches(version):
        return ""
    others = (e for e in look.settings.environments.values() if e.name != environment.name)
    if any(e.select.matches(version) for e in others):
        return "moved on"
    if environment.select.kind == "stage" and version.stage not in DROPPED_STAGES:
        return "moved on"
    return "dropped"


def _newer(current: ModelVersion, selected: Iterable[ModelVersion]) -> tuple[str, ...]:
    """A timestamp never decides (a description edit bumps it), but people are told of it."""
    newer = [v.number for v in selected if v.updated > current.updated]
    if not newer:
        return ()
    text = f"version {', '.join(newer)} is selected too and was changed later than version "
    return (f"{text}{current.number}; if it was asked for, ask again with a request",)


def _by(request: Request) -> str:
    if not request.by:
        return ""
    return f" by {request.by}" if request.signed else f" by {request.by} (as claimed)"
