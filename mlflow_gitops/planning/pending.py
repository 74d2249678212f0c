"""Requests of callers who cannot read the settings, and therefore move no selector. PURE.

Such a record is marked `pending`. This says which of them is to be taken up, which was overtaken,
which names an environment that is not there, and how the registry looks once one was taken up.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from mlflow_gitops.planning.records import REQUESTS, addressees, pending_for, request_text
from mlflow_gitops.state import (
    Delivered,
    Environment,
    ModelVersion,
    Request,
    Selector,
    Settings,
    Snapshot,
)

__all__ = ["Pending", "Stray", "imagine", "pending", "rival", "strays"]


@dataclass(frozen=True, slots=True)
class Pending:
    """`due` is the request to take up, if any; `overtaken` are those that something later beat.

    `answered` were delivered, and only the mark is left on them.
    """

    due: Request | None = None
    overtaken: tuple[Request, ...] = ()
    answered: tuple[Request, ...] = ()

    def __bool__(self) -> bool:
        return self.due is not None or bool(self.overtaken or self.answered)


@dataclass(frozen=True, slots=True)
class Stray:
    """A pending request that nothing here will ever answer, and why."""

    version: ModelVersion
    environment: str
    request: Request
    why: str
    hint: str


def pending(
    snapshot: Snapshot,
    environment: Environment,
    requests: Mapping[str, Request],
    delivered: Delivered | None,
) -> Pending:
    """What waits in one environment. `requests` maps each version to its newest record there."""
    found = [pending_for(version, environment.name) for version in snapshot.versions]
    waiting = [request for request in found if request is not None]
    if not waiting:
        return Pending()
    own = {request.id for request in waiting}  # a server may have recorded its move already
    others = [request for request in requests.values() if request.id not in own]
    latest = max(_order(request) for request in (*others, *waiting))
    done = _order(delivered.request) if delivered else ("", "")
    due = next((r for r in waiting if _order(r) == latest and _order(r) > done), None)
    answered = tuple(r for r in waiting if delivered and r.id == delivered.request.id)
    overtaken = tuple(r for r in waiting if r is not due and r not in answered)
    return Pending(due, overtaken, answered)


def rival(
    snapshot: Snapshot,
    environment: Environment,
    request: Request,
    requests: Mapping[str, Request],
    delivered: Delivered | None,
) -> str:
    """The version that has the environment's alias though nobody knows since when, or "".

    A stage or a tag stays on the other version, so that both are seen; an alias would leave it.
    """
    holder = snapshot.aliases.get(environment.select.name, "")
    if environment.select.kind != "alias" or request.action == "retire":
        return ""
    known = {request.version, *requests, *(delivered.matched if delivered else ())}
    return "" if holder in known else holder


def strays(snapshot: Snapshot, settings: Settings) -> Iterator[Stray]:
    """Pending requests for environments that are not there, or do not take the model."""
    takers = {environment.name for environment in settings.environments_for(snapshot.model)}
    for version in snapshot.versions:
        for name in addressees(version) if version.tags else ():
            request = None if name in takers else pending_for(version, name)
            if request is None:
                continue
            if name in settings.environments:
                why = f"the environment {name} does not take the model `{snapshot.model}`"
                hint = f"add it to environments.{name}.models in mlflow-gitops.yaml"
            else:
                why = f"there is no environment `{name}`"
                hint = f"take one of: {', '.join(settings.environments)}"
            yield Stray(version, name, request, why, hint)


def _order(request: Request) -> tuple[str, str]:
    return (request.time, request.id)


# How the registry looks then


def imagine(snapshot: Snapshot, environment: Environment, requests: Sequence[Request]) -> Snapshot:
    """The registry as it will be when the requests are recorded, and the first one's version is
    selected: a request to retire selects nothing.
    """
    first, selector = requests[0], environment.select
    records = {request.version: request for request in requests}
    versions = tuple(
        _with_record(version, environment, records.get(version.number))
        for version in snapshot.versions
    )
    if first.action == "retire":
        return replace(snapshot, versions=versions)
    number = first.version
    moved = tuple(
        _with_selector(each, selector) if each.number == number else _without_alias(each, selector)
        for each in versions
    )
    aliases = dict(snapshot.aliases)
    if selector.kind == "alias":
        aliases[selector.name] = number
    return replace(snapshot, versions=moved, aliases=aliases)


def _with_record(
    version: ModelVersion, environment: Environment, request: Request | None
) -> ModelVersion:
    if request is None:
        return version
    tag = REQUESTS + environment.name
    text = request_text(replace(request, pending=False), model=version.model, tag=tag)
    return replace(version, tags={**version.tags, tag: text})


def _with_selector(version: ModelVersion, selector: Selector) -> ModelVersion:
    if selector.kind == "stage":
        return replace(version, stage=selector.name)
    if selector.kind == "alias":
        return replace(version, aliases=tuple(sorted({*version.aliases, selector.name})))
    return replace(version, tags={**version.tags, selector.name: selector.value})


def _without_alias(version: ModelVersion, selector: Selector) -> ModelVersion:
    """An alias names one version; a stage or a tag may match several."""
    if selector.kind != "alias" or selector.name not in version.aliases:
        return version
    return replace(version, aliases=tuple(a for a in version.aliases if a != selector.name))
