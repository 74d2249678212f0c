"""What in an environment has, or may have, the name that a new service is to get.

`Resolver.find` sees InferenceServices by the name in their file. A second object of the same name
may come from another kind or version, a name that kustomize or Flux makes, a chart, or another
folder that the same Application deploys.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from mlflow_gitops.errors import ManifestError
from mlflow_gitops.manifests.catalog import Catalog, Index
from mlflow_gitops.manifests.deployments import Match, rules_of
from mlflow_gitops.manifests.facts import KIND, RENDERERS, Document, possible_names
from mlflow_gitops.manifests.graph import MANIFESTS, Chain, FolderRules
from mlflow_gitops.manifests.nodes import parse
from mlflow_gitops.manifests.plain import plain, text_at
from mlflow_gitops.manifests.scalars import quoted
from mlflow_gitops.manifests.transformers import read_transformers
from mlflow_gitops.manifests.tree import files_below, inside, parent, resolve

__all__ = ["Taken", "taken", "unread"]

_SETS_NAME = re.compile(r"(?:/metadata/name|\bmetadata\.name)\b(?![\w/])")
_VARIABLE = re.compile(r"\$\([^)]*\)|\$\{[^}]*\}")


@dataclass(frozen=True, slots=True)
class Taken:
    """What has the name: `kind` and `document` of an object in `file`; or, where it is not `sure`,
    what may have it. `what` is the sentence for people, `hint` the next step.
    """

    file: str
    what: str
    hint: str
    kind: str = KIND
    document: int = 0
    sure: bool = True

    def error(self) -> ManifestError:
        return ManifestError(self.what, where=self.file, hint=self.hint)


def taken(
    name: str, catalog: Catalog, index: Index, matches: Sequence[Match], namespace: str
) -> Iterator[Taken]:
    """Yield what has or may have the name, which no InferenceService of the environment has in
    its file. `namespace` is the environment's, `matches` are what deploys its folder.
    """
    search = _Search(name, catalog, index)
    yield from search.other_kinds()
    yield from search.computed()
    yield from search.built()
    yield from search.renamed()
    yield from search.renderers()
    yield from search.charts()
    yield from search.unread()
    for match in matches:
        yield from search.deployed_with(match, namespace)


def unread(name: str, catalog: Catalog, index: Index) -> Iterator[Taken]:
    """Yield the files that may hold the name and are not read because of how their names end."""
    yield from _Search(name, catalog, index).unread()


@dataclass(frozen=True, slots=True)
class _Search:
    name: str
    catalog: Catalog
    index: Index

    def other_kinds(self) -> Iterator[Taken]:
        """An LLMInferenceService, or an InferenceService of another group."""
        for file, document in self._documents(self.index.candidates(self.name)):
            if document.name == self.name and document.kind.endswith(KIND):
                if document.is_service:
                    continue
                yield Taken(
                    file,
                    f"`{self.name}` is the name of a {document.kind} ({document.api_version}) here",
                    self._other_name("or remove it"),
                    document.kind,
                    document.index,
                )

    def computed(self) -> Iterator[Taken]:
        """A name that kustomize's vars or Flux's substitution fill in."""
        for file, document in self._documents(sorted(self.index.computed)):
            parts = [re.escape(part) for part in _VARIABLE.split(document.name)]
            if not document.kind.endswith(KIND) or len(parts) < 2:
                continue
            if re.fullmatch("[^/]*".join(parts), self.name):
                yield Taken(
                    file,
                    f"metadata.name is `{document.name}`, which is filled in later: it may become "
                    f"`{self.name}`",
                    "write the whole name into metadata.name",
                    document.kind,
                    document.index,
                    sure=False,
                )

    def built(self) -> Iterator[Taken]:
        """A name to which kustomizations add a prefix or a suffix."""
        graph = self.index.graph
        around = {p: k for p, k in graph.kustomizations.items() if k.prefix or k.suffix}
        if not around:
            return
        for file in sorted(graph.files):
            for chain in graph.files[file]:
                short = self._without(chain) if not around.keys().isdisjoint(chain) else None
                if not short or file not in self.index.candidates(short):
                    continue
                for _, document in self._documents([file]):
                    if document.name == short and document.kind.endswith(KIND):
                        by = next(path for path in chain if path in around)
                        yield Taken(
                            file,
                            f"this is `{short}`, and namePrefix or nameSuffix in {by} makes it "
                            f"`{self.name}`",
                            "map the model to the name in the file, in the settings: services: "
                            f"{{{quoted(self.name)}: {short}}}",
                            document.kind,
                            document.index,
                        )

    def _without(self, chain: Chain) -> str | None:
        """The name in the file that the chain would make into ours."""
        name = self.name
        for path in chain:
            kustomization = self.index.graph.kustomizations.get(path)
            if kustomization is not None:
                if not name.startswith(kustomization.prefix):
                    return None
                name = name.removeprefix(kustomization.prefix)
                if not name.endswith(kustomization.suffix):
                    return None
                name = name.removesuffix(kustomization.suffix)
        return name

    def renamed(self) -> Iterator[Taken]:
        """Replacements, patches and transformers that set names."""
        files: dict[str, str] = {}
        for path, kustomization in self.index.graph.kustomizations.items():
            if kustomization.renames:
                yield self._may_become(path)
            named = [each.path for each in kustomization.patches if each.target and each.path]
            for reference in filter(None, (*kustomization.replacements, *named)):
                file = resolve(parent(path), reference)
                if file is not None and file in self.catalog.tree:
                    files[file] = path
            if any(e.target and _SETS_NAME.search(e.inline) for e in kustomization.patches):
                yield self._may_become(path)
            for file, written in read_transformers(path, kustomization, self.catalog):
                around = text_at(written, "prefix"), text_at(written, "suffix")
                fits = self.name.startswith(around[0]) and self.name.endswith(around[1])
                if any(around) and fits:
                    yield self._may_become(file)
        for file, text in self.catalog.tree.read_all(files).items():
            if _SETS_NAME.search(text):
                yield self._may_become(file)

    def _may_become(self, file: str) -> Taken:
        return Taken(
            file,
            f"it sets the names of objects, which only a build shows: one may become `{self.name}`",
            "write the whole name into metadata.name",
            sure=False,
        )

    def renderers(self) -> Iterator[Taken]:
        """HelmReleases, Applications and ApplicationSets that have or give the name."""
        for file in sorted(self.index.renderers):
            text = self.catalog.text(file)
            if self.name not in text:
                continue
            try:
                roots = parse(text, file)
                documents = [plain(root, file) for root in roots]
            except ManifestError:
                continue
            for number, document in enumerate(documents):
                kind = text_at(document, "kind")
                if kind.startswith(RENDERERS) and self._gives_name(document, ""):
                    yield Taken(
                        file,
                        f"the {kind} `{text_at(document, 'metadata', 'name')}` has or gives the "
                        f"name `{self.name}`",
                        "say where its URI is, with a rule under `values` in the settings or a "
                        "marker",
                        kind,
                        number,
                        sure=text_at(document, "metadata", "name") == self.name,
                    )

    def _gives_name(self, value: Any, key: str) -> bool:
        """Whether a key that is about a name has ours as its value, or a URI leads to its files."""
        if isinstance(value, dict):
            named = "name" in value and str(value["name"]).lower().endswith("name")
            return any(
                self._gives_name(each, "name" if named and at == "value" else at)
                for at, each in value.items()
            )
        if isinstance(value, list):
            return any(self._gives_name(each, key) for each in value)
        if not isinstance(value, str) or self.name not in value:
            return False
        name = re.escape(self.name)
        key_of = r"(?!\w*namespace)\w*name\w*"
        in_block = rf"""(?mi)^[ \t-]*["']?{key_of}["']?[ \t]*:[ \t]*["']?{name}["']?\s*(?:#.*)?$"""
        is_named = value == self.name and re.fullmatch(key_of, key, re.IGNORECASE) is not None
        leads = "://" in value and f"/{self.name}/" in value
        return is_named or leads or ("\n" in value and re.search(in_block, value) is not None)

    def charts(self) -> Iterator[Taken]:
        """A Helm chart below the folder that mentions the name."""
        folder, tree = self.index.folder, self.catalog.tree
        word = re.compile(rf"(?<![\w.-]){re.escape(self.name)}(?![\w-])")
        for path in files_below(tree, folder):
            if not path.endswith("/Chart.yaml"):
                continue
            chart = parent(path)
            texts = tree.read_all(list(files_below(tree, chart)))
            named = chart.rpartition("/")[2] == self.name
            if named or any(word.search(text) for text in texts.values()):
                yield Taken(
                    path,
                    f"this Helm chart may render `{self.name}`",
                    "say where its URI is, with a rule under `values` in the settings",
                    "Chart",
                    sure=False,
                )

    def unread(self) -> Iterator[Taken]:
        """A manifest in a plain folder that is not read because of how it ends."""
        if self.index.plain is None:
            return
        read = self.index.graph.files
        odd = [p for p in self.index.plain if p.lower().endswith(MANIFESTS) and p not in read]
        odd = [p for p in odd if self._is_left_out_by_ending(p)]
        for file, text in self.catalog.tree.read_all(odd).items():
            names = possible_names(text)
            if names is None or self.name in names:
                yield Taken(
                    file,
                    f"this file may hold `{self.name}`, and is not read because of how its name "
                    "ends",
                    "rename it so that it ends in `.yaml`",
                    sure=False,
                )

    def _is_left_out_by_ending(self, path: str) -> bool:
        folder, rules = self.index.folder, self.index.rules
        below = path[len(folder) + 1 if folder else 0 :]
        as_yaml = f"{below.rpartition('.')[0]}.yaml"
        return not (path.endswith(MANIFESTS) and rules.take(below)) and rules.take(as_yaml)

    def deployed_with(self, match: Match, namespace: str) -> Iterator[Taken]:
        """The name in another folder that the same Application deploys to the same namespace."""
        application, above = match.application, match.source.path
        if above is None or above == self.index.folder:
            return
        rules = rules_of(match, above)
        index = self.catalog.index(f"application {above} {_key(rules)}", above, rules)
        own = namespace or application.namespace
        for file, document in self._documents(index.candidates(self.name)):
            there = document.namespace or application.namespace
            same = document.name == self.name and document.is_service and there in ("", own)
            if same and not inside(file, self.index.folder):
                yield Taken(
                    file,
                    f"the {application.kind} `{application.name}` ({application.file}) deploys "
                    f"`{self.name}` from here, and {self.index.folder} to the same namespace",
                    "map the model to another name for this environment, under `services` of the "
                    "environment in the settings",
                    document.kind,
                    document.index,
                )

    def _documents(self, files: Sequence[str]) -> Iterator[tuple[str, Document]]:
        self.catalog.preload_facts(files)
        for file in files:
            try:
                documents = self.catalog.facts(file).documents
            except ManifestError:  # `Resolver.find` says so where it may be the service's
                continue
            yield from ((file, document) for document in documents)

    def _other_name(self, otherwise: str) -> str:
        return (
            "map the model to another name, in the settings: services: "
            f"{{{quoted(self.name)}: <name>}}, {otherwise}"
        )


def _key(rules: FolderRules) -> str:
    return f"{rules.recurse} {rules.include} {rules.exclude}"
