"""Two environments' folders that one Application or kustomization deploys."""

from __future__ import annotations

import pytest

from mlflow_gitops.manifests import Manifests
from mlflow_gitops.state import Environment, Selector
from tests.support.memory_tree import MemoryTree

FILES = {
    "prod/a/kustomization.yaml": "resources: [x.yaml]\n",
    "prod/a/x.yaml": "kind: ConfigMap\n",
    "prod/b/kustomization.yaml": "resources: [x.yaml]\n",
    "prod/b/x.yaml": "kind: ConfigMap\n",
}
APPLICATION = "apiVersion: argoproj.io/v1alpha1\nkind: Application\nspec: {%s}\n"
DEEP = "directory: {recurse: true}"


@pytest.mark.parametrize(
    ("path", "text", "expected"),
    [
        ("argocd/x.yaml", APPLICATION % f"source: {{path: prod, {DEEP}}}", True),
        ("argocd/x.yaml", APPLICATION % f"sources: [{{path: ./prod/, {DEEP}}}]", True),
        ("argocd/x.yaml", APPLICATION % f"source: {{path: ., {DEEP}}}", True),
        ("argocd/x.yaml", APPLICATION % "source: {path: prod}", False),
        ("argocd/x.yaml", APPLICATION % f"source: {{path: prod/a, {DEEP}}}", False),
        ("argocd/x.yaml", APPLICATION % f"source: {{path: pro, {DEEP}}}", False),
        ("argocd/x.yaml", APPLICATION.replace("kind: A", "kind: [A") % "", False),
        ("prod/kustomization.yaml", "resources: [a, b]\n", True),
        ("kustomization.yaml", "resources: [prod/a, prod/b]\n", True),
        ("prod/kustomization.yaml", "resources: [a]\n", False),
        ("other/kustomization.yaml", "resources: [../prod/a, ../prod/b]\n", True),
        ("other/kustomization.yaml", "resources: [../prod/b, [\n", False),
    ],
)
def test_folders_are_deployed_together(path: str, text: str, expected: bool) -> None:
    environments = {
        name: Environment(name, Selector("stage", name), f"prod/{name}") for name in "ab"
    }
    found = Manifests(MemoryTree({**FILES, path: text}), environments)
    assert found.together("a", "b") is expected
    assert found.together("b", "a") is expected


def test_namespaces_of_their_own_keep_them_apart() -> None:
    files = {
        **FILES,
        "prod/kustomization.yaml": "resources: [a, b]\n",
        "prod/a/kustomization.yaml": "namespace: ml-a\nresources: [x.yaml]\n",
    }
    environments = {
        name: Environment(name, Selector("stage", name), f"prod/{name}") for name in "ab"
    }
    assert not Manifests(MemoryTree(files), environments).together("a", "b")
