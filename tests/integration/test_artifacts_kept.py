"""What the settings say of writing once: locks that the storage holds, and the weaker way."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from botocore.exceptions import ClientError

from mlflow_gitops.adapters.artifacts import S3ArtifactStore
from mlflow_gitops.errors import PublishError
from mlflow_gitops.state import ObjectLock, WriteOnce
from tests.support.lying_s3 import lying_s3
from tests.support.publications import (
    FILES,
    TestBucket,
    other_identity,
    publication,
    store_on,
    write_files,
)

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

pytest_plugins = ["tests.support.s3"]

MIB = 1024 * 1024
LARGE = {**FILES, "large.bin": os.urandom(6 * MIB)}
CHECKED = WriteOnce("checked")
LOCKED = WriteOnce(lock=ObjectLock("governance", 2))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_files(tmp_path / "source", LARGE)


@pytest.fixture
def lock_bucket(s3_client: S3Client) -> Iterator[str]:
    name = f"test-{uuid.uuid4().hex[:12]}"
    s3_client.create_bucket(Bucket=name, ObjectLockEnabledForBucket=True)
    yield name
    for each in s3_client.list_object_versions(Bucket=name).get("Versions", []):
        at = {"Bucket": name, "Key": each["Key"], "VersionId": each["VersionId"]}
        s3_client.delete_object(**at, BypassGovernanceRetention=True)
    s3_client.delete_bucket(Bucket=name)


def test_every_object_is_locked_until_its_date(
    lock_bucket: str, s3_client: S3Client, store: S3ArtifactStore, source: Path
) -> None:
    asked = replace(publication(lock_bucket, source), write_once=LOCKED)
    assert store.publish(asked).created
    versions = s3_client.list_object_versions(Bucket=lock_bucket)["Versions"]
    assert len(versions) == len(LARGE) + 2
    until = datetime.now(UTC) + timedelta(days=2)
    for each in versions:
        at = {"Bucket": lock_bucket, "Key": each["Key"], "VersionId": each["VersionId"]}
        kept = s3_client.get_object_retention(**at)["Retention"]
        assert kept["Mode"] == "GOVERNANCE"
        assert abs(kept["RetainUntilDate"] - until) < timedelta(minutes=10)
        with pytest.raises(ClientError, match="AccessDenied"):
            s3_client.delete_object(**at)
    assert not store.publish(asked).created


def test_a_bucket_without_object_lock_is_told(
    bucket: TestBucket, store: S3ArtifactStore, source: Path
) -> None:
    asked = replace(publication(bucket.name, source), write_once=LOCKED)
    with pytest.raises(PublishError, match="to lock the object") as error:
        store.publish(asked)
    assert "artifacts.object-lock" in error.value.hint
    assert bucket.names() == []


def test_the_weaker_way_is_taken_only_where_it_is_asked_for(source: Path, tmp_path: Path) -> None:
    asked = publication("bucket", source)
    with lying_s3() as server:
        with pytest.raises(PublishError, match="ignores the condition") as error:
            store_on(server.clients(), tmp_path).publish(asked)
        assert "`artifacts.write-once: checked`" in error.value.hint
        store = store_on(server.clients(), tmp_path)
        checked = replace(asked, write_once=CHECKED)
        assert store.publish(checked).created
        assert server.objects["models/fraud/v1/large.bin"] == LARGE["large.bin"]
        assert len(server.objects) == len(LARGE) + 2
        written = list(server.writes)
        assert not store.publish(checked).created
        with pytest.raises(PublishError, match="by another"):
            store.publish(other_identity(checked))
        assert server.writes == written


@pytest.mark.parametrize("name", ["model.pkl", "large.bin"])
def test_the_weaker_way_overwrites_nothing_that_it_finds(
    source: Path, tmp_path: Path, name: str
) -> None:
    """As after a crash of the first run: what it wrote is verified, not written again."""
    checked = replace(publication("bucket", source), write_once=CHECKED)
    with lying_s3() as server:
        store = store_on(server.clients(), tmp_path)
        store.publish(checked)
        del server.objects["models/fraud/_manifests/v1.json"]
        server.objects[f"models/fraud/v1/{name}"] = b"x" * len(LARGE[name])
        written = list(server.writes)
        with pytest.raises(PublishError, match="other bytes"):
            store.publish(checked)
        assert server.writes == written


def test_a_storage_that_sums_no_copies_copies_them_all_the_same(tmp_path: Path) -> None:
    """As MinIO: it refuses a copied part where the upload is to have checksums."""
    with lying_s3(honours_put=True, honours_multipart=True) as server:
        server.objects |= {f"m/{name}": content for name, content in FILES.items()}
        store = store_on(server.clients(), tmp_path)
        assert store.publish(publication("bucket", "s3://sources/m")).created
        copied = {name: server.objects[f"models/fraud/v1/{name}"] for name in FILES}
        assert copied == FILES
        assert server.uploads == {}
