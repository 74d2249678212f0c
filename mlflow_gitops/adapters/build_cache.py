"""What came of the same files before: an open pull request is looked at again and again.

Builds that failed are kept too: one that takes all of its time is not tried at each look, and what
people read of it stays the same.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Lock

from mlflow_gitops.errors import RenderError

__all__ = ["BuildCache", "Built", "key_of"]

MOST = 32_000_000  # characters of all that is kept
MOST_BUILDS = 2000

Built = str | RenderError


@dataclass(slots=True)
class BuildCache:
    """What was used longest ago goes first. Threads share it."""

    _kept: OrderedDict[str, Built] = field(default_factory=OrderedDict)
    _size: int = 0
    _lock: Lock = field(default_factory=Lock)
    _building: dict[str, tuple[Lock, int]] = field(default_factory=dict)

    @contextmanager
    def building(self, key: str) -> Iterator[None]:
        """One at a time for each key: who comes second finds what the first has built."""
        with self._lock:
            lock, waiting = self._building.get(key, (Lock(), 0))
            self._building[key] = (lock, waiting + 1)
        try:
            with lock:
                yield
        finally:
            with self._lock:
                waiting = self._building[key][1] - 1
                if waiting:
                    self._building[key] = (lock, waiting)
                else:
                    del self._building[key]

    def get(self, key: str) -> Built | None:
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
            return self._kept.get(key)

    def put(self, key: str, built: Built) -> None:
        with self._lock:
            if key not in self._kept:
                self._kept[key] = built
                self._size += len(str(built))
            while self._size > MOST or len(self._kept) > MOST_BUILDS:
                self._size -= len(str(self._kept.popitem(last=False)[1]))


def key_of(files: Mapping[str, str], folder: str) -> str:
    found = hashlib.sha256(repr(folder).encode())
    for item in sorted(files.items()):
        found.update(repr(item).encode())
    return found.hexdigest()
