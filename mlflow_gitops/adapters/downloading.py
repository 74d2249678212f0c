"""The sealed files of a revision, from S3 into a folder: each as its manifest says, or an error."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import IO

from mlflow_gitops.adapters.s3 import Bucket
from mlflow_gitops.adapters.telling import Telling
from mlflow_gitops.errors import PublishError
from mlflow_gitops.planning.revision_manifest import File, Place
from mlflow_gitops.planning.write_once import not_as_sealed
from mlflow_gitops.ports import Progress

__all__ = ["download"]


def download(
    bucket: Bucket,
    place: Place,
    files: Collection[File],
    folder: Path | None,
    progress: Progress | None = None,
) -> None:
    """Without a folder the files are only read and checked."""
    telling = Telling(progress)
    with telling.of(place.uri(place.prefix), [file.size for file in files]):
        for file in files:
            if folder is None:
                is_as_sealed = _read(bucket, place, file, None, telling)
            else:
                is_as_sealed = _write(bucket, place, file, folder / file.path, telling)
            if not is_as_sealed:
                raise not_as_sealed(place.uri(place.prefix + file.path))
            telling.done(file.path)


def _write(bucket: Bucket, place: Place, file: File, path: Path, telling: Telling) -> bool:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as out:
            is_as_sealed = _read(bucket, place, file, out, telling)
    except OSError as error:
        raise PublishError(
            f"the file cannot be written here ({error.strerror})",
            where=str(path),
            hint="make room, or set TMPDIR to a folder with more",
        ) from None
    if not is_as_sealed:
        path.unlink()
    return is_as_sealed


def _read(
    bucket: Bucket, place: Place, file: File, out: IO[bytes] | None, telling: Telling
) -> bool:
    def each(chunk: bytes) -> None:
        if out is not None:
            out.write(chunk)
        telling.advance(len(chunk), file.path)

    return file.is_of(bucket.sums(place.prefix + file.path, each, file.part_size))
