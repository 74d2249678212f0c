"""Folders without a kustomization, as Argo CD's directory source and kubectl read them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mlflow_gitops.manifests import Manifests, ParseCache
from mlflow_gitops.manifests.catalog import Catalog
from mlflow_gitops.manifests.edit import set_values
from mlflow_gitops.manifests.graph import FolderRules
from mlflow_gitops.manifests.services import Resolver
from mlflow_gitops.state import ServiceSpec
from tests.support.memory_tree import MemoryTree
from tests.unit.manifests.helpers import PREDICTOR, SPEC, manifests, refused, service

CONFIG = "kind: ConfigMap\napiVersion: v1\nmetadata: {name: x}\n"
SERVICE: dict[str, Any] = {
    "apiVersion": "serving.kserve.io/v1beta1",
    "kind": "InferenceService",
    "metadata": {"name": "svc"},
    "spec": {"predictor": {"model": {"storageUri": "s3://old/"}}},
}


def promoted(files: dict[str, str]) -> dict[str, str | None]:
    found = manifests(files)
    changes = found.set_service("env", "svc", SPEC, PREDICTOR)
    assert found.edited(changes).committed("env", "svc") == SPEC
    return changes


@pytest.mark.parametrize("indent", [None, 2, "\t"], ids=repr)
@pytest.mark.parametrize(
    "metadata",
    [
        {"name": "svc"},
        {"name": "svc", "labels": {}},
        {"name": "svc", "labels": None},
        {"name": "svc", "labels": {"team": "risk"}},
        {"name": "svc", "labels": {"model-version": 12}},
        {"name": "svc", "labels": {"model-version": "12"}, "annotations": {"é": "s3:\\/\\/x"}},
    ],
    ids=json.dumps,
)
def test_a_json_manifest_is_edited_and_stays_json(
    metadata: dict[str, Any], indent: int | str | None
) -> None:
    before = json.dumps({**SERVICE, "metadata": metadata}, indent=indent, ensure_ascii=False)
    text = promoted({"env/svc.json": before})["env/svc.json"]
    assert text is not None
    after = json.loads(text)
    assert after["metadata"].pop("labels")["model-version"] == "13"
    assert after["spec"]["predictor"]["model"].pop("storageUri") == SPEC.uri
    kept = {name: value for name, value in metadata.items() if name != "labels"}
    assert after["metadata"] == kept
    assert [line for line in before.splitlines() if "modelFormat" in line] == []


def test_what_goes_into_json_takes_the_files_own_form() -> None:
    text = promoted({"env/svc.json": json.dumps(SERVICE, indent="\t") + "\n"})["env/svc.json"]
    assert text is not None
    assert '\t\t"name": "svc",\n\t\t"labels": {"model-version": "13"}\n\t},' in text
    text = promoted({"env/svc.json": json.dumps(SERVICE, separators=(",", ":"))})["env/svc.json"]
    assert text is not None
    assert '{"name":"svc", "labels": {"model-version": "13"}}' in text


def test_an_escaped_key_and_a_list_are_json_too() -> None:
    one = json.dumps(SERVICE).replace('"name"', r'"na\u006de"')
    assert promoted({"env/svc.json": one})
    items = {"apiVersion": "v1", "kind": "List", "items": [SERVICE]}
    text = promoted({"env/all.json": json.dumps(items)})["env/all.json"]
    assert text is not None
    assert json.loads(text)["items"][0]["metadata"]["labels"] == {"model-version": "13"}


def test_a_json_manifest_is_retired() -> None:
    found = manifests({"env/svc.json": json.dumps(SERVICE), "env/b.yaml": CONFIG})
    assert found.remove_service("env", "svc") == {"env/svc.json": None}


@pytest.mark.parametrize(
    "text",
    [
        json.dumps([SERVICE]),
        f"{json.dumps(SERVICE)}\n{json.dumps(SERVICE)}",
        service(),
        f"# a comment\n{json.dumps(SERVICE)}",
    ],
    ids=["array", "concatenated", "yaml", "comment"],
)
def test_a_json_file_that_argo_cd_does_not_read_is_refused(text: str) -> None:
    error = refused({"env/svc.json": text})
    assert "env/svc.json: the file is not one JSON object" in error
    assert "`kind: List`" in error


def test_other_json_files_stop_nothing() -> None:
    files = {
        "env/dashboard.json": '{"a": "\\/ & * \\u00e9 \\ud83d\\ude00",\t"b": ["x", 1.0e+5]}',
        "env/list.json": '[{"name": "InferenceService of others"}]',
        "env/broken.json": "{",
    }
    assert list(promoted(files)) == ["env/svc.yaml"]


@pytest.mark.parametrize(
    ("text", "may_make_it"),
    [
        ("{kind: 'InferenceService', metadata: {name: 's' + 'vc'}}", True),
        ("(import 'lib.libsonnet')", True),
        ("{kind: 'ConfigMap'}", False),
    ],
)
def test_jsonnet_may_make_a_service_that_no_file_shows(text: str, may_make_it: bool) -> None:
    files = {"env/all.jsonnet": text, "env/a.yaml": CONFIG}
    if may_make_it:
        assert "env/all.jsonnet: no file shows `svc`" in refused(files)
        assert promoted({**files, "env/svc.yaml": service()})
    else:
        assert list(promoted(files)) == ["env/svc.yaml"]


@pytest.mark.parametrize(
    "start",
    ["\ufeff", f"{CONFIG}---\n\ufeff", f"\ufeff{CONFIG}--- # two\r\n\n# x\n\ufeff", "---\n\ufeff"],
    ids=repr,
)
def test_byte_order_marks_of_documents_stay(start: str) -> None:
    before = start + service(label="") + f"---\n\ufeff{CONFIG}"
    text = promoted({"env/all.yaml": before})["env/all.yaml"]
    assert text is not None
    assert text.startswith(start)
    assert text.endswith(f"---\n\ufeff{CONFIG}")
    assert text.count("\ufeff") == before.count("\ufeff")
    assert '    model-version: "13"\n' in text


def test_marks_stay_where_values_hold_what_looks_like_a_document() -> None:
    before = 'a: "x\n  ---\n  \ufeff y"\n---\n\ufeffb: 1\n'
    assert set_values(before, 1, {("b",): "s3://x/"}, "a.yaml") == before.replace("1", "s3://x/")


def catalog(files: dict[str, str], cache: ParseCache | None = None) -> Catalog:
    return Catalog(MemoryTree(files), ParseCache() if cache is None else cache)


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        (FolderRules(), ["a", "b", "c", "d"]),
        (FolderRules(recurse=False), ["a", "b"]),
        (FolderRules(include="*.json"), ["b"]),
        (FolderRules(exclude=("archive/*",)), ["a", "b", "d"]),
        (FolderRules(exclude=("archive/*", "b.json")), ["a", "d"]),
        (FolderRules(exclude=("k/*",)), ["a", "b", "c"]),
        (FolderRules(recurse=False, include="{*.yaml,*.yml}"), ["a"]),
    ],
)
def test_the_folders_rules_say_what_is_read(rules: FolderRules, expected: list[str]) -> None:
    files = {
        "env/a.yaml": service(name="a"),
        "env/b.json": json.dumps({**SERVICE, "metadata": {"name": "b"}}),
        "env/archive/c.yml": service(name="c"),
        "env/k/kustomization.yaml": "resources: [d.yaml]",
        "env/k/d.yaml": service(name="d"),
    }
    cache = ParseCache()
    catalog(files, cache).index("env", "env")  # other rules, in the same cache
    found = catalog(files, cache)
    assert Resolver(found, found.index("env", "env", rules)).names() == expected


def test_capitals_are_another_ending() -> None:
    """Argo CD and kubectl do not read such a file, so it is not edited."""
    assert Manifests(
        MemoryTree({"env/SVC.YAML": service(), "env/B.yaml": service(name="b")}),
        manifests({})._environments,
    ).services("env") == {"b": ServiceSpec("s3://old/", "12")}
