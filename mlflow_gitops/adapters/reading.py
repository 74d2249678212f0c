"""A source's file in pieces of a set size, as many bytes as were listed, or an error."""

from __future__ import annotations

import mmap
from collections.abc import Callable, Iterator
from typing import IO

from mlflow_gitops.errors import PublishError

__all__ = ["pieces"]

READ = 1024 * 1024  # bytes at once
SMALL = 2 * READ  # bytes


def pieces(
    stream: IO[bytes],
    size: int,
    piece: int,
    where: str,
    before: Callable[[int], None] | None = None,
) -> Iterator[memoryview]:
    """`before` is told of each piece's size before it is read. Raises PublishError.

    A large piece has memory of its own, which goes back to the system with it: the allocator would
    keep some for each thread that once held one.
    """
    left = size
    while left:
        asked = min(piece, left)
        if before is not None:
            before(asked)
        content = memoryview(mmap.mmap(-1, asked) if asked > SMALL else bytearray(asked))
        if not _is_filled(content, stream):
            raise _resized(where)
        left -= asked
        yield content
        del content  # it is not to be held while the next one is waited for
    if stream.read(1):
        raise _resized(where)


def _is_filled(content: memoryview, stream: IO[bytes]) -> bool:
    """A network gives what has arrived: less than asked for is not the end."""
    got = 0
    while got < len(content):
        chunk = stream.read(min(READ, len(content) - got))
        if not chunk:
            return False
        content[got : got + len(chunk)] = chunk
        got += len(chunk)
    return True


def _resized(where: str) -> PublishError:
    return PublishError(
        "the file changed while it was copied: it has not the size that was listed",
        where=where,
        hint="a registered version must not change: log the model again as a new version",
    )
