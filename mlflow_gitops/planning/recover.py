"""What was delivered, read from Git where the record is lost, stale or forged. PURE.

`delivered` is a cache and Git is the truth: our newest commit to a service that the record does
not know of yet wins over it. What that commit delivered is what it changed (`spec`, read from the
trees around it); its trailers only say for which request, and who asked.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from mlflow_gitops.planning.messages import SERVICE, clean, parse_trailers, trailer_lines
from mlflow_gitops.planning.naming import name_or_none
from mlflow_gitops.planning.plan import Place
from mlflow_gitops.state import (
    Action,
    CommitFacts,
    Delivered,
    Delivery,
    Identity,
    Landing,
    ModelVersion,
    Request,
    ServiceSpec,
    Settings,
    Snapshot,
)

__all__ = ["adopted", "landed_delivery", "recovered"]

CLOCKS_DIFFER = 300_000  # milliseconds: the registry's clock against the committer's


def recovered(
    delivery: Delivery,
    spec: ServiceSpec | None,
    *,
    place: Place,
    snapshot: Snapshot,
    selected: Iterable[ModelVersion],
    requests: Mapping[str, Request],
    delivered: Delivered | None,
    settings: Settings,
) -> Delivered:
    """The record that the commit would have left. `delivered` is the stale one, if any.

    With no record at all, a version that is selected beside the delivered one counts as seen, and
    as refused: it may be one that people turned down, so it waits until it is asked for.
    """
    number = _number(delivery, spec, snapshot, settings)
    request = _request(number, delivery, spec, requests.get(number))
    seen = {
        v.number
        for v in selected
        if delivered is None and v.number != number and not _came_after(v, delivery)
    }
    known = dict(delivered.matched) if delivered else dict.fromkeys(seen, "")
    return Delivered(
        request=request,
        identity=_identity(snapshot.version(number), delivery),
        model=snapshot.model if delivered is None else delivered.model,
        service=place.service,
        repository=place.repository,
        branch=place.branch,
        head=delivery.commit,
        spec=spec,
        commit=delivery.commit,
        digest=delivery.trailers.get("Artifact-Digest", ""),
        matched=_matched(known, request, requests, selected),
        refused=_refused(request, delivered, seen),
        pull=delivered.pull if delivered and delivered.request.id == request.id else 0,
    )


def landed_delivery(facts: CommitFacts, landing: Landing, service: str) -> Delivery | None:
    """Our delivery of `<environment>/<service>` that became the commit, where exactly one commit of
    the pull request made it.
    """
    if len(landing.commits) != 1 or not facts.parents:
        return None
    message = landing.commits[0].message
    named = {value for key, value in trailer_lines(message) if key == SERVICE}
    if named != {service}:
        return None
    return Delivery(facts.commit, facts.parents[0], facts.time, parse_trailers(message))


def adopted(
    spec: ServiceSpec | None,
    *,
    place: Place,
    snapshot: Snapshot,
    selected: Iterable[ModelVersion],
    requests: Mapping[str, Request],
    head: str,
    settings: Settings,
    now: str,
) -> Delivered:
    """The record that takes what stands in Git as delivered, and every request as answered."""
    chosen = tuple(selected)
    label = spec.version if spec else ""
    named = [v for v in snapshot.versions if label and name_or_none(settings, v) == label]
    version = named[-1] if named else None
    number = version.number if version else ""
    return Delivered(
        request=Request(id=f"adopted:{number}:{now}", version=number, time=now),
        identity=version.identity if version else Identity(created=0),
        model=snapshot.model,
        service=place.service,
        repository=place.repository,
        branch=place.branch,
        head=head,
        spec=spec,
        matched={v.number: requests[v.number].id if v.number in requests else "" for v in chosen},
        left="" if version in chosen else "adopted",
        adopted=True,
    )


def _number(
    delivery: Delivery, spec: ServiceSpec | None, snapshot: Snapshot, settings: Settings
) -> str:
    claimed = delivery.trailers.get("Model-Version", "")
    if spec is None:
        return claimed
    named = [v.number for v in snapshot.versions if name_or_none(settings, v) == spec.version]
    if claimed in named or not named:
        return claimed or spec.version
    return named[-1]


def _request(
    number: str, delivery: Delivery, spec: ServiceSpec | None, record: Request | None
) -> Request:
    """As the registry has it, where its record is still the one that the commit names."""
    trailers = delivery.trailers
    request_id = trailers.get("Gitops-Request", "")
    if record and spec and clean(record.id) == request_id:
        return record
    action: Action = "rollback" if trailers.get("Undoes") else "deploy"
    return Request(
        id=request_id or f"seen:{number}:{delivery.commit}",
        version=number,
        action=action if spec else "retire",
        time=trailers.get("Requested-At") or delivery.time,
        by=trailers.get("Requested-By") or trailers.get("Claimed-By", ""),
        signed="Requested-By" in trailers,
    )


def _matched(
    known: Mapping[str, str],
    answered: Request,
    requests: Mapping[str, Request],
    selected: Iterable[ModelVersion],
) -> Mapping[str, str]:
    """Every record up to the one that was answered was seen with it, and lost against it."""
    old = {
        v.number: requests[v.number].id
        for v in selected
        if v.number in requests and _is_answered(requests[v.number], answered)
    }
    return {**known, answered.version: answered.id, **old}


def _is_answered(record: Request, answered: Request) -> bool:
    return (record.time, record.id) <= (answered.time, answered.id)


def _refused(request: Request, delivered: Delivered | None, seen: set[str]) -> tuple[str, ...]:
    refused = {*delivered.refused} if delivered else seen
    if delivered and request.action == "rollback":
        refused.add(delivered.request.version)
    return tuple(sorted(refused - {request.version}))


def _identity(version: ModelVersion | None, delivery: Delivery) -> Identity:
    """The version's, unless the commit tells of another: then the number was used again."""
    run_id = delivery.trailers.get("Run-Id", "")
    if version is None or (run_id and run_id != clean(version.identity.run_id)):
        return Identity(created=0, run_id=run_id)
    if not run_id and _came_after(version, delivery):
        return Identity(created=0)
    return version.identity


def _came_after(version: ModelVersion, delivery: Delivery) -> bool:
    """Whether it was registered after the commit for certain, by two clocks."""
    try:
        committed = datetime.fromisoformat(delivery.time).timestamp() * 1000
    except ValueError:
        return False
    return version.identity.created > committed + CLOCKS_DIFFER
