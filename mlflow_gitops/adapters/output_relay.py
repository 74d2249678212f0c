"""Passes on what a child process writes, and holds a traceback back until it is needed.

A server that does not start ends in tracebacks, which bury the one sentence that says why.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import IO, TextIO

__all__ = ["OutputRelay"]

TRACEBACK = "Traceback (most recent call last):"
LINES_KEPT = 2000
END_WITHIN = 5.0  # seconds, for a grandchild that still has the pipe


class OutputRelay:
    """Copies the lines of `pipe` to `out`, from its first traceback on only after `release`."""

    def __init__(self, pipe: IO[bytes], out: TextIO) -> None:
        self._pipe = pipe
        self._out = out
        self._lock = threading.Lock()
        self._words: deque[str] = deque(maxlen=LINES_KEPT)
        self._held: deque[str] = deque(maxlen=LINES_KEPT)
        self._is_released = False
        self._thread = threading.Thread(target=self._copy, name="output-relay", daemon=True)
        self._thread.start()

    def release(self) -> None:
        """Pass on what was held back, and all that follows."""
        with self._lock:
            self._is_released = True
            self._out.write("".join(self._held))
            self._out.flush()
            self._held.clear()

    def ended(self) -> str:
        """Wait for the end of the pipe; return the last lines."""
        self._thread.join(END_WITHIN)
        with self._lock:
            return "".join(self._words)

    def _copy(self) -> None:
        for raw in self._pipe:
            line = raw.decode("utf-8", "replace")
            with self._lock:
                self._words.append(line)
                if not self._is_released and (self._held or line.startswith(TRACEBACK)):
                    self._held.append(line)
                else:
                    self._out.write(line)
                    self._out.flush()
