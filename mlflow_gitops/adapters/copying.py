"""Copies the files of one version, several at once, each read in one pass that also hashes it."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import IO, Any

from mlflow_gitops.adapters.s3 import Bucket, composite, part_size
from mlflow_gitops.adapters.sources import Source
from mlflow_gitops.errors import PublishError, TransientError
from mlflow_gitops.planning.revision_manifest import File, Place
from mlflow_gitops.planning.sources import shown
from mlflow_gitops.planning.write_once import changed
from mlflow_gitops.ports import Progress

__all__ = ["Copy"]


@dataclass(slots=True)
class Copy:
    """One version on its way. A file of at most `part` bytes is one PUT, a larger one multipart."""

    source: Source
    bucket: Bucket
    place: Place
    part: int
    progress: Progress | None = None
    _stop: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def run(
        self, files: Mapping[str, int], there: Collection[str], workers: int
    ) -> tuple[File, ...]:
        """Write what is not there and verify what is. The first error stops the rest."""
        largest_first = sorted(files, key=lambda path: (-files[path], path))
        with self._told(files), ThreadPoolExecutor(workers, "publish") as pool:
            futures = [
                pool.submit(self._file, path, files[path], path in there) for path in largest_first
            ]
            try:
                return tuple(sorted(future.result() for future in as_completed(futures)))
            except BaseException:
                self._stop.set()
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def _file(self, path: str, size: int, is_there: bool) -> File:
        key = self.place.prefix + path
        with self.source.open(path) as stream:
            reading = Reading(stream, size, part_size(size, self.part))
            parts = self._advancing(reading, path)
            if is_there:
                for _ in parts:
                    pass
            elif size <= self.part:
                is_there = not self.bucket.put_new(key, b"".join(parts))
            else:
                is_there = not self.bucket.upload_new(key, parts)
        file = File(path, size, reading.sha256)
        if is_there and not self.bucket.is_same(key, size, file.sha256, reading.composite):
            raise changed(self.place.uri(key), self.place)
        return file

    def _advancing(self, reading: Reading, path: str) -> Iterator[bytes]:
        where = f"{shown(self.source.location).rstrip('/')}/{path}"
        for part in reading.parts(where):
            if self._stop.is_set():
                raise TransientError("the copy was stopped", where=where)
            yield part
            if self.progress is not None:
                with self._lock:
                    self.progress.advance(len(part), file=path)

    @contextmanager
    def _told(self, files: Mapping[str, int]) -> Iterator[None]:
        if self.progress is None:
            yield
            return
        self.progress.start(self.place.uri(self.place.prefix), len(files), sum(files.values()))
        try:
            yield
        finally:
            self.progress.finish()


@dataclass(slots=True)
class Reading:
    """One pass over a file, in parts of `part` bytes. The results stand when it has ended."""

    stream: IO[bytes]
    size: int
    part: int
    _whole: Any = field(default_factory=hashlib.sha256)
    _digests: list[bytes] = field(default_factory=list)

    def parts(self, where: str) -> Iterator[bytes]:
        """Raises PublishError where the file has not the size that was listed."""
        left = self.size
        while left:
            content = _exactly(self.stream, min(self.part, left))
            left -= len(content)
            self._whole.update(content)
            self._digests.append(hashlib.sha256(content).digest())
            if left and len(content) < self.part:
                raise _resized(where)
            yield content
        if self.stream.read(1):
            raise _resized(where)

    @property
    def sha256(self) -> str:
        digest: str = self._whole.hexdigest()
        return digest

    @property
    def composite(self) -> str:
        return composite(self._digests)


def _exactly(stream: IO[bytes], size: int) -> bytes:
    """As many bytes as asked for, less only at the end: a network gives what has arrived."""
    first = stream.read(size)
    if len(first) == size or not first:
        return first
    chunks, got = [first], len(first)
    while got < size and (chunk := stream.read(size - got)):
        chunks.append(chunk)
        got += len(chunk)
    return b"".join(chunks)


def _resized(where: str) -> PublishError:
    return PublishError(
        "the file changed while it was copied: it has not the size that was listed",
        where=where,
        hint="a registered version must not change: log the model again as a new version",
    )
