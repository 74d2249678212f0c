"""The environment is read as Argo CD or Flux reads it: through the real command, on real Git."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

import pytest

from tests.support.stack import Stack

pytestmark = pytest.mark.slow

Names = Callable[[str], str]
Files = Mapping[str, str]

SETTINGS = """artifacts: {{bucket: {bucket}}}
environments:
  production:
    select: {{stage: Production}}
    path: production
"""
SERVICE = """apiVersion: serving.kserve.io/v1beta1
kind: InferenceService
metadata:
  name: MODEL
  labels:
    model-version: "0"
spec:
  predictor:
    model:
      modelFormat:
        name: mlflow
      protocolVersion: v2
      storageUri: s3://old/MODEL/v0/
"""
JSON = (
    '{"apiVersion":"serving.kserve.io/v1beta1","kind":"InferenceService",'
    '"metadata":{"name":"MODEL"},"spec":{"predictor":{"model":{"modelFormat":{"name":"mlflow"},'
    '"protocolVersion":"v2","storageUri":"s3://old/MODEL/v0/"}}}}'
)
CONFIG = "kind: ConfigMap\napiVersion: v1\nmetadata: {name: x}\n"


def start(stack: Stack, model: str, files: Files) -> str:
    """Make version 1 wait in Production, and the files the whole repository. Returns its head."""
    gone: dict[str, str | None] = dict.fromkeys(
        stack.git("ls-tree", "-r", "--name-only", "main").splitlines()
    )
    texts = {"mlflow-gitops.yaml": SETTINGS.format(bucket=stack.bucket), **files}
    new = {path: text.replace("MODEL", model) for path, text in texts.items()}
    head = stack.person_writes({**gone, **new})
    stack.registry.register(model)
    stack.registry.transition(model, "1", "Production")
    return head


def changed(stack: Stack, head: str) -> list[str]:
    return stack.git("diff", "--name-only", head, "main").splitlines()


def promoted(stack: Stack, model: str, files: Files) -> dict[str, str]:
    """The texts that one promotion changed."""
    head = start(stack, model, files)
    done = stack.cli("reconcile", model)
    assert done.returncode == 0, done.stderr
    assert stack.git("rev-parse", "main^") == head
    return {path: stack.file(path) for path in changed(stack, head)}


def refused(stack: Stack, model: str, files: Files) -> str:
    """What `plan` and `reconcile` say of it; nothing is committed or published."""
    head = start(stack, model, files)
    planned = stack.cli("plan", model)
    done = stack.cli("reconcile", model)
    assert done.returncode == 1, done.stdout
    assert "Traceback" not in planned.stderr + done.stderr
    assert stack.head() == head
    assert not [key for key in stack.objects() if key.startswith(f"{model}/")]
    error = " ".join((done.stdout + done.stderr).split())
    assert "next:" in error
    assert planned.returncode == 1
    return error


def test_a_json_manifest_is_edited_in_place(stack: Stack, names: Names) -> None:
    model = names("fraud")
    texts = promoted(stack, model, {"production/fraud.json": JSON, "production/x.yaml": CONFIG})
    assert list(texts) == ["production/fraud.json"]
    found = json.loads(texts["production/fraud.json"])
    assert found["metadata"]["labels"] == {"model-version": "1"}
    uri = found["spec"]["predictor"]["model"]["storageUri"]
    assert uri == f"s3://{stack.bucket}/{model}/v1/"


def test_a_document_behind_a_byte_order_mark_is_edited(stack: Stack, names: Names) -> None:
    model = names("fraud")
    before = f"{CONFIG}---\n\ufeff{SERVICE}"
    texts = promoted(stack, model, {"production/all.yaml": before})
    wanted = before.replace("s3://old/MODEL/v0/", f"s3://{stack.bucket}/{model}/v1/")
    wanted = wanted.replace('"0"', '"1"').replace("MODEL", model)
    assert texts == {"production/all.yaml": wanted.rstrip("\n")}


def test_a_json_file_with_a_list_is_refused_by_name(stack: Stack, names: Names) -> None:
    files = {"production/list.json": f"[{JSON}]", "production/x.yaml": CONFIG}
    error = refused(stack, names("fraud"), files)
    assert "production/list.json: the file is not one JSON object" in error
