"""Finds a service in an environment, with everything that sets its values, in the order applied.

Nothing is rendered: the base document and the strategic-merge patches that apply to it are merged
as far as this tool manages them. What cannot be followed is an error that names the file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from mlflow_gitops.errors import ManifestError
from mlflow_gitops.manifests.catalog import Catalog, Index
from mlflow_gitops.manifests.facts import GROUP, KIND, Document, check_json
from mlflow_gitops.manifests.graph import Chain
from mlflow_gitops.manifests.kustomization import URI_PATHS, Obstacle, PatchEntry
from mlflow_gitops.manifests.merged import check_supported, merge, spec_of, uri_field
from mlflow_gitops.manifests.operations import Operation
from mlflow_gitops.manifests.patches import Patches, Setter
from mlflow_gitops.manifests.runtimes import Defined, may_define, patched
from mlflow_gitops.manifests.transformers import transforming
from mlflow_gitops.manifests.tree import parent, resolve
from mlflow_gitops.runtimes import Runtime
from mlflow_gitops.state import EMPTY, LABEL, ServiceSpec

__all__ = ["Resolver", "Service"]


@dataclass(frozen=True, slots=True)
class Service:
    """One service in one environment; `setters` start with its base document.

    `buckets` maps the key of a storage's connection to its bucket; `label` is the key of the
    version's label, "" for none.
    """

    name: str
    base: Document
    chain: Chain
    setters: tuple[Setter, ...]
    deleted: bool = False
    buckets: Mapping[str, str] = field(default_factory=lambda: EMPTY)
    label: str = LABEL

    @property
    def file(self) -> str:
        return self.setters[0].file

    @property
    def fields(self) -> dict[str, str]:
        return merge(setter.fields for setter in self.setters)

    @property
    def named(self) -> tuple[str, str]:
        """Its kind and name, as its patches give them."""
        return self.base.kind, self.name

    @property
    def spec(self) -> ServiceSpec:
        return spec_of(self.fields, self.buckets, self.label)

    @property
    def uri_field(self) -> str:
        return uri_field(self.fields)


class Resolver:
    """Answers for one environment of one tree."""

    def __init__(
        self,
        catalog: Catalog,
        index: Index,
        buckets: Mapping[str, str] = EMPTY,
        rule_for: Callable[[str, str], str] = lambda _service, _kustomization: "",
        label: str = LABEL,
    ) -> None:
        """`rule_for` gives the rule for a service that a kustomization's charts make. `label` is
        the key of the version's label, "" for none.
        """
        self.buckets = buckets
        self.label = label
        self._rule_for = rule_for
        self.catalog = catalog
        self.index = index
        self.patches = Patches(catalog, index.graph, label)
        self._runtimes: tuple[tuple[Defined, str], ...] | None = None
        self._found: dict[str, Service | None] = {}

    def find(self, name: str) -> Service | None:
        """The service, or None. Raises ManifestError where that cannot be told."""
        if name not in self._found:
            self._found[name] = self._find(name)
        return self._found[name]

    def _find(self, name: str) -> Service | None:
        found, errors = self._occurrences(name)
        if len(found) > 1:
            raise _found_twice(name, found)
        if not found:
            self._raise_if_hidden(name, errors)
            return None
        file, base, chain = found[0]
        setters = [Setter(file, base, len(chain)), *self.patches.setters(base, chain)]
        self._raise_obstacles(name, chain)
        self._raise_transformed(base, chain)
        _raise_failing_tests(setters)
        deleted = any(setter.deletes for setter in setters[1:])
        service = Service(name, base, chain, tuple(setters), deleted, self.buckets, self.label)
        check_supported(service.fields, name, file, self.buckets)
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

    def runtimes(self, namespace: str) -> tuple[Runtime, ...]:
        """The serving runtimes that count in the namespace, "" for one that is not known. Files
        that are broken are left out.
        """
        if self._runtimes is None:
            self._runtimes = tuple(self._defined())
        return tuple(
            each.runtime
            for each, home in self._runtimes
            if not each.is_namespaced or not (home and namespace) or home == namespace
        )

    def _defined(self) -> Iterator[tuple[Defined, str]]:
        """Each runtime as it is applied, and its namespace, "" where none is named."""
        for path in sorted(self.index.runtimes):
            for chain in self.index.graph.files[path]:
                with suppress(ManifestError):
                    for each in self.catalog.runtimes(path):
                        found = self._patched(each, chain)
                        if found is not None:
                            yield found, self._namespace(each.namespace, chain)

    def _patched(self, defined: Defined, chain: Chain) -> Defined | None:
        found: Defined | None = defined
        for path in self.patches.kustomizations_of(chain):
            for entry in self.index.graph.kustomizations[path].patches:
                if found is not None and self._is_patch_of(defined, path, entry):
                    file = resolve(parent(path), entry.path) or ""
                    text = self.catalog.text(file) if entry.path else entry.inline
                    found = patched(found, text, path, is_targeted=entry.target is not None)
        return found

    def _is_patch_of(self, defined: Defined, path: str, entry: PatchEntry) -> bool:
        if entry.target is not None:
            namespaces = ("default", defined.namespace)
            return entry.target.may_match(
                defined.kind, defined.name, GROUP, defined.version, namespaces
            )
        if not entry.path:
            return may_define(entry.inline)
        documents = self.catalog.facts(resolve(parent(path), entry.path) or "").documents
        return any((each.kind, each.name) == (defined.kind, defined.name) for each in documents)

    def namespace_of(self, service: Service | None) -> str:
        """Where the service is applied to, "" where no manifest says so."""
        return self._namespace(service.base.namespace, service.chain) if service else ""

    def _namespace(self, own: str, chain: Chain) -> str:
        """The outermost kustomization's that sets one, else the object's own."""
        found = (self.index.graph.kustomizations[path].namespace for path in chain)
        return next(filter(None, found), own)

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
                if path.endswith(".json") and self.index.graph.files[path] == ((),):
                    check_json(self.catalog.text(path), path)
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
                        f"no file shows `{name}`, and {obstacle.what} may render it, which is not "
                        f"followed",
                        where=path,
                        hint=self._instead_of(obstacle, path, name),
                    )
        self._raise_if_evaluated(name)
        if graph.remotes:
            for path, kustomization in graph.kustomizations.items():
                if any(True for _ in self.patches.matching(path, kustomization, name, named=True)):
                    raise ManifestError(
                        f"a patch names `{name}`, whose base lies in another repository "
                        f"({graph.remotes[0].split('?')[0]})",
                        where=path,
                        hint="copy the base into this repository",
                    )

    def _raise_if_evaluated(self, name: str) -> None:
        """A jsonnet file can make any name; one without these words makes no service."""
        for path in self.index.graph.programs:
            text = self.catalog.text(path)
            if KIND in text or "import" in text:
                raise ManifestError(
                    f"no file shows `{name}`, and this jsonnet file may make it",
                    where=path,
                    hint="write the InferenceService as YAML or JSON, or move the file out of the "
                    "environment's folder",
                )

    def _instead_of(self, obstacle: Obstacle, path: str, name: str) -> str:
        plain = "write the InferenceService as a plain manifest"
        rule = self._rule_for(name, path) if "helm" in obstacle.what else ""
        return f"say in the settings where its URI is: {rule}; or {plain}" if rule else plain

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
                text = self.catalog.text(file) if file and file in self.catalog.tree else ""
                if any(word in text for word in URI_PATHS):
                    obstacles.append(f"`replacements` in {file}")
            for what in obstacles:
                if what not in hiding:
                    raise ManifestError(
                        f"{what} may set the URI or the version of `{name}`, which is not "
                        f"supported yet",
                        where=path,
                        hint="set them in the InferenceService or in a strategic-merge patch",
                    )

    def _raise_transformed(self, base: Document, chain: Chain) -> None:
        for path in self.patches.kustomizations_of(chain):
            kustomization = self.index.graph.kustomizations[path]
            for file, kind in transforming(path, kustomization, base, self.catalog, self.label):
                raise ManifestError(
                    f"a transformer of {path} ({kind}) may set the URI or the version of "
                    f"`{base.name}` after every patch",
                    where=file,
                    hint="set them in the InferenceService or in a strategic-merge patch, and "
                    "remove the transformer",
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
    (first, base, one), (second, other, two) = found[:2]
    if base.kind != other.kind:
        what = f"`{name}` is the {base.kind} in {first} and the {other.kind} in {second}"
    elif first == second and one != two:
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
