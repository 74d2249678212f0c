"""The label that carries the version: a team's own, or none."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mlflow_gitops.errors import ManifestError
from mlflow_gitops.manifests import Manifests
from mlflow_gitops.state import Environment, Selector, ServiceSpec
from tests.support.memory_tree import MemoryTree
from tests.unit.manifests.helpers import PREDICTOR

KEY = "example.com/model-version"
OWN = Environment("env", Selector("stage", "x"), "env", label=KEY)
NONE = replace(OWN, label="")
SPEC = ServiceSpec("s3://b/svc/v2/", "2")
OLD = ServiceSpec("s3://b/svc/v1/", "1")
KUSTOMIZATION = "resources: [../base]\npatches:\n- path: p.yaml\n  target: {name: svc}\n"


def service(labels: str = "") -> str:
    inside = f"  labels: {{{labels}}}\n" if labels else ""
    return (
        "apiVersion: serving.kserve.io/v1beta1\nkind: InferenceService\nmetadata:\n  name: svc\n"
        f"{inside}spec:\n  predictor:\n    model:\n      modelFormat: {{name: mlflow}}\n"
        "      storageUri: s3://b/svc/v1/\n"
    )


def layered(patch: str, labels: str = "team: risk", kustomization: str = "") -> dict[str, str]:
    return {
        "base/kustomization.yaml": "resources: [a.yaml]\n",
        "base/a.yaml": service(labels),
        "env/kustomization.yaml": KUSTOMIZATION + kustomization,
        "env/p.yaml": patch,
    }


def manifests(files: dict[str, str], of: Environment = OWN) -> Manifests:
    return Manifests(MemoryTree(files), {"env": of})


def promoted(files: dict[str, str], of: Environment = OWN) -> dict[str, str]:
    changes = manifests(files, of).set_service("env", "svc", SPEC, PREDICTOR)
    after = {**files, **{path: text for path, text in changes.items() if text is not None}}
    assert manifests(after, of).set_service("env", "svc", SPEC, PREDICTOR) == {}
    return after


@pytest.mark.parametrize(
    ("labels", "version"),
    [
        (f"{KEY}: '1'", "1"),
        (f"{KEY}: v1, model-version: '7'", "v1"),
        ("model-version: '1'", "1"),
        ("team: x", ""),
    ],
)
def test_the_team_s_label_says_the_version_and_the_usual_one_where_it_is_missing(
    labels: str, version: str
) -> None:
    spec = manifests({"env/a.yaml": service(labels)}).committed("env", "svc")
    assert spec is not None
    assert spec.version == version


def test_the_team_s_label_is_edited_and_no_other() -> None:
    before = service(f"{KEY}: v1, model-version: '7', team: x")
    after = promoted({"env/a.yaml": before})["env/a.yaml"]
    assert after == before.replace(f"{KEY}: v1", f'{KEY}: "2"').replace("/v1/", "/v2/")


def test_a_label_that_is_missing_is_added_quoted() -> None:
    text = promoted({"env/a.yaml": service()})["env/a.yaml"]
    assert f'  labels:\n    {KEY}: "2"\n' in text


@pytest.mark.parametrize("of", [OWN, NONE])
def test_a_new_service_has_the_label_or_none(of: Environment) -> None:
    files = promoted({"env/x.yaml": "kind: ConfigMap\n"}, of)
    assert ("labels:" in files["env/svc.yaml"]) is bool(of.label)
    layered = promoted({"env/kustomization.yaml": "resources: []\n"}, of)
    assert (f'    {KEY}: "2"\n' in layered["env/svc/model-version.yaml"]) is bool(of.label)


def test_without_a_label_the_uri_alone_is_written_and_compared() -> None:
    before = service("model-version: '1'")
    assert promoted({"env/a.yaml": before}, NONE)["env/a.yaml"] == before.replace("/v1/", "/v2/")
    assert manifests({"env/a.yaml": before}, NONE).committed("env", "svc") == OLD
    moved = before.replace("s3://b/svc/v1/", "s3://other/place")
    assert manifests({"env/a.yaml": moved}, NONE).committed("env", "svc") == ServiceSpec(
        "s3://other/place", ""
    )


@pytest.mark.parametrize(
    ("patch", "version"),
    [
        ("- {op: add, path: /metadata/labels/example.com~1model-version, value: '3'}\n", "3"),
        ("- {op: replace, path: /metadata/labels, value: {team: x}}\n", ""),
        (f"- {{op: replace, path: /metadata/labels, value: {{{KEY}: '4'}}}}\n", "4"),
        ("- {op: remove, path: /metadata/labels/example.com~1model-version}\n", ""),
        ("- {op: remove, path: /metadata/labels}\n", ""),
        ("- {op: add, path: /metadata/labels/model-version, value: '3'}\n", "1"),
        ("- {op: copy, from: /metadata/labels/team, path: /metadata/labels/x}\n", "1"),
    ],
)
def test_operations_on_the_label_are_followed(patch: str, version: str) -> None:
    spec = manifests(layered(patch, f"{KEY}: '1', team: a")).committed("env", "svc")
    assert spec is not None
    assert spec.version == version


def test_an_operation_that_moves_onto_the_label_is_refused() -> None:
    path = "/metadata/labels/example.com~1model-version"
    patch = f"- {{op: move, from: /metadata/labels/a, path: {path}}}\n"
    with pytest.raises(ManifestError, match="not supported"):
        manifests(layered(patch)).committed("env", "svc")
    usual = "- {op: copy, from: /metadata/labels/a, path: /metadata/labels/model-version}\n"
    assert manifests(layered(usual)).committed("env", "svc") is not None


def test_an_operation_for_the_label_is_added_with_its_escapes() -> None:
    patch = "- op: replace\n  path: /spec/predictor/model/storageUri\n  value: s3://b/svc/v1/\n"
    after = promoted(layered(patch))["env/p.yaml"]
    assert "  path: /metadata/labels/example.com~1model-version\n" in after
    assert promoted(layered(patch), NONE)["env/p.yaml"] == patch.replace("/v1/", "/v2/")


def test_a_patch_that_replaces_all_labels_is_where_the_version_goes() -> None:
    patch = "- op: replace\n  path: /metadata/labels\n  value:\n    team: x\n"
    after = promoted(layered(patch, f"{KEY}: '1'"))["env/p.yaml"]
    assert f'    {KEY}: "2"\n' in after


def test_a_label_for_all_resources_is_an_obstacle_if_it_is_the_version_s() -> None:
    patch = "metadata: {name: svc}\nkind: InferenceService\n"
    for key, is_refused in ((KEY, True), ("model-version", False), ("team", False)):
        files = layered(patch, kustomization=f"commonLabels: {{{key}: x}}\n")
        if is_refused:
            with pytest.raises(ManifestError, match="may set the URI or the version"):
                manifests(files).committed("env", "svc")
        else:
            assert manifests(files).committed("env", "svc") is not None
        assert manifests(files, NONE).committed("env", "svc") is not None
