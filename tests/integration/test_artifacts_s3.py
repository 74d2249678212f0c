"""The store against a real S3 server: races, large files, and what a storage can refuse."""

from __future__ import annotations

import base64
import os
import threading
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from mlflow_gitops.adapters.artifacts import S3ArtifactStore
from mlflow_gitops.adapters.s3 import Clients
from mlflow_gitops.demo.seaweedfs import SeaweedFS
from mlflow_gitops.errors import ConfigError, GitOpsError, PublishError, TransientError
from mlflow_gitops.state import Publication, Revision
from tests.support.publications import (
    FILES,
    TestBucket,
    clients_of,
    other_identity,
    publication,
    store_on,
    write_files,
)
from tests.support.s3_servers import S3Server
from tests.support.soak import rounds

pytest_plugins = ["tests.support.s3"]

PATH = "models/fraud/v1/"
CLAIM = "models/fraud/_manifests/v1.claim.json"
MANIFEST = "models/fraud/_manifests/v1.json"
MIB = 1024 * 1024
PUBLISHERS = 8
TURNS = range(rounds(1, soak=30))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    return write_files(folder)


# Several publishers


def race(attempts: Sequence[Callable[[], Revision]]) -> list[Revision | GitOpsError]:
    """All at the same moment; what each came back with, in order."""
    start = threading.Barrier(len(attempts))

    def run(attempt: Callable[[], Revision]) -> Revision | GitOpsError:
        start.wait()
        try:
            return attempt()
        except GitOpsError as error:
            return error

    with ThreadPoolExecutor(len(attempts)) as pool:
        return list(pool.map(run, attempts))


def publisher(server: S3Server, asked: Publication, scratch: Path) -> Callable[[], Revision]:
    """A store of its own, as in another process: it knows nothing of the bucket yet."""
    store = store_on(clients_of(server), scratch)
    return lambda: store.publish(asked)


@pytest.mark.parametrize("turn", TURNS)
def test_publishers_of_the_same_version_all_succeed_with_one_set_of_bytes(
    race_server: S3Server, race_bucket: TestBucket, source: Path, tmp_path: Path, turn: int
) -> None:
    bucket = race_bucket
    large = os.urandom(11 * MIB)  # three parts: SeaweedFS itself lets two completions through
    write_files(source, {"large.bin": large})
    asked = publication(bucket.name, source)
    ends = race([publisher(race_server, asked, tmp_path) for _ in range(PUBLISHERS)])
    revisions = [end for end in ends if isinstance(end, Revision)]
    assert revisions == ends
    assert len({revision.digest for revision in revisions}) == 1
    assert sum(revision.created for revision in revisions) == 1
    objects = bucket.objects()
    assert set(objects) == {CLAIM, MANIFEST, f"{PATH}large.bin", *(f"{PATH}{f}" for f in FILES)}
    assert objects[f"{PATH}large.bin"] == large
    assert bucket.uploads() == []


@pytest.mark.parametrize("turn", TURNS)
def test_of_publishers_of_different_versions_exactly_one_wins(
    race_server: S3Server, race_bucket: TestBucket, tmp_path: Path, turn: int
) -> None:
    bucket = race_bucket
    contents = [{**FILES, "model.pkl": b"%d" % index} for index in range(PUBLISHERS)]
    sources = [tmp_path / f"source-{index}" for index in range(PUBLISHERS)]
    asked = [
        publication(bucket.name, write_files(folder, files), created=1000 + index)
        for index, (folder, files) in enumerate(zip(sources, contents, strict=True))
    ]
    ends = race([publisher(race_server, each, tmp_path) for each in asked])
    [winner] = [index for index, end in enumerate(ends) if isinstance(end, Revision)]
    for index, end in enumerate(ends):
        if index != winner:
            assert isinstance(end, PublishError)
            assert f"created {1000 + winner}" in end.what
            assert "artifacts.prefix" in end.hint
    objects = bucket.objects()
    assert {path: objects[f"{PATH}{path}"] for path in FILES} == contents[winner]
    assert len(objects) == len(FILES) + 2


def test_publishers_of_one_version_with_different_content_never_seal_a_mix(
    s3_server: SeaweedFS, bucket: TestBucket, tmp_path: Path, store: S3ArtifactStore
) -> None:
    """The source changes between two readings: nobody may seal files of both."""
    folder = write_files(tmp_path / "source", {f"f{i}": b"old" for i in range(20)})
    asked = publication(bucket.name, folder)
    for key in (f"{PATH}f{i}" for i in range(10)):
        bucket.put(key, b"new")
    with pytest.raises(PublishError, match="other bytes"):
        store.publish(asked)
    assert MANIFEST not in bucket.names()


# Large files


def test_a_large_file_goes_in_parts_and_its_sha256_is_that_of_the_whole(
    bucket: TestBucket, source: Path, store: S3ArtifactStore
) -> None:
    large = {"exact.bin": os.urandom(10 * MIB), "odd.bin": os.urandom(10 * MIB + 1)}
    write_files(source, large)
    asked = publication(bucket.name, source)
    made = store.publish(asked)
    assert {path: bucket.read(PATH + path) for path in large} == large
    head = bucket.client.head_object(
        Bucket=bucket.name, Key=f"{PATH}odd.bin", ChecksumMode="ENABLED"
    )
    assert head["ETag"].endswith('-3"'), "it did not go in parts"
    crc32 = zlib.crc32(large["odd.bin"]).to_bytes(4, "big")
    assert head["ChecksumCRC32"] == base64.b64encode(crc32).decode()
    bucket.delete(MANIFEST)
    assert store.publish(asked).digest == made.digest


def test_a_large_object_with_other_bytes_is_found_when_going_on(
    bucket: TestBucket, source: Path, store: S3ArtifactStore
) -> None:
    content = os.urandom(6 * MIB)
    write_files(source, {"large.bin": content})
    asked = publication(bucket.name, source)
    store.publish(asked)
    bucket.delete(MANIFEST)
    bucket.put(f"{PATH}large.bin", content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(PublishError, match="other bytes"):
        store.publish(asked)
    bucket.put(f"{PATH}large.bin", content)  # as one object: its checksum is of another kind
    assert store.publish(asked).created


def test_a_sealed_mlmodel_that_was_tampered_with_is_found(
    bucket: TestBucket, source: Path, store: S3ArtifactStore
) -> None:
    asked = publication(bucket.name, source)
    store.publish(asked)
    bucket.put(f"{PATH}MLmodel", FILES["MLmodel"].replace(b"sklearn", b"SKLEARN"))
    with pytest.raises(PublishError, match="other bytes than were sealed"):
        store.sealed(asked)


def test_a_thousand_and_more_files_are_listed_whole(
    bucket: TestBucket, tmp_path: Path, store: S3ArtifactStore
) -> None:
    folder = write_files(tmp_path / "many", {f"d/f{i}": b"%d" % i for i in range(1100)})
    asked = publication(bucket.name, folder)
    made = store.publish(asked)
    assert len(made.contents.files) == 1100
    found = store.sealed(asked)
    assert found == replace(made, created=False)


# What the storage refuses


def test_a_missing_bucket_says_so(source: Path, store: S3ArtifactStore) -> None:
    asked = publication("no-such-bucket", source)
    for attempt in (lambda: store.sealed(asked), lambda: store.publish(asked)):
        with pytest.raises(PublishError, match="no such bucket") as error:
            attempt()
        assert error.value.where.startswith("s3://no-such-bucket/")
        assert "artifacts.bucket" in error.value.hint


@pytest.mark.parametrize("wrong", ["key", "secret"])
def test_wrong_credentials_say_which_to_check_and_show_none(
    s3_server: SeaweedFS, bucket: TestBucket, source: Path, tmp_path: Path, wrong: str
) -> None:
    key = "unknown-key" if wrong == "key" else s3_server.access_key
    clients = replace(clients_of(s3_server), credentials=(key, "a-wrong-secret"))
    store = store_on(clients, tmp_path)
    with pytest.raises(PublishError, match="credentials") as error:
        store.publish(publication(bucket.name, source))
    assert "AWS_SECRET_ACCESS_KEY" in error.value.hint
    assert "a-wrong-secret" not in str(error.value)
    assert "Signature=" not in str(error.value)
    assert bucket.names() == []


def test_no_credentials_at_all(
    bucket: TestBucket, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    store = S3ArtifactStore(Clients(bucket.endpoint, "us-east-1"))
    with pytest.raises(PublishError, match="no credentials"):
        store.publish(publication(bucket.name, source))


@pytest.mark.usefixtures("s3_credentials")
def test_the_store_finds_credentials_as_boto3_does(bucket: TestBucket, source: Path) -> None:
    store = S3ArtifactStore(Clients(bucket.endpoint, "us-east-1"))
    assert store.publish(publication(bucket.name, source)).created


@pytest.mark.usefixtures("s3_credentials")
def test_a_storage_that_does_not_listen_is_tried_again_later(source: Path) -> None:
    store = S3ArtifactStore(Clients("http://127.0.0.1:1", "us-east-1"))
    with pytest.raises(TransientError, match="cannot be reached") as error:
        store.publish(publication("bucket", source))
    assert "MLFLOW_GITOPS_S3_ENDPOINT" in error.value.hint


def test_an_endpoint_that_is_no_url_is_a_settings_error(source: Path) -> None:
    store = S3ArtifactStore(Clients("not a url", "us-east-1"))
    with pytest.raises(ConfigError, match="no URL"):
        store.publish(publication("bucket", source))


def test_another_version_is_refused_whatever_is_at_the_source(
    bucket: TestBucket, source: Path, store: S3ArtifactStore
) -> None:
    asked = publication(bucket.name, source)
    store.publish(asked)
    before = bucket.objects()
    with pytest.raises(PublishError, match="by another"):
        store.publish(other_identity(asked))
    assert bucket.objects() == before
