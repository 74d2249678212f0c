"""Serving runtimes in an environment's manifests: found wherever the environment reads them."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from mlflow_gitops.manifests import ParseCache
from mlflow_gitops.runtimes import Format, Runtime
from mlflow_gitops.state import ServiceSpec
from tests.unit.manifests.helpers import PREDICTOR, manifests, service

SPEC = ServiceSpec("s3://models/svc/v2/", "2")


def runtime(
    name: str = "ours", kind: str = "ServingRuntime", *, namespace: str = "", more: str = ""
) -> str:
    where = f"  namespace: {namespace}\n" if namespace else ""
    return (
        f"apiVersion: serving.kserve.io/v1alpha1\nkind: {kind}\nmetadata:\n  name: {name}\n{where}"
        "spec:\n  supportedModelFormats:\n    - name: sklearn\n      version: '1'\n"
        f"      autoSelect: true\n      priority: 3\n  protocolVersions: [v1, v2]\n{more}"
    )


OURS = Runtime(
    "ours",
    (Format("sklearn", "1", auto_select=True, priority=3),),
    ("v1", "v2"),
    origin="env/runtime.yaml",
    is_namespaced=True,
)


def found(files: dict[str, str], *paths: str, namespace: str = "") -> list[str]:
    read = manifests({"env/s.yaml": service(), **files}, *paths, namespace=namespace)
    predictor = read.predictor("env", "svc")
    assert predictor is not None
    return [each.name for each in predictor.runtimes]


def test_a_runtime_is_read_whole() -> None:
    read = manifests({"env/s.yaml": service(), "env/runtime.yaml": runtime()})
    assert read.runtimes("env") == (OURS,)
    off = runtime(more="  disabled: true\n  multiModel: true\n  workerSpec: {}\n")
    (switched,) = manifests({"env/runtime.yaml": off}).runtimes("env")
    assert (switched.is_disabled, switched.is_multi_model, switched.is_multi_node) == (True,) * 3


KUSTOMIZE = "resources: [s.yaml, ../platform]\n"
PLATFORM = {"platform/kustomization.yaml": "resources: [r.yaml]\n", "platform/r.yaml": runtime()}
PLACES: list[tuple[str, dict[str, str], list[str]]] = [
    ("no runtime", {}, []),
    ("in a file below", {"env/platform/r.yaml": runtime()}, ["ours"]),
    ("in the service's file", {"env/s.yaml": f"{service()}---\n{runtime()}"}, ["ours"]),
    ("of the cluster", {"env/r.yaml": runtime(kind="ClusterServingRuntime")}, ["ours"]),
    (
        "in a list",
        {
            "env/r.yaml": json.dumps(
                {
                    "apiVersion": "v1",
                    "kind": "List",
                    "items": [
                        {
                            "apiVersion": "serving.kserve.io/v1alpha1",
                            "kind": "ServingRuntime",
                            "metadata": {"name": "listed"},
                        }
                    ],
                }
            )
        },
        ["listed"],
    ),
    ("through a kustomization", {"env/kustomization.yaml": KUSTOMIZE, **PLATFORM}, ["ours"]),
    ("beside it, not included", {"other/r.yaml": runtime()}, []),
    (
        "not listed",
        {"env/kustomization.yaml": "resources: [s.yaml]\n", "env/r.yaml": runtime()},
        [],
    ),
    ("of another group", {"env/r.yaml": runtime().replace("serving.kserve.io", "example.com")}, []),
    ("only a word", {"env/r.yaml": "kind: ConfigMap\ndata: {a: ServingRuntime}\n"}, []),
    ("broken", {"env/r.yaml": "kind: ServingRuntime\n a: [\n"}, []),
]


@pytest.mark.parametrize(
    ("files", "names"), [row[1:] for row in PLACES], ids=[row[0] for row in PLACES]
)
def test_where_a_runtime_counts(files: dict[str, str], names: list[str]) -> None:
    assert found(files) == names


@pytest.mark.parametrize(
    ("kind", "namespace", "of_service", "of_settings", "counts"),
    [
        ("ServingRuntime", "ml", "ml", "", True),
        ("ServingRuntime", "other", "ml", "", False),
        ("ServingRuntime", "other", "", "ml", False),
        ("ServingRuntime", "other", "", "", True),  # nobody says where the service goes
        ("ServingRuntime", "", "ml", "", True),
        ("ClusterServingRuntime", "other", "ml", "", True),
    ],
)
def test_a_namespaced_one_counts_in_its_namespace(
    kind: str, namespace: str, of_service: str, of_settings: str, counts: bool
) -> None:
    name = "  name: svc\n"
    text = service().replace(name, f"{name}  namespace: {of_service or 'null'}\n")
    files = {"env/s.yaml": text, "env/r.yaml": runtime(kind=kind, namespace=namespace)}
    assert bool(found(files, namespace=of_settings)) is counts


def test_a_kustomization_moves_both_into_one_namespace() -> None:
    files = {
        "env/kustomization.yaml": "namespace: ml\nresources: [s.yaml, r.yaml]\n",
        "env/r.yaml": runtime(namespace="other"),
    }
    assert found(files) == ["ours"]


def test_a_new_head_takes_the_runtimes_that_changed() -> None:
    cache = ParseCache()
    files = {"env/s.yaml": service(), "env/runtime.yaml": runtime()}
    assert manifests(files, cache=cache).runtimes("env") == (OURS,)
    files["env/runtime.yaml"] = runtime("renamed")
    (renamed,) = manifests(files, cache=cache).runtimes("env")
    assert renamed.name == "renamed"
    files["env/runtime.yaml"] = "kind: ConfigMap\n"
    assert manifests(files, cache=cache).runtimes("env") == ()


def test_an_edit_keeps_them() -> None:
    read = manifests({"env/s.yaml": service(), "env/runtime.yaml": runtime()})
    edited = read.edited(read.set_service("env", "svc", SPEC, PREDICTOR))
    assert edited.runtimes("env") == (OURS,)


@pytest.mark.parametrize(
    ("patch", "version"),
    [
        ("", "1"),
        ("      version: '2'\n", "2"),
        ("      version: null\n", ""),
        ("      name: xgboost\n", "1"),
    ],
)
def test_the_version_of_a_format_is_merged(patch: str, version: str) -> None:
    base = service(more="      modelFormat: {name: sklearn, version: '1'}\n")
    more = f"      modelFormat:\n  {patch}" if patch else ""
    files = {
        "env/kustomization.yaml": "resources: [s.yaml]\npatches: [{path: p.yaml}]\n",
        "env/s.yaml": base,
        "env/p.yaml": service("", "", more=more),
    }
    predictor = manifests(files).predictor("env", "svc")
    assert predictor is not None
    assert predictor.model_format == ("xgboost" if "name" in patch else "sklearn")
    assert predictor.format_version == version


def test_a_json_patch_replaces_format_and_version() -> None:
    files = {
        "env/kustomization.yaml": (
            "resources: [s.yaml]\npatches:\n- target: {kind: InferenceService}\n  patch: |-\n"
            "    - {op: replace, path: /spec/predictor/model/modelFormat, value: {name: onnx}}\n"
        ),
        "env/s.yaml": service(more="      modelFormat: {name: sklearn, version: '1'}\n"),
    }
    predictor = manifests(files).predictor("env", "svc")
    assert predictor is not None
    assert (predictor.model_format, predictor.format_version) == ("onnx", "")


SMP = "apiVersion: serving.kserve.io/v1alpha1\nkind: ServingRuntime\nmetadata: {name: ours}\n"
TARGET = "target: {kind: ServingRuntime}"
PATCHED: list[tuple[str, str, Runtime | None]] = [
    ("for another", SMP.replace("ours", "theirs") + "spec: {disabled: true}\n", OURS),
    ("switched off", f"{SMP}spec: {{disabled: true}}\n", replace(OURS, is_disabled=True)),
    (
        "other formats",
        f"{SMP}spec: {{supportedModelFormats: [{{name: x}}], protocolVersions: null}}\n",
        replace(OURS, formats=(Format("x"),), protocols=()),
    ),
    ("deleted", f"{SMP}$patch: delete\n", None),
]
OPERATIONS: list[tuple[str, Runtime]] = [
    ("{op: add, path: /spec/disabled, value: true}", replace(OURS, is_disabled=True)),
    (
        "{op: replace, path: /spec/supportedModelFormats/0/autoSelect, value: false}",
        replace(OURS, formats=(replace(OURS.formats[0], auto_select=False),)),
    ),
    (
        "{op: add, path: /spec/supportedModelFormats/-, value: {name: x}}",
        replace(OURS, formats=(*OURS.formats, Format("x"))),
    ),
    ("{op: remove, path: /spec/protocolVersions/0}", replace(OURS, protocols=("v2",))),
    ("{op: replace, path: /spec/supportedModelFormats/7/name, value: x}", OURS),
    ("{op: add, path: /metadata/labels/x, value: y}", OURS),
]


def kustomized(patches: str, **files: str) -> tuple[Runtime, ...]:
    kustomization = f"resources: [s.yaml, runtime.yaml]\npatches:\n{patches}"
    named = {f"env/{name}.yaml": text for name, text in files.items()}
    return manifests(
        {
            "env/kustomization.yaml": kustomization,
            "env/s.yaml": service(),
            "env/runtime.yaml": runtime(),
            **named,
        }
    ).runtimes("env")


@pytest.mark.parametrize("is_inline", [False, True])
@pytest.mark.parametrize(
    ("patch", "expected"), [row[1:] for row in PATCHED], ids=[row[0] for row in PATCHED]
)
def test_a_strategic_merge_patch_is_applied(
    patch: str, expected: Runtime | None, *, is_inline: bool
) -> None:
    lines = "".join(f"    {line}\n" for line in patch.splitlines())
    found = (
        kustomized(f"- patch: |\n{lines}") if is_inline else kustomized("- path: p.yaml", p=patch)
    )
    assert found == ((expected,) if expected else ())


@pytest.mark.parametrize(("operation", "expected"), OPERATIONS)
def test_a_json_patch_is_applied_to_its_target(operation: str, expected: Runtime) -> None:
    assert kustomized(f"- {TARGET}\n  patch: '[{operation}]'\n") == (expected,)
    other = TARGET.replace("ServingRuntime", "InferenceService")
    assert kustomized(f"- {other}\n  patch: '[{operation}]'\n") == (OURS,)


def test_a_broken_patch_takes_the_runtime_out_and_stops_nothing_here() -> None:
    assert kustomized("- path: p.yaml\n", p="a: [\n") == ()
