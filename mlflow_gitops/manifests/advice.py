"""The rule under `values` that would work, where an edit is refused: found in the repository.

Only errors ask for it. What is found is printed for people to put into the settings, never used.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from mlflow_gitops.errors import ManifestError
from mlflow_gitops.manifests.catalog import YAML, Catalog
from mlflow_gitops.manifests.located import shown
from mlflow_gitops.manifests.nodes import (
    Node,
    child,
    entries,
    is_mapping,
    is_scalar,
    items,
    parse,
    text_of,
)
from mlflow_gitops.manifests.replaceable import uri_complaint
from mlflow_gitops.manifests.scalars import plain_or_quoted
from mlflow_gitops.manifests.tree import files_below, parent, resolve
from mlflow_gitops.value_path import Pick, Step

__all__ = ["About", "Advice", "rule_text"]

SUBSTITUTED = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?:[:=/-][^}]*)?\}")
MOST_FILES = 20_000  # that are searched for what fills a value in
MOST_VALUES = 2_000  # of one file
SHOWN = 3


def rule_text(model: str, file: str, path: str, version_path: str = "", more: str = "") -> str:
    """The rule, as the settings take it."""
    named = {"file": file, "path": path, "version-path": version_path}
    texts = {key: t if t.startswith("<") else plain_or_quoted(t) for key, t in named.items() if t}
    keys = "".join(f", {key}: {text}" for key, text in texts.items())
    return f"values: [{{models: [{plain_or_quoted(model)}]{keys}{more}}}]"


@dataclass(frozen=True, slots=True)
class _Found:
    """A URI in a file, and the other values next to it."""

    file: str
    steps: tuple[Step, ...]
    uri: str
    others: Mapping[str, str]

    @property
    def key(self) -> Step:
        return self.steps[-1]

    @property
    def may_be_a_model(self) -> bool:
        """Whether it is not the address of a chart or of a repository."""
        return not (self.uri.startswith("http") or str(self.key).lower().startswith("repo"))

    def version_path(self, wanted: str = "") -> str:
        """The path of the value next to it that is the URI's version; "" where there is none."""
        named = [key for key in self.others if "version" in key.lower()]
        good = [key for key in named if f"/v{self.others[key]}/" in f"{self.uri}/"]
        key = wanted if wanted in self.others else next(iter(good), "")
        return shown((*self.steps[:-1], key)) if key else ""


@dataclass(frozen=True, slots=True)
class About:
    """A service that is refused. `near` are words of a path that would be the right one."""

    model: str
    service: str
    near: Sequence[str] = ()


@dataclass(slots=True)
class Advice:
    """Looks at one tree. What it finds is kept, since many services may be refused alike."""

    catalog: Catalog
    _filling: list[_Found] | None = None
    _charts: dict[str, list[_Found]] = field(default_factory=dict)

    def any_rule(self, about: About) -> str:
        """The form of a rule, where nothing more is known."""
        return rule_text(about.model, "<file>", "<path of the URI in it>")

    def filled_in(self, about: About, value: str, label: str) -> str:
        """The rule for what Flux fills in after the build: from a ConfigMap, or in its
        Kustomization.
        """
        name = SUBSTITUTED.fullmatch(value.strip())
        found = [each for each in self._all_filling() if name and each.key == name[1]]
        if not found:
            return rule_text(about.model, "<file>", "<path of the URI that fills it in>")
        best = _nearest(found, about)
        wanted = SUBSTITUTED.fullmatch(label.strip())
        files = [each.file for each in best]
        file = files[0] if len(files) == 1 else f"<one of {', '.join(files[:SHOWN])}>"
        version = best[0].version_path(wanted[1] if wanted else "")
        return rule_text(about.model, file, shown(best[0].steps), version)

    def charted(self, about: About, files: Iterable[str]) -> str:
        """The rule for what a Helm chart makes, of the values in these files."""
        found = [f for file in files for f in self._in_file(file) if f.may_be_a_model]
        named = [f for f in found if {about.model, about.service} & set(re.split(r"[/:]+", f.uri))]
        alone = found if len({each.uri for each in found}) == 1 else []
        best = _nearest(named or alone, about)
        if not best:
            return rule_text(about.model, "<values file>", "<path of the URI in it>")
        return rule_text(about.model, best[0].file, shown(best[0].steps), best[0].version_path())

    def inside(self, text: str) -> str:
        """The path of the only URI in a text that is YAML; "" where there are none or several."""
        try:
            found = [each for root in parse(text, "") for each in _uris(root, "")]
        except ManifestError:
            return ""
        return shown(found[0].steps) if len(found) == 1 else ""

    def values_files(self, kustomization: str) -> list[str]:
        """The kustomization itself, for inline values, and the values files that it names."""
        found = [kustomization]
        for root in self._roots(kustomization):
            for chart in items(child(root, "helmCharts")):
                named = [child(chart, "valuesFile"), *items(child(chart, "additionalValuesFiles"))]
                texts = [text for text in map(text_of, named) if text]
                places = [resolve(parent(kustomization), text) for text in texts]
                found += [place for place in places if place in self.catalog.tree and place]
        return found

    def chart_files(self, folder: str) -> list[str]:
        """The files of values in a chart's folder; the chart's own defaults come last."""
        templates = f"{folder}/templates/".lstrip("/")
        own = [f"{folder}/{name}".lstrip("/") for name in ("values.yaml", "Chart.yaml")]
        below = [p for p in files_below(self.catalog.tree, folder) if p.endswith(YAML)]
        others = [p for p in below if not p.startswith(templates) and p not in own]
        return [*others, *(path for path in own[:1] if path in self.catalog.tree)]

    def _roots(self, file: str) -> list[Node]:
        try:
            return parse(self.catalog.text(file), file)
        except ManifestError:
            return []

    def _in_file(self, file: str) -> list[_Found]:
        if file not in self._charts:
            self._charts[file] = [e for root in self._roots(file) for e in _uris(root, file)]
        return self._charts[file]

    def _all_filling(self) -> list[_Found]:
        if self._filling is None:
            paths = [path for path in self.catalog.tree.paths() if path.endswith(YAML)]
            texts = self.catalog.tree.read_all(paths) if len(paths) <= MOST_FILES else {}
            self._filling = [
                found
                for file, text in sorted(texts.items())
                if "ConfigMap" in text or "postBuild" in text
                for root in self._roots(file)
                for found in _filling(root, file)
            ]
        return self._filling


def _filling(root: Node, file: str) -> Iterator[_Found]:
    """The URIs that a ConfigMap, or a Kustomization of Flux, has for substitutions."""
    kind, api = (text_of(child(root, key)) or "" for key in ("kind", "apiVersion"))
    if kind == "ConfigMap":
        yield from _of_mapping(child(root, "data"), ("data",), file)
    if kind == "Kustomization" and api.startswith("kustomize.toolkit.fluxcd.io/"):
        steps = ("spec", "postBuild", "substitute")
        yield from _of_mapping(child(root, *steps), steps, file)


def _of_mapping(node: Node, steps: tuple[Step, ...], file: str) -> Iterator[_Found]:
    values = {key: text_of(value) or "" for key, value in entries(node) if is_scalar(value)}
    for key, value in values.items():
        if value and not uri_complaint(value):
            yield _Found(file, (*steps, key), value, values)


def _uris(root: Node, file: str) -> Iterator[_Found]:
    """Every URI in a document, with its path."""
    todo: list[tuple[tuple[Step, ...], Node]] = [((), root)]
    for _ in range(MOST_VALUES):
        if not todo:
            return
        steps, node = todo.pop(0)
        if is_mapping(node):
            yield from _of_mapping(node, steps, file)
            todo += [((*steps, key), value) for key, value in entries(node)]
        for index, item in enumerate(items(node)):
            name = text_of(child(item, "name"))
            todo.append(((*steps, Pick("name", name) if name else index), item))


def _nearest(found: Sequence[_Found], about: About) -> Sequence[_Found]:
    """Those that are of the model, then those whose file is of the environment; else all."""

    def is_near(each: _Found) -> bool:
        return any(word in each.file.split("/") for word in about.near if word)

    tests: tuple[Callable[[_Found], bool], ...] = (
        lambda each: bool({about.model, about.service} & set(each.uri.split("/"))),
        is_near,
    )
    for test in tests:
        found = [each for each in found if test(each)] or found
    return found
