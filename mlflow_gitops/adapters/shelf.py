"""What lies in the bucket, for those who look at it later: implements `ports.Shelf`.

Judges nothing: a missing, damaged or foreign object is a value here, not an error.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC

from mlflow_gitops.adapters.s3 import Bucket, Clients
from mlflow_gitops.adapters.s3_errors import talking
from mlflow_gitops.adapters.telling import Telling
from mlflow_gitops.errors import PublishError, TransientError
from mlflow_gitops.planning.checksums import Checksum, Sums
from mlflow_gitops.planning.fields import UnreadableError
from mlflow_gitops.planning.kept import Examined, Kept, Shelved
from mlflow_gitops.planning.revision_manifest import (
    FOLDER,
    MOST_CHARACTERS,
    Place,
    parse_manifest,
    place_of,
)
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
        if not deep:
            objects = _objects(bucket, place, sizes, None, {})
        else:
            telling = Telling(progress)
            with telling.of(uri, sizes.values()):
                objects = _objects(bucket, place, sizes, telling, _part_sizes(manifest))
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


def _document(bucket: Bucket, key: str) -> bytes | None:
    """A document that is too large is damaged: its beginning is no right one either."""
    try:
        return bucket.read(key, MOST_CHARACTERS)
    except PublishError:
        return b""


def _part_sizes(manifest: bytes | None) -> Mapping[str, int]:
    """Of the files that the manifest has an ETag of."""
    try:
        files = parse_manifest((manifest or b"").decode()).files
    except (UnicodeDecodeError, UnreadableError):
        return {}
    return {file.path: file.part_size for file in files}


def _objects(
    bucket: Bucket,
    place: Place,
    keys: Iterable[str],
    telling: Telling | None,
    part_sizes: Mapping[str, int],
) -> Mapping[str, Kept]:
    """An object that went away since it was listed is not there. Read if there is a `telling`."""

    def read(key: str, part_size: int, telling: Telling) -> Sums:
        sums = bucket.sums(key, lambda chunk: telling.advance(len(chunk), key), part_size)
        telling.done(key)
        return sums

    def look(key: str) -> tuple[str, Kept | None]:
        name = key.removeprefix(place.prefix)
        head = bucket.kept(key)
        if head is None:
            return name, None
        kept = Kept(head.size, head.checksum or Checksum("etag", head.etag))
        if telling is None:
            return name, kept
        try:
            return name, replace(kept, sums=read(key, part_sizes.get(name, 0), telling))
        except PublishError as error:
            return name, replace(kept, problem=error.what)

    with ThreadPoolExecutor(WORKERS) as pool:
        found = list(pool.map(look, keys))
    return {name: kept for name, kept in found if kept is not None}
