"""Where files come from: folders with traps, another prefix of S3, a real MLflow server."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest
import requests
from botocore.exceptions import EndpointConnectionError, NoCredentialsError
from mlflow.entities import FileInfo
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import PERMISSION_DENIED, RESOURCE_DOES_NOT_EXIST
from mlflow.store.artifact.artifact_repo import ArtifactRepository

from mlflow_gitops.adapters.artifacts import S3ArtifactStore
from mlflow_gitops.adapters.source_errors import reading
from mlflow_gitops.adapters.sources import LocalSource, MlflowSource, inspect
from mlflow_gitops.demo.mlflow_server import MlflowServer
from mlflow_gitops.errors import GitOpsError, PublishError, TransientError
from tests.support.mlflow import MODEL_FILES, Registry
from tests.support.publications import FILES, TestBucket, clients_of, publication, write_files

pytest_plugins = ["tests.support.s3"]

PATH = "models/fraud/v1/"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_files(tmp_path / "source")


def published(bucket: TestBucket) -> dict[str, bytes]:
    return {
        key.removeprefix(PATH): body
        for key, body in bucket.objects().items()
        if key.startswith(PATH)
    }


def test_the_number_of_files_is_bounded(
    bucket: TestBucket, store: S3ArtifactStore, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for key, body in FILES.items():
        bucket.put(f"elsewhere/{key}", body)
    monkeypatch.setattr("mlflow_gitops.adapters.sources.MOST_FILES", len(FILES))
    place = f"s3://{bucket.name}/elsewhere/"
    assert store.inspect(place).files.keys() == store.inspect(str(source)).files.keys()
    monkeypatch.setattr("mlflow_gitops.adapters.sources.MOST_FILES", len(FILES) - 1)
    for location in (place, str(source)):
        with pytest.raises(PublishError, match="holds more than") as refused:
            store.publish(publication(bucket.name, location))
        assert refused.value.hint
    assert published(bucket) == {}


# Folders


@pytest.mark.parametrize("form", ["{}", "file://{}", "file:{}", "{}/"])
def test_a_folder_in_every_way_to_write_it(
    bucket: TestBucket, store: S3ArtifactStore, source: Path, form: str
) -> None:
    store.publish(publication(bucket.name, form.format(source)))
    assert published(bucket) == FILES


def test_a_folder_whose_name_is_encoded(
    bucket: TestBucket, store: S3ArtifactStore, tmp_path: Path
) -> None:
    folder = write_files(tmp_path / "my models")
    store.publish(publication(bucket.name, folder.as_uri()))
    assert published(bucket) == FILES


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "key").write_text("the host's secret")
    return tmp_path / "secret"


def test_links_are_never_followed(
    bucket: TestBucket, store: S3ArtifactStore, source: Path, secret: Path, tmp_path: Path
) -> None:
    file_link, folder_link = source / "extra.pkl", source / "extra"
    for link, target in ((file_link, secret / "key"), (folder_link, secret)):
        link.symlink_to(target)
        with pytest.raises(PublishError, match=f"`{link.name}` is a link"):
            store.publish(publication(bucket.name, source))
        link.unlink()
    (tmp_path / "way").symlink_to(secret.parent)
    for location in (tmp_path / "way" / "secret", tmp_path / "way"):
        with pytest.raises(PublishError, match="symbolic link"):
            store.publish(publication(bucket.name, location))
    assert bucket.names() == []


@pytest.mark.parametrize("moved", ["files", "files/data"])
def test_a_folder_that_becomes_a_link_after_it_was_listed_is_not_followed(
    tmp_path: Path, moved: str
) -> None:
    root = tmp_path / "files"
    (root / "data").mkdir(parents=True)
    (root / "data/key").write_text("ours")
    listed = LocalSource(str(root), root)
    assert listed.files() == {"data/key": 4}
    (tmp_path / moved).rename(tmp_path / "away")
    (tmp_path / moved).symlink_to(tmp_path / "away")
    with pytest.raises(PublishError, match="symbolic link"), listed.open("data/key"):
        pass


def test_a_file_that_another_takes_the_place_of_is_noticed(tmp_path: Path) -> None:
    file, other = tmp_path / "key", tmp_path / "other"
    file.write_text("ours")
    listed = LocalSource(str(tmp_path), tmp_path)
    listed.files()
    other.write_text("else")
    os.utime(other, ns=(file.stat().st_atime_ns, file.stat().st_mtime_ns))
    other.rename(file)
    with pytest.raises(GitOpsError, match="changed"), listed.open("key") as stream:
        stream.read()


def test_a_pipe_is_refused_and_not_waited_for(
    bucket: TestBucket, store: S3ArtifactStore, source: Path
) -> None:
    os.mkfifo(source / "pipe")
    with pytest.raises(PublishError, match="`pipe` is a link or a device"):
        store.publish(publication(bucket.name, source))


def test_a_file_is_no_source(store: S3ArtifactStore, source: Path) -> None:
    with pytest.raises(PublishError, match="no such folder"):
        store.inspect(str(source / "MLmodel"))


ERRORS = [
    (FileNotFoundError(2, "No such file"), PublishError, "no such folder or file"),
    (PermissionError(13, "Permission denied"), PublishError, "not permitted"),
    (OSError(errno.ELOOP, "Too many levels"), PublishError, "symbolic link"),
    (OSError(errno.ENOSPC, "No space left on device"), TransientError, "No space left"),
    (ModuleNotFoundError("no", name="google.cloud"), PublishError, "google.cloud"),
    (MlflowException("x", RESOURCE_DOES_NOT_EXIST), PublishError, "no such artifacts"),
    (MlflowException("x", PERMISSION_DENIED), PublishError, "not permitted"),
    (requests.Timeout("https://u:secret@host/?sig=secret"), TransientError, "cannot be reached"),
    (requests.exceptions.SSLError("secret"), PublishError, "certificate"),
    (EndpointConnectionError(endpoint_url="http://x"), TransientError, "cannot be reached"),
    (NoCredentialsError(), PublishError, "no credentials"),
    (RuntimeError("secret"), PublishError, "RuntimeError"),
]


@pytest.mark.parametrize(("raised", "kind", "what"), ERRORS, ids=lambda each: str(each)[:30])
def test_what_a_source_raises_becomes_what_to_do(
    raised: Exception, kind: type[GitOpsError], what: str
) -> None:
    with pytest.raises(kind, match=what) as error, reading("https://u:secret@host/model?sig=1"):
        raise raised
    assert error.value.where == "https://host/model"
    assert error.value.hint
    assert "secret" not in str(error.value)


@pytest.mark.parametrize(
    ("status", "kind"),
    [(404, PublishError), (403, PublishError), (400, PublishError), (502, TransientError)],
)
def test_what_a_server_with_artifacts_answers(status: int, kind: type[GitOpsError]) -> None:
    answer = requests.Response()
    answer.status_code = status
    with pytest.raises(kind), reading("mlflow-artifacts:/0"):
        raise requests.HTTPError("no", response=answer)


def test_an_mlmodel_that_is_no_text(store: S3ArtifactStore, source: Path) -> None:
    (source / "MLmodel").write_bytes(b"\xff\xfe")
    with pytest.raises(PublishError, match="no UTF-8") as error:
        store.inspect(str(source))
    assert error.value.where == f"{source}/MLmodel"


# S3


def test_a_prefix_of_the_same_storage(bucket: TestBucket, store: S3ArtifactStore) -> None:
    large = os.urandom(6 * 1024 * 1024)
    files = {**FILES, "large.bin": large}
    for path, content in files.items():
        bucket.put(f"runs/1/model/{path}", content)
    bucket.put("runs/1/model-2/MLmodel", b"of another run")
    bucket.put("runs/1/model/", b"")
    store.publish(publication(bucket.name, f"s3://{bucket.name}/runs/1/model"))
    assert published(bucket) == files


def test_the_storage_lays_out_what_it_copies_by_itself(
    bucket: TestBucket, store: S3ArtifactStore
) -> None:
    bucket.put("runs/1/model/data/saved_model.pb", b"weights")
    plain = publication(bucket.name, f"s3://{bucket.name}/runs/1/model")
    paths = {"1/saved_model.pb": "data/saved_model.pb"}
    asked = replace(plain, uri=f"{plain.uri[:-1]}-nest/", layout="nest", paths=paths)
    assert store.publish(asked).contents.files == {"1/saved_model.pb": 7}
    assert bucket.read("models/fraud/v1-nest/1/saved_model.pb") == b"weights"


def test_a_prefix_without_objects_and_a_bucket_that_is_not_there(
    bucket: TestBucket, store: S3ArtifactStore
) -> None:
    with pytest.raises(PublishError, match="no files"):
        store.inspect(f"s3://{bucket.name}/nothing")
    with pytest.raises(PublishError, match="no such bucket"):
        store.inspect("s3://no-such-bucket/model")


# MLflow


def test_the_artifacts_of_a_real_mlflow_server(
    bucket: TestBucket, s3_server: object, plain_mlflow: MlflowServer, tmp_path: Path, names: object
) -> None:
    assert callable(names)
    assert hasattr(s3_server, "client")
    model = names("fraud")
    files = {**MODEL_FILES, "code/pkg/__init__.py": b"", "data/large.bin": os.urandom(6_000_000)}
    registry = Registry(plain_mlflow.url)
    number = registry.register(model, files)
    location = registry.client.get_model_version_download_uri(model, number)
    assert location.startswith("mlflow-artifacts:/")
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    store = S3ArtifactStore(clients_of(s3_server), tracking_uri=plain_mlflow.url, scratch=scratch)
    assert store.inspect(location).files == {path: len(body) for path, body in files.items()}
    made = store.publish(publication(bucket.name, location))
    assert published(bucket) == files
    assert made.contents.mlmodel == MODEL_FILES["MLmodel"].decode()
    assert list(scratch.iterdir()) == []
    with pytest.raises(PublishError):
        store.inspect(f"{location}-not-there")


def test_an_mlflow_server_that_does_not_listen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    store = S3ArtifactStore(tracking_uri="http://127.0.0.1:1")
    with pytest.raises(TransientError, match="cannot be reached") as error:
        store.inspect("mlflow-artifacts:/0/models/m-1/artifacts")
    assert "MLFLOW_TRACKING_URI" in error.value.hint


def test_artifacts_behind_a_server_need_a_server(tmp_path: Path) -> None:
    store = S3ArtifactStore(tracking_uri=f"sqlite:///{tmp_path}/mlflow.db")
    with pytest.raises(PublishError) as error:
        store.inspect("mlflow-artifacts:/0/models/m-1/artifacts")
    assert "MLFLOW_TRACKING_URI" in error.value.hint


@pytest.mark.parametrize("scheme", ["nonsense", "hdfs"])
def test_a_store_that_mlflow_cannot_use_here(scheme: str) -> None:
    with pytest.raises((PublishError, TransientError)) as error:
        S3ArtifactStore().inspect(f"{scheme}://bucket/model")
    assert error.value.hint


class NastyRepository(ArtifactRepository):
    """A server that lists what it likes."""

    def __init__(self, listed: dict[str | None, Iterable[FileInfo]]) -> None:
        super().__init__("https://nasty.example/model")
        self.listed = listed
        self.downloads: list[str] = []

    def list_artifacts(self, path: str | None = None) -> list[FileInfo]:
        return list(self.listed[path])

    def _download_file(self, remote_file_path: str, local_path: str) -> None:
        self.downloads.append(remote_file_path)
        Path(local_path).write_bytes(b"1234")

    def log_artifact(self, local_file: str, artifact_path: str | None = None) -> None:
        raise AssertionError

    def log_artifacts(self, local_dir: str, artifact_path: str | None = None) -> None:
        raise AssertionError


@pytest.mark.parametrize(
    "listed",
    [
        {None: [FileInfo("../../etc/cron.d/x", False, 4)]},
        {None: [FileInfo("/etc/passwd", False, 4)]},
        {None: [FileInfo("a/../../x", False, 4)]},
        {None: [FileInfo("..", True, 0)]},
        {None: [FileInfo("a", True, 0)], "a": [FileInfo("b/x", False, 4)]},
        {None: [FileInfo("a", True, 0)], "a": [FileInfo("a", True, 0)]},
        {None: [FileInfo("a", True, 0)], "a": [FileInfo("", True, 0)]},
        {None: [FileInfo("a%2f..%2fb", False, 4)]},
        {None: [FileInfo("a", False, 4), FileInfo("a/b", False, 4)]},
    ],
)
def test_a_listing_that_climbs_or_runs_in_circles_is_refused_and_nothing_downloaded(
    listed: dict[str | None, Iterable[FileInfo]], tmp_path: Path
) -> None:
    repository = NastyRepository(listed)
    with pytest.raises(PublishError):
        inspect(MlflowSource("https://nasty.example/model", repository, tmp_path))
    assert repository.downloads == []
    assert list(tmp_path.iterdir()) == []


class BrokenRepository(NastyRepository):
    def _download_file(self, remote_file_path: str, local_path: str) -> None:
        Path(local_path).write_bytes(b"12")
        raise requests.exceptions.ChunkedEncodingError("the connection broke off")


def test_a_download_that_breaks_off_is_tried_again_later(tmp_path: Path) -> None:
    repository = BrokenRepository({None: [FileInfo("MLmodel", False, 4)]})
    with pytest.raises(TransientError, match="cannot be reached") as error:
        inspect(MlflowSource("https://nasty.example/model", repository, tmp_path))
    assert error.value.where == "https://nasty.example/model/MLmodel"
    assert list(tmp_path.iterdir()) == []


def test_a_size_that_mlflow_does_not_tell_is_measured(tmp_path: Path) -> None:
    repository = NastyRepository({None: [FileInfo("a", False, None)], "a": []})
    found = inspect(MlflowSource("https://nasty.example/model", repository, tmp_path))
    assert found.files == {"a": 4}


@pytest.mark.parametrize("size", [3, 5])
def test_a_file_that_has_not_the_size_that_was_listed_is_never_sealed(
    bucket: TestBucket, source: Path, store: S3ArtifactStore, monkeypatch: pytest.MonkeyPatch,
    size: int,
) -> None:  # fmt: skip
    repository = NastyRepository({None: [FileInfo("a", False, size)], "a": []})
    monkeypatch.setattr(
        "mlflow.store.artifact.artifact_repository_registry.get_artifact_repository",
        lambda _uri: repository,
    )
    with pytest.raises(PublishError, match="not the size that was listed"):
        store.publish(publication(bucket.name, "https://nasty.example/model"))
    assert bucket.names() == ["models/fraud/_manifests/v1.claim.json"]
