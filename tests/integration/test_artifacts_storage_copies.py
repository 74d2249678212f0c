"""Versions that lie in S3 already: copied by the storage itself, or streamed from another one."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from boto3.s3.transfer import TransferConfig

from mlflow_gitops.adapters import copying
from mlflow_gitops.adapters.artifacts import S3ArtifactStore
from mlflow_gitops.adapters.s3 import Clients
from mlflow_gitops.adapters.shelf import S3Shelf
from mlflow_gitops.demo.seaweedfs import SeaweedFS
from mlflow_gitops.errors import PublishError
from mlflow_gitops.planning.checksums import Checksum, sums_of
from mlflow_gitops.planning.kept import Examined
from mlflow_gitops.planning.revision_manifest import Manifest, parse_manifest
from mlflow_gitops.planning.verifying import Committed, Link, Verdict, verify
from mlflow_gitops.state import ServiceKey, ServiceSpec
from tests.support.lying_s3 import lying_s3
from tests.support.proxy import Seen, proxy
from tests.support.publications import FILES, TestBucket, clients_of, publication, store_on
from tests.support.s3_servers import S3Server

pytest_plugins = ["tests.support.s3"]

PATH = "models/fraud/v1/"
MANIFEST = "models/fraud/_manifests/v1.json"
MIB = 1024 * 1024
CONTENT: Mapping[str, bytes] = {**FILES, "large.bin": os.urandom(11 * MIB)}


def fill(bucket: TestBucket, files: Mapping[str, bytes] = CONTENT) -> str:
    for path, content in files.items():
        bucket.put(f"source/{path}", content)
    return f"s3://{bucket.name}/source"


def manifest_of(bucket: TestBucket) -> Manifest:
    return parse_manifest(bucket.read(MANIFEST).decode())


def published(bucket: TestBucket) -> dict[str, bytes]:
    objects = bucket.objects()
    return {key.removeprefix(PATH): body for key, body in objects.items() if key.startswith(PATH)}


def test_a_storage_copies_what_it_has_without_a_byte_through_the_client(
    race_server: S3Server, race_bucket: TestBucket, tmp_path: Path
) -> None:
    bucket, sent = race_bucket, list[Seen]()
    asked = publication(bucket.name, fill(bucket))
    with proxy(race_server.endpoint) as made:
        made.before.append(sent.append)
        clients = replace(clients_of(race_server), endpoint_url=made.url)
        revision = store_on(clients, tmp_path).publish(asked)
    assert published(bucket) == CONTENT
    assert {path: len(body) for path, body in CONTENT.items()} == revision.contents.files
    gets = [seen.path for seen in sent if seen.method == "GET" and "large.bin" in seen.path]
    if all(file.stored for file in manifest_of(bucket).files if file.size > MIB):
        assert gets == [], "the storage has a checksum of its own"
    assert bucket.uploads() == []


@pytest.mark.parametrize("part", [5, 128], ids=["in parts", "in one"])
@pytest.mark.parametrize("uploaded", [5, 64], ids=["source in parts", "source whole"])
def test_no_checksum_but_the_files_own_is_kept(
    race_bucket: TestBucket,
    race_server: S3Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    part: int,
    uploaded: int,
) -> None:
    """versitygw tells of each part what its source has as a whole; MinIO copies none with sums."""
    monkeypatch.setattr(copying, "COPIED_PART", part * MIB)
    how = TransferConfig(multipart_threshold=uploaded * MIB, multipart_chunksize=uploaded * MIB)
    large, source = tmp_path / "large.bin", fill(race_bucket, FILES)
    large.write_bytes(CONTENT["large.bin"])
    race_bucket.client.upload_file(str(large), race_bucket.name, "source/large.bin", Config=how)
    store = store_on(clients_of(race_server), tmp_path)
    asked = publication(race_bucket.name, source)
    store.publish(asked)
    assert published(race_bucket) == CONTENT
    sealed = race_bucket.read(MANIFEST)
    [file] = [file for file in manifest_of(race_bucket).files if file.path == "large.bin"]
    sums = sums_of(CONTENT["large.bin"], file.part_size)
    assert file.sha256 in ("", sums.sha256)
    assert file.stored is not None
    assert file.stored.algorithm == ("crc32" if isinstance(race_server, SeaweedFS) else "etag")
    assert file.is_of(sums)
    assert store.download(asked, None) is not None
    assert race_bucket.uploads() == []
    race_bucket.delete(MANIFEST)
    store.publish(asked)
    again = race_bucket.read(MANIFEST)
    assert json.loads(again)["digest"] == json.loads(sealed)["digest"], "the next run goes on"


def test_a_copy_that_only_its_etag_proves_is_verified_by_it_and_by_its_bytes(
    tmp_path: Path,
) -> None:
    with lying_s3(honours_put=True, honours_multipart=True) as server:
        server.objects |= {f"source/{path}": body for path, body in CONTENT.items()}
        server.parts["source/large.bin"] = 5 * MIB
        store = store_on(server.clients(), tmp_path)
        store.publish(publication("models", "s3://models/source"))
        assert "GET source/large.bin" not in server.requests
        assert f"GET {PATH}large.bin" not in server.requests
        shelf, uri = S3Shelf(server.clients()), f"s3://models/{PATH}"
        assert "by the storage's checksum" in files_link(shelf.examine(uri)).why
        assert files_link(shelf.examine(uri, deep=True)).verdict is Verdict.OK
        server.parts[f"{PATH}large.bin"] = 8 * MIB
        uploaded_again = files_link(shelf.examine(uri))
        assert "written again since (--deep compares the bytes): large.bin" in uploaded_again.why
        assert files_link(shelf.examine(uri, deep=True)).verdict is Verdict.OK
        server.objects[f"{PATH}large.bin"] = os.urandom(11 * MIB)
        assert "other bytes: large.bin" in files_link(shelf.examine(uri, deep=True)).why


def files_link(found: Examined) -> Link:
    spec = ServiceSpec(f"s3://models/{PATH}", "1")
    chain = verify(Committed(ServiceKey("production", "fraud"), "fraud", spec), found, None)
    return next(link for link in chain.links if link.name == "files")


UNPROVEN = {
    "no MD5": ("5d41402abc4b2a76b9719d911017c592", 0),
    "parts that S3 takes no more": ("", 3 * MIB),
    "unknown parts": ("", 5 * MIB),
    "no ETag": ("none", 0),
}


@pytest.mark.parametrize("case", UNPROVEN)
def test_where_the_etag_proves_nothing_both_are_read(tmp_path: Path, case: str) -> None:
    etag, parts = UNPROVEN[case]
    with lying_s3(honours_put=True, honours_multipart=True) as server:
        server.objects |= {f"source/{path}": body for path, body in CONTENT.items()}
        server.etags |= {"source/large.bin": etag} if etag else {}
        server.parts |= {"source/large.bin": parts} if parts else {}
        server.untold |= {"source/large.bin"} if case == "unknown parts" else set()
        store_on(server.clients(), tmp_path).publish(publication("models", "s3://models/source"))
        files = parse_manifest(server.objects[MANIFEST].decode()).files
    [large] = [file for file in files if file.path == "large.bin"]
    assert large.sha256 == hashlib.sha256(CONTENT["large.bin"]).hexdigest()
    assert large.stored is None


def test_with_sse_kms_no_etag_is_believed(tmp_path: Path) -> None:
    """This server's ETags are MD5s all the same: that is not what makes them a proof."""
    storing = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": "k1"}
    asked = replace(publication("models", "s3://models/source"), storing=storing)
    with lying_s3(honours_put=True, honours_multipart=True) as server:
        server.objects |= {f"source/{path}": body for path, body in CONTENT.items()}
        server.parts["source/large.bin"] = 5 * MIB
        store_on(server.clients(), tmp_path).publish(asked)
        files = parse_manifest(server.objects[MANIFEST].decode()).files
    assert all(file.sha256 for file in files)
    assert all(file.stored is None or file.stored.algorithm != "etag" for file in files)


def test_what_the_storage_copies_wrongly_is_found(tmp_path: Path) -> None:
    with lying_s3(honours_put=True, honours_multipart=True) as server:
        server.objects |= {f"source/{path}": body for path, body in CONTENT.items()}
        server.corrupt = "source/large.bin"
        with pytest.raises(PublishError, match="other bytes") as error:
            store_on(server.clients(), tmp_path).publish(
                publication("models", "s3://models/source")
            )
        assert MANIFEST not in server.objects
    assert error.value.where == f"s3://models/{PATH}large.bin"


@pytest.mark.parametrize(("echo", "part"), [("-3", 128), ("", 5)])
def test_a_storage_that_tells_the_sources_sum_of_each_part_is_not_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, echo: str, part: int
) -> None:
    monkeypatch.setattr(copying, "COPIED_PART", part * MIB)
    with lying_s3(honours_put=True, honours_multipart=True) as server:
        server.echo = echo
        server.objects |= {f"source/{path}": body for path, body in CONTENT.items()}
        asked = publication("models", "s3://models/source")
        store_on(server.clients(), tmp_path).publish(asked)
        assert server.objects[f"{PATH}large.bin"] == CONTENT["large.bin"]
        files = parse_manifest(server.objects[MANIFEST].decode()).files
    assert all(file.is_of(sums_of(CONTENT[file.path], file.part_size)) for file in files)


def test_the_manifest_has_the_checksum_of_the_storage(
    bucket: TestBucket, store: S3ArtifactStore
) -> None:
    store.publish(publication(bucket.name, fill(bucket)))
    files = {file.path: file for file in manifest_of(bucket).files}
    crc32 = base64.b64encode(zlib.crc32(CONTENT["large.bin"]).to_bytes(4, "big")).decode()
    assert files["large.bin"].stored == Checksum("crc32", crc32)
    assert files["large.bin"].sha256 == ""
    assert files["code/pkg/__init__.py"].sha256 == hashlib.sha256(b"").hexdigest()


def test_what_was_copied_by_the_storage_is_downloaded_and_checked(
    bucket: TestBucket, store: S3ArtifactStore, tmp_path: Path
) -> None:
    asked = publication(bucket.name, fill(bucket))
    store.publish(asked)
    store.download(asked, tmp_path / "out")
    assert (tmp_path / "out" / "large.bin").read_bytes() == CONTENT["large.bin"]
    other = bytearray(CONTENT["large.bin"])
    other[7 * MIB] ^= 1
    bucket.put(f"{PATH}large.bin", bytes(other))
    with pytest.raises(PublishError, match="other bytes than were sealed"):
        store.download(asked, None)


@pytest.mark.parametrize("path", ["large.bin", "model.pkl"])
def test_going_on_finds_an_object_with_other_bytes(
    bucket: TestBucket, store: S3ArtifactStore, path: str
) -> None:
    asked = publication(bucket.name, fill(bucket))
    made = store.publish(asked)
    bucket.delete(MANIFEST)
    assert store.publish(asked).digest == made.digest
    bucket.delete(MANIFEST)
    bucket.put(PATH + path, CONTENT[path][:-1] + bytes([CONTENT[path][-1] ^ 1]))
    with pytest.raises(PublishError, match="other bytes"):
        store.publish(asked)
    assert MANIFEST not in bucket.names()


@pytest.mark.parametrize("path", ["large.bin", "model.pkl"])
def test_an_object_that_changes_after_it_was_listed_is_told(
    s3_server: SeaweedFS, bucket: TestBucket, tmp_path: Path, path: str
) -> None:
    asked = publication(bucket.name, fill(bucket))

    def change(seen: Seen) -> None:
        if seen.method == "PUT" and seen.path.startswith(f"/{bucket.name}/{PATH}{path}"):
            bucket.put(f"source/{path}", os.urandom(len(CONTENT[path])))

    with proxy(s3_server.endpoint) as made:
        made.before.append(change)
        clients = replace(clients_of(s3_server), endpoint_url=made.url)
        with pytest.raises(PublishError, match="changed while it was copied") as error:
            store_on(clients, tmp_path).publish(asked)
    assert error.value.where == f"s3://{bucket.name}/source/{path}"
    assert MANIFEST not in bucket.names()
    assert bucket.uploads() == []


# From another storage


@pytest.fixture
def elsewhere(
    s3_server: SeaweedFS, other_bucket: TestBucket
) -> Iterator[tuple[TestBucket, Clients]]:
    """Another storage, as far as clients can tell: another address."""
    with proxy(s3_server.endpoint) as made:
        yield other_bucket, replace(clients_of(s3_server), endpoint_url=made.url)


def test_another_storage_is_streamed_and_its_bytes_hashed_on_the_way(
    bucket: TestBucket, store: S3ArtifactStore, elsewhere: tuple[TestBucket, Clients]
) -> None:
    other, store.source_clients = elsewhere
    asked = publication(bucket.name, fill(other))
    store.publish(asked)
    assert published(bucket) == CONTENT
    digests = {path: hashlib.sha256(body).hexdigest() for path, body in CONTENT.items()}
    assert {file.path: file.sha256 for file in manifest_of(bucket).files} == digests
    assert store.texts(asked.uri, ["conda.yaml"]) == {"conda.yaml": FILES["conda.yaml"].decode()}


def test_an_object_of_another_storage_that_changes_is_told(
    bucket: TestBucket, store: S3ArtifactStore, elsewhere: tuple[TestBucket, Clients]
) -> None:
    other, store.source_clients = elsewhere
    asked = publication(bucket.name, fill(other))
    source = store._source(asked.source)
    source.files()
    other.put("source/model.pkl", b"other bytes, as ma")
    with pytest.raises(PublishError, match="changed while it was copied"), source.open("model.pkl"):
        pass
