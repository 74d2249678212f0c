"""What lies in the bucket, for those who look at it later: implements `ports.Shelf`.

Judges nothing: a missing, damaged or foreign object is a value here, not an error.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from mlflow_gitops.adapters.s3 import CHUNK, Bucket, Clients
from mlflow_gitops.adapters.s3_errors import talking
from mlflow_gitops.errors import PublishError
from mlflow_gitops.planning.checksums import Sums
from mlflow_gitops.planning.kept import Examined, Kept
from mlflow_gitops.planning.revision_manifest import MOST_CHARACTERS, Place, place_of
from mlflow_gitops.ports import Progress

__all__ = ["S3Shelf"]

WORKERS = 16


@dataclass(slots=True)
class S3Shelf:
    clients: Clients

    def examine(
        self, uri: str, *, deep: bool = False, progress: Progress | None = None
    ) -> Examined:
        place = place_of(uri)
        bucket = self._bucket(place.bucket)
        claim, manifest = (_document(bucket, key) for key in (place.claim, place.manifest))
        sizes = bucket.sizes(place.prefix)
        if not deep:
            return Examined(claim, manifest, _objects(bucket, place, sizes, None))
        if progress is None:
            return Examined(claim, manifest, _objects(bucket, place, sizes, _Reader()))
        progress.start(uri, len(sizes), sum(sizes.values()))
        try:
            return Examined(claim, manifest, _objects(bucket, place, sizes, _Reader(progress)))
        finally:
            progress.finish()

    def _bucket(self, name: str) -> Bucket:
        with talking(f"s3://{name}/"):
            return self.clients.bucket(name)


@dataclass(slots=True)
class _Reader:
    """Reads whole objects, from several threads that tell one progress."""

    progress: Progress | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def sums(self, bucket: Bucket, key: str) -> Sums:
        sums = Sums()
        with bucket.open(key) as body:
            while chunk := body.read(CHUNK):
                sums.add(chunk)
                self._advance(key, len(chunk))
        if self.progress is not None:
            with self._lock:
                self.progress.done(key)
        return sums

    def _advance(self, key: str, size: int) -> None:
        if self.progress is not None:
            with self._lock:
                self.progress.advance(size, file=key)


def _document(bucket: Bucket, key: str) -> bytes | None:
    """A document that is too large is damaged: its beginning is no right one either."""
    try:
        return bucket.read(key, MOST_CHARACTERS)
    except PublishError:
        return b""


def _objects(
    bucket: Bucket, place: Place, keys: Iterable[str], reader: _Reader | None
) -> Mapping[str, Kept]:
    """An object that went away since it was listed is not there."""

    def look(key: str) -> tuple[str, Kept | None]:
        name = key.removeprefix(place.prefix)
        head = bucket.kept(key)
        if head is None:
            return name, None
        size, checksum = head
        if reader is None:
            return name, Kept(size, checksum)
        try:
            return name, Kept(size, checksum, reader.sums(bucket, key))
        except PublishError as error:
            return name, Kept(size, checksum, problem=error.what)

    with ThreadPoolExecutor(WORKERS) as pool:
        found = list(pool.map(look, keys))
    return {name: kept for name, kept in found if kept is not None}
