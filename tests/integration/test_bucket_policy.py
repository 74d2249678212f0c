"""A bucket that takes only writes which ask for encryption or an ACL: from each source, whole."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from mlflow_gitops.adapters.artifacts import S3ArtifactStore
from mlflow_gitops.adapters.s3 import Clients
from mlflow_gitops.adapters.shelf import S3Shelf
from mlflow_gitops.demo.mlflow_server import MlflowServer
from mlflow_gitops.demo.seaweedfs import SeaweedFS
from mlflow_gitops.errors import PublishError
from mlflow_gitops.planning.revision_manifest import parse_manifest
from mlflow_gitops.state import Publication
from tests.support.bucket_policy import SENTENCE, Policed, policed
from tests.support.mlflow import MODEL_FILES, Registry
from tests.support.publications import TestBucket, clients_of, publication, store_on, write_files

pytest_plugins = ["tests.support.s3"]

PATH = "models/fraud/v1/"
FILES: Mapping[str, bytes] = {
    **MODEL_FILES,
    "code/__init__.py": b"",
    "my file (1).csv": b"1,2",
    "large.bin": os.urandom(6 * 1024 * 1024),
}
KMS = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": "k1"}
OWNER = {"ACL": "bucket-owner-full-control"}
SSE = "x-amz-server-side-encryption"
POLICIES = [
    *((kind, KMS, {SSE: "aws:kms"}) for kind in ("folder", "proxy", "copy")),
    *((kind, OWNER, {"x-amz-acl": OWNER["ACL"]}) for kind in ("folder", "proxy", "copy")),
    ("folder", KMS, {f"{SSE}-aws-kms-key-id": "k1"}),
    ("copy", {"StorageClass": "STANDARD_IA"}, {"x-amz-storage-class": "STANDARD_IA"}),
    ("copy", {"Tagging": "team=risk&env=prod"}, {"x-amz-tagging": "team=risk&env=prod"}),
]


def location_of(kind: str, bucket: TestBucket, mlflow: MlflowServer, model: str, folder: Path
                ) -> str:  # fmt: skip
    if kind == "folder":
        return str(write_files(folder / "source", FILES))
    if kind == "copy":
        for name, content in FILES.items():
            bucket.put(f"source/{name}", content)
        return f"s3://{bucket.name}/source"
    registry = Registry(mlflow.url, mlflow.artifacts)
    number = registry.register(model, FILES)
    found: str = registry.client.get_model_version_download_uri(model, number)
    return found


def check(bucket: TestBucket, police: Policed) -> None:
    objects = bucket.objects()
    found = {k.removeprefix(PATH): body for k, body in objects.items() if k.startswith(PATH)}
    assert found == FILES
    written = {key for key in objects if not key.startswith("source/")}
    begun = {what.split("/", 2)[2].partition("?")[0] for what, _ in police.begun}
    assert len(begun) == len(written), "each object began with the header"
    assert police.denied == []
    for what, headers in police.begun:
        signed = headers["authorization"].partition("SignedHeaders=")[2].partition(",")[0]
        asked = {name for name in headers if name.startswith("x-amz-")}
        assert asked <= set(signed.split(";")), what
    assert bucket.uploads() == []


@pytest.mark.parametrize(("kind", "storing", "demanded"), POLICIES)
def test_a_bucket_that_demands_headers_is_published_to(
    bucket: TestBucket, s3_server: SeaweedFS, plain_mlflow: MlflowServer, tmp_path: Path,
    names: Callable[[str], str], kind: str,
    storing: Mapping[str, str], demanded: Mapping[str, str],
) -> None:  # fmt: skip
    location = location_of(kind, bucket, plain_mlflow, names("fraud"), tmp_path)
    asked = replace(publication(bucket.name, location), storing=storing)
    with policed(s3_server, demanded) as police:
        store = store_on(clients_of(police), tmp_path)
        store.tracking_uri = plain_mlflow.url
        revision = store.publish(asked)
        assert revision.created
        check(bucket, police)
        assert store.publish(asked) == replace(revision, created=False)
    seen = S3Shelf(clients_of(s3_server)).examine(asked.uri, deep=True)
    assert seen.manifest is not None
    files = {file.path: file for file in parse_manifest(seen.manifest.decode()).files}
    for name, kept in seen.objects.items():
        assert kept.sums is not None
        assert files[name].is_of(kept.sums)
        stored = files[name].stored
        if "ServerSideEncryption" in storing and stored is not None:
            assert stored.algorithm != "etag", "it is no MD5 there"


def test_what_the_environment_asks_for_counts_where_the_settings_say_nothing(
    bucket: TestBucket, s3_server: SeaweedFS, tmp_path: Path
) -> None:
    folder = write_files(tmp_path / "source", MODEL_FILES)
    asked = replace(publication(bucket.name, folder), storing={"ServerSideEncryption": "AES256"})
    with policed(s3_server, {SSE: "AES256"}) as police:
        store = replace(store_on(clients_of(police), tmp_path), storing={**KMS, **OWNER})
        assert store.publish(asked).created
    for _, headers in police.begun:
        assert headers["x-amz-acl"] == "bucket-owner-full-control"
        assert f"{SSE}-aws-kms-key-id" not in headers


def test_the_long_way_by_boto3_says_the_same(
    bucket: TestBucket, s3_server: SeaweedFS, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mlflow_gitops.adapters.s3_wire.Wire.send", lambda *_, **__: None)
    folder = write_files(tmp_path / "source", FILES)
    storing = {**KMS, **OWNER, "BucketKeyEnabled": "true"}
    demanded = {
        SSE: "aws:kms",
        f"{SSE}-bucket-key-enabled": "true",
        "x-amz-acl": "bucket-owner-full-control",
    }
    with policed(s3_server, demanded) as police:
        clients = replace(clients_of(police), is_requester=True)
        asked = replace(publication(bucket.name, folder), storing=storing)
        assert store_on(clients, tmp_path).publish(asked).created
        check(bucket, police)
    for what, headers in police.requests:
        assert headers.get("x-amz-request-payer") == "requester", what


def test_without_them_the_storages_own_sentence_and_the_settings_are_named(
    bucket: TestBucket, s3_server: SeaweedFS, tmp_path: Path
) -> None:
    folder = write_files(tmp_path / "source", MODEL_FILES)
    with (
        policed(s3_server, {SSE: "aws:kms"}) as police,
        pytest.raises(PublishError, match="does not permit it") as error,
    ):
        store_on(clients_of(police), tmp_path).publish(publication(bucket.name, folder))
    assert SENTENCE in error.value.what
    for setting in ("artifacts.encryption", "artifacts.kms-key", "artifacts.acl", "s3:PutObject"):
        assert setting in error.value.hint
    assert s3_server.secret_key not in str(error.value)
    assert bucket.names() == []


def test_a_requester_says_so_with_every_request(
    bucket: TestBucket, s3_server: SeaweedFS, tmp_path: Path
) -> None:
    for name, content in FILES.items():
        bucket.put(f"source/{name}", content)
    with policed(s3_server, {"x-amz-request-payer": "requester"}) as police:
        clients: Clients = replace(clients_of(police), is_requester=True)
        asked: Publication = publication(bucket.name, f"s3://{bucket.name}/source")
        store: S3ArtifactStore = store_on(clients, tmp_path)
        store.publish(asked)
        store.download(asked, tmp_path / "out")
        shelf = S3Shelf(clients)
        shelf.examine(asked.uri, deep=True)
        shelf.revisions(f"s3://{bucket.name}/models/fraud/")
        shelf.remove(asked.uri)
    assert {what.partition(" ")[0] for what, _ in police.requests} >= {"GET", "HEAD", "PUT", "POST"}
    for what, headers in police.requests:
        assert headers.get("x-amz-request-payer") == "requester", what
        assert "x-amz-request-payer" in headers["authorization"], what
