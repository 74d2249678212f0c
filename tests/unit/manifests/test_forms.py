"""Each way to write a value, and what it becomes: nothing else in the file moves."""

from __future__ import annotations

import pytest
import yaml
from ruamel.yaml import YAML

from mlflow_gitops.manifests.scalars import plain_or_quoted, quoted, single_quoted
from mlflow_gitops.state import ServiceSpec
from tests.unit.manifests.helpers import PREDICTOR, SPEC, edit, manifests, service

NEW = SPEC.uri


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("s3://old/", NEW),
        ("s3://old/   # why", f"{NEW}   # why"),
        ("'s3://old/'", f"'{NEW}'"),
        ('"s3://old/"', f'"{NEW}"'),
        ('"s3:\\/\\/old\\u002f"', f'"{NEW}"'),
        ("&uri s3://old/", f"&uri {NEW}"),
        ("!!str s3://old/", f"!!str {NEW}"),
        ("# below\n        s3://old/", f"# below\n        {NEW}"),
        ("|-\n        s3://old/", f"|-\n        {NEW}"),
        ("|\n        s3://old/", f"|-\n        {NEW}"),
        (">+  # folded\n        s3://old/\n\n", f">-  # folded\n        {NEW}\n\n"),
        (">2-\n        s3://old/  ", f">2-\n        {NEW}"),
        ("s3://ol\n        d/", NEW),
        ("", f" {NEW}"),
        ("~", NEW),
        ("null # none", f"{NEW} # none"),
    ],
)
@pytest.mark.parametrize("eol", ["\n", "\r\n"])
def test_forms_of_the_uri(before: str, after: str, eol: str) -> None:
    text = service("URI", more="      runtime: r\n# end")
    old = text.replace("URI", before) if before else text.replace(" URI", before)
    new = text.replace("URI", after) if before else text.replace(" URI", after)
    wanted = new.replace('"12"', '"13"').replace("\n", eol)
    assert edit(old.replace("\n", eol)) == wanted


@pytest.mark.parametrize(
    ("before", "version", "after"),
    [
        ('"12"', "13", '"13"'),
        ("'12'", "13", "'13'"),
        ("12", "13", '"13"'),
        ("v12", "v13", "v13"),
        ("2.4.0", "2.4.1", "2.4.1"),
        ("v12", "1e3", '"1e3"'),
        ("v12", "1.0", '"1.0"'),
        ("v12", "true", '"true"'),
        ("v12", "No", '"No"'),
        ("v12", "null", '"null"'),
        ("v12", "2026-01-01", '"2026-01-01"'),
        ("v12", "0x1F", '"0x1F"'),
        ("v12", "1_000", '"1_000"'),
        ("12", "12", '"12"'),
        ("~", "13", '"13"'),
        ("&v 12", "13", '&v "13"'),
    ],
)
def test_forms_of_the_label(before: str, version: str, after: str) -> None:
    text = edit(service("s3://old/", before), ServiceSpec(NEW, version))
    assert text == service(NEW, after)


VALUES = (
    "it's",
    "a: b",
    "a #b",
    "- a",
    "",
    " a ",
    "{a}",
    "é",
    "\x07",
    "\u2028",
    "[",
    "1e3",
    "yes",
    "s3://b/",
)


@pytest.mark.parametrize("value", VALUES)
def test_every_text_reads_back_as_it_was(value: str) -> None:
    for written in (plain_or_quoted(value), quoted(value), single_quoted(value)):
        assert yaml.safe_load(f"a: {written}") == {"a": value}
        assert yaml.safe_load(f"[{{a: {written}}}]") == [{"a": value}]
        assert YAML(typ="safe", pure=True).load(f"a: {written}") == {"a": value}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("  name: svc\n", '  name: svc\n  labels:\n    model-version: "13"\n'),
        ("  name: svc\n  labels:\n", '  name: svc\n  labels:\n    model-version: "13"\n'),
        (
            "  labels: # none\n  name: svc\n",
            '  labels: # none\n    model-version: "13"\n  name: svc\n',
        ),
        ("  name: svc\n  labels: {}\n", '  name: svc\n  labels: {model-version: "13"}\n'),
        ("  name: svc\n  labels: ~\n", '  name: svc\n  labels: {model-version: "13"}\n'),
        ("  name: svc\n  labels: {a: b}\n", '  name: svc\n  labels: {a: b, model-version: "13"}\n'),
        (
            "  name: svc\n  labels: {a: b,}\n",
            '  name: svc\n  labels: {a: b, model-version: "13",}\n',
        ),
        (
            '  "name": svc\n  labels:\n      a: b # c\n\n',
            '  "name": svc\n  labels:\n      a: b # c\n      model-version: "13"\n\n',
        ),
        (
            "  name: svc\n  labels:\n    a: |\n      x\n\n  annotations: {}\n",
            "  name: svc\n  labels:\n    a: |\n      x\n"
            '    model-version: "13"\n\n  annotations: {}\n',
        ),
        (
            "  name: svc\n  labels:\n    a: &a b\n    c: *a\n",
            '  name: svc\n  labels:\n    a: &a b\n    c: *a\n    model-version: "13"\n',
        ),
        ("  {name: svc}\n", '  {name: svc, labels: {model-version: "13"}}\n'),
        ("  {\n    name: svc\n  }\n", '  {\n    name: svc, labels: {model-version: "13"}\n  }\n'),
    ],
)
@pytest.mark.parametrize("eol", ["\n", "\r\n"])
def test_a_missing_label_is_inserted(before: str, after: str, eol: str) -> None:
    frame = (
        "kind: InferenceService\nmetadata:\n%sapiVersion: serving.kserve.io/v1beta1\nspec:\n"
        "  predictor:\n    model:\n      storageUri: s3://prod-ml-models/svc/v13/\n"
    )
    assert edit((frame % before).replace("\n", eol)) == (frame % after).replace("\n", eol)


@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("end", ["", "\n", "\n\n", "\n...\n", "\n---\n", "\n# end"])
def test_ends_of_the_file_stay(end: str, mark: str) -> None:
    before, after = service(label=""), service(NEW, label='"13"')
    assert edit(mark + before.rstrip("\n") + end) == mark + after.rstrip("\n") + end


def test_a_label_after_the_last_line_without_a_break() -> None:
    spec_first = (
        "apiVersion: serving.kserve.io/v1beta1\nkind: InferenceService\n"
        f"spec: {{predictor: {{model: {{storageUri: '{NEW}'}}}}}}\nmetadata:\n  name: svc"
    )
    assert edit(spec_first) == f'{spec_first}\n  labels:\n    model-version: "13"'


def test_a_patch_without_the_uri_gets_it() -> None:
    files = {
        "base/kustomization.yaml": "resources: [a.yaml]",
        "base/a.yaml": service("s3://old/", "", key="sklearn"),
        "env/kustomization.yaml": "resources: [../base]\npatches:\n- path: p.yaml\n",
        "env/p.yaml": "apiVersion: serving.kserve.io/v1beta1\nkind: InferenceService\n"
        "metadata: {name: svc}\nspec:\n    predictor:\n        minReplicas: 3 # three\n",
    }
    changes = manifests(files).set_service("env", "svc", SPEC, PREDICTOR)
    assert changes == {
        "env/p.yaml": "apiVersion: serving.kserve.io/v1beta1\nkind: InferenceService\n"
        'metadata: {name: svc, labels: {model-version: "13"}}\nspec:\n    predictor:\n'
        f"        minReplicas: 3 # three\n        sklearn:\n            storageUri: {NEW}\n"
    }


def test_a_rollout_is_read_as_one_canonical_text() -> None:
    canary = "  canary:\n  - {trafficPercent: 10, predictor: {name: next}}\n"
    text = service() + "    canaryTrafficPercent: 20\n" + canary
    found = manifests({"env/a.yaml": text}).committed("env", "svc")
    assert found is not None
    assert found.rollout == (
        '{"canary":[{"predictor":{"name":"next"},"trafficPercent":10}],"canaryTrafficPercent":20}'
    )
    assert manifests({"env/a.yaml": service() + "  canary: []\n"}).committed("env", "svc") == (
        ServiceSpec("s3://old/", "12")
    )


def test_what_is_not_set_is_empty() -> None:
    assert manifests({"env/a.yaml": service("", "")}).committed("env", "svc") == ServiceSpec("", "")
    assert manifests({"env/a.yaml": service("", "")}).committed("env", "other") is None
    assert manifests({"README.md": "nothing"}).committed("env", "svc") is None
