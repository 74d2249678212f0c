"""A file that another environment reads is never edited: the environment's own folder overrides."""

from __future__ import annotations

import pytest

from mlflow_gitops.errors import ManifestError
from mlflow_gitops.manifests import Manifests
from mlflow_gitops.state import ServiceSpec
from tests.support.memory_tree import MemoryTree
from tests.unit.manifests.helpers import (
    PREDICTOR,
    SPEC,
    environment,
    manifests,
    refused,
    service,
)

PATCH = (
    "apiVersion: serving.kserve.io/v1beta1\nkind: InferenceService\nmetadata:\n  name: svc\n"
    '  labels:\n    model-version: "13"\nspec:\n  predictor:\n    model:\n'
    "      storageUri: s3://prod-ml-models/svc/v13/\n"
)


def set_in(files: dict[str, str], where: str, *paths: str) -> dict[str, str | None]:
    return manifests(files, *paths).set_service(where, "svc", SPEC, PREDICTOR)


def test_a_base_in_the_environments_own_folder_is_edited() -> None:
    files = {
        "env/kustomization.yaml": "resources: [sub]",
        "env/sub/kustomization.yaml": "resources: [a.yaml]",
        "env/sub/a.yaml": service(),
    }
    assert set_in(files, "env") == {"env/sub/a.yaml": service(SPEC.uri, '"13"')}


def test_a_base_outside_gets_a_patch_in_the_leaf() -> None:
    files = {
        "base/kustomization.yaml": "resources: [a.yaml]",
        "base/a.yaml": service(),
        "env/kustomization.yaml": "resources: [svc]",
        "env/svc/kustomization.yaml": "resources:\n- ../../base # it\n",
    }
    assert set_in(files, "env") == {
        "env/svc/kustomization.yaml": "resources:\n- ../../base # it\npatches:\n"
        "  - path: model-version.yaml\n",
        "env/svc/model-version.yaml": PATCH,
    }


def test_a_base_in_another_environment_gets_a_patch_here() -> None:
    files = {
        "staging/kustomization.yaml": "resources: [svc]",
        "staging/svc/kustomization.yaml": "resources: [a.yaml]",
        "staging/svc/a.yaml": service(),
        "prod/kustomization.yaml": "resources:\n  - ../staging/svc\npatches: []\n",
    }
    assert set_in(files, "prod", "prod", "staging") == {
        "prod/kustomization.yaml": "resources:\n  - ../staging/svc\npatches:\n"
        "  - path: svc/model-version.yaml\n",
        "prod/svc/model-version.yaml": PATCH,
    }
    changes = set_in(files, "staging", "prod", "staging")
    assert changes == {
        "staging/kustomization.yaml": "resources: [svc]\npatches:\n"
        "  - path: svc/model-version.yaml",
        "staging/svc/model-version.yaml": PATCH,
    }


def test_a_shared_component_is_overridden_where_it_ends() -> None:
    files = {
        "base/kustomization.yaml": "resources: [a.yaml]",
        "base/a.yaml": service(),
        "comp/kustomization.yaml": "kind: Component\npatches:\n- path: p.yaml\n",
        "comp/p.yaml": PATCH.replace("13", "1"),
        **{
            f"{name}/kustomization.yaml": "resources: [../base]\ncomponents: [../comp]\n"
            for name in ("prod", "staging")
        },
    }
    changes = set_in(files, "prod", "prod", "staging")
    assert set(changes) == {"prod/kustomization.yaml", "prod/svc/model-version.yaml"}


def test_only_the_value_that_is_shared_is_overridden() -> None:
    label_only = PATCH[: PATCH.index("spec:")].replace("13", "12")
    files = {
        "base/kustomization.yaml": "resources: [a.yaml]",
        "base/a.yaml": service(label=""),
        "env/kustomization.yaml": "resources: [../base]\npatches: [{path: p.yaml}]\n",
        "env/p.yaml": label_only + "# kept\n",
    }
    assert set_in(files, "env") == {"env/p.yaml": PATCH + "# kept\n"}


def test_a_value_that_is_right_is_not_written_a_second_time() -> None:
    files = {
        "base/kustomization.yaml": "resources: [a.yaml]",
        "base/a.yaml": service(label='"13"'),
        "env/kustomization.yaml": "resources: [../base]\n",
    }
    changes = set_in(files, "env")
    assert "model-version:" not in (changes["env/svc/model-version.yaml"] or "")
    edited = {path: text for path, text in changes.items() if text is not None}
    assert set_in({**files, **edited}, "env") == {}


def test_a_patch_for_several_services_is_not_edited() -> None:
    target = "patches:\n- path: p.yaml\n  target: {kind: InferenceService}\n"
    files = {
        "env/kustomization.yaml": "resources: [a.yaml]\n" + target,
        "env/a.yaml": service() + "---\n" + service(name="other"),
        "env/p.yaml": PATCH.replace("13", "1"),
    }
    changes = set_in(files, "env")
    assert changes == {
        "env/kustomization.yaml": files["env/kustomization.yaml"]
        + "- path: svc/model-version.yaml\n",
        "env/svc/model-version.yaml": PATCH,
    }


def test_a_patch_of_ours_alone_by_target_is_edited() -> None:
    target = "patches:\n- path: p.yaml\n  target: {kind: InferenceService, name: svc}\n"
    files = {
        "env/kustomization.yaml": "resources: [a.yaml]\n" + target,
        "env/a.yaml": service() + "---\n" + service(name="other"),
        "env/p.yaml": PATCH.replace("13", "1"),
    }
    assert set_in(files, "env") == {"env/p.yaml": PATCH}
    twice = target + "- path: p.yaml\n  target: {kind: InferenceService, name: other}\n"
    files["env/kustomization.yaml"] = "resources: [a.yaml]\n" + twice
    assert "env/p.yaml" not in set_in(files, "env")


def test_the_namespace_and_version_of_the_base_are_those_of_the_patch() -> None:
    base = service().replace("  name: svc\n", "  name: svc\n  namespace: ml\n")
    files = {
        "base/kustomization.yaml": "resources: [a.yaml]",
        "base/a.yaml": base.replace("v1beta1", "v1"),
        "env/kustomization.yaml": "resources: [../base]\n",
    }
    patch = set_in(files, "env")["env/svc/model-version.yaml"]
    assert patch is not None
    assert patch.startswith("apiVersion: serving.kserve.io/v1\n")
    assert "  name: svc\n  namespace: ml\n" in patch


def test_a_patch_file_that_nobody_applies_is_not_overwritten() -> None:
    files = {
        "base/kustomization.yaml": "resources: [a.yaml]",
        "base/a.yaml": service(),
        "env/kustomization.yaml": "resources: [../base]\n",
        "env/svc/model-version.yaml": "by: hand",
    }
    assert "env/svc/model-version.yaml: it is there" in refused(files)


def test_one_folder_for_two_environments_cannot_be_edited() -> None:
    files = {"env/deep/a.yaml": service()}
    assert "used by another environment" in refused(files, "env", "env/deep")
    assert "used by another environment" in refused(files, "env/deep", "env")
    assert set_in({"env/a.yaml": service()}, "env", "env", "env/deep") == {
        "env/a.yaml": service(SPEC.uri, '"13"')
    }


def test_a_new_file_that_another_environment_would_read_is_refused() -> None:
    files = {"models/readme.yaml": "a: b", "models/prod/kustomization.yaml": "namespace: x"}
    with pytest.raises(ManifestError, match="would change models too"):
        set_in(files, "models/prod", "models", "models/prod")


def test_an_environment_that_is_broken_does_not_stop_another() -> None:
    files = {"staging/kustomization.yaml": "[", "prod/a.yaml": service(), "chart/Chart.yaml": "x"}
    found = manifests(files, "prod", "staging", "chart")
    assert found.set_service("prod", "svc", SPEC, PREDICTOR) == {
        "prod/a.yaml": service(SPEC.uri, '"13"')
    }
    assert found.set_service("prod", "new", SPEC, PREDICTOR).keys() == {"prod/new.yaml"}


def test_an_environment_at_the_root() -> None:
    files = {"a.yaml": service(), ".github/workflows/x.yml": "on: push"}
    environments = {"all": environment("all", ".")}
    found = Manifests(MemoryTree(files), environments)
    assert found.committed("all", "svc") == ServiceSpec("s3://old/", "12")
    assert found.set_service("all", "svc", SPEC, PREDICTOR) == {"a.yaml": service(SPEC.uri, '"13"')}
    assert set(found.set_service("all", "new", SPEC, PREDICTOR)) == {"new.yaml"}
