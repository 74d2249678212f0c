"""What runs where, as Git says it; and what the registry was told, where it answers.

Git is the truth: `status`, `get` and `list` read it and need no registry. Writes nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass

from mlflow_gitops.errors import ManifestError
from mlflow_gitops.observe import Observer
from mlflow_gitops.planning.records import status_of
from mlflow_gitops.state import ServiceKey, ServiceSpec, Settings, Snapshot, State, Status

__all__ = ["Deployed", "deployed", "problems", "told", "told_of_all", "warnings"]


@dataclass(frozen=True, slots=True)
class Deployed:
    """One InferenceService as Git has it at `head` of `branch`."""

    key: ServiceKey
    service: str
    spec: ServiceSpec
    branch: str
    head: str


def deployed(
    observer: Observer, settings: Settings, environments: Collection[str]
) -> list[Deployed]:
    """Every service of the environments, as last fetched, ordered as the settings have them.

    A service that no model is mapped to is listed under its own name. Raises ManifestError.
    """
    found: list[Deployed] = []
    for environment in settings.environments.values():
        if environment.name not in environments:
            continue
        tree, manifests = observer.manifests(environment, settings)
        branch = environment.branch or observer.repository.default_branch
        for service, spec in sorted(manifests.services(environment.name).items()):
            key = ServiceKey(environment.name, settings.names.model(service, environment))
            found.append(Deployed(key, service, spec, branch, tree.head))
    return found


def problems(
    observer: Observer, settings: Settings, environments: Collection[str]
) -> list[ManifestError]:
    """What cannot be read in the environments, and is therefore missing from `deployed`."""
    found: dict[str, ManifestError] = {}
    for name in environments:
        _, manifests = observer.manifests(settings.environments[name], settings)
        found.update((str(error), error) for error in manifests.problems(name))
    return list(found.values())


def warnings(
    observer: Observer, settings: Settings, environments: Collection[str]
) -> list[ManifestError]:
    """Return what Git says of the environments, but does not do what people expect.

    An environment that cannot be read has none: `problems` and `deployed` report it.
    """
    found: list[ManifestError] = []
    for name in environments:
        with suppress(ManifestError):
            _, manifests = observer.manifests(settings.environments[name], settings)
            found += manifests.warnings(name)
    return found


def told(snapshot: Snapshot, environment: str) -> Status | None:
    """The last thing that the registry was told of a service, whichever version it concerns."""
    statuses = (status_of(version, environment) for version in snapshot.versions)
    current = (s for s in statuses if s is not None and s.state is not State.SUPERSEDED)
    return max(current, key=lambda status: status.time, default=None)


def told_of_all(
    snapshots: Iterable[Snapshot], environments: Collection[str], settings: Settings
) -> Mapping[tuple[str, str], tuple[str, Status]]:
    """(environment, service) to the model and what the registry was told of it."""
    found: dict[tuple[str, str], tuple[str, Status]] = {}
    for snapshot in snapshots:
        for environment in environments:
            status = told(snapshot, environment)
            if status is not None:
                each = settings.environments[environment]
                key = (environment, settings.service(snapshot.model, each))
                if key not in found or settings.names.model(key[1], each) == snapshot.model:
                    found[key] = (snapshot.model, status)
    return found
