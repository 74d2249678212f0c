"""A tree in memory: what a commit's files would be."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence

__all__ = ["MemoryTree"]


class MemoryTree:
    """Implements `ports.Tree` over a mapping from path to text (or to bytes that are no text)."""

    def __init__(self, files: Mapping[str, str | bytes], head: str = "0" * 40) -> None:
        self._files = dict(files)
        self._head = head
        self.reads: list[str] = []

    @property
    def head(self) -> str:
        return self._head

    def paths(self) -> Sequence[str]:
        return sorted(self._files)

    def __contains__(self, path: object) -> bool:
        return path in self._files

    def blob(self, path: str) -> str:
        content = self._files[path]
        data = content if isinstance(content, bytes) else content.encode()
        header = f"blob {len(data)}\0".encode()  # as Git does
        return hashlib.sha1(header + data, usedforsecurity=False).hexdigest()

    def read(self, path: str) -> str:
        self.reads.append(path)
        content = self._files[path]
        return content.decode() if isinstance(content, bytes) else content

    def read_all(self, paths: Iterable[str]) -> Mapping[str, str]:
        wanted = [path for path in paths if path in self._files]
        self.reads += wanted
        return {path: text for path in wanted if isinstance(text := self._files[path], str)}

    def with_changes(self, changes: Mapping[str, str | None]) -> MemoryTree:
        """The tree after a commit of these changes."""
        files = {path: text for path, text in self._files.items() if path not in changes}
        files |= {path: text for path, text in changes.items() if text is not None}
        blobs = [(path, self.blob(path)) for path in sorted(self._files)]
        head = hashlib.sha256(repr((blobs, sorted(changes.items()))).encode()).hexdigest()[:40]
        return MemoryTree(files, head)
