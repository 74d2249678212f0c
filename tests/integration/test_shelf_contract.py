"""What every shelf does: the real one on a real S3 server, and the one in memory."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from mlflow_gitops.adapters.artifacts import S3ArtifactStore
from mlflow_gitops.adapters.shelf import S3Shelf
from mlflow_gitops.errors import PublishError
from mlflow_gitops.planning.checksums import sums_of
from mlflow_gitops.planning.verifying import read_manifest
from mlflow_gitops.ports import ArtifactStore, Shelf
from mlflow_gitops.progress import LineProgress
from tests.support.memory_shelf import MemoryShelf
from tests.support.memory_store import MemoryArtifactStore
from tests.support.publications import FILES, TestBucket, publication, write_files

pytest_plugins = ["tests.support.s3"]


@dataclass
class World:
    """A shelf, and the store that fills it."""

    shelf: Shelf
    store: ArtifactStore
    bucket: TestBucket | dict[str, bytes]
    folder: Path

    @property
    def name(self) -> str:
        return self.bucket.name if isinstance(self.bucket, TestBucket) else "memory-bucket"

    def publish(self, number: str = "1", files: Mapping[str, bytes] = FILES) -> str:
        """Returns the URI."""
        source = "mlflow-artifacts:/" + number
        if isinstance(self.store, MemoryArtifactStore):
            self.store.sources[source] = files
        else:
            folder = self.folder / number
            folder.mkdir()
            source = str(write_files(folder, files))
        asked = publication(self.name, source, number=number)
        self.store.publish(asked)
        return asked.uri

    def put(self, key: str, body: bytes) -> None:
        if isinstance(self.bucket, TestBucket):
            self.bucket.put(key, body)
        else:
            self.bucket[f"s3://{self.name}/{key}"] = body

    def delete(self, key: str) -> None:
        if isinstance(self.bucket, TestBucket):
            self.bucket.delete(key)
        else:
            del self.bucket[f"s3://{self.name}/{key}"]

    def keys(self) -> list[str]:
        if isinstance(self.bucket, TestBucket):
            return sorted(self.bucket.names())
        return sorted(uri.removeprefix(f"s3://{self.name}/") for uri in self.bucket)


@pytest.fixture(params=["memory", "s3"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> World:
    if request.param == "memory":
        memory = MemoryArtifactStore()
        return World(MemoryShelf(memory.objects), memory, memory.objects, tmp_path)
    bucket: TestBucket = request.getfixturevalue("bucket")
    store: S3ArtifactStore = request.getfixturevalue("store")
    return World(S3Shelf(store.clients), store, bucket, tmp_path)


def test_what_is_there_is_examined(world: World) -> None:
    uri = world.publish()
    found = world.shelf.examine(uri)
    manifest, _ = read_manifest(found.manifest)
    assert manifest is not None
    assert found.claim is not None
    sealed = {file.path: file for file in manifest.files}
    assert {name: kept.size for name, kept in found.objects.items()} == {
        name: len(body) for name, body in FILES.items()
    }
    for name, kept in found.objects.items():
        assert kept.sums is None
        assert kept.checksum is not None
        assert sealed[name].agrees(kept.checksum)


def test_every_byte_is_read_if_asked(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    uri = world.publish()
    found = world.shelf.examine(uri, deep=True, progress=LineProgress(sys.stderr))
    read = {name: kept.sums.sha256 for name, kept in found.objects.items() if kept.sums}
    assert read == {name: sums_of(body).sha256 for name, body in FILES.items()}
    told = capsys.readouterr().err
    assert f"{uri}: {len(FILES)} files" in told
    assert "done" in told


def test_what_is_amiss_is_no_error(world: World) -> None:
    uri = world.publish()
    world.delete("models/fraud/v1/model.pkl")
    world.put("models/fraud/v1/conda.yaml", b"tampered with")
    world.put("models/fraud/v1/more", b"")
    world.put("models/fraud/v10/model.pkl", b"of another version")
    world.put("models/fraud/_manifests/v1.json", b"\xff")
    world.delete("models/fraud/_manifests/v1.claim.json")
    found = world.shelf.examine(uri, deep=True)
    assert (found.claim, found.manifest) == (None, b"\xff")
    assert set(found.objects) == {*FILES, "more"} - {"model.pkl"}
    tampered = sums_of(b"tampered with")
    kept = found.objects["conda.yaml"]
    assert kept.size == len(b"tampered with")
    assert kept.sums is not None
    assert kept.sums.sha256 == tampered.sha256
    assert kept.checksum is not None
    if kept.checksum.algorithm != "etag":
        assert tampered.has(kept.checksum)


def test_nothing_there_is_no_error_either(world: World) -> None:
    found = world.shelf.examine(f"s3://{world.name}/models/none/v1/", deep=True)
    assert (found.claim, found.manifest, dict(found.objects)) == (None, None, {})


def test_an_address_of_no_revision_is_refused(world: World) -> None:
    with pytest.raises(PublishError):
        world.shelf.examine(f"s3://{world.name}/")


def test_the_revisions_of_a_service_are_listed(world: World) -> None:
    first, second = world.publish("1"), world.publish("2-native")
    world.delete("models/fraud/_manifests/v2-native.json")
    world.put("models/fraud/v9/by-hand", b"not ours")
    world.put("models/fraudulent/_manifests/v1.json", b"of another service")
    found = {each.uri: each for each in world.shelf.revisions(f"s3://{world.name}/models/fraud/")}
    assert set(found) == {first, second}
    assert found[first].files == found[second].files == len(FILES)
    assert found[first].size == sum(map(len, FILES.values()))
    assert found[first].manifest is not None
    assert (found[second].manifest, found[second].claim is None) == (None, False)
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", found[first].changed)
    assert list(world.shelf.revisions(f"s3://{world.name}/models/none/")) == []


def test_a_revision_is_removed_and_no_other(world: World) -> None:
    world.publish("1")
    kept = world.keys()
    gone = world.publish("10")
    world.shelf.remove(gone)
    assert world.keys() == kept
    world.shelf.remove(gone)
    assert world.keys() == kept
