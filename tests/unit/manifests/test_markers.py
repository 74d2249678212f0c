"""Marker comments, and holds by hand: comments that are meant for this tool."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlflow_gitops.errors import ManifestError
from mlflow_gitops.manifests import Manifests, ParseCache
from mlflow_gitops.manifests.notes import read_notes
from mlflow_gitops.state import (
    Environment,
    Hold,
    Names,
    Predictor,
    Selector,
    ServiceSpec,
    ValueRule,
)
from tests.support.memory_tree import MemoryTree
from tests.unit.manifests.helpers import PREDICTOR, SPEC, service

URI = '# {"$mlflow": "svc:env"}'
VERSION = '# {"$mlflow": "svc:env:version"}'
MARKED = f"serving:\n  uri: s3://b/v1/ {URI}\n"
Files = dict[str, str | bytes]


def manifests(
    files: Files, *, cache: ParseCache | None = None, rules: tuple[ValueRule, ...] = ()
) -> Manifests:
    environments = {
        "env": Environment("env", Selector("stage", "Staging"), "env", values=rules),
        "other": Environment("other", Selector("stage", "Production"), "other"),
    }
    services = {"Model: A".replace(":", ""): "mapped"}
    return Manifests(MemoryTree(files), environments, cache, Names(services))


def refused(files: Files, name: str = "svc", **how: tuple[ValueRule, ...]) -> str:
    with pytest.raises(ManifestError) as caught:
        manifests(files, rules=how.get("rules", ())).committed("env", name)
    assert caught.value.hint
    return str(caught.value)


def told(files: Files) -> list[str]:
    return [str(problem) for problem in manifests(files).problems("env")]


@pytest.mark.parametrize(
    "text",
    [
        MARKED,
        MARKED.replace("\n", "\r\n"),
        f"uri: 's3://b/v1/'   {URI}",
        f"uri: {URI}\n",
        f'"uri": "s3://b/v1/" {URI}\n',
        f"a: {{uri: s3://b/v1/}} {URI}\n",
        f"a:\n- uri: s3://b/#x  {URI}\n",
        f"\ufeffuri: s3://b/v1/ {URI}\n",
        f"a: 1\n---\nuri: s3://b/v1/ {URI}\n",
        f"uri: s3://b/v1/ {URI} # mlflow-gitops: hold it\n",
        f"uri: s3://b/v1/ {URI.replace(' ', '')}\n",
    ],
    ids=["block", "CRLF", "quotes", "empty", "JSON keys", "flow", "item", "mark", "second", "held",
         "no spaces"],
)  # fmt: skip
def test_only_the_marked_value_changes(text: str) -> None:
    changes = manifests({"env/a.yaml": text}).set_service("env", "svc", SPEC, PREDICTOR)
    after = changes["env/a.yaml"]
    assert after is not None
    assert after.count(SPEC.uri) == 1
    head, _, tail = after.partition(SPEC.uri)
    assert text.startswith(head.rstrip(" "))
    assert text.endswith(tail)
    again = manifests({"env/a.yaml": after})
    assert again.committed("env", "svc") == SPEC
    assert again.set_service("env", "svc", SPEC, PREDICTOR) == {}
    assert list(again.services("env")) == ["svc"]


def test_the_version_is_written_where_it_is_marked() -> None:
    text = f"{MARKED}  version: 1 {VERSION}\n"
    look = manifests({"env/a.yml": text})
    assert look.committed("env", "svc") == ServiceSpec("s3://b/v1/", "1")
    after = look.set_service("env", "svc", SPEC, PREDICTOR)["env/a.yml"]
    assert after == text.replace("s3://b/v1/", SPEC.uri).replace("version: 1 ", "version: 13 ")


def test_a_marked_model_may_have_any_name() -> None:
    text = (
        'uri: s3://b/v1/ # {"$mlflow": "Model A:env"}\nu: s3://a/ # {"$mlflow": "\\u00e9 #:env"}\n'
    )
    assert list(manifests({"env/a.yaml": text}).services("env")) == ["mapped", "é #"]


def test_what_is_marked_in_an_inference_service_is_served_as_it_says() -> None:
    text = service("s3://b/v1/", name="generated", more="      protocolVersion: v1\n")
    text = text.replace("s3://b/v1/", f"s3://b/v1/ {URI}")
    assert manifests({"env/a.yaml": MARKED}).predictor("env", "svc") == Predictor("mlflow", "v2")
    found = manifests({"env/a.yaml": text}).predictor("env", "svc")
    assert found is not None
    assert found.protocol == "v1"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (f"{MARKED}  more: s3://b/v2/ {URI}\n", "URI of `svc` is marked twice, at env/a.yaml:2"),
        (f"{MARKED}v: 1 {VERSION}\nw: 1 {VERSION}\n", "the version of `svc` is marked twice"),
        ('u: a # {"$mlflow": "svc:prod"}\n', "env/a.yaml:1: it marks `svc` for `prod`, which"),
        ('u: a # {"$mlflow": "svc:other"}\n', "whose folder is other"),
        ('u: a # {"$mlflow": "svc:env}\n', "cannot be read"),
        ('u: a # {$mlflow: "svc:env"}\n', "cannot be read"),
        ('u: a # {"$mlflow": ["svc:env"]}\n', "cannot be read"),
        ('u: a # {"$mlflow": "svc"}\n', "cannot be read"),
        ('u: a # {"$mlflow": "svc:env:uri"}\n', "cannot be read"),
        ('u: a # {"$mlflow": "svc:env", "x": 1}\n', "cannot be read"),
        ('u: a # {"$mlflow": "svc:env"} here\n', "cannot be read"),
        (f"u: {{a: b, c: d}} {URI}\n", "stands on the line of several values"),
        (f"{URI}\nu: a\n", "stands on the line of no value"),
        (f"u: {URI}\n  v: a\n", "stands on the line of no value"),
        (f"u:\n- a {URI}\n", "stands on an item of a list"),
        (f"{MARKED}  broken: [\n", "cannot be read: broken YAML"),
    ],
)  # fmt: skip
def test_a_marker_that_marks_nothing_is_told(text: str, says: str) -> None:
    files: Files = {"env/a.yaml": text}
    assert says in refused(files)
    assert any(says in problem for problem in told(files)), told(files)


def test_a_broken_marker_stops_no_other_service() -> None:
    files: Files = {"env/a.yaml": 'u: a # {"$mlflow": "x"}\n', "env/b.yaml": service()}
    look = manifests(files)
    assert look.committed("env", "svc") == ServiceSpec("s3://old/", "12")
    assert look.committed("other", "new") is None
    assert "cannot be read" in refused(files, "new")


def test_a_version_alone_is_told() -> None:
    assert "its URI is not" in told({"env/a.yaml": f"v: 1 {VERSION}\n"})[0]
    apart: Files = {"env/a.yaml": MARKED, "env/b.yaml": f"v: 1 {VERSION}\n"}
    assert "marked in another file than its URI" in refused(apart)


def test_a_marker_on_the_inference_service_itself_is_consistent() -> None:
    text = service(f"s3://b/v1/ {URI}", f'"1" {VERSION}')
    look = manifests({"env/a.yaml": text})
    assert look.problems("env") == ()
    assert look.services("env") == {"svc": ServiceSpec("s3://b/v1/", "1")}
    assert look.set_service("env", "svc", SPEC, PREDICTOR)["env/a.yaml"] == text.replace(
        "s3://b/v1/", SPEC.uri
    ).replace('"1"', '"13"')
    assert look.remove_service("env", "svc") == {"env/a.yaml": None}


def test_a_service_that_is_found_both_ways_names_both() -> None:
    says = refused({"env/a.yaml": MARKED, "env/b.yaml": service()})
    assert "env/a.yaml:2" in says
    assert "env/b.yaml" in says
    rule = ValueRule("v/{service}.yaml", "uri")
    by_rule: Files = {"env/a.yaml": MARKED, "v/svc.yaml": "uri: a\n"}
    says = refused(by_rule, rules=(rule,))
    assert "env/a.yaml:2" in says
    assert "v/svc.yaml" in says
    same = ValueRule("env/a.yaml", "serving.uri", ("svc",), model_format="sklearn")
    assert manifests({"env/a.yaml": MARKED}, rules=(same,)).predictor("env", "svc") == Predictor(
        "sklearn", "v2"
    )


def test_a_marked_service_is_not_retired() -> None:
    with pytest.raises(ManifestError, match="cannot be retired"):
        manifests({"env/a.yaml": MARKED}).remove_service("env", "svc")


@pytest.mark.parametrize(
    "text",
    [
        f"a: |\n  {MARKED}",
        f"a: '{MARKED.strip()}'\n",
        f'a: "x {URI[0]} y"\n',
        "a: 1 # as $mlflow\n",
    ],
)
def test_what_is_in_a_text_is_no_marker(text: str) -> None:
    found = manifests({"env/a.yaml": text})
    assert found.committed("env", "svc") is None
    assert manifests({"env/a.yaml": text}).services("env") == {}


def test_only_the_environments_own_yaml_is_searched() -> None:
    files: Files = {
        "a.yaml": MARKED,
        "other/a.yaml": MARKED,
        "env/a.txt": MARKED,
        "env/b.bin": b"\xff",
    }
    assert manifests(files).committed("env", "svc") is None


def test_only_what_changed_is_searched_again() -> None:
    cache = ParseCache()
    files: Files = {f"env/{i}.yaml": service(name=f"s{i}") for i in range(20)}
    files["env/a.yaml"] = MARKED
    assert manifests(files, cache=cache).committed("env", "svc") == ServiceSpec("s3://b/v1/", "1")
    tree = MemoryTree({**files, "env/a.yaml": MARKED.replace("v1", "v2"), "env/b.yaml": "a: 1\n"})
    environments = {"env": Environment("env", Selector("stage", "Staging"), "env")}
    second = Manifests(tree, environments, cache)
    assert second.committed("env", "svc") == ServiceSpec("s3://b/v2/", "2")
    assert set(tree.reads) <= {"env/a.yaml", "env/b.yaml"}
    gone = Manifests(MemoryTree({**files, "env/a.yaml": "a: 1\n"}), environments, cache)
    assert gone.committed("env", "svc") is None


# Holds


def held(line: str, **more: str) -> Hold | None:
    text = service(f"s3://b/v1/{line}")
    return manifests({"env/a.yaml": text, **more}).hold("env", "svc")


@pytest.mark.parametrize(
    ("comment", "reason"),
    [
        (" # mlflow-gitops: hold", ""),
        ("  # mlflow-gitops: hold until the audit", "until the audit"),
        (" # mlflow-gitops: hold   twice  ", "twice"),
        (f" {URI} # mlflow-gitops: hold: no, why", None),
        (f" {URI} # mlflow-gitops: hold both", "both"),
        (" #mlflow-gitops: hold", None),
        (" # MLflow-GitOps: hold", None),
        (" # mlflow-gitops: Hold", None),
        (" # mlflow-gitops:hold", None),
        (" # mlflow-gitops: hodl", None),
        (" # mlflow-gitops:  hold", None),
        (" # mlflow_gitops: hold", None),
        (" # mlflow-gitops hold", None),
        (" ## mlflow-gitops: hold", None),
        (" # mlflow-gitops hodl it, please", None),
        (" # mlflow-gitops: holding", None),
        (" # keep # mlflow-gitops: hold", None),
        (" # please, mlflow-gitops: hold", None),
        (" # mlflow-gitops - hold", None),
        (" # mlflow-gitops, hold it", None),
    ],
)
def test_exactly_one_form_holds_and_what_comes_near_is_told(
    comment: str, reason: str | None
) -> None:
    text = service(f"s3://b/v1/{comment}")
    found = manifests({"env/a.yaml": text}).hold("env", "svc")
    problems = told({"env/a.yaml": text})
    if reason is None:
        assert found is None
        assert any(
            p.startswith("env/a.yaml:10: the comment `# ") or "holds nothing" in p for p in problems
        )
        assert any("# mlflow-gitops: hold <why>" in p for p in problems)
    else:
        assert found == Hold(reason, "env/a.yaml", 10)
        assert problems == []


@pytest.mark.parametrize(
    "comment",
    ["", " # written by mlflow-gitops", " # mlflow-gitops wrote it", " # see mlflow-gitops.yaml"],
)
def test_another_comment_is_no_hold_and_is_not_told(comment: str) -> None:
    assert held(comment) is None
    assert told({"env/a.yaml": service(f"s3://b/v1/{comment}")}) == []


def test_a_hold_that_stands_on_no_uri_is_told() -> None:
    for text in (
        service(label='"12" # mlflow-gitops: hold'),
        "# mlflow-gitops: hold\n" + service(),
        service().replace("spec:", "spec: # mlflow-gitops: hold"),
    ):
        assert manifests({"env/a.yaml": text}).hold("env", "svc") is None
        assert "does not stand on the line of a URI" in told({"env/a.yaml": text})[0]


KUSTOMIZATION = "resources: [../base]\npatches:\n"
BASE = {"base/kustomization.yaml": "resources: [a.yaml]\n"}
HOLD = "# mlflow-gitops: hold why"


@pytest.mark.parametrize(
    ("base", "patch", "file", "line"),
    [
        (f"s3://b/v1/ {HOLD}", "", "base/a.yaml", 10),
        (f"s3://b/v1/ {HOLD}", "- path: p.yaml\n", "base/a.yaml", 10),
        ("s3://b/v1/", f"- patch: |-\n    kind: InferenceService\n    metadata: {{name: svc}}\n"
         f"    spec: {{predictor: {{model: {{storageUri: s3://b/v2/}}}}}} {HOLD}\n",
         "env/kustomization.yaml", 6),
        ("s3://b/v1/", "- target: {kind: InferenceService, name: svc}\n  patch: |-\n"
         "    - op: replace\n      path: /spec/predictor/model/storageUri\n"
         f"      value: s3://b/v2/ {HOLD}\n",
         "env/kustomization.yaml", 7),
    ],
    ids=["base", "base, overridden", "inline patch", "inline operation"],
)  # fmt: skip
def test_a_hold_counts_anywhere_in_the_chain(base: str, patch: str, file: str, line: int) -> None:
    files: Files = {
        **BASE,
        "base/a.yaml": service(base),
        "env/kustomization.yaml": KUSTOMIZATION + patch if patch else "resources: [../base]\n",
        "env/p.yaml": service("s3://b/v9/"),
    }
    assert manifests(files).hold("env", "svc") == Hold("why", file, line)


def test_a_near_miss_in_a_base_is_told() -> None:
    files: Files = {
        **BASE,
        "base/a.yaml": service("s3://b/v1/ # mlflow-gitops: hodl"),
        "env/kustomization.yaml": "resources: [../base]\n",
    }
    assert "base/a.yaml:10: the comment" in told(files)[0]


def test_a_hold_is_the_services_own() -> None:
    files: Files = {
        "env/a.yaml": service(f"s3://b/v1/ {HOLD}") + "---\n" + service("s3://b/v1/", name="two"),
        "other/a.yaml": service("s3://b/v1/"),
    }
    look = manifests(files)
    assert look.hold("env", "two") is None
    assert look.hold("other", "svc") is None
    assert look.hold("env", "nobody") is None
    assert look.hold("env", "svc") == Hold("why", "env/a.yaml", 10)


def test_a_hold_on_a_value_by_a_rule_or_a_marker() -> None:
    rule = ValueRule("v/{service}.yaml", "a.uri", version_path="a.version")
    text = f"a:\n  version: 1 {HOLD}\n  uri: s3://b/v1/ {HOLD} # and on\n"
    look = manifests({"v/svc.yaml": text}, rules=(rule,))
    assert look.hold("env", "svc") == Hold("why # and on", "v/svc.yaml", 3)
    marked: Files = {"env/a.yaml": MARKED.replace(URI, f"{URI} {HOLD}")}
    assert manifests(marked).hold("env", "svc") == Hold("why", "env/a.yaml", 2)


PARTS = ["a: ", "- ", "  ", "#", "{", "}", '"', "'", URI, HOLD, "\n", "|\n", "&x ", "*x", "x"]
MORE = ["\r\n", "[", ",", ": ", "é", "\ufeff"]


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.lists(st.sampled_from([*PARTS, *MORE])))
def test_no_text_breaks_the_search(parts: list[str]) -> None:
    text = "".join(parts)
    lines = len(text.splitlines())
    assert all(0 < note.line <= lines for note in read_notes(text, "a.yaml").notes)
