"""What was delivered, read from Git where the record is lost, stale or forged. PURE.

`delivered` is a cache and Git is the truth: our newest commit to a service that the record does
not know of yet wins over it. What that commit delivered is what it changed (`spec`, read from the
trees around it); its trailers only say for which request, and who asked.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from mlflow_gitops.errors import GitOpsError
from mlflow_gitops.planning.desired import version_name
from mlflow_gitops.planning.plan import Place
from mlflow_gitops.state import (
    Delivered,
    Delivery,
    Identity,
    ModelVersion,
    Request,
    ServiceSpec,
    Settings,
    Snapshot,
)

__all__ = ["adopted", "recovered"]


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

    With no record at all, a version that is selected beside the delivered one counts as seen,
    unless its request is later than the commit's: nobody asked for it since.
    """
    number = _number(delivery, spec, snapshot, settings)
    version = snapshot.version(number)
    request = Request(
        id=delivery.trailers.get("Gitops-Request") or f"seen:{number}:{delivery.commit}",
        version=number,
        action="deploy" if spec else "retire",
        time=delivery.trailers.get("Requested-At") or delivery.time,
        by=delivery.trailers.get("Requested-By", ""),
    )
    if delivered is not None:
        record = requests.get(number)
        known = record.id if record and record.time <= request.time else request.id
        matched = {**delivered.matched, number: known}
    else:
        matched = _assumed_matched(tuple(selected), requests, request)
    return Delivered(
        request=request,
        identity=_identity(version, delivery),
        model=snapshot.model if delivered is None else delivered.model,
        service=place.service,
        repository=place.repository,
        branch=place.branch,
        head=delivery.commit,
        spec=spec,
        commit=delivery.commit,
        digest=delivery.trailers.get("Artifact-Digest", ""),
        matched=matched,
        refused=delivered.refused if delivered else (),
    )


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
    named = [v for v in snapshot.versions if label and _name_or_none(settings, v) == label]
    version = named[-1] if named else None
    number = version.number if version else label
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
    named = [v.number for v in snapshot.versions if _name_or_none(settings, v) == spec.version]
    if claimed in named or not named:
        return claimed or spec.version
    return named[-1]


def _name_or_none(settings: Settings, version: ModelVersion) -> str | None:
    try:
        return version_name(settings, version)
    except GitOpsError:
        return None


def _identity(version: ModelVersion | None, delivery: Delivery) -> Identity:
    """The version's, unless the commit names another run: then the number was used again."""
    run_id = delivery.trailers.get("Run-Id", "")
    if version is None or (run_id and run_id != version.identity.run_id):
        return Identity(created=0, run_id=run_id)
    return version.identity


def _assumed_matched(
    selected: tuple[ModelVersion, ...], requests: Mapping[str, Request], delivered: Request
) -> dict[str, str]:
    numbers = {v.number for v in selected}
    if delivered.version not in numbers and delivered.action != "retire":
        return {}  # it left the selector since: whatever is there now came later
    matched = {}
    for number in numbers:
        request = requests.get(number)
        if request is None:
            matched[number] = ""
        elif request.id == delivered.id or request.time <= delivered.time:
            matched[number] = request.id
        else:
            matched[number] = ""  # a later request: another id than the one seen, so it is new
    return matched
