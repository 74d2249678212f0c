"""Whether two folders are deployed as one: by one Argo CD Application, or by one kustomization."""

from __future__ import annotations

from collections.abc import Iterator

from mlflow_gitops.errors import ManifestError
from mlflow_gitops.manifests.catalog import Catalog
from mlflow_gitops.manifests.graph import build_graph
from mlflow_gitops.manifests.nodes import Node, child, items, parse, text_of
from mlflow_gitops.manifests.tree import inside, parent, resolve

__all__ = ["are_together"]

APPLICATION = "Application"


def are_together(catalog: Catalog, one: str, two: str) -> bool:
    for folder in _above(one):
        if inside(f"{two}/", folder) and folder in catalog.layout():
            graph = build_graph(catalog.tree, folder, catalog.layout(), catalog.kustomization)
            if all(any(inside(path, each) for path in graph.touched) for each in (one, two)):
                return True
    paths = [path for path in catalog.tree.paths() if path.endswith((".yaml", ".yml"))]
    for path, text in sorted(catalog.tree.read_all(paths).items()):
        if "argoproj.io" not in text or APPLICATION not in text:
            continue
        for folder in _sources(text, path):
            if inside(f"{one}/", folder) and inside(f"{two}/", folder):
                return True
    return False


def _above(folder: str) -> Iterator[str]:
    while folder:
        folder = parent(folder)
        yield folder


def _sources(text: str, path: str) -> Iterator[str]:
    """The folders that the Applications in the file deploy."""
    try:
        roots = parse(text, path)
    except ManifestError:
        return
    for root in roots:
        if text_of(child(root, "kind")) != APPLICATION:
            continue
        spec: Node = child(root, "spec")
        for source in (child(spec, "source"), *items(child(spec, "sources"))):
            found = resolve("", text_of(child(source, "path")) or "..")
            if found is not None:
                yield found
