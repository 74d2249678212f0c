"""Files of every name that KServe can bring back, from each source, on real servers."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from mlflow_gitops.adapters.artifacts import S3ArtifactStore
from mlflow_gitops.adapters.shelf import S3Shelf
from mlflow_gitops.demo.mlflow_server import MlflowServer
from mlflow_gitops.demo.seaweedfs import SeaweedFS
from mlflow_gitops.errors import PublishError
from mlflow_gitops.planning.revision_manifest import parse_manifest
from tests.support.mlflow import MODEL_FILES, Registry
from tests.support.publications import TestBucket, clients_of, publication, store_on, write_files

pytest_plugins = ["tests.support.s3"]

PATH = "models/fraud/v1/"
NAMES = (
    *("my file (1).csv", "year=2024/part-0.parquet", "code/año.py", "a+b.bin", "x@2x.png"),
    *("a,b.txt", "a~b.txt", "a&b", "100%", "a%zz", "a'b", 'a"b', "a?b", "a*b", "a[b]", "a{b}"),
    *(
        "a:b",
        "a;b",
        "file:x",
        "A:",
        "a$b",
        "a!b",
        "a|b",
        "a<b>",
        "a^b",
        "a`b",
        "-rf",
        " lead",
        "trail ",
        "dot.",
    ),
    *("日本語/モデル.bin", "emoji😀", unicodedata.normalize("NFD", "code/año.py"), "x" * 255),
    *("é" * 123, "a+b/c d/e=f?g/h", "A.txt", "a.txt"),
)
UNSERVED = ("a#b", "a%20b", "a%2Bb/c", "end?", "end;")  # MLflow's proxy alone cannot hand them out
LARGE = "large = (1) año+?.bin"


def files_of(names: tuple[str, ...]) -> dict[str, bytes]:
    """Each has its own name's bytes, so that two of them swapped would show."""
    named = {name: f"the bytes of {name}".encode() for name in names}
    return {**MODEL_FILES, **named, LARGE: os.urandom(6 * 1024 * 1024)}


def check(bucket: TestBucket, server: SeaweedFS, store: S3ArtifactStore, location: str,
          files: Mapping[str, bytes], out: Path) -> None:  # fmt: skip
    """Publish, look at each byte past the product, verify and download."""
    asked = publication(bucket.name, location)
    made = store.publish(asked)
    objects = bucket.objects()
    found = {k.removeprefix(PATH): body for k, body in objects.items() if k.startswith(PATH)}
    assert found.keys() == files.keys()
    assert found == files
    assert bucket.uploads() == []
    assert store.publish(asked) == replace(made, created=False), "it is found sealed"
    seen = S3Shelf(clients_of(server)).examine(asked.uri, deep=True)
    assert seen.manifest is not None
    for file in parse_manifest(seen.manifest.decode()).files:
        kept = seen.objects[file.path]
        assert kept.sums is not None, kept.problem
        assert file.is_of(kept.sums), file.path
    store.download(asked, out)
    written = (path for path in out.rglob("*") if path.is_file())
    assert {str(path.relative_to(out)): path.read_bytes() for path in written} == files


def test_from_a_folder(
    bucket: TestBucket, s3_server: SeaweedFS, store: S3ArtifactStore, tmp_path: Path
) -> None:
    files = files_of((*NAMES, *UNSERVED))
    folder = write_files(tmp_path / "source", files)
    check(bucket, s3_server, store, str(folder), files, tmp_path / "out")


def test_from_the_same_storage_by_its_own_copy(
    bucket: TestBucket, s3_server: SeaweedFS, store: S3ArtifactStore, tmp_path: Path
) -> None:
    files = files_of((*NAMES, *UNSERVED))
    for name, content in files.items():
        bucket.put(f"source/{name}", content)
    location = f"s3://{bucket.name}/source"
    check(bucket, s3_server, store, location, files, tmp_path / "out")


def test_from_another_storage(
    bucket: TestBucket, other_bucket: TestBucket, s3_server: SeaweedFS, tmp_path: Path
) -> None:
    files = files_of((*NAMES, *UNSERVED))
    for name, content in files.items():
        other_bucket.put(f"source/{name}", content)
    store = store_on(clients_of(s3_server), tmp_path)
    store.source_clients = clients_of(s3_server)
    location = f"s3://{other_bucket.name}/source"
    check(bucket, s3_server, store, location, files, tmp_path / "out")


def on_disk(server: MlflowServer, location: str) -> Path:
    return Path(server.artifacts, location.removeprefix("mlflow-artifacts:/"))


def registered(server: MlflowServer, model: str, files: Mapping[str, bytes]) -> str:
    registry = Registry(server.url, server.artifacts)
    number = registry.register(model, files)
    location: str = registry.client.get_model_version_download_uri(model, number)
    assert location.startswith("mlflow-artifacts:/")
    return location


def test_from_mlflows_artifact_proxy(
    bucket: TestBucket, s3_server: SeaweedFS, plain_mlflow: MlflowServer,
    names: Callable[[str], str], tmp_path: Path,
) -> None:  # fmt: skip
    files = files_of(NAMES)
    location = registered(plain_mlflow, names("fraud"), files)
    store = store_on(clients_of(s3_server), tmp_path)
    store.tracking_uri = plain_mlflow.url
    check(bucket, s3_server, store, location, files, tmp_path / "out")


@pytest.mark.parametrize("name", [*UNSERVED, "folder#1/x"])
def test_a_name_that_the_proxy_cannot_hand_out_is_told(
    plain_mlflow: MlflowServer, names: Callable[[str], str], name: str
) -> None:
    location = registered(plain_mlflow, names("fraud"), {**MODEL_FILES, name: b"x"})
    with pytest.raises(PublishError, match="artifact proxy cannot hand out") as error:
        S3ArtifactStore(tracking_uri=plain_mlflow.url).inspect(location)
    assert error.value.where in (name, name.partition("/")[0])
    assert "log the model again" in error.value.hint
    assert "artifacts.sources" in error.value.hint


def test_what_no_storage_or_file_system_keeps_is_refused_before_anything_is_written(
    bucket: TestBucket, store: S3ArtifactStore, tmp_path: Path
) -> None:
    for name, why in (
        ("back\\slash", "backslash"),
        ("tab\there", "control character"),
        (os.fsdecode(b"latin-\xe9"), "not UTF-8"),
        ("é" * 124, "KServe's download adds 9"),
    ):
        folder = write_files(tmp_path / why, {**MODEL_FILES, name: b"x"})
        with pytest.raises(PublishError, match=why) as error:
            store.publish(publication(bucket.name, folder))
        assert str(error.value).isascii() or "�" in error.value.where or "é" in error.value.where
    assert bucket.names() == []
