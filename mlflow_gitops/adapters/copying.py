"""Copies the files of one version, many at once.

Bytes that pass here are read once and hashed on the way; what the storage can copy by itself never
comes here. At most `IN_FLIGHT` bytes are held, whatever the files' sizes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

from mlflow_gitops.adapters.budget import Budget
from mlflow_gitops.adapters.reading import pieces
from mlflow_gitops.adapters.s3 import CHUNK, Bucket, Head
from mlflow_gitops.adapters.s3_etags import etag_of_copy
from mlflow_gitops.adapters.s3_uploads import (
    Origin,
    Part,
    UnsummedError,
    Upload,
    UploadGoneError,
    begin,
    copy_whole,
    part_size,
    sums_copies,
)
from mlflow_gitops.adapters.sending import Sending, sending
from mlflow_gitops.adapters.sources import Source
from mlflow_gitops.adapters.telling import Telling
from mlflow_gitops.errors import TransientError
from mlflow_gitops.planning.checksums import Checksum, Sums, sums_of
from mlflow_gitops.planning.file_names import shown_name
from mlflow_gitops.planning.revision_manifest import File, Place
from mlflow_gitops.planning.sources import shown
from mlflow_gitops.planning.write_once import changed

__all__ = ["COPIED_WHOLE", "Copy"]

IN_FLIGHT = 64 * 1024 * 1024  # bytes, or one part where that is more
PART_WORKERS = 6
COPIED_WHOLE = 8 * 1024 * 1024  # bytes; larger ones were in parts, whose checksum is of no use
COPIED_PART = 128 * 1024 * 1024  # bytes that the storage copies by one request


@dataclass(slots=True)
class Copy:
    """One version on its way. A file of at most `part` bytes is one PUT, a larger one multipart.

    `copies_whole`: the storage refuses to copy over another object, so that a small file within it
    is one request.
    """

    source: Source
    bucket: Bucket
    place: Place
    part: int
    telling: Telling = field(default_factory=Telling)
    copies_whole: bool = False
    _sums_copies: bool | None = None  # whether the storage computes CRC32s of its copies
    _budget: Budget = field(default_factory=lambda: Budget(IN_FLIGHT))

    def run(
        self, files: Mapping[str, int], there: Collection[str], workers: int
    ) -> tuple[File, ...]:
        """Write what is not there and verify what is. The first error stops the rest."""
        largest_first = sorted(files, key=lambda path: (-files[path], path))
        with (
            self.telling.of(self._uri(self.place.prefix), files.values()),
            ThreadPoolExecutor(PART_WORKERS, "publish-part") as parts,
            ThreadPoolExecutor(workers, "publish") as pool,
        ):
            futures = [
                pool.submit(self._file, path, files[path], path in there, parts)
                for path in largest_first
            ]
            try:
                done = [future.result() for future in as_completed(futures)]
            except BaseException:
                self._budget.stop()
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        return tuple(sorted(done, key=lambda file: file.path))

    def _file(self, path: str, size: int, is_there: bool, parts: Executor) -> File:
        self._budget.check()
        key = self.place.prefix + path
        origin = self._origin(path) if size else None
        try:
            if is_there:
                file = self._verified(path, key, size, origin)
            elif origin is not None:
                file = self._copied(path, key, size, origin, parts)
            elif size <= self.part:
                file = self._put(path, key, size)
            else:
                file = self._uploaded(path, key, size, parts)
        except UploadGoneError:
            if self.bucket.kept(key) is None:
                raise
            file = self._verified(path, key, size, origin)
        self.telling.done(path)
        return file

    def _origin(self, path: str) -> Origin | None:
        """The file, where the storage that it goes to has it already."""
        origin = self.source.origin(path)
        if origin is None or origin.bucket.client is not self.bucket.client:
            return None
        return origin

    # One way for each kind of file

    def _put(self, path: str, key: str, size: int) -> File:
        with self._budget.held(size):
            with self.source.open(path) as stream:
                [content] = [*pieces(stream, size, size, self._where(path))] or [memoryview(b"")]
            sha256 = hashlib.sha256(content).hexdigest()
            if not self.bucket.put_new(key, content, sha256=sha256):
                self._check_same(key, size, sums_of(content), self.bucket.kept(key))
        self.telling.advance(size, path)
        return File(path, size, sha256)

    def _uploaded(self, path: str, key: str, size: int, pool: Executor) -> File:
        sums, part = Sums(), part_size(size, self.part)
        with sending(begin(self.bucket, key), pool) as sent:
            with self.source.open(path) as stream:
                for content in pieces(stream, size, part, self._where(path), self._budget.take):
                    self._add(sent, content, path)
                    sums.add(content)
                    del content
            made, kept = sent.complete()
        if not made:
            found = self.bucket.kept(key)
            self._check_same(key, size, sums, found)
            kept = found.checksum if found else None
        elif kept is not None and not sums.has(kept):
            raise TransientError("the bytes did not arrive as they were sent", where=self._uri(key))
        return File(path, size, sums.sha256, _crc32_of(kept))

    def _add(self, sent: Sending, content: memoryview, path: str) -> None:
        """Where an earlier part failed, this one is not sent, and so not given back there."""
        try:
            sent.add(partial(self._sent, content, path))
        except BaseException:
            self._budget.give(len(content))
            raise

    def _sent(self, content: memoryview, path: str, upload: Upload, number: int) -> Part:
        try:
            self._budget.check()
            part = upload.put(number, content)
        finally:
            self._budget.give(len(content))
        self.telling.advance(len(content), path)
        return part

    def _copied(self, path: str, key: str, size: int, origin: Origin, pool: Executor) -> File:
        made, kept = self._copied_at_once(key, size, origin) or self._copied_in_parts(
            key, size, origin, pool
        )
        if made and kept is None:
            found = self.bucket.kept(key)
            kept = found.checksum if found else None
        if kept is None:
            return self._verified(path, key, size, origin)
        self.telling.advance(size, path)
        return _by_storage(path, size, kept)

    def _copied_at_once(
        self, key: str, size: int, origin: Origin
    ) -> tuple[bool, Checksum | None] | None:
        if not self.copies_whole or size >= COPIED_WHOLE:
            return None
        copied = copy_whole(self.bucket, key, origin)
        return copied if copied and copied[0] else None

    def _copied_in_parts(
        self, key: str, size: int, origin: Origin, pool: Executor
    ) -> tuple[bool, Checksum | None]:
        if self._is_summed(key, size, origin):
            with suppress(UnsummedError):
                step = part_size(size, COPIED_PART)
                return _parts_copied(begin(self.bucket, key), origin, size, step, pool)
            self._sums_copies = False
        expected = etag_of_copy(origin, size) if self.bucket.keeping.has_md5_etags else None
        step = expected.part_size if expected else part_size(size, COPIED_PART)
        upload = begin(self.bucket, key, is_summed=False)
        made, kept = _parts_copied(upload, origin, size, step, pool)
        return made, expected if kept == expected else None

    def _is_summed(self, key: str, size: int, origin: Origin) -> bool:
        """Small files are taken to be like the first one: most come from one upload. Other threads
        try other files meanwhile: what this one's has told is for this one, and a no is for all.
        """
        known = self._sums_copies
        if known is None or (known and size > COPIED_WHOLE):
            known = sums_copies(self.bucket, key, origin)
            if not known or self._sums_copies is None:
                self._sums_copies = known
        return known

    def _verified(self, path: str, key: str, size: int, origin: Origin | None) -> File:
        """The file as it is there already. Raises PublishError where its source differs."""
        found = self.bucket.kept(key)
        kept = found.checksum if found else None
        if origin is not None and found is not None and found.size == size:
            proof = self._same(found, origin)
            if proof is not None:
                self.telling.advance(size, path)
                return _by_storage(path, size, proof)
        sums = Sums()
        with self.source.open(path) as stream:
            for content in pieces(stream, size, CHUNK, self._where(path)):
                self._budget.check()
                sums.add(content)
                self.telling.advance(len(content), path)
        self._check_same(key, size, sums, found)
        if origin is not None and kept is not None:
            return _by_storage(path, size, kept)
        return File(path, size, sums.sha256, _crc32_of(kept))

    # What is known of an object that is there

    def _same(self, found: Head, origin: Origin) -> Checksum | None:
        """What shows that it is the origin's copy, without reading."""
        if found.checksum is None:
            if not self.bucket.keeping.has_md5_etags:
                return None
            expected = etag_of_copy(origin, found.size)
            return expected if expected == Checksum("etag", found.etag) else None
        source = origin.bucket.kept(origin.key)
        if source is None or (source.size, source.checksum) != (found.size, found.checksum):
            return None
        return found.checksum

    def _check_same(self, key: str, size: int, sums: Sums, found: Head | None) -> None:
        is_same = found is not None and found.size == size
        if found is not None and is_same:
            kept = found.checksum
            is_same = sums.has(kept) if kept else self.bucket.sums(key).sha256 == sums.sha256
        if not is_same:
            raise changed(self._uri(key), self.place)

    # What is told

    def _uri(self, key: str) -> str:
        return self.place.uri(key)

    def _where(self, path: str) -> str:
        return f"{shown(self.source.location).rstrip('/')}/{shown_name(path)}"


def _parts_copied(
    upload: Upload, origin: Origin, size: int, step: int, pool: Executor
) -> tuple[bool, Checksum | None]:
    """One part is the whole, without a span, and needs no pool."""
    spans = [(first, min(first + step, size) - 1) for first in range(0, size, step)]
    is_whole = len(spans) == 1
    with sending(upload, None if is_whole else pool) as sent:
        for span in spans:
            sent.add(partial(_copied_part, origin, None if is_whole else span))
        return sent.complete()


def _copied_part(origin: Origin, span: tuple[int, int] | None, upload: Upload, number: int) -> Part:
    return upload.copy(number, origin, span)


def _by_storage(path: str, size: int, kept: Checksum) -> File:
    """As the storage vouches for it."""
    if kept.algorithm == "sha256":
        return File(path, size, kept.hexadecimal)
    return File(path, size, "", kept)


def _crc32_of(kept: Checksum | None) -> Checksum | None:
    """SHA-256 stands in the manifest already."""
    return kept if kept is not None and kept.algorithm == "crc32" else None
