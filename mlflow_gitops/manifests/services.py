"""Finds a service in an environment, with everything that sets its values, in the order applied.

Nothing is rendered: the base document and the strategic-merge patches that apply to it are merged
as far as this tool manages them. What cannot be followed is an error that names the file.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from mlflow_gitops.errors import ManifestError
from mlflow_gitops.manifests.catalog import Catalog, Index
from mlflow_gitops.manifests.facts import (
    GROUP,
    LABEL,
    Document,
    Fields,
    FileFacts,
    check_supported,
    merge,
    read_facts,
)
from mlflow_gitops.manifests.graph import Chain
from mlflow_gitops.manifests.kustomization import Kustomization, PatchEntry
from mlflow_gitops.manifests.tree import parent, resolve

__all__ = ["Resolver", "Service", "Setter"]

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


@dataclass(frozen=True, slots=True)
class Service:
    """One InferenceService in one environment; `setters` start with its base document."""

    name: str
    base: Document
    chain: Chain
    setters: tuple[Setter, ...]
    deleted: bool = False

    @property
    def file(self) -> str:
        return self.setters[0].file

    @property
    def fields(self) -> dict[str, str]:
        return merge(setter.fields for setter in self.setters)


@dataclass(slots=True)
class _PatchTable:
    """A kustomization's patches by the service that they name; `wild` may apply to any."""

    named: dict[str, list[int]] = field(default_factory=dict)
    wild: list[int] = field(default_factory=list)
    facts: dict[int, FileFacts] = field(default_factory=dict)
    broken: list[tuple[str, ManifestError]] = field(default_factory=list)


class Resolver:
    """Answers for one environment of one tree."""

    def __init__(self, catalog: Catalog, index: Index) -> None:
        self.catalog = catalog
        self.index = index
        self._tables: dict[str, _PatchTable] = {}
        self._references: Counter[str] | None = None

    def find(self, name: str) -> Service | None:
        """The service, or None. Raises ManifestError where that cannot be told."""
        found, errors = self._occurrences(name)
        if len(found) > 1:
            raise _found_twice(name, found)
        if not found:
            self._raise_if_hidden(name, errors)
            return None
        file, base, chain = found[0]
        setters = [Setter(file, base.index, base.fields, len(chain)), *self._patches(name, chain)]
        self._raise_obstacles(name, chain)
        deleted = any(self._deletes(setter) for setter in setters[1:])
        service = Service(name, base, chain, tuple(setters), deleted)
        check_supported(service.fields, name, file)
        return service

    def names(self) -> list[str]:
        """Every service's name. Files that are broken are left out."""
        graph, found = self.index.graph, set()
        paths = {path for paths in self.index.names.values() for path in paths}
        candidates = sorted(paths | self.index.unsure)
        self.catalog.preload_facts(candidates)
        self.catalog.preload_facts(graph.touched - graph.kustomizations.keys() - set(graph.files))
        for path in candidates:
            try:
                documents = self.catalog.facts(path).documents
            except ManifestError:
                continue
            found |= {document.name for document in documents if document.is_service}
        return sorted(found)

    def problems(self) -> list[ManifestError]:
        """What is broken in the environment as a whole, and files that cannot be read."""
        found = list(self.index.graph.problems)
        for path in sorted(self.index.unsure):
            try:
                self.catalog.facts(path)
            except ManifestError as error:
                found.append(error)
        return found

    def _occurrences(
        self, name: str
    ) -> tuple[list[tuple[str, Document, Chain]], list[ManifestError]]:
        found: list[tuple[str, Document, Chain]] = []
        errors: list[ManifestError] = []
        for path in self.index.candidates(name):
            try:
                facts = self.catalog.facts(path)
            except ManifestError as error:
                if _may_mention(self.catalog, path, name):
                    errors.append(error)
                continue
            if name in facts.listed:
                errors.append(_in_a_list(name, path))
            for document in facts.documents:
                if document.is_service and document.name == name:
                    chains = self.index.graph.files[path]
                    found += ((path, document, chain) for chain in chains)
        return found, errors

    def _raise_if_hidden(self, name: str, errors: list[ManifestError]) -> None:
        graph = self.index.graph
        for error in (*errors, *graph.problems):
            raise error
        for path, kustomization in graph.kustomizations.items():
            for obstacle in kustomization.obstacles:
                if obstacle.hides:
                    raise ManifestError(
                        f"no file shows `{name}`, and {obstacle.what} may render it: Helm and "
                        f"generators are not supported yet",
                        where=path,
                        hint="write the InferenceService as a plain manifest",
                    )
        if graph.remotes:
            for path, kustomization in graph.kustomizations.items():
                if any(True for _ in self._matching(path, kustomization, name, named=True)):
                    raise ManifestError(
                        f"a patch names `{name}`, whose base lies in another repository "
                        f"({graph.remotes[0].split('?')[0]})",
                        where=path,
                        hint="copy the base into this repository",
                    )

    def _raise_obstacles(self, name: str, chain: Chain) -> None:
        for path in self.kustomizations_of(chain):
            kustomization = self.index.graph.kustomizations[path]
            obstacles = [o.what for o in kustomization.obstacles if o.service in ("", name)]
            hiding = {o.what for o in kustomization.obstacles if o.hides}
            for reference in filter(None, kustomization.replacements):
                file = resolve(parent(path), reference)
                if file in self.catalog.tree and "storageUri" in self.catalog.text(file or ""):
                    obstacles.append(f"`replacements` in {file}")
            for what in obstacles:
                if what not in hiding:
                    raise ManifestError(
                        f"{what} may set the URI or the version of `{name}`, which is not "
                        f"supported yet",
                        where=path,
                        hint="set them in the InferenceService or in a strategic-merge patch",
                    )

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
            for reference in self.index.graph.kustomizations[path].components
        )
        files = (layout[each][0] for each in folders if each is not None and each in layout)
        return [file for file in files if file in self.index.graph.kustomizations]

    def _patches(self, name: str, chain: Chain) -> Iterator[Setter]:
        for level, path in self._layers(chain):
            kustomization = self.index.graph.kustomizations[path]
            for entry, facts in self._matching(path, kustomization, name):
                yield from self._setters(name, level, path, entry, facts)

    def _matching(
        self, path: str, kustomization: Kustomization, name: str, *, named: bool = False
    ) -> Iterator[tuple[PatchEntry, FileFacts]]:
        """The entries that may apply to the service, in order."""
        table = self._tables.get(path) or self._table(path, kustomization)
        for file, error in table.broken:
            if file not in self.catalog.tree or _may_mention(self.catalog, file, name):
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
                table.broken.append((file or path, error))
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
                for path, kustomization in self.index.graph.kustomizations.items()
                for entry in kustomization.patches
                if entry.path
            )
        return self._references[file]

    def _deletes(self, setter: Setter) -> bool:
        if setter.entry is None or setter.entry.inline:
            return False
        documents = self.catalog.facts(setter.file).documents
        return any(d.index == setter.document and d.directive == "delete" for d in documents)


def _refuse_operations(name: str, file: str, facts: FileFacts) -> None:
    ours = ("/metadata/labels/model-version", "/metadata/name", "/spec/predictor", "/spec/canary")
    for path in facts.operations:
        whole = any(each == path or each.startswith(f"{path}/") for each in ours)
        if whole or path.endswith(("/storageUri", "/storage")) or path.startswith("/spec/canary/"):
            raise ManifestError(
                f"a JSON 6902 patch sets `{path}` of `{name}`, which is not supported yet",
                where=file,
                hint="write it as a strategic-merge patch",
            )


def _may_mention(catalog: Catalog, path: str, name: str) -> bool:
    try:
        text = catalog.text(path)
    except ManifestError:
        return True
    return name in text or "\\" in text


def _in_a_list(name: str, path: str) -> ManifestError:
    return ManifestError(
        f"`{name}` is inside a `kind: List`, which is not supported yet",
        where=path,
        hint="write it as a document of its own",
    )


def _found_twice(name: str, found: list[tuple[str, Document, Chain]]) -> ManifestError:
    (first, _, one), (second, _, two) = found[:2]
    if first == second and one != two:
        what = f"`{name}` is reached twice, through {one[-1]} and {two[-1]}"
        common = sum(1 for a, b in zip(one, two, strict=False) if a == b)
        if one[-1] == two[-1] and common < len(one) and common < len(two):
            what = f"`{name}` is reached twice, through {one[common]} and {two[common]}"
    elif first == second:
        what = f"`{name}` is in the file twice"
    else:
        what = f"`{name}` is in {first} and in {second}"
    return ManifestError(
        f"{what}: an environment can have one",
        where=first,
        hint="remove or rename one of them",
    )
