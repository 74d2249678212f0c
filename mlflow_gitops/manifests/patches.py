"""The patches that apply to a service, in the order in which kustomize applies them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from mlflow_gitops.errors import ManifestError
from mlflow_gitops.manifests.catalog import Catalog
from mlflow_gitops.manifests.facts import (
    FRAMEWORKS,
    GROUP,
    LABEL,
    Fields,
    FileFacts,
    read_facts,
)
from mlflow_gitops.manifests.graph import Chain, Graph
from mlflow_gitops.manifests.kustomization import Kustomization, PatchEntry
from mlflow_gitops.manifests.tree import parent, resolve

__all__ = ["KIND", "Patches", "Setter"]

KIND = "InferenceService"


@dataclass(frozen=True, slots=True)
class Setter:
    """A document that sets values of the service.

    `level` is the place in the chain of the kustomization that applies it, the base's own is the
    chain's length. `exclusive` says that it can apply to no other service.
    """

    file: str
    document: int
    fields: Fields
    level: int
    exclusive: bool = True
    entry: PatchEntry | None = None
    kustomization: str = ""


@dataclass(slots=True)
class _PatchTable:
    """A kustomization's patches by the service that they name; `wild` may apply to any."""

    named: dict[str, list[int]] = field(default_factory=dict)
    wild: list[int] = field(default_factory=list)
    facts: dict[int, FileFacts] = field(default_factory=dict)
    broken: list[ManifestError] = field(default_factory=list)


class Patches:
    """Those of one environment's kustomizations."""

    def __init__(self, catalog: Catalog, graph: Graph) -> None:
        self.catalog = catalog
        self.graph = graph
        self._tables: dict[str, _PatchTable] = {}
        self._references: Counter[str] | None = None

    def kustomizations_of(self, chain: Chain) -> Iterator[str]:
        yield from dict.fromkeys(path for _, path in self._layers(chain))

    def _layers(self, chain: Chain) -> Iterator[tuple[int, str]]:
        """(level, kustomization) in the order in which their patches apply."""
        for level in range(len(chain) - 1, -1, -1):
            below = chain[level + 1] if level + 1 < len(chain) else ""
            components = self._components(chain[level])
            if below in components:
                components = components[components.index(below) + 1 :]
            for component in components:
                yield from ((level, path) for path in self._component_layers(component))
            yield level, chain[level]

    def _component_layers(self, path: str) -> Iterator[str]:
        for component in self._components(path):
            yield from self._component_layers(component)
        yield path

    def _components(self, path: str) -> list[str]:
        layout = self.catalog.layout()
        folders = (
            resolve(parent(path), reference)
            for reference in self.graph.kustomizations[path].components
        )
        files = (layout[each][0] for each in folders if each is not None and each in layout)
        return [file for file in files if file in self.graph.kustomizations]

    def setters(self, name: str, chain: Chain) -> Iterator[Setter]:
        for level, path in self._layers(chain):
            kustomization = self.graph.kustomizations[path]
            for entry, facts in self.matching(path, kustomization, name):
                yield from self._setters(name, level, path, entry, facts)

    def matching(
        self, path: str, kustomization: Kustomization, name: str, *, named: bool = False
    ) -> Iterator[tuple[PatchEntry, FileFacts]]:
        """The entries that may apply to the service, in order."""
        table = self._tables.get(path) or self._table(path, kustomization)
        for error in table.broken:  # kustomize renders nothing of it
            raise error
        wild = [] if named else table.wild
        for position in sorted({*table.named.get(name, ()), *wild}):
            entry = kustomization.patches[position]
            if entry.target is None or entry.target.may_match(KIND, name, GROUP):
                yield entry, table.facts[position]

    def _table(self, path: str, kustomization: Kustomization) -> _PatchTable:
        table = _PatchTable()
        for position, entry in enumerate(kustomization.patches):
            file = resolve(parent(path), entry.path) or entry.path
            try:
                facts = self.catalog.facts(file) if entry.path else read_facts(entry.inline, path)
            except ManifestError as error:
                table.broken.append(error)
                continue
            table.facts[position] = facts
            if entry.target is not None:
                table.wild.append(position)
                continue
            for document in facts.documents:
                if document.kind == KIND:
                    table.named.setdefault(document.name, []).append(position)
        self._tables[path] = table
        return table

    def _setters(
        self, name: str, level: int, path: str, entry: PatchEntry, facts: FileFacts
    ) -> Iterator[Setter]:
        file = resolve(parent(path), entry.path) or "" if entry.path else path
        _refuse_operations(name, file, facts)
        for document in facts.documents:
            if entry.target is None and (document.kind != KIND or document.name != name):
                continue
            sets = LABEL in document.fields or any(
                key.endswith(".storageUri") for key in document.fields
            )
            if sets and (entry.inline or (entry.target and entry.target.selector)):
                form = "an inline patch" if entry.inline else "a patch with a selector"
                raise ManifestError(
                    f"{form} sets the URI or the version of `{name}`, which is not supported yet",
                    where=path,
                    hint="move it to a file of its own, and name the service in it",
                )
            yield Setter(
                file,
                document.index,
                document.fields,
                level,
                exclusive=not entry.inline and self._is_exclusive(entry, file, name),
                entry=entry,
                kustomization=path,
            )

    def _is_exclusive(self, entry: PatchEntry, file: str, name: str) -> bool:
        if entry.target is None:
            return True
        return entry.target.is_only(name) and self._times_referred(file) == 1

    def _times_referred(self, file: str) -> int:
        if self._references is None:
            self._references = Counter(
                resolve(parent(path), entry.path) or ""
                for path, kustomization in self.graph.kustomizations.items()
                for entry in kustomization.patches
                if entry.path
            )
        return self._references[file]

    def deletes(self, setter: Setter) -> bool:
        if setter.entry is None or setter.entry.inline:
            return False
        documents = self.catalog.facts(setter.file).documents
        return any(d.index == setter.document and d.directive == "delete" for d in documents)


def _refuse_operations(name: str, file: str, facts: FileFacts) -> None:
    ours = ["/metadata/labels/model-version", "/metadata/name", "/spec/canary"]
    ours += [f"/spec/predictor/{key}/storageUri" for key in FRAMEWORKS]
    for path in facts.operations:
        whole = any(each == path or each.startswith(f"{path}/") for each in ours)
        if whole or path.endswith("/storage") or path.startswith("/spec/canary/"):
            raise ManifestError(
                f"a JSON 6902 patch sets `{path}` of `{name}`, which is not supported yet",
                where=file,
                hint="write it as a strategic-merge patch",
            )
