"""Short ways to say what is in a tree."""

from __future__ import annotations

import pytest

from mlflow_gitops.errors import ManifestError
from mlflow_gitops.manifests import Manifests, ParseCache
from mlflow_gitops.state import Environment, Predictor, Selector, ServiceSpec
from tests.support.memory_tree import MemoryTree

__all__ = ["PREDICTOR", "SPEC", "edit", "environment", "manifests", "refused", "service"]

PREDICTOR = Predictor("mlflow", "v2")
SPEC = ServiceSpec("s3://prod-ml-models/svc/v13/", "13")
PRODUCTION = "prod"


def environment(name: str, path: str | None = None, namespace: str = "") -> Environment:
    return Environment(name, Selector("stage", name), name if path is None else path, namespace)


def manifests(
    files: dict[str, str], *paths: str, cache: ParseCache | None = None, namespace: str = ""
) -> Manifests:
    """Environments called like their folders; `env` alone where none are given."""
    environments = {
        path or "root": environment(path or "root", path, namespace) for path in paths or ("env",)
    }
    return Manifests(MemoryTree(files), environments, cache)


def service(
    uri: str = "s3://old/",
    label: str = '"12"',
    *,
    name: str = "svc",
    key: str = "model",
    more: str = "",
) -> str:
    """An InferenceService; without URI or label where they are empty."""
    labels = f"  labels:\n    model-version: {label}\n" if label else ""
    model = f"      storageUri: {uri}\n" if uri else "      runtime: some\n"
    return (
        "apiVersion: serving.kserve.io/v1beta1\nkind: InferenceService\nmetadata:\n"
        f"  name: {name}\n{labels}spec:\n  predictor:\n    {key}:\n{model}{more}"
    )


def edit(text: str, spec: ServiceSpec = SPEC) -> str | None:
    """The new text of a plain directory's only file; the old one where nothing changed."""
    return (
        manifests({"env/a.yaml": text})
        .set_service("env", "svc", spec, PREDICTOR)
        .get("env/a.yaml", text)
    )


def refused(files: dict[str, str], *paths: str, name: str = "svc") -> str:
    """The error that reading or setting the service gives; nothing is changed."""
    with pytest.raises(ManifestError) as caught:
        manifests(files, *paths).set_service(
            (paths or ("env",))[0] or "root", name, SPEC, PREDICTOR
        )
    assert caught.value.where
    assert caught.value.hint
    return str(caught.value)
