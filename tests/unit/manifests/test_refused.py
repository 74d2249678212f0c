"""What cannot be edited safely is refused, with the file and the next step; nothing is changed."""

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

HEAD = "apiVersion: serving.kserve.io/v1beta1\nkind: InferenceService\nmetadata: {name: svc}\n"
KUSTOMIZED = {
    "base/kustomization.yaml": "resources: [a.yaml]",
    "base/a.yaml": service("", ""),
}


def kustomized(text: str, **more: str) -> dict[str, str]:
    extra = {name.replace("__", "/").replace("_yaml", ".yaml"): each for name, each in more.items()}
    return {**KUSTOMIZED, "env/kustomization.yaml": text, **extra}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (service() + "  a: [\n", "broken YAML at line 12, column 1"),
        (service() + "\tx: 1\n", "broken YAML at line 11, column 1"),
        (service() + "kind: InferenceService\n", "the key `kind` is given twice, again at line 11"),
        (service(more="      storageUri: s3://b/\n"), "the key `storageUri` is given twice"),
        (service() + "x:\n  a: 1\n  a: 2\n", "the key `a` is given twice, again at line 13"),
        (service(more="    sklearn: {}\n"), "spec.predictor.model and spec.predictor.sklearn"),
        (service("&u s3://old/") + "x: *u\n", "an anchor that is used elsewhere"),
        (service("s3://old/", "&v '12'") + "x: *v\n", "an anchor that is used elsewhere"),
        ("x: &u s3://old/\n" + service("*u"), "is an alias"),
        (
            HEAD + "x: &m {storageUri: s3://old/}\nspec: {predictor: {model: {<<: *m}}}\n",
            "comes in through a merge key",
        ),
        (
            HEAD + "spec: {predictor: &p {model: {storageUri: s3://old/}}}\nx: *p\n",
            "an anchor that is used elsewhere",
        ),
        (service("!secret s3://old/"), "has the tag"),
        (service("[s3://old/]"), "is no text"),
        (HEAD + "spec: {predictor: {model: {storage: {key: k, path: p}}}}", "model.storage"),
        (HEAD + "spec: {predictor: {storageUris: [{uri: s3://a/}]}}", "storageUris"),
        (
            HEAD + "spec: {predictor: {containers: [{env: [{name: STORAGE_URI, value: a}]}]}}",
            "`spec.predictor.containers[0].env[0].value` is `a`, which is not a model URI",
        ),
        (HEAD + "spec: {predictor: {containers: [{name: x}]}}", "a custom container"),
        (service() + "    canaryTrafficPercent: 10\n", "traffic split"),
        (HEAD + "spec: {predictor: {model: null}}\n---\n" + service(), "in the file twice"),
    ],
)
def test_a_file_that_is_refused(text: str, message: str) -> None:
    error = refused({"env/a.yaml": text})
    assert message in error
    assert "env/a.yaml" in error


def test_two_services_of_one_name_are_told_with_both_files() -> None:
    error = refused({"env/a.yaml": service(), "env/deep/b.yml": service()})
    assert "`svc` is in env/a.yaml and in env/deep/b.yml" in error


def test_a_base_that_is_reached_twice_is_told_with_both_ways() -> None:
    files = {
        "base/kustomization.yaml": "resources: [a.yaml]",
        "base/a.yaml": service(),
        "env/kustomization.yaml": "resources: [one, two]",
        "env/one/kustomization.yaml": "resources: [../../base]",
        "env/two/kustomization.yaml": "resources: [../../base]",
    }
    assert "through env/one/kustomization.yaml and env/two/kustomization.yaml" in refused(files)


OPERATIONS = "- op: replace\n  path: %s\n  value: s3://x/\n"
MOVE = "- op: %s\n  from: %s\n  path: %s\n"
TARGET = "patches:\n- path: p.yaml\n  target: {kind: InferenceService, name: svc}\n"


@pytest.mark.parametrize(
    ("kustomization", "patch", "message"),
    [
        (TARGET, OPERATIONS % "/metadata/labels", "`value` is no mapping"),
        (TARGET, OPERATIONS % "/metadata/name", "`replace` on `/metadata/name`"),
        (TARGET, OPERATIONS % "/spec/canary/0/trafficPercent", "/spec/canary/0/trafficPercent"),
        (TARGET, OPERATIONS % "/spec/predictor/model/storage/path", "model.storage"),
        (TARGET, OPERATIONS % "/spec/predictor/storageUris/-", "storageUris"),
        (TARGET, MOVE % ("move", "/metadata/labels", "/metadata/annotations"), "`move`"),
        (TARGET, MOVE % ("move", "/metadata/labels/a", "/metadata/labels/model-version"), "`move`"),
        (TARGET, MOVE % ("copy", "/x", "/spec/predictor/model/storageUri"), "`copy`"),
        (TARGET, OPERATIONS.replace("replace", "test") % "/metadata/labels/model-version", "tests"),
        (
            TARGET,
            OPERATIONS.replace("path", "value: {storageUri: x}\n  path").replace(
                "  value: s3://x/\n", ""
            )
            % "/spec/predictor/sklearn",
            "spec.predictor.model and spec.predictor.sklearn",
        ),
        (
            TARGET,
            '[{"op": "add", "path": "/metadata/labels", "value": {},}]',
            "it would be no JSON",
        ),
        ("patches:\n- patch: '['\n  target: {name: svc}", "", "patches[0]: broken YAML"),
        (
            "patches:\n- patch: >-\n    " + service().replace("\n", "\n\n    "),
            "",
            "an inline patch cannot be changed safely",
        ),
        (
            "patches:\n- patch: &p |\n    "
            + service().replace("\n", "\n    ")
            + "\n- {patch: *p, target: {name: a}}",
            "",
            "it is an alias, or has an anchor",
        ),
        (
            "patchesJson6902:\n- path: p.yaml\n  target: {kind: InferenceService, name: s.*}\n",
            OPERATIONS % "/spec/predictor/model/storageUri",
            "kustomize applies it after every other patch",
        ),
        (
            "patches:\n- path: p.yaml\n  target: {labelSelector: a=b}\n",
            service(),
            "a patch with a selector",
        ),
        (
            "patches: [{path: p.yaml}]",
            service(key="sklearn"),
            "spec.predictor.model and spec.predictor.sklearn",
        ),
        ("patches: [{path: p.yaml}]", "[", "broken YAML"),
        ("patches: [{path: gone.yaml}]", "", "gone.yaml: it is not there"),
        ("patches: [{path: p.yaml}]", HEAD + "$patch: delete\n", "a patch deletes `svc`"),
        (
            "patches: [{path: p.yaml}]",
            HEAD + "spec: {predictor: {$patch: replace, model: {}}}",
            "a `$patch` directive",
        ),
        ("labels: [{pairs: {model-version: '1'}}]", "", "a `model-version` label for all"),
        (
            "replacements: [{targets: [{fieldPaths: [spec.predictor.model.storageUri]}]}]",
            "",
            "`replacements`",
        ),
        ("replacements: [{path: r.yaml}]", "- targets: [{fieldPaths: [storageUri]}]", "r.yaml"),
    ],
)
def test_a_kustomization_that_is_refused(kustomization: str, patch: str, message: str) -> None:
    files = kustomized(f"resources: [../base]\n{kustomization}", env__p_yaml=patch)
    if "r.yaml" in kustomization:
        files["env/r.yaml"] = patch
    assert message in refused(files)


@pytest.mark.parametrize(
    ("kustomization", "message"),
    [
        ("helmCharts: [{name: x}]", "`helmCharts` may render it"),
        ("resources: [gone]", "lists `gone`, which is not there"),
        ("resources: [../../outside]", "lists `../../outside`"),
        ("resources: [../env]", "includes itself"),
        ("resources: [", "broken YAML"),
        ("- a", "not a kustomization"),
        ("resources: {a: b}", "`resources` is no list"),
    ],
)
def test_a_service_that_is_not_seen_may_be_hidden(kustomization: str, message: str) -> None:
    assert message in refused({"env/kustomization.yaml": kustomization})


def test_what_is_broken_elsewhere_stops_nobody_who_is_seen() -> None:
    files = kustomized("resources: [../base, gone, broken]", env__broken__kustomization_yaml="[")
    files["base/a.yaml"] = service()
    found = manifests(files)
    assert found.committed("env", "svc") == ServiceSpec("s3://old/", "12")
    assert len(found.problems("env")) == 2
    assert list(found.services("env")) == ["svc"]


def test_a_broken_file_that_does_not_name_the_service_stops_nobody() -> None:
    files = {"env/a.yaml": service(), "env/b.yaml": "kind: InferenceService\nx: >\n a\n{{ .x }}: ["}
    found = manifests(files)
    assert found.committed("env", "svc") is not None
    assert found.committed("env", "other") is None
    assert [error.where for error in found.problems("env")] == ["env/b.yaml"]


def test_a_helm_chart_is_refused() -> None:
    assert "Helm chart" in refused({"env/Chart.yaml": "name: x", "env/a.yaml": service()})


def test_a_remote_base_is_refused() -> None:
    files = {
        "env/kustomization.yaml": "resources: ['https://git.example.com/x?ref=1']\n"
        "patches: [{path: p.yaml}]",
        "env/p.yaml": service(),
    }
    assert "another repository (https://git.example.com/x)" in refused(files)


@pytest.mark.parametrize(
    "name", ["Fraud", "fraud_detector", "1st", "a" * 64, "-a", "a-", "", "a.b", "a\nb", "../x", "é"]
)
def test_a_name_that_is_no_service_name_is_told_with_the_line_to_add(name: str) -> None:
    error = refused({"env/a.yaml": service()}, name=name)
    assert "services: {" in error
    assert "\n  next:" in error


@pytest.mark.parametrize(
    "spec",
    [
        ("", "1"),
        ("s3://a/", ""),
        ("s3://a/\nb: c", "1"),
        ("s3://a/", "1\t"),
        ("s3://a/", "1+2"),
        ("s3://a/", "-1"),
        ("s3://a/", "1" * 64),
        ("s3://a/ ", "1"),
    ],
)
def test_values_that_are_no_line_of_text_are_refused(spec: tuple[str, str]) -> None:
    found = manifests({"env/a.yaml": service()})
    with pytest.raises(ManifestError, match="cannot be"):
        found.set_service("env", "svc", ServiceSpec(*spec), PREDICTOR)


def test_a_file_that_is_no_text_is_refused() -> None:
    tree = MemoryTree({"env/kustomization.yaml": "resources: [a.yaml]", "env/a.yaml": b"\xff"})
    found = Manifests(tree, {"env": environment("env")})
    with pytest.raises(ManifestError, match="no UTF-8 text"):
        found.set_service("env", "svc", SPEC, PREDICTOR)


@pytest.mark.parametrize(
    "text",
    [
        "a: " + "[" * 100_000,
        "- " * 50_000,
        "a: " + "{a: " * 5_000 + "}" * 5_000,
        "\n".join(" " * depth + "a:" for depth in range(3_000)),
    ],
)
def test_nesting_without_end_is_an_error_not_a_crash(text: str) -> None:
    error = refused({"env/a.yaml": service() + "---\n# svc\n" + text})
    assert "nested deeper" in error or "broken YAML" in error


def unfolding(form: str) -> str:
    """Forty levels, each of nine aliases of the one before."""
    lines = ["x0: &x0 {a: a}"]
    lines += [form.format(n=n, more=", ".join([f"*x{n - 1}"] * 9)) for n in range(1, 40)]
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("bomb", "says"),
    [
        (unfolding("x{n}: &x{n} [{more}]"), "more than 300000 values, aliases written out"),
        (unfolding("x{n}: &x{n} {{<<: [{more}]}}"), "more than 300000 values"),
        ("x: &x [*x]", "or without end"),
        ("x: &x {<<: *x}", "or without end"),
        ("x: &x {a: {b: [*x]}}", "or without end"),
        (
            "x0: &x0 {a: a}\n"
            + "\n".join(f"x{n}: &x{n} {{<<: *x{n - 1}}}" for n in range(1, 5000)),
            "nested deeper than 100 levels",
        ),
        ("a: [" + "x," * 400_000 + "]", "more than 300000 values"),
        ("".join(f"%TAG !a{n}! x\n" for n in range(50_000)) + "---", "YAML directives"),
        ("a: \0", "broken YAML"),
    ],
)
def test_what_grows_without_end_is_one_clear_error(bomb: str, says: str) -> None:
    assert says in refused({"env/a.yaml": f"{bomb}\n{service()}  canary: {{}}\n"})


def test_plain_aliases_are_read() -> None:
    text = f"x: &x {{a: [b]}}\ny: [*x, *x]\nz: {{<<: *x}}\n{service()}"
    changes = manifests({"env/a.yaml": text}).set_service("env", "svc", SPEC, PREDICTOR)
    assert SPEC.uri in (changes["env/a.yaml"] or "")
