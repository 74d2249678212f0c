"""Tells a progress of what several threads do, or nobody where there is none."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlflow_gitops.ports import Progress

__all__ = ["Telling"]


@dataclass(slots=True)
class Telling:
    """`ports.Progress` is told of one thing at a time."""

    progress: Progress | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def of(self, what: str, sizes: Collection[int]) -> Iterator[None]:
        """Begins, with each file's size in bytes, and ends."""
        if self.progress is None:
            yield
            return
        self.progress.start(what, len(sizes), sum(sizes))
        try:
            yield
        finally:
            self.progress.finish()

    def advance(self, size: int, file: str) -> None:
        if self.progress is not None:
            with self._lock:
                self.progress.advance(size, file=file)

    def done(self, file: str) -> None:
        if self.progress is not None:
            with self._lock:
                self.progress.done(file)
