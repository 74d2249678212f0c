"""Services whose URI a rule of the settings finds in another YAML file than a manifest."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlflow_gitops.errors import ManifestError
from mlflow_gitops.manifests import Manifests
from mlflow_gitops.state import Environment, Names, Predictor, Selector, ServiceSpec, ValueRule
from mlflow_gitops.value_path import Pick, filled, parse_path
from tests.support.memory_tree import MemoryTree
from tests.unit.manifests.helpers import PREDICTOR, SPEC, service

FILE = "charts/svc/values-env.yaml"
RULE = ValueRule("charts/{service}/values-{environment}.yaml", "model.storageUri")
VERSIONED = ValueRule(RULE.file, RULE.path, version_path="model.version")
Files = dict[str, str]


def manifests(files: Files, *rules: ValueRule, other: tuple[ValueRule, ...] = ()) -> Manifests:
    environments = {
        name: Environment(name, Selector("stage", name), f"apps/{name}", values=values)
        for name, values in (("env", rules or (RULE,)), ("other", other))
    }
    return Manifests(MemoryTree(files), environments, names=Names({"Model A": "svc"}))


def edit(text: str, *rules: ValueRule, spec: ServiceSpec = SPEC) -> str | None:
    changes = manifests({FILE: text}, *rules).set_service("env", "svc", spec, PREDICTOR)
    after = changes.get(FILE, text)
    assert after is not None
    again = manifests({FILE: after}, *rules)
    assert again.committed("env", "svc") == spec
    assert again.set_service("env", "svc", spec, PREDICTOR) == {}
    return after


def refused(files: Files, *rules: ValueRule, other: tuple[ValueRule, ...] = ()) -> str:
    with pytest.raises(ManifestError) as caught:
        manifests(files, *rules, other=other).set_service("env", "svc", SPEC, PREDICTOR)
    assert caught.value.hint
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("a", ("a",)),
        ("model.storageUri", ("model", "storageUri")),
        ("env[0].value", ("env", 0, "value")),
        ("env[name=URI].value", ("env", Pick("name", "URI"), "value")),
        ('env[name="a b"].value', ("env", Pick("name", "a b"), "value")),
        ('"a.b".c', ("a.b", "c")),
        ('a."b]"', ("a", "b]")),
        ("a[0][1].b", ("a", 0, 1, "b")),
    ],
)
def test_a_path_is_read(text: str, steps: tuple[object, ...]) -> None:
    assert parse_path(text) == steps


@pytest.mark.parametrize(
    "text",
    ["", ".", "a.", ".a", "a..b", "[0].a", "a[0]", "a[name=x]", "a[-1].b", "a[b].c", "a b", 'a"b"',
     'a."".b', "a[0", "a]", "a[=x].b", "a[1234567].b", "a=b"],
)  # fmt: skip
def test_a_path_that_is_none(text: str) -> None:
    with pytest.raises(ValueError, match=r"has|needs|cannot"):
        parse_path(text)


@pytest.mark.parametrize(
    ("folder", "version"), [("v3", "3"), ("v3-nest", "3"), ("v3-flat", "3-flat"), ("nest", "")]
)
def test_the_version_is_read_from_the_uri_without_its_layout(folder: str, version: str) -> None:
    uri = f"s3://models/svc/{folder}/"
    found = manifests({FILE: f"model:\n  storageUri: {uri}\n"}).committed("env", "svc")
    assert found == ServiceSpec(uri, version)


def test_a_version_that_is_laid_out_is_written_and_read_as_itself() -> None:
    laid_out = ServiceSpec("s3://models/svc/v4-nest/", "4")
    text = "model:\n  storageUri: s3://models/svc/v3-nest/\n"
    assert edit(text, spec=laid_out) == text.replace("v3", "v4")


def test_a_name_never_adds_a_step() -> None:
    assert filled(parse_path("a.{service}.b"), "{service}", "x.y[0]") == ("a", "x.y[0]", "b")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("model: {storageUri: 's3://old/'}\n", "model: {storageUri: 'NEW'}\n"),
        ("model:\r\n  storageUri: s3://a/ # why\r\n", "model:\r\n  storageUri: NEW # why\r\n"),
        ('\ufeff{"model": {"storageUri": "s3://a/"}}', '\ufeff{"model": {"storageUri": "NEW"}}'),
        ("model:\n  a: 1\nb: 2\n", "model:\n  a: 1\n  storageUri: NEW\nb: 2\n"),
        ("model:\nb: 2", "model:\n  storageUri: NEW\nb: 2"),
        ("model:\n  storageUri:\n", "model:\n  storageUri: NEW\n"),
        ("a: 1\n---\nmodel: {storageUri: s3://a/}\n", "a: 1\n---\nmodel: {storageUri: NEW}\n"),
    ],
    ids=["flow", "CRLF", "JSON", "last key", "empty mapping", "null", "second document"],
)  # fmt: skip
def test_only_the_value_changes(before: str, after: str) -> None:
    assert edit(before) == after.replace("NEW", SPEC.uri)


@pytest.mark.parametrize(
    ("old", "version", "new"),
    [
        ("12", "13", "13"),
        ("12 # seen", "13", "13 # seen"),
        ('"12"', "13", '"13"'),
        ("'12'", "13", "'13'"),
        ("12", "2.5.0", "2.5.0"),
        ("2.5.0", "13", '"13"'),
        ("12", "1.10", '"1.10"'),
        ("12", "007", '"007"'),
        ("12", "1234567", '"1234567"'),
        ("~", "13", '"13"'),
    ],
)
def test_a_version_stays_written_as_it_stands(old: str, version: str, new: str) -> None:
    spec = ServiceSpec(f"s3://prod-ml-models/svc/v{version}/", version)
    text = "model:\n  storageUri: {}\n  version: {}\n"
    assert edit(text.format("s3://a/", old), VERSIONED, spec=spec) == text.format(spec.uri, new)


def test_a_list_is_followed_by_place_and_by_name() -> None:
    text = "env:\n- name: X\n  value: x\n- name: URI\n  value: s3://old/ # here\n"
    for path in ("env[1].value", "env[name=URI].value"):
        rule = ValueRule(RULE.file, path)
        assert edit(text, rule) == text.replace("s3://old/", SPEC.uri)
        twice = refused({FILE: text + "- {name: URI, value: b}\n"}, rule) if "=" in path else ""
        assert "2 times" in twice or not twice


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("model: {storageUri: a}\n---\nmodel: {storageUri: b}\n", "storageUri` is in it 2 times"),
        ("a: 1\n", "add to it `model: {storageUri: s3://prod-ml-models/svc/v13/}`"),
        ("model: {storageUri: {a: b}}\n", "`model.storageUri` is a mapping, not a value"),
        ("x: &a {storageUri: s3://b/}\nmodel: *a\n", "is an alias"),
        ("x: &a s3://b/\nmodel: {storageUri: *a}\n", "is an alias"),
        ("x: &a {storageUri: s3://b/}\nmodel:\n  <<: *a\n", "comes in through a merge key"),
        ("model: {storageUri: a\n", "broken YAML at line 2"),
        ("model: {storageUri: a, storageUri: b}\n", "given twice"),
        ("", "add to it `model: {storageUri:"),
    ],
)  # fmt: skip
def test_what_cannot_be_written_safely_is_refused(text: str, says: str) -> None:
    assert says in refused({FILE: text})


def test_a_file_that_is_not_there_is_told_with_the_line_to_write() -> None:
    assert manifests({}).committed("env", "svc") is None
    assert "create it with `model: {storageUri: s3://prod-ml-models/svc/v13/}`" in refused({})
    assert '`model: {version: "13"}`' in refused(
        {FILE: "uri: s3://a/\n"}, ValueRule(RULE.file, "uri", version_path="model.version")
    )


def test_a_uri_without_a_place_for_its_version_is_served_all_the_same() -> None:
    rule = ValueRule(RULE.file, "uri", version_path="model.version")
    look = manifests({FILE: "uri: s3://b/v1/\n"}, rule)
    assert look.committed("env", "svc") == ServiceSpec("s3://b/v1/", "")
    with pytest.raises(ManifestError, match="cannot be retired"):
        look.remove_service("env", "svc")


def test_the_version_is_read_from_the_uri_where_no_path_is_given() -> None:
    for uri, version in {
        "s3://b/svc/v12/": "12",
        "s3://b/svc/v1.4.0": "1.4.0",
        "s3://b/svc/latest/": "",
        "s3://b/v1x/": "1x",
    }.items():
        found = manifests({FILE: f"model: {{storageUri: {uri}}}\n"}).committed("env", "svc")
        assert found == ServiceSpec(uri, version)


def test_an_empty_value_serves_nothing() -> None:
    for text in ("model:\n", "model: {storageUri: ''}\n", "model: {storageUri: }\n"):
        look = manifests({FILE: text})
        assert look.committed("env", "svc") is None
        assert look.remove_service("env", "svc") == {}


def test_a_rule_counts_instead_of_an_inference_service() -> None:
    files = {FILE: "model: {storageUri: s3://b/v1/}\n", "apps/env/svc.yaml": service()}
    look = manifests(files)
    assert look.services("env") == {"svc": ServiceSpec("s3://b/v1/", "1")}
    assert look.predictor("env", "svc") == Predictor("mlflow", "v2")
    assert list(look.set_service("env", "svc", SPEC, PREDICTOR)) == [FILE]


def test_the_first_rule_that_takes_the_model_counts() -> None:
    files = {"a/svc.yaml": "u: s3://b/v1/\n", "b/other.yaml": "u: s3://b/v2/\n"}
    first = ValueRule("a/{service}.yaml", "u", ("Model *",), model_format="sklearn", protocol="v1")
    look = manifests(files, first, ValueRule("b/{service}.yaml", "u"))
    assert look.services("env") == {
        "svc": ServiceSpec("s3://b/v1/", "1"),
        "other": ServiceSpec("s3://b/v2/", "2"),
    }
    assert look.predictor("env", "svc") == Predictor("sklearn", "v1")


@pytest.mark.parametrize(
    "rule",
    [
        ValueRule("all.yaml", "{service}.uri"),
        ValueRule("all.yaml", "list[name={service}].uri"),
        ValueRule("{model}/values.yaml", "uri"),
        ValueRule("one.yaml", "uri", ("Model A",)),
    ],
    ids=str,
)
def test_every_service_of_a_rule_is_listed(rule: ValueRule) -> None:
    files = {
        "all.yaml": "svc: {uri: s3://b/v1/}\nlist: [{name: svc, uri: s3://b/v1/}]\n",
        "Model A/values.yaml": "uri: s3://b/v1/\n",
        "one.yaml": "uri: s3://b/v1/\n",
    }
    assert manifests(files, rule).services("env") == {"svc": ServiceSpec("s3://b/v1/", "1")}


def test_a_service_that_a_rule_finds_is_not_retired() -> None:
    with pytest.raises(ManifestError, match="cannot be retired") as caught:
        manifests({FILE: "model: {storageUri: s3://a/}\n"}).remove_service("env", "svc")
    assert caught.value.where == f"{FILE}:1"
    assert "by hand" in caught.value.hint


def test_two_environments_never_share_a_value() -> None:
    files = {"all.yaml": "svc: {uri: s3://a/}\nenv: {svc: {uri: s3://b/}}\n"}
    here, there = ValueRule("all.yaml", "{service}.uri"), ValueRule("all.yaml", "env.{service}.uri")
    assert manifests(files, here, other=(there,)).set_service("env", "svc", SPEC, PREDICTOR)
    assert "env and other lead to the same value" in refused(files, here, other=(here,))


def test_a_file_that_another_environment_reads_is_not_edited() -> None:
    files = {"apps/other/values.yaml": "uri: s3://a/\n"}
    rule = ValueRule("apps/other/values.yaml", "uri", ("Model A",))
    assert "would change other too" in refused(files, rule)


def test_a_chart_as_the_folder_is_no_obstacle_to_a_rule() -> None:
    files = {"apps/env/Chart.yaml": "name: x\n", FILE: "model: {storageUri: s3://b/v1/}\n"}
    assert list(manifests(files).services("env")) == ["svc"]


def test_a_model_without_a_rule_has_an_inference_service() -> None:
    files = {"apps/env/a.yaml": service(name="other"), FILE: "model: {storageUri: s3://b/v1/}\n"}
    rule = ValueRule(RULE.file, RULE.path, ("Model A",))
    assert sorted(manifests(files, rule).services("env")) == ["other", "svc"]


TEXTS = st.sampled_from(["s3://old/v1/", "'s3://old/v1/'", '"s3://old/v1/"', "", "~"])
SPACE = st.sampled_from(["", " # a: 'comment' {", "   #", " "])
OTHERS = st.lists(
    st.sampled_from(["a: [1,   2]", "b: 'x # y'", "c: {d: e}  # f", "# g", "", 'h: "\\u263a"']),
    unique=True,
)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(TEXTS, SPACE, OTHERS, OTHERS, st.sampled_from(["\n", "\r\n"]), st.integers(1, 6))
def test_every_other_byte_stays(
    old: str, space: str, above: list[str], below: list[str], eol: str, indent: int
) -> None:
    pad = " " * indent
    rest = [pad + line if line else "" for line in above]
    more = [pad + line if line else "" for line in below if line not in above]
    head = eol.join(["# first", "model:", *rest, f"{pad}storageUri:{' ' if old else ''}"])
    tail = eol.join([space, *more, "last: x", ""])
    after = edit(head + old + tail)
    assert after is not None
    assert after.startswith(head)
    assert after.endswith(tail)
    assert after[len(head) : len(after) - len(tail)].strip(" '\"") == SPEC.uri
