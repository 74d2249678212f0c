"""Which builds do without the schema of Kubernetes' own kinds."""

from __future__ import annotations

import pytest

from mlflow_gitops.manifests.schema import without_schema

FILE = "production/kustomization.yaml"
PATCH = """apiVersion: serving.kserve.io/v1beta1
kind: InferenceService
metadata: {name: fraud}
spec: {predictor: {minReplicas: 2}}
"""
DEPLOYMENT = PATCH.replace("serving.kserve.io/v1beta1", "apps/v1")
LISTS = "resources:\n- service.yaml\n"


def lean(kustomization: str, **others: str) -> dict[str, str] | None:
    files = {FILE: kustomization, "production/service.yaml": PATCH}
    return without_schema({**files, **others}, "production")


def inline(patch: str) -> str:
    lines = "".join(f"    {line}\n" for line in patch.splitlines())
    return f"{LISTS}patches:\n- patch: |-\n{lines}"


@pytest.mark.parametrize(
    "kustomization",
    [
        LISTS,
        f"{LISTS}patches:\n- path: patch.yaml\n",
        f"{LISTS}patchesStrategicMerge:\n- patch.yaml\n",
        inline(PATCH),
        inline('[{"op": "remove", "path": "/spec"}]') + "  target: {kind: Deployment}\n",
        inline("- {op: remove, path: /spec}") + "  target: {kind: Deployment}\n",
        inline("spec: {a: 1}") + "  target: {kind: InferenceService}\n",
        f"# a comment\n---\n{LISTS}namePrefix: x-\nnamespace: ml\n",
    ],
)
def test_patches_of_custom_resources_need_no_schema(kustomization: str) -> None:
    files = lean(kustomization, **{"production/patch.yaml": PATCH})
    assert files is not None
    assert files[FILE].startswith(kustomization)
    added = files[FILE].removeprefix(kustomization)
    assert added == "openapi: {path: mlflow-gitops-no-schema.json}\n"
    assert files["production/mlflow-gitops-no-schema.json"] == '{"definitions": {}}\n'


@pytest.mark.parametrize(
    "kustomization",
    [
        f"{LISTS}patches:\n- path: deployment.yaml\n",
        f"{LISTS}patches:\n- path: absent.yaml\n",
        inline(DEPLOYMENT),
        inline(PATCH) + "  target: {kind: Deployment}\n",
        inline(PATCH) + "  target: {kind: .*}\n",
        inline("spec: {a: 1}"),
        inline(PATCH.replace("apiVersion:", "? apiVersion # of\n:")),
        inline(PATCH.replace("apiVersion: s", "apiVersion: &a s")),
        inline(PATCH.replace("serving.kserve.io", "batch.k8s.io")),
        f"{LISTS}configMapGenerator:\n- name: x\n  literals: [a=1]\n",
        f"{LISTS}openapi: {{path: own.json}}\n",
        f"{LISTS}transformers:\n- t.yaml\n",
        LISTS.removesuffix("\n"),
        "{resources: [service.yaml]}\n",
        "  resources:\n  - service.yaml\n",
        f"{LISTS}...\n",
        f"{LISTS}---\n{LISTS}",
        f"{LISTS}patches: 1\n",
        "resources: [\n",
    ],
)
def test_all_else_is_built_as_it_is(kustomization: str) -> None:
    assert lean(kustomization, **{"production/deployment.yaml": DEPLOYMENT}) is None


def test_every_kustomization_of_the_build_counts() -> None:
    inner = {"base/kustomization.yml": f"{LISTS}vars: []\n"}
    assert lean("resources:\n- ../base\n", **inner) is None


def test_a_folder_without_a_kustomization_is_built_as_it_is() -> None:
    assert without_schema({"production/service.yaml": PATCH}, "production") is None


def test_the_root_of_a_repository_has_a_schema_beside_it() -> None:
    files = without_schema({"Kustomization": LISTS}, "")
    assert files is not None
    assert set(files) == {"Kustomization", "mlflow-gitops-no-schema.json"}
