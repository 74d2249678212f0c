"""The patches that apply to a service, in the order in which kustomize applies them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from mlflow_gitops.errors import ManifestError
from mlflow_gitops.manifests.catalog import Catalog
from mlflow_gitops.manifests.facts import GROUP, KINDS, Document, FileFacts, read_facts
from mlflow_gitops.manifests.fields import (
    CONTAINER_URI,
    Fields,
    is_uri,
    label_field,
    place_of,
    sets,
)
from mlflow_gitops.manifests.graph import Chain, Graph
from mlflow_gitops.manifests.kustomization import Kustomization, PatchEntry
from mlflow_gitops.manifests.operations import Operation
from mlflow_gitops.manifests.tree import parent, resolve
from mlflow_gitops.state import LABEL

__all__ = ["Patches", "Setter"]


@dataclass(frozen=True, slots=True)
class Setter:
    """What sets values of the service: a document, or one operation of a JSON 6902 patch.

    `level` is the place in the chain of the kustomization that applies it, the base's own is the
    chain's length. `exclusive` says that it can apply to no other service.
    """

    file: str
    source: Document | Operation
    level: int
    exclusive: bool = True
    entry: PatchEntry | None = None
    kustomization: str = ""

    @property
    def fields(self) -> Fields:
        return self.source.fields

    def sets(self, name: str) -> bool:
        """Whether it decides the field's value, or removes it."""
        return sets(self.fields, name)

    @property
    def document(self) -> int:
        return self.source.document if isinstance(self.source, Operation) else self.source.index

    @property
    def uris(self) -> frozenset[str | None]:
        """The URIs, or paths in a storage, that it sets."""
        return frozenset(value for name, value in self.fields.items() if is_uri(name))

    @property
    def deletes(self) -> bool:
        """Whether it takes the whole service away."""
        return isinstance(self.source, Document) and self.source.directive == "delete"

    @property
    def comes_last(self) -> bool:
        """Whether nothing else in the same kustomization can come after it."""
        return self.entry is not None and self.entry.field == "patchesJson6902"

    def path_of(self, name: str) -> tuple[str | int, ...] | None:
        """Where the field stands or would stand in its document; None where it cannot."""
        if isinstance(self.source, Operation):
            return None if name == CONTAINER_URI else self.source.value_at(place_of(name))
        if name == CONTAINER_URI:
            place = self.source.container_uri
            return (*self.source.inside, *place) if place else None
        return (*self.source.inside, *place_of(name))


@dataclass(slots=True)
class _PatchTable:
    """A kustomization's patches by the service that they name; `wild` may apply to any."""

    named: dict[str, list[int]] = field(default_factory=dict)
    wild: list[int] = field(default_factory=list)
    facts: dict[int, FileFacts] = field(default_factory=dict)
    broken: list[ManifestError] = field(default_factory=list)


class Patches:
    """Those of one environment's kustomizations; `label` is the key of its version label."""

    def __init__(self, catalog: Catalog, graph: Graph, label: str = LABEL) -> None:
        self.catalog = catalog
        self.graph = graph
        self.label = label
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

    def setters(self, base: Document, chain: Chain) -> Iterator[Setter]:
        namespace = base.namespace
        for level, path in self._layers(chain):
            kustomization = self.graph.kustomizations[path]
            present = kustomization.namespace or namespace
            for entry, facts in self.matching(path, kustomization, base.name):
                late = entry.field == "patchesJson6902"  # after the namespace is set
                namespaces = (base.namespace or "default", present if late else namespace)
                if entry.target is None or entry.target.may_match(
                    base.kind, base.name, GROUP, base.api_version.rpartition("/")[2], namespaces
                ):
                    yield from self._setters(base, level, path, entry, facts)
            namespace = present

    def matching(
        self, path: str, kustomization: Kustomization, name: str, *, named: bool = False
    ) -> Iterator[tuple[PatchEntry, FileFacts]]:
        """The entries that name the service, or that have a target (unless `named`), in order."""
        table = self._tables.get(path) or self._table(path, kustomization)
        for error in table.broken:  # kustomize renders nothing of it
            raise error
        wild = [] if named else table.wild
        for position in sorted({*table.named.get(name, ()), *wild}):
            yield kustomization.patches[position], table.facts[position]

    def _table(self, path: str, kustomization: Kustomization) -> _PatchTable:
        table = _PatchTable()
        for position, entry in enumerate(kustomization.patches):
            file = resolve(parent(path), entry.path) or entry.path
            try:
                where = f"{path}: {entry.field}[{entry.index}]"
                facts = self.catalog.facts(file) if entry.path else read_facts(entry.inline, where)
            except ManifestError as error:
                table.broken.append(error)
                continue
            table.facts[position] = facts
            if entry.target is not None:
                table.wild.append(position)
                continue
            for document in facts.documents:
                if document.kind in KINDS:
                    table.named.setdefault(document.name, []).append(position)
        self._tables[path] = table
        return table

    def _setters(
        self, base: Document, level: int, path: str, entry: PatchEntry, facts: FileFacts
    ) -> Iterator[Setter]:
        file = resolve(parent(path), entry.path) or "" if entry.path else path
        name = base.name
        sources: list[Document | Operation] = list(facts.operations)
        for document in facts.documents:
            named = (document.kind, document.name) == (base.kind, name)
            if entry.target is not None or named:
                sources.append(document)
        exclusive = bool(sources) and self._is_exclusive(entry, file, name)
        for source in sources:
            _refuse_unclear(name, file, source, self.label)
            if entry.target and entry.target.selector and _sets_ours(source, self.label):
                raise ManifestError(
                    f"a patch with a selector sets the URI or the version of `{name}`, which is "
                    f"not supported yet",
                    where=path,
                    hint="name the service in its target instead",
                )
            yield Setter(file, source, level, exclusive, entry, path)

    def _is_exclusive(self, entry: PatchEntry, file: str, name: str) -> bool:
        if entry.target is None:
            return True
        once = not entry.path or self._times_referred(file) == 1
        return entry.target.is_only(name) and once

    def _times_referred(self, file: str) -> int:
        if self._references is None:
            self._references = Counter(
                resolve(parent(path), entry.path) or ""
                for path, kustomization in self.graph.kustomizations.items()
                for entry in kustomization.patches
                if entry.path
            )
        return self._references[file]


def _sets_ours(source: Document | Operation, label: str) -> bool:
    is_label = bool(label) and sets(source.fields, label_field(label))
    return is_label or any(map(is_uri, source.fields))


def _refuse_unclear(name: str, file: str, source: Document | Operation, label: str) -> None:
    if isinstance(source, Operation) and (source.unclear or label in source.unclear_labels):
        raise ManifestError(
            f"a JSON 6902 patch has the operation `{source.op}` on `{source.path}` of `{name}`, "
            f"which is not supported yet",
            where=file,
            hint="add or replace the values themselves, or write a strategic-merge patch",
        )
