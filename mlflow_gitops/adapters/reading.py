"""A source's file in pieces of a set size, as many bytes as were listed, or an error."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import IO

from mlflow_gitops.errors import PublishError

__all__ = ["pieces"]


def pieces(
    stream: IO[bytes],
    size: int,
    piece: int,
    where: str,
    before: Callable[[int], None] | None = None,
) -> Iterator[bytes]:
    """`before` is told of each piece's size before it is read. Raises PublishError."""
    left = size
    while left:
        asked = min(piece, left)
        if before is not None:
            before(asked)
        content = _exactly(stream, asked)
        left -= len(content)
        if len(content) < asked:
            raise _resized(where)
        yield content
        del content  # it is not to be held while the next one is waited for
    if stream.read(1):
        raise _resized(where)


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
