"""What was parsed once and need not be parsed again: by content, never by path or commit."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from threading import Lock
from typing import Any

__all__ = ["ParseCache"]


class ParseCache:
    """Parsed files by kind and blob id, and what was indexed of whole environments.

    Shared by every tree and head of a process; safe for several threads. `capacity` bounds the
    number of files, `views` the number of indexes; the least recently used go first.
    """

    def __init__(self, capacity: int = 100_000, views: int = 32) -> None:
        self._files: OrderedDict[Hashable, Any] = OrderedDict()
        self._views: OrderedDict[Hashable, Any] = OrderedDict()
        self._capacity = capacity
        self._most_views = views
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._files)

    def get(self, kind: str, blob: str) -> Any:
        """What was stored, or None."""
        with self._lock:
            found = self._files.get((kind, blob))
            if found is not None:
                self._files.move_to_end((kind, blob))
            return found

    def put(self, kind: str, blob: str, value: object) -> None:
        with self._lock:
            _store(self._files, (kind, blob), value, self._capacity)

    def view(self, key: Hashable) -> Any:
        with self._lock:
            found = self._views.get(key)
            if found is not None:
                self._views.move_to_end(key)
            return found

    def put_view(self, key: Hashable, value: object) -> None:
        with self._lock:
            _store(self._views, key, value, self._most_views)


def _store(values: OrderedDict[Hashable, Any], key: Hashable, value: object, capacity: int) -> None:
    values[key] = value
    values.move_to_end(key)
    while len(values) > capacity:
        values.popitem(last=False)
