"""What every artifact store does: the real one on a real S3 server, and the one in memory."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Protocol

import pytest

from mlflow_gitops.adapters.artifacts import S3ArtifactStore
from mlflow_gitops.errors import PublishError
from mlflow_gitops.planning.revision_manifest import claim_of, claim_text
from mlflow_gitops.ports import ArtifactStore
from mlflow_gitops.state import ModelFiles, Publication
from tests.support.memory_store import MemoryArtifactStore
from tests.support.publications import (
    FILES,
    MLMODEL,
    TestBucket,
    other_identity,
    publication,
    write_files,
)

pytest_plugins = ["tests.support.s3"]

PATH = "models/fraud/v1/"
CLAIM = "models/fraud/_manifests/v1.claim.json"
MANIFEST = "models/fraud/_manifests/v1.json"


class Shelf(Protocol):
    """A store, and what a person could do to its objects and sources."""

    store: ArtifactStore
    bucket: str

    def source(self, files: Mapping[str, bytes]) -> str: ...

    def lose(self, source: str) -> None: ...

    def objects(self) -> dict[str, bytes]: ...

    def put(self, key: str, body: bytes) -> None: ...

    def delete(self, key: str) -> None: ...


@dataclass
class RealShelf:
    store: ArtifactStore
    _bucket: TestBucket
    folder: Path
    _numbers: count[int] = field(default_factory=count)

    @property
    def bucket(self) -> str:
        return self._bucket.name

    def source(self, files: Mapping[str, bytes]) -> str:
        folder = self.folder / f"source-{next(self._numbers)}"
        folder.mkdir()
        return str(write_files(folder, files))

    def lose(self, source: str) -> None:
        shutil.rmtree(source)

    def objects(self) -> dict[str, bytes]:
        return self._bucket.objects()

    def put(self, key: str, body: bytes) -> None:
        self._bucket.put(key, body)

    def delete(self, key: str) -> None:
        self._bucket.delete(key)


@dataclass
class MemoryShelf:
    store: MemoryArtifactStore
    bucket: str = "memory-bucket"
    _numbers: count[int] = field(default_factory=count)

    def source(self, files: Mapping[str, bytes]) -> str:
        location = f"mlflow-artifacts:/{next(self._numbers)}"
        self.store.sources[location] = dict(files)
        return location

    def lose(self, source: str) -> None:
        del self.store.sources[source]

    def objects(self) -> dict[str, bytes]:
        start = f"s3://{self.bucket}/"
        return {uri.removeprefix(start): body for uri, body in self.store.objects.items()}

    def put(self, key: str, body: bytes) -> None:
        self.store.objects[f"s3://{self.bucket}/{key}"] = body

    def delete(self, key: str) -> None:
        del self.store.objects[f"s3://{self.bucket}/{key}"]


@pytest.fixture(params=["memory", "s3"])
def shelf(request: pytest.FixtureRequest, tmp_path: Path) -> Shelf:
    if request.param == "memory":
        return MemoryShelf(MemoryArtifactStore())
    bucket: TestBucket = request.getfixturevalue("bucket")
    store: S3ArtifactStore = request.getfixturevalue("store")
    return RealShelf(store, bucket, tmp_path)


def ask(shelf: Shelf, files: Mapping[str, bytes] = FILES) -> Publication:
    return publication(shelf.bucket, shelf.source(files))


@dataclass
class Bar:
    """What a progress was told."""

    started: list[tuple[str, int, int]] = field(default_factory=list)
    bytes: dict[str, int] = field(default_factory=dict)
    finished: int = 0

    def start(self, what: str, files: int, size: int) -> None:
        self.started.append((what, files, size))

    def advance(self, size: int, *, file: str = "") -> None:
        self.bytes[file] = self.bytes.get(file, 0) + size

    def done(self, file: str) -> None:
        del file

    def finish(self) -> None:
        self.finished += 1


def test_what_is_published_is_sealed_and_found_again(shelf: Shelf) -> None:
    asked = ask(shelf)
    assert shelf.store.sealed(asked) is None
    made = shelf.store.publish(asked)
    assert made.created
    assert made.uri == asked.uri
    assert made.digest.startswith("sha256:")
    sizes = {path: len(content) for path, content in FILES.items()}
    assert made.contents == ModelFiles(sizes, MLMODEL)
    assert shelf.store.sealed(asked) == replace(made, created=False)


def test_files_lie_below_the_path_and_the_rest_beside_it(shelf: Shelf) -> None:
    shelf.store.publish(ask(shelf))
    objects = shelf.objects()
    assert {key: objects[key] for key in objects if key.startswith(PATH)} == {
        f"{PATH}{path}": content for path, content in FILES.items()
    }
    assert sorted(key for key in objects if not key.startswith(PATH)) == [CLAIM, MANIFEST]


def test_publishing_again_writes_nothing_and_needs_no_source(shelf: Shelf) -> None:
    asked = ask(shelf)
    made = shelf.store.publish(asked)
    before = shelf.objects()
    shelf.lose(asked.source)
    assert shelf.store.publish(asked) == replace(made, created=False)
    assert shelf.objects() == before


def laid_out(of: Publication, paths: Mapping[str, str]) -> Publication:
    return replace(of, uri=f"{of.uri[:-1]}-nest/", layout="nest", paths=paths)


def test_files_are_published_where_the_layout_has_them(shelf: Shelf, tmp_path: Path) -> None:
    asked = laid_out(ask(shelf), {"1/model.bin": "model.pkl", "MLmodel": "MLmodel"})
    made = shelf.store.publish(asked)
    sizes = {"1/model.bin": len(FILES["model.pkl"]), "MLmodel": len(MLMODEL)}
    assert made.contents == ModelFiles(sizes, MLMODEL)
    start = "models/fraud/v1-nest/"
    published = {key for key in shelf.objects() if key.startswith(start)}
    assert published == {f"{start}1/model.bin", f"{start}MLmodel"}
    assert shelf.objects()[f"{start}1/model.bin"] == FILES["model.pkl"]
    shelf.lose(asked.source)
    known = replace(asked, paths=None)
    assert shelf.store.sealed(known) == replace(made, created=False)
    assert shelf.store.download(known, tmp_path / "copy") == replace(made, created=False)
    assert (tmp_path / "copy/1/model.bin").read_bytes() == FILES["model.pkl"]


def test_two_layouts_of_a_version_lie_beside_each_other(shelf: Shelf) -> None:
    asked = ask(shelf)
    first = shelf.store.publish(asked)
    other = shelf.store.publish(laid_out(asked, {"1/model.pkl": "model.pkl"}))
    assert shelf.store.sealed(asked) == replace(first, created=False)
    assert other.contents == ModelFiles({"1/model.pkl": len(FILES["model.pkl"])})


def test_a_path_sealed_in_one_layout_is_no_other(shelf: Shelf) -> None:
    asked = laid_out(ask(shelf), {"1/model.pkl": "model.pkl"})
    shelf.store.publish(asked)
    with pytest.raises(PublishError, match="sealed by another"):
        shelf.store.sealed(replace(asked, layout="as-is"))


def test_a_file_of_the_layout_that_went_away_is_named_before_the_claim(shelf: Shelf) -> None:
    asked = laid_out(ask(shelf), {"1/model.pkl": "gone.pkl"})
    with pytest.raises(PublishError, match=r"`gone\.pkl` is not there any more"):
        shelf.store.publish(asked)
    assert shelf.objects() == {}


def test_the_same_content_has_the_same_digest_at_another_path(shelf: Shelf) -> None:
    first = shelf.store.publish(ask(shelf))
    asked = publication(shelf.bucket, shelf.source(FILES), number="2", created=5)
    second = shelf.store.publish(asked)
    assert second.digest == first.digest
    assert second.created


def test_a_renamed_model_is_the_same_version(shelf: Shelf) -> None:
    asked = ask(shelf)
    made = shelf.store.publish(asked)
    assert shelf.store.sealed(replace(asked, model="renamed")) == replace(made, created=False)


def test_inspect_tells_names_sizes_and_mlmodel_and_writes_nothing(shelf: Shelf) -> None:
    found = shelf.store.inspect(shelf.source(FILES))
    assert found.files == {path: len(content) for path, content in FILES.items()}
    assert found.mlmodel == MLMODEL
    assert shelf.store.inspect(shelf.source({"a.pkl": b"1"})).mlmodel == ""
    assert shelf.objects() == {}


def test_small_texts_are_read_from_the_source_and_from_the_sealed_path(shelf: Shelf) -> None:
    files = {"a.txt": b"mlflow==3\n", "b.txt": b"\xff", "big.txt": b"a" * 70_000, "c.pkl": b"1"}
    source = shelf.source(files)
    assert shelf.store.texts(source, ["a.txt", "b.txt", "big.txt"]) == {"a.txt": "mlflow==3\n"}
    asked = replace(ask(shelf), source=source)
    shelf.store.publish(asked)
    shelf.lose(source)
    assert shelf.store.texts(asked.uri, ["a.txt"]) == {"a.txt": "mlflow==3\n"}
    assert shelf.store.texts(asked.uri, []) == {}
    with pytest.raises(PublishError):
        shelf.store.texts(asked.uri, ["nothing.txt"])


def test_the_progress_is_told_of_every_byte(shelf: Shelf) -> None:
    bar = Bar()
    shelf.store.publish(ask(shelf), bar)
    [(_, files, size)] = bar.started
    assert (files, size) == (len(FILES), sum(map(len, FILES.values())))
    told = {path: size for path, size in bar.bytes.items() if size}
    assert told == {path: len(content) for path, content in FILES.items() if content}
    assert bar.finished == 1


# Another version at the path


def refused(shelf: Shelf, asked: Publication, match: str) -> PublishError:
    """Both ways in refuse it, and nothing changes."""
    before = shelf.objects()
    with pytest.raises(PublishError, match=match):
        shelf.store.sealed(asked)
    with pytest.raises(PublishError, match=match) as error:
        shelf.store.publish(asked)
    assert shelf.objects() == before
    assert error.value.hint
    return error.value


def test_the_sealed_files_are_downloaded_as_they_were_published(
    shelf: Shelf, tmp_path: Path
) -> None:
    asked, folder, bar = ask(shelf), tmp_path / "here", Bar()
    folder.mkdir()
    assert shelf.store.download(asked, folder) is None
    made = shelf.store.publish(asked)
    assert shelf.store.download(asked, folder, bar) == replace(made, created=False)
    found = {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    assert found == FILES
    assert bar.started == [(asked.uri, len(FILES), made.size)]
    assert sum(bar.bytes.values()) == made.size
    assert bar.finished == 1


def test_without_a_folder_the_files_are_checked_only(shelf: Shelf) -> None:
    asked, bar = ask(shelf), Bar()
    assert shelf.store.download(asked, None) is None
    made = shelf.store.publish(asked)
    assert shelf.store.download(asked, None, bar) == replace(made, created=False)
    assert sum(bar.bytes.values()) == made.size
    other = bytes(reversed(FILES["model.pkl"]))
    shelf.delete(f"{PATH}model.pkl")
    shelf.put(f"{PATH}model.pkl", other)
    with pytest.raises(PublishError, match="other bytes than were sealed"):
        shelf.store.download(asked, None)


def test_a_file_that_changed_since_is_not_left_behind(shelf: Shelf, tmp_path: Path) -> None:
    asked = ask(shelf)
    shelf.store.publish(asked)
    other = bytes(reversed(FILES["model.pkl"]))
    shelf.delete(f"{PATH}model.pkl")
    shelf.put(f"{PATH}model.pkl", other)
    with pytest.raises(PublishError, match="other bytes than were sealed") as error:
        shelf.store.download(asked, tmp_path)
    assert error.value.where == f"{asked.uri}model.pkl"
    assert not (tmp_path / "model.pkl").exists()


def test_a_path_sealed_by_another_version_is_refused_with_the_way_on(shelf: Shelf) -> None:
    asked = ask(shelf)
    shelf.store.publish(asked)
    other = replace(other_identity(asked), source=shelf.source({"model.pkl": b"other"}))
    error = refused(shelf, other, "sealed by another: version 1 of fraud")
    assert error.where == asked.uri
    assert "version-name" in error.hint


def test_a_path_claimed_by_another_version_is_refused(shelf: Shelf) -> None:
    asked = ask(shelf)
    shelf.put(CLAIM, claim_text(claim_of(other_identity(asked))).encode())
    refused(shelf, asked, "claimed by another")


def test_a_path_claimed_for_files_at_another_place_is_refused(shelf: Shelf) -> None:
    asked = ask(shelf)
    shelf.put(CLAIM, claim_text(claim_of(asked)).encode())
    refused(shelf, replace(asked, source=shelf.source(FILES)), "is now at")


@pytest.mark.parametrize("key", [CLAIM, MANIFEST])
@pytest.mark.parametrize("body", [b"", b"{}", b"\xff", b'{"format": 1, "kind": "other"}'])
def test_what_somebody_else_wrote_beside_the_path_is_refused(
    shelf: Shelf, key: str, body: bytes
) -> None:
    shelf.put(key, body)
    refused(shelf, ask(shelf), "not what the tool writes")


# Going on after a crash


def test_a_claim_alone_is_gone_on_with(shelf: Shelf) -> None:
    asked = ask(shelf)
    shelf.put(CLAIM, claim_text(claim_of(asked)).encode())
    assert shelf.store.sealed(asked) is None
    assert shelf.store.publish(asked).created
    assert len(shelf.objects()) == len(FILES) + 2


def test_files_that_landed_are_kept_and_the_rest_is_written(shelf: Shelf) -> None:
    asked = ask(shelf)
    whole = shelf.store.publish(asked)
    before = shelf.objects()
    for key in (MANIFEST, f"{PATH}MLmodel", f"{PATH}code/pkg/__init__.py"):
        shelf.delete(key)
    again = shelf.store.publish(asked)
    assert again == whole
    after = shelf.objects()
    assert {k: v for k, v in after.items() if k != MANIFEST} == {
        k: v for k, v in before.items() if k != MANIFEST
    }
    assert MANIFEST in after


@pytest.mark.parametrize("body", [b"not really a PICKLE", b"short", b""])
def test_a_file_that_landed_with_other_bytes_is_never_sealed(shelf: Shelf, body: bytes) -> None:
    asked = ask(shelf)
    shelf.put(CLAIM, claim_text(claim_of(asked)).encode())
    shelf.put(f"{PATH}model.pkl", body)
    with pytest.raises(PublishError, match="other bytes") as error:
        shelf.store.publish(asked)
    assert error.value.where == f"{asked.uri}model.pkl"
    objects = shelf.objects()
    assert objects[f"{PATH}model.pkl"] == body
    assert MANIFEST not in objects
    assert shelf.store.sealed(asked) is None


def test_an_object_that_is_not_the_versions_is_named(shelf: Shelf) -> None:
    asked = ask(shelf)
    shelf.put(f"{PATH}sub/extra.pkl", b"x")
    with pytest.raises(PublishError, match=r"sub/extra\.pkl"):
        shelf.store.publish(asked)
    assert MANIFEST not in shelf.objects()


def test_another_version_that_begins_alike_is_no_obstacle(shelf: Shelf) -> None:
    shelf.put("models/fraud/v10/model.pkl", b"x")
    shelf.put("models/fraud/v1-nest/model.pkl", b"x")
    asked = ask(shelf)
    shelf.store.publish(asked)
    assert shelf.store.sealed(asked) is not None


# After the seal


def test_a_sealed_path_that_lost_gained_or_changed_objects_is_an_error(shelf: Shelf) -> None:
    asked = ask(shelf)
    shelf.store.publish(asked)
    shelf.delete(f"{PATH}model.pkl")
    refused(shelf, asked, r"missing: model\.pkl")
    shelf.put(f"{PATH}model.pkl", b"longer than it was, by far")
    refused(shelf, asked, r"other size: model\.pkl")
    shelf.put(f"{PATH}model.pkl", FILES["model.pkl"])
    shelf.put(f"{PATH}input.json", b"{}")
    refused(shelf, asked, r"not sealed: input\.json")


# Sources


def test_a_source_that_is_not_there_is_refused_before_the_claim(shelf: Shelf) -> None:
    asked = ask(shelf)
    shelf.lose(asked.source)
    with pytest.raises(PublishError, match="no such") as error:
        shelf.store.publish(asked)
    assert error.value.hint
    assert shelf.objects() == {}


def test_an_empty_source_is_refused_before_the_claim(shelf: Shelf) -> None:
    with pytest.raises(PublishError, match="no files"):
        shelf.store.publish(ask(shelf, {}))
    assert shelf.objects() == {}


def test_names_of_any_kind_are_published(shelf: Shelf) -> None:
    names = ("a b", "a#b", "a?b", "a%2e", "ä", "a+b", "a=(1)")
    files = {**FILES, **{f"sub/{name}": name.encode() for name in names}}
    asked = ask(shelf, files)
    revision = shelf.store.publish(asked)
    assert revision.contents.files == {path: len(body) for path, body in files.items()}
    assert shelf.store.sealed(asked) == replace(revision, created=False)


@pytest.mark.parametrize(
    ("name", "why"),
    [("a\\b", "backslash"), ("a\nGitops: x", "control character"), ("ä" * 124, "248 bytes")],
)
def test_an_unsafe_name_is_refused_before_the_claim(shelf: Shelf, name: str, why: str) -> None:
    asked = ask(shelf, {**FILES, f"sub/{name}": b"x"})
    for attempt in (lambda: shelf.store.inspect(asked.source), lambda: shelf.store.publish(asked)):
        with pytest.raises(PublishError, match=why) as error:
            attempt()
        assert "\n" not in error.value.where
    assert shelf.objects() == {}


@pytest.mark.parametrize("source", ["", "relative", "models:/fraud/1", "/a/../b", "s3://k:pw@b/x"])
def test_a_source_that_hides_where_it_leads_is_refused(shelf: Shelf, source: str) -> None:
    with pytest.raises(PublishError) as error:
        shelf.store.publish(publication(shelf.bucket, source))
    assert "pw" not in str(error.value)
    assert shelf.objects() == {}


@pytest.mark.parametrize(
    "uri", ["s3://b/fraud/v1", "s3://b/", "gs://b/fraud/v1/", "s3://b/a b/v1/"]
)
def test_an_address_that_kserve_would_misread_is_refused(shelf: Shelf, uri: str) -> None:
    asked = replace(ask(shelf), uri=uri)
    with pytest.raises(PublishError):
        shelf.store.sealed(asked)
    with pytest.raises(PublishError):
        shelf.store.publish(asked)
