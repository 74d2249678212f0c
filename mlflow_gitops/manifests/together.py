"""Whether two folders are deployed as one: by one Argo CD Application, or by one kustomization."""

from __future__ import annotations

from collections.abc import Iterator

from mlflow_gitops.errors import ManifestError
from mlflow_gitops.manifests.catalog import Catalog
from mlflow_gitops.manifests.nodes import Node, child, items, parse, text_of
from mlflow_gitops.manifests.tree import inside, parent, resolve

__all__ = ["are_together"]

APPLICATION = "Application"


def are_together(catalog: Catalog, one: str, two: str) -> bool:
    """Unless the kustomizations of the two give them namespaces of their own."""
    if _namespace(catalog, one) != _namespace(catalog, two):
        return False
    kustomizations = (file for files in catalog.layout().values() for file in files)
    if any(_lists(catalog, file, one, two) for file in kustomizations):
        return True
    paths = [path for path in catalog.tree.paths() if path.endswith((".yaml", ".yml"))]
    for path, text in sorted(catalog.tree.read_all(paths).items()):
        if "argoproj.io" not in text or APPLICATION not in text:
            continue
        for folder in _sources(text, path):
            if inside(f"{one}/", folder) and inside(f"{two}/", folder):
                return True
    return False


def _namespace(catalog: Catalog, folder: str) -> str:
    try:
        files = catalog.layout().get(folder, ())
        return catalog.kustomization(files[0]).namespace if files else ""
    except ManifestError:
        return ""


def _lists(catalog: Catalog, file: str, one: str, two: str) -> bool:
    """Whether the kustomization lists what is in both folders."""
    try:
        listed = catalog.kustomization(file).listed
    except ManifestError:
        return False
    found = [resolve(parent(file), reference) for _, _, reference in listed]
    return all(any(p is not None and inside(f"{p}/", each) for p in found) for each in (one, two))


def _sources(text: str, path: str) -> Iterator[str]:
    """The folders that the Applications in the file deploy with all that is below them."""
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
            recurse = text_of(child(source, "directory", "recurse")) or ""
            if found is not None and recurse.lower() == "true":
                yield found
