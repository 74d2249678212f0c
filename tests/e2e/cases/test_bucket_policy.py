"""A bucket whose policy demands encryption or an ACL of every write, through the command."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

import pytest

from tests.support.bucket_policy import SENTENCE, policed
from tests.support.mlflow import MODEL_FILES
from tests.support.stack import Stack

pytestmark = pytest.mark.slow

SETTINGS = """\
artifacts:
  bucket: {bucket}
  sources: ["s3://{bucket}/lake"]{more}
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
ENCRYPTED = {"x-amz-server-side-encryption": "aws:kms"}
OWNED = {"x-amz-acl": "bucket-owner-full-control"}
IN_ENVIRONMENT = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": "k1"}


def arranged(stack: Stack, model: str, more: str = "") -> str:
    """A service of version 1. Returns its file."""
    place = {"bucket": stack.bucket, "model": model, "more": more}
    path = f"production/{model}.yaml"
    stack.person_writes(
        {"mlflow-gitops.yaml": SETTINGS.format(**place), path: SERVICE.format(**place)}
    )
    stack.registry.register(model)
    return path


def version_of(stack: Stack, model: str, kind: str) -> str:
    if kind == "proxy":
        return stack.registry.register(model)
    client = stack.s3.client()
    for name, content in MODEL_FILES.items():
        client.put_object(Bucket=stack.bucket, Key=f"lake/model/{name}", Body=content)
    return stack.registry.create_version(model, source=f"s3://{stack.bucket}/lake/model")


@pytest.mark.parametrize(
    ("kind", "demanded", "more", "extra"),
    [
        ("proxy", ENCRYPTED, "", IN_ENVIRONMENT),
        ("proxy", ENCRYPTED, "\n  encryption: aws:kms\n  kms-key: k1", {}),
        ("copy", OWNED, "\n  acl: bucket-owner-full-control", {}),
        ("copy", ENCRYPTED | OWNED, "", {**IN_ENVIRONMENT, "ACL": "bucket-owner-full-control"}),
    ],
)
def test_the_version_is_published_with_the_headers_and_committed(
    plain_stack: Stack, names: Callable[[str], str], kind: str,
    demanded: Mapping[str, str], more: str, extra: Mapping[str, str],
) -> None:  # fmt: skip
    stack, model = plain_stack, names("fraud-detector")
    path = arranged(stack, model, more)
    number = version_of(stack, model, kind)
    stack.registry.transition(model, number, "Production")
    variable = {"MLFLOW_S3_UPLOAD_EXTRA_ARGS": json.dumps(extra)} if extra else {}
    with policed(stack.s3, demanded) as police:
        done = stack.cli("reconcile", model, MLFLOW_GITOPS_S3_ENDPOINT=police.endpoint, **variable)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"storageUri: s3://{stack.bucket}/{model}/v2/" in stack.file(path)
    files = {f"{model}/v2/{name}": content for name, content in MODEL_FILES.items()}
    beside = {f"{model}/_manifests/v2.claim.json", f"{model}/_manifests/v2.json"}
    objects = {k: body for k, body in stack.objects().items() if k.startswith(f"{model}/")}
    assert {k: body for k, body in objects.items() if k not in beside} == files
    begun = {what.split("/", 2)[2].partition("?")[0] for what, _ in police.begun}
    assert begun == files.keys() | beside, "each object began with the header"
    assert police.denied == []
    assert stack.cli("verify", model, "--deep").returncode == 0


def test_without_the_header_the_tag_says_what_the_storage_said(
    plain_stack: Stack, names: Callable[[str], str]
) -> None:
    stack, model = plain_stack, names("fraud-detector")
    arranged(stack, model)
    number = stack.registry.register(model)
    stack.registry.transition(model, number, "Production")
    head = stack.head()
    with policed(stack.s3, ENCRYPTED) as police:
        done = stack.cli("reconcile", model, MLFLOW_GITOPS_S3_ENDPOINT=police.endpoint)
    assert done.returncode == 1
    for told in (done.stdout + done.stderr, json.dumps(stack.status(model, number, "production"))):
        assert SENTENCE in told
        assert "artifacts.encryption" in told
        assert stack.s3.secret_key not in told
    assert stack.head() == head
