"""What the registry asks of one service, now. PURE.

The registry says which versions a selector matches, and the request records say who asked for
which, and when. This turns both, with what was delivered before, into one wish: a version, an
absence, or a reason why there is none. It never looks at Git: `plan` compares the wish with it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from mlflow_gitops.errors import GitOpsError, RegistryError, TransientError
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

__all__ = ["Desired", "desired_service", "revision_uri", "version_name"]

LABEL = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")
DROPPED_STAGES = ("None", "Archived")


@dataclass(frozen=True, slots=True)
class Desired:
    """One service's wish. `state` is set where nothing is wished for, whatever Git says.

    `new` tells a request that came after `delivered` from the one that was delivered. `matched`
    is the selector's set to remember. `spec` is None for an absence (a retirement).
    """

    request: Request | None = None
    version: ModelVersion | None = None
    spec: ServiceSpec | None = None
    new: bool = False
    matched: Mapping[str, str] = field(default_factory=lambda: EMPTY)
    left: str = ""
    state: State | None = None
    reason: str = ""
    candidates: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def version_name(settings: Settings, version: ModelVersion) -> str:
    """The published name: MLflow's number, or the tag that the settings name.

    It becomes a Kubernetes label value and a path segment. Raises RegistryError.
    """
    if not settings.version_tag:
        return version.number
    where = f"{version.model} version {version.number}"
    name = version.tags.get(settings.version_tag, "")
    if not name:
        raise RegistryError(
            f"the version has no tag `{settings.version_tag}`, which names published versions",
            where=where,
            hint=f"set the tag `{settings.version_tag}`, for example to 1.4.0, and ask again",
        )
    if name[0] in "vV" and name[1:2].isdigit():
        name = name[1:]
    if not LABEL.fullmatch(name):
        raise RegistryError(
            f"the tag `{settings.version_tag}` cannot name a version: it has to be 1 to 63 "
            "letters, digits, '.', '_' or '-', with a letter or digit at both ends",
            where=where,
            hint="correct the tag and ask again",
        )
    return name


def revision_uri(settings: Settings, service: str, name: str) -> str:
    """`s3://<bucket>/<prefix>/<service>/v<name>/`: KServe lists by bare prefix, so it ends in /."""
    parts = [settings.bucket, settings.prefix, service, f"v{name}"]
    return f"s3://{'/'.join(part for part in parts if part)}/"


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
    retire = _retirement(requests, delivered)
    asked = [v for v in selected if _is_asked(v, delivered, requests.get(v.number))]
    if retire is not None and all(_is_before(requests.get(v.number), retire) for v in asked):
        return Desired(
            request=retire,
            version=snapshot.version(retire.version),
            new=True,
            matched=_all_seen(selected, requests),
            reason=f"asked to retire it{_by(retire)}",
        )
    if len(asked) > 1 and not all(v.number in requests for v in asked):
        names = tuple(v.number for v in asked)
        return Desired(
            matched=kept,
            state=State.AMBIGUOUS,
            candidates=names,
            reason=f"versions {', '.join(names)} match {environment.select} and nothing says "
            "which was asked for last: take all but one out of it, or ask for one with "
            f"`mlflow deployments update -t gitops --name {environment.name}/{snapshot.model} "
            f"-m models:/{snapshot.model}/<version>`",
        )
    if asked:
        chosen = max(asked, key=lambda v: _order(requests.get(v.number)))
        request = requests.get(chosen.number) or seen(chosen, now)
        return _wish(chosen, request, selected, requests, environment, settings)
    return _unchanged(
        snapshot, environment, delivered, selected, requests, settings, kept=kept, now=now
    )


def seen(version: ModelVersion, now: str) -> Request:
    """A version that entered the selector without a record: the sight of it is the request."""
    return Request(
        id=f"seen:{version.number}:{version.identity.created}", version=version.number, time=now
    )


def _wish(
    chosen: ModelVersion,
    request: Request,
    selected: Iterable[ModelVersion],
    requests: Mapping[str, Request],
    environment: Environment,
    settings: Settings,
) -> Desired:
    _check_ready(chosen)
    return Desired(
        request=request,
        version=chosen,
        spec=_spec(settings, chosen),
        new=True,
        matched=_all_seen(selected, requests),
        reason=_why(chosen, request, environment),
    )


def _why(version: ModelVersion, request: Request, environment: Environment) -> str:
    """The same sentence before the promotion and at every later look."""
    if not request.recorded:
        why = request.reason or f"it is in {environment.select}"
    else:
        verb = "a rollback to it was asked for" if request.action == "rollback" else "asked for"
        why = verb + _by(request) + (f": {request.reason}" if request.reason else "")
    return f"version {version.number}: {why}"


def _unchanged(
    snapshot: Snapshot,
    environment: Environment,
    delivered: Delivered | None,
    selected: tuple[ModelVersion, ...],
    requests: Mapping[str, Request],
    settings: Settings,
    *,
    kept: Mapping[str, str],
    now: str,
) -> Desired:
    """Nothing was asked for since `delivered`."""
    if delivered is None or (not selected and delivered.spec is not None):
        return Desired(
            request=delivered.request if delivered else None,
            version=snapshot.version(delivered.request.version) if delivered else None,
            matched=kept,
            left=_left(snapshot, environment, delivered, settings),
            state=State.UNSELECTED,
            reason=f"no version is in {environment.select}: nothing changes, and nothing is "
            "removed; ask for a version, or to retire the service",
        )
    if delivered.spec is None:
        reason = "adopted without a service" if delivered.adopted else "it was retired"
        return Desired(request=delivered.request, matched=kept, reason=reason)
    current = snapshot.version(delivered.request.version)
    if current is not None and current in selected:
        return Desired(
            request=delivered.request,
            version=current,
            spec=_spec_or(settings, current, delivered.spec),
            matched=kept,
            reason=_why(current, delivered.request, environment),
            notes=_newer(current, selected),
        )
    left = _left(snapshot, environment, delivered, settings)
    remaining = selected[0]
    if left == "dropped" and len(selected) == 1 and remaining.number not in delivered.refused:
        text = f"version {delivered.request.version} left {environment.select}; only this remains"
        request = replace(seen(remaining, now), reason=text)
        return _wish(remaining, request, selected, requests, environment, settings)
    return Desired(
        request=delivered.request,
        version=current,
        matched=kept,
        left=left,
        state=State.UNSELECTED,
        reason=_why_not_taken(delivered, left, selected, environment),
    )


def _why_not_taken(
    delivered: Delivered, left: str, selected: tuple[ModelVersion, ...], environment: Environment
) -> str:
    names = ", ".join(v.number for v in selected)
    how = {
        "moved on": "moved on to another environment",
        "dropped": f"left {environment.select}",
        "gone": "was deleted",
        "adopted": f"was never in {environment.select}",
    }[left]
    return (
        f"version {delivered.request.version}, which was delivered, {how}; version {names} was "
        "there before and was not asked for again: nothing changes"
    )


def _still_matched(
    selected: Iterable[ModelVersion], delivered: Delivered | None
) -> Mapping[str, str]:
    """A version seen outside the selector leaves the set at once: its return is a request."""
    if delivered is None:
        return {}
    numbers = {v.number for v in selected}
    return {n: seen_id for n, seen_id in delivered.matched.items() if n in numbers}


def _all_seen(
    selected: Iterable[ModelVersion], requests: Mapping[str, Request]
) -> Mapping[str, str]:
    return {v.number: requests[v.number].id if v.number in requests else "" for v in selected}


def _is_asked(version: ModelVersion, delivered: Delivered | None, request: Request | None) -> bool:
    if delivered is None or version.number not in delivered.matched:
        return True
    if version.number == delivered.request.version and version.identity != delivered.identity:
        return True  # the number was used again: another version altogether
    known = (delivered.matched[version.number], delivered.request.id)
    return request is not None and request.id not in known


def _retirement(requests: Mapping[str, Request], delivered: Delivered | None) -> Request | None:
    """The newest request to retire that was not answered yet."""
    wishes = [r for r in requests.values() if r.action == "retire"]
    if not wishes:
        return None
    newest = max(wishes, key=_order)
    if delivered is None:
        return newest
    answered = (delivered.request.id, *delivered.matched.values())
    is_later = newest.time > delivered.request.time
    return newest if newest.id not in answered and is_later else None


def _is_before(request: Request | None, other: Request) -> bool:
    return request is not None and _order(request) <= _order(other)


def _order(request: Request | None) -> tuple[str, str]:
    return (request.time, request.id) if request else ("", "")


def _left(
    snapshot: Snapshot, environment: Environment, delivered: Delivered | None, settings: Settings
) -> str:
    if delivered is None or delivered.left or delivered.spec is None:
        return delivered.left if delivered else ""
    version = snapshot.version(delivered.request.version)
    if version is None:
        return "gone"
    if environment.select.matches(version):
        return ""
    if environment.select.kind == "stage":
        return "dropped" if version.stage in DROPPED_STAGES else "moved on"
    others = (e for e in settings.environments.values() if e.name != environment.name)
    return "moved on" if any(e.select.matches(version) for e in others) else "dropped"


def _newer(current: ModelVersion, selected: Iterable[ModelVersion]) -> tuple[str, ...]:
    """A timestamp never decides (a description edit bumps it), but people are told of it."""
    newer = [v.number for v in selected if v.updated > current.updated]
    if not newer:
        return ()
    text = f"version {', '.join(newer)} is selected too and was changed later than version "
    return (f"{text}{current.number}; if it was asked for, ask again with a request",)


def _check_ready(version: ModelVersion) -> None:
    if version.status == "READY":
        return
    where = f"{version.model} version {version.number}"
    if version.status == "PENDING_REGISTRATION":
        raise TransientError("the version is still being registered", where=where)
    raise RegistryError(
        f"the version is not READY but {version.status}",
        where=where,
        hint="register the model again and ask for that version",
    )


def _spec(settings: Settings, version: ModelVersion) -> ServiceSpec:
    name = version_name(settings, version)
    uri = revision_uri(settings, settings.service(version.model), name)
    return ServiceSpec(uri=uri, version=name)


def _spec_or(settings: Settings, version: ModelVersion, otherwise: ServiceSpec) -> ServiceSpec:
    """A naming tag that was taken away later is settings drift, not an error."""
    try:
        return _spec(settings, version)
    except GitOpsError:
        return otherwise


def _by(request: Request) -> str:
    if not request.by:
        return ""
    return f" by {request.by}" if request.signed else f" by {request.by} (as claimed)"
