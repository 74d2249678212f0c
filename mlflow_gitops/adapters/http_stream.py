"""An HTTP answer's body as a file that is read once, from its beginning to its end."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from requests import Response

__all__ = ["HttpStream"]

CHUNK = 1024 * 1024  # bytes


class HttpStream(io.RawIOBase):
    """Decoded as the answer says; a body that breaks off raises what requests raises."""

    def __init__(self, answer: Response) -> None:
        self._chunks: Iterator[bytes] = answer.iter_content(CHUNK)
        self._left = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        """Fewer bytes than there is room for before the end too; 0 at the end."""
        while not self._left:
            content = next(self._chunks, None)
            if content is None:
                return 0
            self._left = memoryview(content)
        size = min(len(buffer), len(self._left))
        buffer[:size] = self._left[:size]
        self._left = self._left[size:]
        return size
