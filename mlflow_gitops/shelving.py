"""What was published, who uses it, and what may go: gathers what `planning/` judges.

Looks at everything before the first object is removed: where Git or the registry cannot be read,
nothing is.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from mlflow_gitops.errors import RequestError
from mlflow_gitops.planning.pruning import Choice, choose, mentioned
from mlflow_gitops.planning.revisions import Published, folder_of, published
from mlflow_gitops.ports import Registry, Repository, Shelf
from mlflow_gitops.state import ServiceSpec, Settings, Snapshot
from mlflow_gitops.verification import committed_specs

__all__ = ["Shelving"]


@dataclass(frozen=True, slots=True)
class Shelving:
    repository: Repository
    shelf: Shelf
    settings: Settings

    def revisions(self, model: str, snapshot: Snapshot | None) -> tuple[Published, ...]:
        """Oldest first. Without a snapshot what the registry selects is not known."""
        service = self.settings.service(model)
        return self._revisions(service, snapshot, self._specs((service,)))

    def choices(
        self, registry: Registry, models: Collection[str], *, since: str
    ) -> tuple[Choice, ...]:
        """For every revision of the models, or of all that the registry has. Raises GitOpsError
        where something that could point to one cannot be read.
        """
        specs = self._specs()
        snapshots = self._snapshots(registry, models)
        found = {
            model: self._revisions(self.settings.service(model), snapshot, specs)
            for model, snapshot in snapshots.items()
        }
        uris = [each.shelved.uri for revisions in found.values() for each in revisions]
        where = mentioned(uris, self.repository.mentions("/v", since)) if uris else {}
        return tuple(
            choose(each, where[each.shelved.uri], snapshots[model], since=since)
            for model, revisions in found.items()
            for each in revisions
        )

    def _snapshots(
        self, registry: Registry, models: Collection[str]
    ) -> Mapping[str, Snapshot | None]:
        if not models:
            return {snapshot.model: snapshot for snapshot in registry.snapshots()}
        return {model: _snapshot(registry, model) for model in models}

    def _specs(self, services: Collection[str] = ()) -> Mapping[str, Mapping[str, ServiceSpec]]:
        """Environment to service to what stands: of these services, or of all."""
        return {
            name: committed_specs(self.repository, self.settings, name, services)[1]
            for name in self.settings.environments
        }

    def _revisions(
        self,
        service: str,
        snapshot: Snapshot | None,
        specs: Mapping[str, Mapping[str, ServiceSpec]],
    ) -> tuple[Published, ...]:
        standing = {name: each[service] for name, each in specs.items() if service in each}
        shelved = self.shelf.revisions(folder_of(self.settings, service))
        found = (published(each, standing, snapshot, self.settings) for each in shelved)
        return tuple(sorted(found, key=lambda each: (each.shelved.changed, each.name)))


def _snapshot(registry: Registry, model: str) -> Snapshot | None:
    try:
        return registry.snapshot(model)
    except RequestError:
        return None
