"""Whether two folders are deployed as one: by one Argo CD Application, or by one kustomization."""

from __future__ import annotations

from mlflow_gitops.errors import ManifestError
from mlflow_gitops.manifests.catalog import Catalog
from mlflow_gitops.manifests.deployments import Deployments
from mlflow_gitops.manifests.tree import inside, parent, resolve

__all__ = ["are_together"]


def are_together(catalog: Catalog, deployments: Deployments, one: str, two: str) -> bool:
    """Unless the kustomizations of the two give them namespaces of their own."""
    if _namespace(catalog, one) != _namespace(catalog, two):
        return False
    kustomizations = (file for files in catalog.layout().values() for file in files)
    if any(_lists(catalog, file, one, two) for file in kustomizations):
        return True
    return deployments.deploy_both(one, two)


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
