"""The runtime that KServe will take decides what is published. The command on real Git, S3, MLflow.

One repository for each test, of plain folders as many teams have them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from tests.support.stack import Stack

pytestmark = pytest.mark.slow

SETTINGS = """artifacts: {{bucket: {bucket}}}
{more}environments:
  production:
    select: {{stage: Production}}
    path: production
"""
RUNTIME = """apiVersion: serving.kserve.io/v1alpha1
kind: {kind}
metadata:
  name: {name}
spec:
  supportedModelFormats:
    - name: {format}
      version: "1"
      autoSelect: {auto}
      priority: 1
  protocolVersions: [v1, v2]
  containers:
    - name: kserve-container
      image: registry.example.com/our-server:1.0
"""
SERVICE = """apiVersion: serving.kserve.io/v1beta1
kind: InferenceService
metadata:
  name: {service}
  labels:
    model-version: "0"
spec:
  predictor:
    model:
      modelFormat:
        name: {format}
{more}      protocolVersion: {protocol}
      storageUri: s3://{bucket}/{service}/v0/
"""
WEIGHTS: Mapping[str, bytes] = {"weights.bin": b"weights"}
JOBLIB: Mapping[str, bytes] = {"clf.joblib": b"a model", "notes.txt": b"notes"}


def runtime(
    kind: str = "ServingRuntime", *, format: str = "sklearn", name: str = "ours", auto: bool = True
) -> str:
    return RUNTIME.format(kind=kind, format=format, name=name, auto=str(auto).lower())


def world(
    stack: Stack,
    model: str,
    files: Mapping[str, str],
    *,
    format: str = "sklearn",
    protocol: str = "v1",
    more: str = "",
    settings: str = "",
) -> None:
    """A repository of one service, besides what `init` made."""
    written = SETTINGS.format(bucket=stack.bucket, more=settings)
    service = SERVICE.format(
        service=model, format=format, protocol=protocol, more=more, bucket=stack.bucket
    )
    stack.person_writes(
        {"mlflow-gitops.yaml": written, "production/service.yaml": service, **files}
    )


def promote(stack: Stack, model: str, files: Mapping[str, bytes]) -> tuple[str, Mapping[str, Any]]:
    """(URI in Git, the plan) of a version that was asked for and reconciled."""
    number = stack.registry.register(model, files)
    stack.registry.transition(model, number, "Production")
    planned = stack.cli("plan", model, "--json")
    done = stack.cli("reconcile", model)
    assert done.returncode == planned.returncode, done.stderr
    line = next(x for x in stack.file("production/service.yaml").splitlines() if "Uri:" in x)
    uri = line.split()[1].removeprefix(f"s3://{stack.bucket}/{model}/")
    (service,) = json.loads(planned.stdout)["services"]
    return uri, {**service, "said": done.stdout}


def gate(planned: Mapping[str, Any]) -> tuple[str, str]:
    found = next(gate for gate in planned["gates"] if gate["name"] == "runtime")
    return found["verdict"], found["text"]


OWN: list[tuple[str, dict[str, str], dict[str, str]]] = [
    ("takes sklearn over", {"production/runtime.yaml": runtime()}, {}),
    (
        "a format of one's own",
        {"production/runtime.yaml": runtime(format="my-format")},
        {"format": "my-format", "protocol": "v2"},
    ),
    (
        "of the cluster, in a kustomization",
        {
            "production/kustomization.yaml": "resources: [service.yaml, ../platform]\n",
            "platform/kustomization.yaml": "resources: [runtime.yaml]\n",
            "platform/runtime.yaml": runtime("ClusterServingRuntime", format="my-format"),
        },
        {"format": "my-format"},
    ),
    (
        "named, not by itself",
        {"production/runtime.yaml": runtime(auto=False)},
        {"more": "      runtime: ours\n"},
    ),
    (
        "elsewhere in the cluster, declared",
        {},
        {
            "format": "vllm",
            "protocol": "v2",
            "settings": "runtimes: {our-vllm: {formats: [vllm], auto-select: true}}\n",
        },
    ),
    (
        "KServe's openvino, declared",
        {},
        {"format": "openvino", "settings": "runtimes: {kserve-openvino: {}}\n"},
    ),
]


@pytest.mark.parametrize(("files", "more"), [row[1:] for row in OWN], ids=[row[0] for row in OWN])
def test_a_runtime_of_ones_own_gets_the_files_as_they_are(
    stack: Stack, names: Callable[[str], str], files: dict[str, str], more: dict[str, str]
) -> None:
    model = names("fraud")
    world(stack, model, files, **more)  # type: ignore[arg-type]
    uri, planned = promote(stack, model, WEIGHTS)
    assert uri == "v1/"
    assert stack.objects()[f"{model}/v1/weights.bin"] == b"weights"
    verdict, why = gate(planned)
    assert verdict == "not known"
    assert "nothing is known of what it loads" in why
    assert f"runtime not known: {why}" in planned["said"]
    shown = stack.cli("diff", model, "-e", "production", "--version", "1", "--markdown")
    assert shown.returncode == 0, shown.stderr


def test_the_settings_say_what_a_runtime_of_the_manifests_loads(
    stack: Stack, names: Callable[[str], str]
) -> None:
    model = names("fraud")
    settings = "runtimes: {ours: {like: kserve-mlserver}}\n"
    world(stack, model, {"production/runtime.yaml": runtime()}, settings=settings)
    uri, planned = promote(stack, model, JOBLIB)
    assert uri == "v1-rename/"
    assert gate(planned) == ("passed", "the files load")
    assert set(stack.objects()) >= {f"{model}/v1-rename/model.joblib"}


def test_the_rules_of_kserves_own_server_hold_where_the_other_does_not_run(
    stack: Stack, names: Callable[[str], str]
) -> None:
    """It does not select itself; and a version that its server does not load is refused."""
    model = names("fraud")
    world(stack, model, {"production/runtime.yaml": runtime(auto=False)})
    uri, planned = promote(stack, model, WEIGHTS)
    assert uri == "v0/"
    assert "the server looks for one of *.joblib" in planned["error"]["what"]
    uri, planned = promote(stack, model, JOBLIB)
    assert (uri, gate(planned)[0]) == ("v2/", "passed")


@pytest.mark.parametrize(
    ("format", "hints"),
    [
        ("vllm", ["did you mean `vLLM`", 'runtimes: {<its name>: {formats: ["vllm"]']),
        ("openvino", ["runtimes: {kserve-openvino: {}}"]),
    ],
)
def test_a_format_that_no_known_runtime_takes_is_refused_with_the_way_out(
    stack: Stack, names: Callable[[str], str], format: str, hints: list[str]
) -> None:
    model = names("fraud")
    world(stack, model, {}, format=format, protocol="v2")
    head = stack.head()
    uri, planned = promote(stack, model, WEIGHTS)
    assert (uri, stack.head(), stack.objects()) == ("v0/", head, {})
    assert all(hint in planned["error"]["hint"] for hint in hints)
