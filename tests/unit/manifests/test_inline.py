"""Patches that stand in their kustomization, and services in a `kind: List`: edited in place."""

from __future__ import annotations

from textwrap import indent

import pytest

from mlflow_gitops.errors import ManifestError
from tests.unit.manifests.helpers import PREDICTOR, SPEC, manifests, service

TARGET = "  target: {kind: InferenceService, name: svc}\n"
JSON = '[{"op": "add", "path": "/spec/predictor/model/storageUri", "value": "%s"}]'
BASE = {
    "base/kustomization.yaml": "resources: [a.yaml]",
    "base/a.yaml": service("s3://base/", '"13"'),
}


def edited(kustomization: str) -> str:
    files = {**BASE, "env/kustomization.yaml": kustomization}
    changes = manifests(files).set_service("env", "svc", SPEC, PREDICTOR)
    assert changes.keys() == {"env/kustomization.yaml"}
    return changes["env/kustomization.yaml"] or ""


def block(text: str, spaces: int) -> str:
    return indent(text, " " * spaces)


@pytest.mark.parametrize(
    "form",
    [
        "resources: [../base]\npatches:\n- patch: |-\n{4}",
        "resources: [../base]\npatches:\n- patch: |-\n{4}\n",
        "resources: [../base]\npatches:\n  - patch: |\n{8}\n  # end\n",
        "resources: [../base]\npatches:\n  - patch: |+\n{8}\n\n\n",
        "resources: [../base]\npatches:\n- patch: |2 # why\n{4}\nnamespace: ml\n",
        "patches:\n- patch: |\n    # größer, 模型\n\n{4}\n\nresources: [../base]\n",
        "resources: [../base]\npatchesStrategicMerge:\n- |-\n{2}\n- |\n  kind: InferenceService\n"
        "  metadata: {name: other}\n",
        "resources: [../base]\npatches:\n- target: {name: svc}\n  patch: |-\n{4}\n",
    ],
)
@pytest.mark.parametrize("eol", ["\n", "\r\n"])
def test_a_block_scalar_keeps_all_but_the_value(form: str, eol: str) -> None:
    before = form
    for spaces in (2, 4, 8):
        text = block(service("s3://old/ # why", '"13"').rstrip("\n"), spaces)
        before = before.replace(f"{{{spaces}}}", text)
    before = before.replace("\n", eol)
    assert edited(before) == before.replace("s3://old/", SPEC.uri)


@pytest.mark.parametrize("eol", ["\n", "\r\n"])
@pytest.mark.parametrize("end", ["", "\n", "\n\n  # end\n", "\nnamespace: ml\n"])
@pytest.mark.parametrize("labels_last", [True, False])
def test_a_block_scalar_takes_more_lines(eol: str, end: str, labels_last: bool) -> None:
    head = "apiVersion: serving.kserve.io/v1beta1\nkind: InferenceService\n"
    name, label = "metadata:\n  name: svc\n", '  labels:\n    model-version: "13"\n'
    spec = "spec: {predictor: {model: {storageUri: %s}}}\n"
    before = spec % "s3://old/" + name if labels_last else name + spec % "s3://old/"
    after = spec % SPEC.uri + name + label if labels_last else name + label + spec % SPEC.uri
    form = "resources: [../base]\npatches:\n- patch: |-\n%s" + end
    old, new = (form % block(head + text.rstrip("\n"), 6) for text in (before, after))
    files = {**BASE, "base/a.yaml": service("s3://base/", "")}
    files["env/kustomization.yaml"] = old.replace("\n", eol)
    changes = manifests(files).set_service("env", "svc", SPEC, PREDICTOR)
    assert changes == {"env/kustomization.yaml": new.replace("\n", eol)}


@pytest.mark.parametrize("quote", ["'%s'", '"%s"'])
def test_a_patch_in_quotes_is_written_in_the_same_quotes(quote: str) -> None:
    written = quote % (JSON.replace('"', '\\"') if '"' in quote else JSON)
    before = f"resources: [../base]\npatches:\n- patch: {written} # why\n{TARGET}"
    assert edited(before % "s3://old/") == before % SPEC.uri


def test_the_two_values_may_stand_in_two_inline_patches() -> None:
    uri = "- op: replace\n  path: /spec/predictor/model/storageUri\n  value: %s\n"
    label = "- op: replace\n  path: /metadata/labels/model-version\n  value: '%s'\n"
    form = (
        f"resources: [../base]\npatches:\n- patch: |-\n{block(uri, 4)}{TARGET}"
        f"- patch: |-\n{block(label, 4)}{TARGET}"
    )
    assert edited(form % ("s3://old/", "12")) == form % (SPEC.uri, "13")


def test_an_inline_patch_that_two_environments_read_is_overridden() -> None:
    patch = block(service("s3://old/", '"13"'), 4)
    files = {
        **BASE,
        "shared/kustomization.yaml": f"resources: [../base]\npatches:\n- patch: |-\n{patch}",
        "prod/kustomization.yaml": "resources: [../shared]\n",
        "staging/kustomization.yaml": "resources: [../shared]\n",
    }
    changes = manifests(files, "prod", "staging").set_service("prod", "svc", SPEC, PREDICTOR)
    assert changes.keys() == {"prod/kustomization.yaml", "prod/svc/model-version.yaml"}


def test_a_service_that_leaves_takes_its_inline_patch_along() -> None:
    other = block(service("", "", name="other"), 4)
    listed = "resources: [svc.yaml, other.yaml]\npatches:\n"
    files = {
        "env/svc.yaml": service(),
        "env/other.yaml": service(name="other"),
        "env/kustomization.yaml": f"{listed}- patch: |-\n{block(service(), 4)}- patch: |-\n{other}",
    }
    changes = manifests(files).remove_service("env", "svc")
    assert changes == {
        "env/svc.yaml": None,
        "env/kustomization.yaml": f"resources: [other.yaml]\npatches:\n- patch: |-\n{other}",
    }
    both = block(f"{service()}---\n{service(name='other')}", 4)
    files["env/kustomization.yaml"] = f"{listed}- patch: |-\n{both}"
    with pytest.raises(ManifestError, match="it patches `svc` and others"):
        manifests(files).remove_service("env", "svc")


def test_an_inline_patch_can_delete_a_service() -> None:
    text = service() + "$patch: delete\n"
    kustomization = f"resources: [../base]\npatches:\n- patch: |-\n{block(text, 4)}"
    found = manifests({**BASE, "env/kustomization.yaml": kustomization})
    assert found.committed("env", "svc") is None


LIST = "apiVersion: v1\nkind: List # of all\nitems:\n- {kind: ConfigMap}\n-%s- kind: Service\n"


def test_a_service_in_a_list_is_read_and_written() -> None:
    found = manifests({"env/a.yaml": LIST % block(service(), 2)[1:]})
    assert found.services("env").keys() == {"svc"}
    assert found.set_service("env", "svc", SPEC, PREDICTOR) == {
        "env/a.yaml": LIST % block(service(SPEC.uri, '"13"'), 2)[1:]
    }


def test_a_list_is_not_taken_apart_when_a_service_leaves() -> None:
    found = manifests({"env/a.yaml": LIST % block(service(), 2)[1:]})
    with pytest.raises(ManifestError, match="inside a `kind: List`"):
        found.remove_service("env", "svc")


@pytest.mark.parametrize(
    "text",
    [
        "kind: List\nx: &s\n%s\nitems: [*s]\n",
        "kind: List\nitems: &i\n-%s\nx: *i\n",
    ],
)
def test_a_list_of_aliases_is_refused(text: str) -> None:
    found = manifests({"env/a.yaml": text % block(service(), 2)[1 if "-%s" in text else 0 :]})
    with pytest.raises(ManifestError, match="an item of a list is an alias"):
        found.set_service("env", "svc", SPEC, PREDICTOR)
