"""Finds a service in an environment, with everything that sets its values, in the order applied.

Nothing is rendered: the base document and the strategic-merge patches that apply to it are merged
as far as this tool manages them. What cannot be followed is an error that names the file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mlflow_gitops.errors import ManifestError
from mlflow_gitops.manifests.catalog import Catalog, Index
from mlflow_gitops.manifests.facts import Document
from mlflow_gitops.manifests.graph import Chain
from mlflow_gitops.manifests.merged import check_supported, merge
from mlflow_gitops.manifests.operations import Operation
from mlflow_gitops.manifests.patches import Patches, Setter
from mlflow_gitops.manifests.tree import parent, resolve
from mlflow_gitops.state import LABEL

__all__ = ["Resolver", "Service"]


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


class Resolver:
    """Answers for one environment of one tree."""

    def __init__(self, catalog: Catalog, index: Index, label: str = LABEL) -> None:
        self.catalog = catalog
        self.index = index
        self.label = label
        self.patches = Patches(catalog, index.graph, label)

    def find(self, name: str) -> Service | None:
        """The service, or None. Raises ManifestError where that cannot be told."""
        found, errors = self._occurrences(name)
        if len(found) > 1:
            raise _found_twice(name, found)
        if not found:
            self._raise_if_hidden(name, errors)
            return None
        file, base, chain = found[0]
        setters = [Setter(file, base, len(chain)), *self.patches.setters(base, chain)]
        self._raise_obstacles(name, chain)
        _raise_failing_tests(setters)
        deleted = any(setter.deletes for setter in setters[1:])
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
                if any(True for _ in self.patches.matching(path, kustomization, name, named=True)):
                    raise ManifestError(
                        f"a patch names `{name}`, whose base lies in another repository "
                        f"({graph.remotes[0].split('?')[0]})",
                        where=path,
                        hint="copy the base into this repository",
                    )

    def _raise_obstacles(self, name: str, chain: Chain) -> None:
        for path in self.patches.kustomizations_of(chain):
            kustomization = self.index.graph.kustomizations[path]
            obstacles = [
                o.what
                for o in kustomization.obstacles
                if o.service in ("", name) and o.concerns(self.label)
            ]
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


def _may_mention(catalog: Catalog, path: str, name: str) -> bool:
    try:
        text = catalog.text(path)
    except ManifestError:
        return True
    return name in text or "\\" in text


def _raise_failing_tests(setters: Sequence[Setter]) -> None:
    """kustomize renders nothing where a `test` operation does not find what it expects."""
    operations = [s.source for s in setters if isinstance(s.source, Operation)]
    if not any(operation.expects for operation in operations):
        return
    merged: dict[str, str] = {}
    for setter in setters:
        source = setter.source
        expects = source.expects if isinstance(source, Operation) else {}
        for name, value in expects.items():
            if merged.get(name) != value:
                raise ManifestError(
                    f"a JSON 6902 patch tests that `{name}` is {value!r}, and here it is "
                    f"{merged.get(name)!r}",
                    where=setter.file,
                    hint="remove the `test` operation",
                )
        merged = merge((merged, setter.fields))


def _found_twice(name: str, found: list[tuple[str, Document, Chain]]) -> ManifestError:
    (first, _, one), (second, _, two) = found[:2]
    if first == second and one != two:
        pairs = ((a, b) for a, b in zip(one, two, strict=False) if a != b)
        a, b = next(pairs, (one[-1], two[-1]))
        what = f"`{name}` is reached twice, through {a} and {b}"
    elif first == second:
        what = f"`{name}` is in the file twice"
    else:
        what = f"`{name}` is in {first} and in {second}"
    return ManifestError(
        f"{what}: an environment can have one",
        where=first,
        hint="remove or rename one of them; or leave a file or folder out that is not deployed, "
        "with `exclude` or `recurse: false` in the environment's settings",
    )
