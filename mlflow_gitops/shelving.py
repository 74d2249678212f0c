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
        return self._revisions(model, snapshot, self._specs(model))

    def choices(
        self, registry: Registry, models: Collection[str], *, since: str
    ) -> tuple[Choice, ...]:
        """For every revision of the models, or of all that the registry has. Raises GitOpsError
        where something that could point to one cannot be read.
        """
        specs = self._specs()
        snapshots = self._snapshots(registry, models)
        found = {
            model: self._revisions(model, snapshot, specs) for model, snapshot in snapshots.items()
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

    def _specs(self, model: str = "") -> Mapping[str, Mapping[str, ServiceSpec]]:
        """Environment to service to what Git says: of this model's service, or of all."""
        return {
            name: committed_specs(
                self.repository,
                self.settings,
                name,
                (self.settings.service(model, environment),) if model else (),
            )[1]
            for name, environment in self.settings.environments.items()
        }

    def _revisions(
        self,
        model: str,
        snapshot: Snapshot | None,
        specs: Mapping[str, Mapping[str, ServiceSpec]],
    ) -> tuple[Published, ...]:
        names = self.settings.names
        everywhere = self.settings.environments.values()
        services = {each.name: names.service(model, each) for each in everywhere}
        standing = {
            name: specs[name][service]
            for name, service in services.items()
            if service in specs.get(name, {})
        }
        folders = dict.fromkeys(names.folder(model, each) for each in everywhere)
        shelved = (
            each
            for folder in folders
            for each in self.shelf.revisions(folder_of(self.settings, folder))
        )
        found = (published(each, standing, snapshot, self.settings) for each in shelved)
        return tuple(sorted(found, key=lambda each: (each.shelved.changed, each.name)))


def _snapshot(registry: Registry, model: str) -> Snapshot | None:
    try:
        return registry.snapshot(model)
    except RequestError:
        return None
