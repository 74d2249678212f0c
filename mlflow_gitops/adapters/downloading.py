"""The sealed files of a revision, from S3 into a folder: each as its manifest says, or an error."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from pathlib import Path

from mlflow_gitops.adapters.s3 import Bucket
from mlflow_gitops.errors import PublishError
from mlflow_gitops.planning.revision_manifest import File, Place
from mlflow_gitops.planning.write_once import not_as_sealed
from mlflow_gitops.ports import Progress

__all__ = ["download"]

CHUNK = 1024 * 1024  # bytes


def download(
    bucket: Bucket,
    place: Place,
    files: Collection[File],
    folder: Path,
    progress: Progress | None = None,
) -> None:
    if progress is not None:
        progress.start(place.uri(place.prefix), len(files), sum(file.size for file in files))
    try:
        for file in files:
            _download(bucket, place, file, folder / file.path, progress)
    finally:
        if progress is not None:
            progress.finish()


def _download(
    bucket: Bucket, place: Place, file: File, path: Path, progress: Progress | None
) -> None:
    uri = place.uri(place.prefix + file.path)
    read = hashlib.sha256()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as out, bucket.open(place.prefix + file.path) as body:
            while chunk := body.read(CHUNK):
                read.update(chunk)
                out.write(chunk)
                if progress is not None:
                    progress.advance(len(chunk), file=file.path)
    except OSError as error:
        raise PublishError(
            f"the file cannot be written here ({error.strerror})",
            where=str(path),
            hint="make room, or set TMPDIR to a folder with more",
        ) from None
    if read.hexdigest() != file.sha256:
        path.unlink()
        raise not_as_sealed(uri)
