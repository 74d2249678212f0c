"""A bound on how much is held in memory by all threads of one copy."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from mlflow_gitops.errors import TransientError

__all__ = ["Budget"]


@dataclass(slots=True)
class Budget:
    """`most` bytes at once, or one piece where that alone is more."""

    most: int
    _taken: int = 0
    _stopped: bool = False
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def take(self, size: int) -> None:
        """Wait until there is room. Raises TransientError once the copy was stopped."""
        with self._changed:
            self._changed.wait_for(lambda: self._stopped or self._has_room(size))
            self._check()
            self._taken += size

    def give(self, size: int) -> None:
        with self._changed:
            self._taken -= size
            self._changed.notify_all()

    @contextmanager
    def held(self, size: int) -> Iterator[None]:
        self.take(size)
        try:
            yield
        finally:
            self.give(size)

    def stop(self) -> None:
        """Whoever waits, or asks from now on, is told that the copy was stopped."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def check(self) -> None:
        with self._changed:
            self._check()

    def _check(self) -> None:
        if self._stopped:
            raise TransientError("the copy was stopped")

    def _has_room(self, size: int) -> bool:
        return self._taken == 0 or self._taken + size <= self.most
