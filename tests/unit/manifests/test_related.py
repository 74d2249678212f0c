"""What a change leaves behind in other objects: a truth table, and where files are looked for."""

from __future__ import annotations

import pytest

from mlflow_gitops.manifests import ParseCache
from mlflow_gitops.manifests.related import Moved, notes_of, traces_of
from mlflow_gitops.state import ServiceSpec
from tests.unit.manifests.helpers import PREDICTOR, manifests, service

OLD, NEW = ServiceSpec("s3://models/svc/v1/", "1"), ServiceSpec("s3://models/svc/v2/", "2")
SERVICES = ("svc", "svc-eu", "other")
PROMOTED, RETIRED = Moved("svc", OLD, NEW, SERVICES), Moved("svc", OLD, None, SERVICES)


def cache(uri: str, kind: str = "LocalModelCache") -> str:
    return (
        f"apiVersion: serving.kserve.io/v1alpha1\nkind: {kind}\nmetadata: {{name: c}}\n"
        f"spec:\n  sourceModelUri: {uri}\n"
    )


def config(*lines: str, name: str = "x", kind: str = "ConfigMap") -> str:
    data = "".join(f"  {line}\n" for line in lines)
    return f"apiVersion: v1\nkind: {kind}\nmetadata: {{name: {name}}}\ndata:\n{data}"


GRAPH = (
    "apiVersion: serving.kserve.io/v1alpha1\nkind: InferenceGraph\nmetadata: {name: g}\nspec:\n"
    "  nodes:\n    root:\n      routerType: Sequence\n      steps:\n      - serviceName: svc\n"
)
TRAINED = (
    "apiVersion: serving.kserve.io/v1alpha1\nkind: TrainedModel\nmetadata: {name: t}\nspec:\n"
    "  inferenceService: svc\n  model: {storageUri: s3://models/t/}\n"
)
LLM = (
    "apiVersion: serving.kserve.io/v1alpha2\nkind: LLMInferenceService\nmetadata: {name: svc}\n"
    "spec:\n  model: {uri: s3://models/svc/v1/}\n"
)
ANNOTATED = service("s3://models/svc/v2/", '"2"').replace(
    "  labels:", "  annotations: {uri: 's3://models/svc/v1/'}\n  labels:"
)
MATCH = "does not match the new URI"
HAS = "still has the URI `s3://models/svc/v1/`"
LABELLED = "still has `model-version: 1` for `svc`"
ROWS: list[tuple[str, str, Moved, str]] = [
    ("a cache of the old URI", cache("s3://models/svc/v1/"), PROMOTED, MATCH),
    ("without the slash", cache("s3://models/svc/v1"), PROMOTED, MATCH),
    ("of the namespace", cache(OLD.uri, "LocalModelNamespaceCache"), PROMOTED, MATCH),
    ("a cache of all versions", cache("s3://models/svc"), PROMOTED, ""),
    ("a cache of the new URI", cache("s3://models/svc/v2/"), PROMOTED, ""),
    ("a cache of version 10", cache("s3://models/svc/v10/"), PROMOTED, ""),
    ("a cache of one file", cache("s3://models/svc/v1/model.pkl"), PROMOTED, ""),
    ("a cache, retired", cache(OLD.uri), RETIRED, "still caches `s3://models/svc/v1/`"),
    ("a copy", config("uri: s3://models/svc/v1/"), PROMOTED, f"ConfigMap `x` (f.yaml:5) {HAS}"),
    ("a file of it", config("file: s3://models/svc/v1/model.pkl"), PROMOTED, HAS),
    ("in a text", config("env: |", "  URI=s3://models/svc/v1", "  A=1"), PROMOTED, HAS),
    ("another version's", config("uri: s3://models/svc/v12/"), PROMOTED, ""),
    ("two, the second ours", config("a: s3://models/svc/v10/ s3://models/svc/v1/"), PROMOTED, HAS),
    ("another service's", service("s3://models/svc/v1/", name="other"), PROMOTED, HAS),
    ("a copy, retired", config("uri: s3://models/svc/v1/"), RETIRED, HAS),
    ("no kind", "env: {URI: 's3://models/svc/v1/'}\n", PROMOTED, f"a text (f.yaml:1) {HAS}"),
    ("its own URI, overridden", service("s3://models/svc/v1/", '"1"'), PROMOTED, ""),
    ("the URI of a model server, overridden", LLM, PROMOTED, ""),
    ("a value of a model server", f"{LLM}  x: s3://models/svc/v1/\n", PROMOTED, HAS),
    ("its own annotation", ANNOTATED, PROMOTED, "InferenceService `svc` (f.yaml:5) still has"),
    ("a version by the name", config('model-version: "1"', name="svc-info"), PROMOTED, LABELLED),
    ("a version by a value", config('model-version: "1"', "model: svc"), PROMOTED, LABELLED),
    ("a number", config("model-version: 1", "model: svc"), PROMOTED, LABELLED),
    ("another version", config('model-version: "3"', "model: svc"), PROMOTED, ""),
    ("a version of a longer name", config("model-version: '1'", name="svc-eu-x"), PROMOTED, ""),
    ("a version of nobody", config("model-version: '1'"), PROMOTED, ""),
    ("a graph, promoted", GRAPH, PROMOTED, ""),
    ("a graph, retired", GRAPH, RETIRED, "InferenceGraph `g` (f.yaml:9) refers to `svc`"),
    ("another graph", GRAPH.replace("svc", "svc-eu"), RETIRED, ""),
    ("a trained model, retired", TRAINED, RETIRED, "TrainedModel `t` (f.yaml:5) refers to `svc`"),
    ("a JSON patch", "- {op: add, path: /data/uri, value: 's3://models/svc/v1/'}\n", PROMOTED, ""),
    ("a comment", "# s3://models/svc/v1/\n" + config("a: b"), PROMOTED, ""),
    (
        "a list",
        "kind: List\nitems:\n- {kind: ConfigMap, metadata: {name: l}, d: 's3://models/svc/v1/'}\n",
        PROMOTED,
        "ConfigMap `l` (f.yaml:3)",
    ),
    ("the same URI", config("uri: s3://models/svc/v1/"), Moved("svc", OLD, OLD), ""),
]


@pytest.mark.parametrize(
    ("text", "moved", "note"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS]
)
def test_what_is_said_of_an_object(text: str, moved: Moved, note: str) -> None:
    notes = list(notes_of(text, "f.yaml", moved))
    assert len(notes) == bool(note)
    assert note in "".join(notes)
    if note:  # and the file is found by what it says
        traces = traces_of(text)
        assert any(
            first in traces if not last else any(first <= trace < last for trace in traces)
            for first, last in moved.traces
        )


PLAIN = {"env/s.yaml": service(OLD.uri, '"1"')}
INSIDE: list[tuple[str, dict[str, str], str]] = [
    ("in the service's file", {"env/s.yaml": f"{PLAIN['env/s.yaml']}---\n{cache(OLD.uri)}"}, MATCH),
    ("in another file", {"env/c.yaml": cache(OLD.uri)}, MATCH),
    ("outside the environment", {"other/c.yaml": cache(OLD.uri)}, ""),
    ("broken", {"env/c.yaml": "a: [s3://models/svc/v1/\n"}, ""),
    (
        "made by a kustomization",
        {
            "env/kustomization.yaml": "resources: [s.yaml]\nconfigMapGenerator:\n- name: x\n"
            "  literals: [URI=s3://models/svc/v1/]\n"
        },
        f"Kustomization (env/kustomization.yaml:4) {HAS}",
    ),
    (
        "set by a patch",
        {
            "env/kustomization.yaml": "resources: [s.yaml]\npatches: [{path: p.yaml}]\n",
            "env/p.yaml": config("uri: s3://models/svc/v1/"),
        },
        f"ConfigMap `x` (env/p.yaml:5) {HAS}",
    ),
    (
        "the service's own inline patch",
        {
            "env/kustomization.yaml": "resources: [s.yaml]\npatches:\n- patch: |\n"
            + "".join(f"    {line}\n" for line in service(OLD.uri, '"1"').splitlines())
        },
        "",
    ),
]


@pytest.mark.parametrize(
    ("files", "note"), [row[1:] for row in INSIDE], ids=[row[0] for row in INSIDE]
)
def test_where_it_is_looked_for(files: dict[str, str], note: str) -> None:
    read = manifests({**PLAIN, **files})
    changes = read.set_service("env", "svc", NEW, PREDICTOR)
    notes = read.left_behind("env", "svc", NEW, changes)
    assert len(notes) == bool(note)
    assert note in "".join(notes)


def test_a_base_that_a_patch_overrides_is_nothing_left_behind() -> None:
    files = {
        "base/kustomization.yaml": "resources: [s.yaml]\n",
        "base/s.yaml": service(OLD.uri, '"1"'),
        "env/kustomization.yaml": "resources: [../base]\n",
        "other/kustomization.yaml": "resources: [../base]\n",
    }
    read = manifests(files, "env", "other")
    changes = read.set_service("env", "svc", NEW, PREDICTOR)
    assert read.left_behind("env", "svc", NEW, changes) == ()


def test_a_new_head_is_brought_up_to_date_and_reads_only_what_changed() -> None:
    cached = ParseCache()
    files = {**PLAIN, "env/c.yaml": cache(OLD.uri), "env/d.yaml": config("a: b")}
    first = manifests(files, cache=cached)
    changes = first.set_service("env", "svc", NEW, PREDICTOR)
    assert MATCH in first.left_behind("env", "svc", NEW, changes)[0]
    files |= {"env/c.yaml": cache(NEW.uri), "env/d.yaml": config("uri: s3://models/svc/v1/")}
    (note,) = manifests(files, cache=cached).left_behind("env", "svc", NEW, changes)
    assert note == f"ConfigMap `x` (env/d.yaml:5) {HAS}"
    del files["env/d.yaml"]
    assert manifests(files, cache=cached).left_behind("env", "svc", NEW, changes) == ()


def test_one_service_of_many_costs_no_look_at_the_others() -> None:
    files = {f"env/{n}.yaml": service(f"s3://models/m{n}/v1/", name=f"m{n}") for n in range(50)}
    read = manifests({**files, **PLAIN, "env/c.yaml": cache(OLD.uri)})
    read.services("env")
    read.set_service("env", "svc", NEW, PREDICTOR)
    tree = read._tree
    tree.reads.clear()  # type: ignore[attr-defined]
    assert len(read.left_behind("env", "svc", NEW, {})) == 1
    assert tree.reads == ["env/c.yaml", "env/s.yaml"]  # type: ignore[attr-defined]
