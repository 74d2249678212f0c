"""Where a version's files come from: a folder, an S3 bucket, or what MLflow itself can read.

A source lists its files and opens them one by one; a model is never held whole, in memory or on
disk. Which places are allowed is decided in `planning.sources`, before anything is opened here.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass, field
from io import BufferedReader
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, TYPE_CHECKING, Any, Protocol, TypeGuard

from mlflow_gitops.adapters.http_stream import HttpStream
from mlflow_gitops.adapters.mlflow_proxy import listed_files, open_file
from mlflow_gitops.adapters.s3 import Bucket, changed_meanwhile
from mlflow_gitops.adapters.s3_uploads import Origin
from mlflow_gitops.adapters.source_errors import reading
from mlflow_gitops.errors import PublishError
from mlflow_gitops.planning.file_names import RENAME, check_path, check_paths, shown_name
from mlflow_gitops.planning.sources import hides_another, parse_location, shown
from mlflow_gitops.state import ModelFiles

if TYPE_CHECKING:
    from mlflow.store.artifact.artifact_repo import ArtifactRepository
    from mlflow.store.artifact.http_artifact_repo import HttpArtifactRepository

__all__ = [
    "LOG_AGAIN",
    "MLMODEL",
    "S3Source",
    "Source",
    "inspect",
    "mlmodel_text",
    "open_source",
    "read_texts",
]

MLMODEL = "MLmodel"
MOST_MLMODEL = 16 * 1024 * 1024  # bytes
MOST_TEXT = 64 * 1024  # bytes
MOST_FILES = 100_000
CHUNK = 1024 * 1024  # bytes
DEEPEST = 50  # folders in folders
NO_LINK = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC

LOG_AGAIN = "check that the model was logged completely, and log it again"


class Source(Protocol):
    """Files by name. Raises GitOpsError only."""

    @property
    def location(self) -> str: ...

    def files(self) -> Mapping[str, int]:
        """Every file's name, relative and with `/`, and its size in bytes. Names are unchecked."""

    def open(self, path: str) -> AbstractContextManager[IO[bytes]]:
        """Its bytes; an error at the end where they changed while they were read, if that shows."""

    def origin(self, path: str) -> Origin | None:
        """The object that the file is, for a storage that can copy it by itself."""


def open_source(
    location: str,
    bucket: Callable[[str], Bucket],
    *,
    tracking_uri: str = "",
    scratch: Path | None = None,
) -> Source:
    """The source at a location. `scratch` is where single files are kept while they are copied."""
    place = parse_location(location)
    if place.scheme == "file":
        return LocalSource(location, Path(place.path))
    if place.scheme == "s3":
        with reading(location):
            return S3Source(location, bucket(place.host), f"{place.path}/" if place.path else "")
    with reading(location):
        return MlflowSource(location, _repository(location, tracking_uri), scratch)


def inspect(source: Source) -> ModelFiles:
    """The names, all checked, the sizes and the MLmodel's text."""
    files = source.files()
    check_paths(files, source.location)
    if MLMODEL not in files:
        return ModelFiles(files)
    where = f"{shown(source.location).rstrip('/')}/{MLMODEL}"
    if files[MLMODEL] > MOST_MLMODEL:
        raise PublishError("the MLmodel is too large", where=where, hint=LOG_AGAIN)
    with source.open(MLMODEL) as stream:
        content = stream.read(MOST_MLMODEL)
    return ModelFiles(files, mlmodel_text(content, where))


def read_texts(source: Source, names: Iterable[str]) -> Mapping[str, str]:
    """Those that are small, and UTF-8."""
    found: dict[str, str] = {}
    for name in names:
        content = _beginning(source, name)
        try:
            text = content.decode("utf-8-sig")
        except UnicodeDecodeError:
            continue
        if len(content) <= MOST_TEXT:
            found[name] = text
    return found


def _beginning(source: Source, name: str) -> bytes:
    with source.open(name) as file:
        return file.read(MOST_TEXT + 1)


def mlmodel_text(content: bytes, where: str) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise PublishError("the MLmodel is no UTF-8 text", where=where, hint=LOG_AGAIN) from None


@dataclass(frozen=True, slots=True)
class LocalSource:
    """A folder, read in place. Nothing is reached through symbolic links.

    A file that was written to or replaced since it was listed, or while it is read, is an error.
    """

    location: str
    root: Path
    _listed: dict[str, tuple[int, ...]] = field(default_factory=dict)

    def files(self) -> Mapping[str, int]:
        self._check_root()
        found: dict[str, int] = {}
        with reading(self.location), _folder(self.root) as root:
            for folder, folders, names, here in os.fwalk(".", dir_fd=root, onerror=_raise):
                for name in (*folders, *names):
                    relative = os.path.normpath(os.path.join(folder, name))
                    kind = os.stat(name, dir_fd=here, follow_symlinks=False)
                    if stat.S_ISREG(kind.st_mode):
                        _check_count(len(found) + 1, self.location)
                        found[relative] = kind.st_size
                        self._listed[relative] = _written(kind)
                    elif not stat.S_ISDIR(kind.st_mode):
                        raise _no_file(relative, self.location)
        return found

    @contextmanager
    def open(self, path: str) -> Iterator[IO[bytes]]:
        where = _where(self.location, path)
        with reading(where):
            with _folder(self.root / os.path.dirname(path)) as here:
                file = os.open(os.path.basename(path), NO_LINK | os.O_NONBLOCK, dir_fd=here)
            with os.fdopen(file, "rb") as stream:
                before = os.fstat(stream.fileno())
                if not stat.S_ISREG(before.st_mode):
                    raise _no_file(path, self.location)
                yield stream
                listed = self._listed.get(path, _written(before))
                if _written(os.fstat(stream.fileno())) != listed:
                    raise changed_meanwhile(where)

    def origin(self, path: str) -> Origin | None:
        del path
        return None

    def _check_root(self) -> None:
        with reading(self.location):
            real = self.root.resolve(strict=True)
            if real != self.root:
                raise PublishError(
                    "the source is reached through a symbolic link",
                    where=shown(self.location),
                    hint=f"register the version with its real place, {real}",
                )
            if not real.is_dir():
                raise NotADirectoryError


@dataclass(frozen=True, slots=True)
class S3Source:
    """A prefix of a bucket. `prefix` ends in "/", or is empty for the whole bucket.

    What was listed is what is read: another content of the same object is an error.
    """

    location: str
    bucket: Bucket
    prefix: str
    _etags: dict[str, str] = field(default_factory=dict)

    def files(self) -> Mapping[str, int]:
        found = self.bucket.listed(self.prefix, MOST_FILES)
        _check_count(len(found), self.location)
        self._etags.update({key: each.etag for key, each in found.items()})
        return {
            key.removeprefix(self.prefix): each.size
            for key, each in found.items()
            if each.size or not key.endswith("/")  # consoles mark a folder by an empty object
        }

    def open(self, path: str) -> AbstractContextManager[IO[bytes]]:
        key = self.prefix + path
        return self.bucket.open(key, self._etags.get(key, ""))

    def origin(self, path: str) -> Origin | None:
        key = self.prefix + path
        etag = self._etags.get(key, "")
        return Origin(self.bucket, key, etag) if etag else None


@dataclass(frozen=True, slots=True)
class MlflowSource:
    """Any store that MLflow can read.

    From MLflow's artifact proxy a file comes as a stream; from other stores it is on disk while it
    is copied, one for each thread.
    """

    location: str
    repository: ArtifactRepository
    scratch: Path | None = None

    def files(self) -> Mapping[str, int]:
        found: dict[str, int] = {}
        with reading(self.location):
            for path, size in self._walk("", DEEPEST):
                _check_count(len(found) + 1, self.location)
                found[path] = self._measured(path) if size is None else size
        return found

    @contextmanager
    def open(self, path: str) -> Iterator[IO[bytes]]:
        where = _where(self.location, path)
        if _is_proxy(self.repository):
            with reading(where), closing(open_file(self.repository, path)) as answer:
                yield BufferedReader(HttpStream(answer), CHUNK)
            return
        with (
            reading(where),
            TemporaryDirectory(prefix="mlflow-gitops-", dir=self.scratch) as folder,
        ):
            local = Path(folder, "file")
            # What every store implements. The public way round it draws a bar for each file, and
            # hides whether a failure may pass.
            self.repository._download_file(path, str(local))
            with local.open("rb") as stream:
                yield stream

    def origin(self, path: str) -> Origin | None:
        del path
        return None

    def _walk(self, folder: str, depth: int) -> Iterator[tuple[str, int | None]]:
        if _is_proxy(self.repository):
            infos = listed_files(self.repository, folder)
        else:
            infos = self.repository.list_artifacts(folder or None)
        for info in infos:
            path = str(info.path)
            check_path(path)
            if hides_another(path):
                raise PublishError(
                    "the file's name hides dots, slashes or control characters behind `%`, which "
                    "the store may decode",
                    where=_where(self.location, path),
                    hint=RENAME,
                )
            if folder and not path.startswith(f"{folder}/"):
                raise PublishError(
                    f"the folder `{shown_name(folder)}` lists `{shown_name(path)}`, which is not "
                    "in it",
                    where=shown(self.location),
                    hint=LOG_AGAIN,
                )
            if not info.is_dir:
                yield path, info.file_size
            elif depth:
                yield from self._walk(path, depth - 1)
            else:
                raise PublishError(
                    f"`{shown_name(path)}` lies too deep",
                    where=shown(self.location),
                    hint=LOG_AGAIN,
                )

    def _measured(self, path: str) -> int:
        """MLflow does not tell the size of an empty file."""
        size = 0
        with self.open(path) as stream:
            while content := stream.read(CHUNK):
                size += len(content)
        return size


def _repository(location: str, tracking_uri: str) -> ArtifactRepository:
    import mlflow
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
    from mlflow.store.artifact.mlflow_artifacts_repo import MlflowArtifactsRepository

    uri = location
    if location.lower().startswith("mlflow-artifacts:"):
        server = tracking_uri or mlflow.get_tracking_uri()
        uri = MlflowArtifactsRepository.resolve_uri(location, server)
    repository: ArtifactRepository = get_artifact_repository(uri)
    return repository


def _is_proxy(repository: ArtifactRepository) -> TypeGuard[HttpArtifactRepository]:
    from mlflow.store.artifact.http_artifact_repo import HttpArtifactRepository

    return isinstance(repository, HttpArtifactRepository)


def _where(location: str, path: str) -> str:
    return f"{shown(location).rstrip('/')}/{shown_name(path)}"


def _check_count(count: int, location: str) -> None:
    if count > MOST_FILES:
        raise PublishError(
            f"the source holds more than {MOST_FILES} files",
            where=shown(location),
            hint="log a model with fewer files, for example in an archive",
        )


def _no_file(path: str, location: str) -> PublishError:
    return PublishError(
        f"`{shown_name(path)}` is a link or a device, not a file",
        where=shown(location),
        hint="log the model again with the file itself",
    )


def _written(kind: os.stat_result) -> tuple[int, ...]:
    return kind.st_size, kind.st_mtime_ns, kind.st_dev, kind.st_ino


@contextmanager
def _folder(path: Path) -> Iterator[int]:
    """A descriptor of the folder, opened step by step: a link on the way raises OSError (ELOOP),
    also one that is put there meanwhile.
    """
    here = os.open(path.anchor, NO_LINK)
    try:
        for part in path.parts[1:]:
            above, here = here, os.open(part, NO_LINK | os.O_NONBLOCK, dir_fd=here)
            os.close(above)
        yield here
    finally:
        os.close(here)


def _raise(error: Exception) -> Any:
    raise error
