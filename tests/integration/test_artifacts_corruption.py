"""Bytes that change on their way, or at their source while they are copied: found, and named."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from mlflow_gitops.adapters.artifacts import S3ArtifactStore
from mlflow_gitops.demo.seaweedfs import SeaweedFS
from mlflow_gitops.errors import PublishError, TransientError
from tests.support.proxy import Proxy, Seen, proxy
from tests.support.publications import FILES, TestBucket, clients_of, publication, write_files

pytest_plugins = ["tests.support.s3"]

PATH = "models/fraud/v1/"
MANIFEST = "models/fraud/_manifests/v1.json"
MIB = 1024 * 1024
CONTENT = {**FILES, "large.bin": os.urandom(11 * MIB)}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_files(tmp_path / "source", CONTENT)


def flipped(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


@contextmanager
def through_proxy(server: SeaweedFS, scratch: Path) -> Iterator[tuple[Proxy, S3ArtifactStore]]:
    """A store that reaches the storage through a proxy; boto3 gives up after the first error."""
    with proxy(server.endpoint) as made:
        clients = replace(clients_of(server, attempts=1), endpoint_url=made.url)
        yield made, S3ArtifactStore(clients, part=5 * MIB, scratch=scratch)


def damage(path: str, times: int) -> Callable[[Seen], None]:
    """Flip a bit of what is sent to the object, that many times."""
    left = [times]

    def watch(seen: Seen) -> None:
        if seen.method == "PUT" and f"{PATH}{path}" in seen.path and seen.body and left[0]:
            left[0] -= 1
            seen.body = flipped(seen.body)

    return watch


@pytest.mark.parametrize("path", ["model.pkl", "large.bin"])
def test_a_byte_that_flips_on_the_way_is_sent_again(
    s3_server: SeaweedFS, bucket: TestBucket, source: Path, tmp_path: Path, path: str
) -> None:
    with through_proxy(s3_server, tmp_path) as (made, store):
        made.before.append(damage(path, 1))
        store.publish(publication(bucket.name, source))
    assert bucket.read(PATH + path) == CONTENT[path]


@pytest.mark.parametrize("path", ["model.pkl", "large.bin"])
def test_bytes_that_never_arrive_as_they_were_sent_are_told_and_nothing_sealed(
    s3_server: SeaweedFS, bucket: TestBucket, source: Path, tmp_path: Path, path: str
) -> None:
    with through_proxy(s3_server, tmp_path) as (made, store):
        made.before.append(damage(path, 100))
        with pytest.raises((TransientError, PublishError)) as error:
            store.publish(publication(bucket.name, source))
    assert error.value.where == f"s3://{bucket.name}/{PATH}{path}"
    assert {PATH + path, MANIFEST}.isdisjoint(bucket.names())
    assert bucket.uploads() == []


def test_a_byte_that_flips_on_the_way_from_another_storage(
    s3_server: SeaweedFS, bucket: TestBucket, other_bucket: TestBucket, tmp_path: Path
) -> None:
    def watch(seen: Seen) -> None:
        if seen.method == "GET" and "source/model.pkl" in seen.path:
            seen.answer = flipped(seen.answer)

    for path, content in FILES.items():
        other_bucket.put(f"source/{path}", content)
    with through_proxy(s3_server, tmp_path) as (made, other):
        made.after.append(watch)
        store = S3ArtifactStore(clients_of(s3_server), other.clients, scratch=tmp_path)
        with pytest.raises(TransientError, match="did not arrive") as error:
            store.publish(publication(bucket.name, f"s3://{other_bucket.name}/source"))
    assert error.value.where == f"s3://{other_bucket.name}/source/model.pkl"
    assert MANIFEST not in bucket.names()


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 1)


def grow(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"x")


def rewrite(path: Path) -> None:
    size = path.stat().st_size
    path.write_bytes(os.urandom(size))
    os.utime(path, ns=(1, 1))


@pytest.mark.parametrize("change", [cut, grow, rewrite])
def test_a_file_that_changes_while_it_is_copied_is_told_and_nothing_sealed(
    s3_server: SeaweedFS,
    bucket: TestBucket,
    source: Path,
    tmp_path: Path,
    change: Callable[[Path], None],
) -> None:
    """Its first part is on its way when it changes."""
    changes = [change]

    def watch(seen: Seen) -> None:
        if seen.method == "POST" and f"{PATH}large.bin?uploads" in seen.path and changes:
            changes.pop()(source / "large.bin")

    with through_proxy(s3_server, tmp_path) as (made, store):
        made.before.append(watch)
        with pytest.raises(PublishError, match="changed while it was copied") as error:
            store.publish(publication(bucket.name, source))
    assert error.value.where == f"{source}/large.bin"
    assert MANIFEST not in bucket.names()
    assert bucket.uploads() == []
