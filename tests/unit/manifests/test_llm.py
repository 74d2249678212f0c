"""LLMInferenceServices, and services that name their files otherwise than by a storageUri."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mlflow_gitops.errors import ManifestError
from mlflow_gitops.manifests import Manifests
from mlflow_gitops.state import Predictor, ServiceSpec
from tests.support.memory_tree import MemoryTree
from tests.unit.manifests.helpers import PREDICTOR, SPEC, environment, manifests, service

HEAD = "apiVersion: serving.kserve.io/v1alpha2\nkind: LLMInferenceService\nmetadata:\n  name: svc\n"
LLM = f"{HEAD}spec:\n  model:\n    uri: hf://Org/Model\n    name: svc\n"
PATCH = f'{HEAD}  labels:\n    model-version: "12"\nspec:\n  model:\n    uri: s3://old/\n'
BASE = {"base/kustomization.yaml": "resources: [a.yaml]\n", "base/a.yaml": LLM}
KUSTOMIZED = {**BASE, "env/kustomization.yaml": "resources: [../base]\npatches: [{path: p.yaml}]\n"}
STORAGE = service("", "").replace(
    "      runtime: some\n",
    "      storage:\n        key: aws\n        path: svc/v1/ # mlflow-gitops: hold why\n",
)


def test_it_is_read_with_what_loads_it() -> None:
    found = manifests({"env/a.yaml": LLM})
    assert found.services("env") == {"svc": ServiceSpec("hf://Org/Model", "")}
    assert found.predictor("env", "svc") == Predictor("huggingface", "v2", key="llm")


def test_a_strategic_merge_patch_counts_and_is_edited() -> None:
    files = {**KUSTOMIZED, "env/p.yaml": PATCH}
    assert manifests(files).committed("env", "svc") == ServiceSpec("s3://old/", "12")
    changes = manifests(files).set_service("env", "svc", SPEC, PREDICTOR)
    after = PATCH.replace("s3://old/", SPEC.uri).replace('"12"', '"13"')
    assert changes == {"env/p.yaml": after}


def test_a_patch_of_the_other_kind_is_none_of_it() -> None:
    files = {**KUSTOMIZED, "env/p.yaml": service("s3://other/")}
    assert manifests(files).committed("env", "svc") == ServiceSpec("hf://Org/Model", "")


def test_json_6902_operations_count() -> None:
    patch = "- {op: replace, path: /spec/model/uri, value: s3://old/}\n"
    listed = "resources: [../base]\npatches: [{path: p.yaml, target: {kind: %s, name: svc}}]\n"
    for kind, uri in (("LLMInferenceService", "s3://old/"), ("InferenceService", "hf://Org/Model")):
        files = {**BASE, "env/kustomization.yaml": listed % kind, "env/p.yaml": patch}
        assert manifests(files).committed("env", "svc") == ServiceSpec(uri, "")


def test_it_is_retired_with_its_patch() -> None:
    files = {**KUSTOMIZED, "env/p.yaml": PATCH}
    changes = manifests(files).remove_service("env", "svc")
    kept = {path: text for path, text in {**files, **changes}.items() if text is not None}
    assert manifests(kept).committed("env", "svc") is None
    assert "env/p.yaml" not in kept


def test_the_config_of_a_kind_is_no_service() -> None:
    text = LLM.replace("kind: LLMInferenceService", "kind: LLMInferenceServiceConfig")
    assert manifests({"env/a.yaml": text}).services("env") == {}


def with_bucket(files: dict[str, str]) -> Manifests:
    named = replace(environment("env"), storage_keys={"aws": "prod-ml-models"})
    return Manifests(MemoryTree(files), {"env": named})


def test_a_storage_is_read_as_a_uri_and_its_comment_holds() -> None:
    found = with_bucket({"env/a.yaml": STORAGE})
    assert found.committed("env", "svc") == ServiceSpec("s3://prod-ml-models/svc/v1/", "")
    hold = found.hold("env", "svc")
    assert hold is not None
    assert hold.reason == "why"
    assert found.problems("env") == ()


def test_an_operation_on_a_storage_is_edited() -> None:
    patch = "- op: replace\n  path: /spec/predictor/model/storage/path\n  value: svc/v1/\n"
    listed = "resources: [../base]\npatches: [{path: p.yaml, target: {name: svc}}]\n"
    files = {
        **BASE,
        "base/a.yaml": STORAGE,
        "env/kustomization.yaml": listed,
        "env/p.yaml": patch,
    }
    changes = with_bucket(files).set_service("env", "svc", SPEC, PREDICTOR)
    assert changes["env/p.yaml"] == patch.replace("v1", "v13")
    kept = {path: text for path, text in {**files, **changes}.items() if text is not None}
    assert with_bucket(kept).committed("env", "svc") == SPEC


def scaffolded(base: str) -> dict[str, str]:
    """What an environment gets that does not list the base yet."""
    files = {
        "base/svc/kustomization.yaml": "resources: [a.yaml]\n",
        "base/svc/a.yaml": base,
        "env/kustomization.yaml": "resources: []\n",
    }
    changes = with_bucket(files).set_service("env", "svc", SPEC, PREDICTOR)
    after = {**files, **{path: text for path, text in changes.items() if text is not None}}
    assert with_bucket(after).committed("env", "svc") == SPEC
    return after


def test_a_base_is_used_as_its_kind_and_form_want_it() -> None:
    patch = scaffolded(LLM)["env/svc/model-version.yaml"]
    assert patch.startswith(HEAD)
    assert patch.endswith(f"spec:\n  model:\n    uri: {SPEC.uri}\n")
    patch = scaffolded(STORAGE)["env/svc/model-version.yaml"]
    assert patch.endswith("    model:\n      storage:\n        path: svc/v13/\n")


@pytest.mark.parametrize(
    ("env", "says"),
    [
        ("", "its model is in the image"),
        ("      env: [{name: STORAGE_URI, value: 's3://b/'}]\n", "replace the whole list"),
    ],
)
def test_a_base_of_a_custom_container_is_not_patched(env: str, says: str) -> None:
    head = service("", "").partition("    model:\n")[0]
    with pytest.raises(ManifestError, match=says):
        scaffolded(f"{head}    containers:\n    - name: kserve-container\n{env}")
