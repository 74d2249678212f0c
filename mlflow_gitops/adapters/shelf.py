"""What lies in the bucket, for those who look at it later: implements `ports.Shelf`.

Judges nothing: a missing, damaged or foreign object is a value here, not an error.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC

from mlflow_gitops.adapters.s3 import CHUNK, Bucket, Clients
from mlflow_gitops.adapters.s3_errors import talking
from mlflow_gitops.errors import PublishError, TransientError
from mlflow_gitops.planning.checksums import Sums
from mlflow_gitops.planning.kept import Examined, Kept, Shelved
from mlflow_gitops.planning.revision_manifest import FOLDER, MOST_CHARACTERS, Place, place_of
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
        keys = (place.claim, place.manifest, place.signature)
        claim, manifest, signature = (_document(bucket, key) for key in keys)
        sizes = bucket.sizes(place.prefix)
        reader = _Reader(progress) if deep else None
        if deep and progress is not None:
            progress.start(uri, len(sizes), sum(sizes.values()))
        try:
            objects = _objects(bucket, place, sizes, reader)
        finally:
            if deep and progress is not None:
                progress.finish()
        return Examined(claim, manifest, objects, signature)

    def revisions(self, folder: str) -> tuple[Shelved, ...]:
        name, _, prefix = folder.removeprefix("s3://").partition("/")
        bucket = self._bucket(name)
        found: dict[str, list[_Listed]] = {}
        for key, listed in _listed(bucket, prefix):
            revision = _revision_of(key.removeprefix(prefix))
            if revision:
                found.setdefault(revision, []).append(listed)
        return tuple(
            shelved
            for revision, objects in found.items()
            if (shelved := _shelved(bucket, f"{folder}{revision}/", objects)) is not None
        )

    def remove(self, uri: str) -> None:
        place = place_of(uri)
        bucket = self._bucket(place.bucket)
        _delete(bucket, place.manifest)
        with ThreadPoolExecutor(WORKERS) as pool:
            list(pool.map(lambda key: _delete(bucket, key), bucket.sizes(place.prefix)))
        left = bucket.sizes(place.prefix)
        if left:
            raise TransientError(
                f"{len(left)} objects are there again: somebody writes them", where=uri
            )
        for key in (place.signature, place.claim):
            _delete(bucket, key)

    def _bucket(self, name: str) -> Bucket:
        with talking(f"s3://{name}/"):
            return self.clients.bucket(name)


@dataclass(frozen=True, slots=True)
class _Listed:
    key: str
    size: int
    changed: str


def _listed(bucket: Bucket, prefix: str) -> Iterator[tuple[str, _Listed]]:
    with talking(bucket.uri(prefix)):
        pages = bucket.client.get_paginator("list_objects_v2")
        for page in pages.paginate(Bucket=bucket.name, Prefix=prefix):
            for item in page.get("Contents", []):
                changed = item["LastModified"].astimezone(UTC).isoformat(timespec="milliseconds")
                text = changed.replace("+00:00", "Z")
                yield item["Key"], _Listed(item["Key"], item["Size"], text)


def _revision_of(name: str) -> str:
    """The folder that a key below a service's folder belongs to, "" for none."""
    first, _, rest = name.partition("/")
    if first != FOLDER:
        return first if rest else ""
    return rest.removesuffix(".json").removesuffix(".claim") if rest.endswith(".json") else ""


def _shelved(bucket: Bucket, uri: str, objects: Sequence[_Listed]) -> Shelved | None:
    """None for a folder that has neither document: it is not ours."""
    try:
        place = place_of(uri)
    except PublishError:
        return None
    keys = {each.key for each in objects}
    claim, manifest = (
        _document(bucket, key) if key in keys else None for key in (place.claim, place.manifest)
    )
    if claim is None and manifest is None:
        return None
    files = [each for each in objects if each.key.startswith(place.prefix)]
    changed = max(each.changed for each in objects)
    return Shelved(uri, claim, manifest, len(files), sum(each.size for each in files), changed)


def _delete(bucket: Bucket, key: str) -> None:
    with talking(bucket.uri(key)):
        bucket.client.delete_object(Bucket=bucket.name, Key=key)


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
