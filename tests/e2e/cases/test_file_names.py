"""A version whose files have names as people and tools give them, through the command."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from tests.support.mlflow import MODEL_FILES
from tests.support.stack import Stack

pytestmark = pytest.mark.slow

NAMES = (
    *("my file (1).csv", "year=2024/part-0.parquet", "code/año.py", "a+b.bin", "x@2x.png"),
    *("a,b.txt", "a~b.txt", "why?.md", "50%.txt", "[draft] notes*.txt", "日本語/モデル.bin"),
)
SETTINGS = """\
artifacts: {{bucket: {bucket}}}
environments:
  production:
    select: {{stage: Production}}
    path: production
"""
SERVICE = """\
apiVersion: serving.kserve.io/v1beta1
kind: InferenceService
metadata:
  name: {model}
  labels:
    model-version: "1"
spec:
  predictor:
    model:
      modelFormat:
        name: mlflow
      protocolVersion: v2
      storageUri: s3://{bucket}/{model}/v1/
"""


def test_every_name_is_published_and_committed(
    plain_stack: Stack, names: Callable[[str], str]
) -> None:
    stack, model = plain_stack, names("fraud-detector")
    place = {"bucket": stack.bucket, "model": model}
    path = f"production/{model}.yaml"
    stack.person_writes(
        {"mlflow-gitops.yaml": SETTINGS.format(**place), path: SERVICE.format(**place)}
    )
    stack.registry.register(model)
    files = {**MODEL_FILES, **{name: name.encode() for name in NAMES}}
    number = stack.registry.register(model, files)
    stack.registry.transition(model, number, "Production")

    done = stack.cli("reconcile", model)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"storageUri: s3://{stack.bucket}/{model}/v2/" in stack.file(path)
    prefix = f"{model}/v2/"
    objects = stack.objects()
    found = {k.removeprefix(prefix): body for k, body in objects.items() if k.startswith(prefix)}
    assert found == files
    proof = stack.cli("verify", model, "--deep", "--json")
    assert proof.returncode == 0, proof.stdout
    verdicts = {
        link["link"]: link["verdict"] for link in json.loads(proof.stdout)["services"][0]["links"]
    }
    assert verdicts["files"] == verdicts["manifest"] == "ok"


def test_a_name_that_mlflows_proxy_cannot_hand_out_is_told_in_the_tag(
    plain_stack: Stack, names: Callable[[str], str]
) -> None:
    stack, model = plain_stack, names("fraud-detector")
    number = stack.registry.register(model, {**MODEL_FILES, "notes #1.txt": b"x"})
    stack.registry.transition(model, number, "Production")
    head = stack.head()
    done = stack.cli("reconcile", model)
    assert done.returncode == 1
    told = done.stdout + done.stderr
    assert "notes #1.txt" in told
    assert "MLflow's artifact proxy cannot hand out a file of this name" in told
    assert "MLFLOW_TRACKING_URI" not in told
    assert "artifact proxy" in json.dumps(stack.status(model, number, "production"))
    assert stack.head() == head
    assert stack.objects() == {}
