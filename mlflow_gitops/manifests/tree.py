"""A tree with changes laid over it: what the branch would be after an edit."""

from __future__ import annotations

import hashlib
from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator, Mapping, Sequence
from posixpath import dirname, join, normpath, relpath

from mlflow_gitops.ports import Tree

__all__ = ["EditedTree", "files_below", "inside", "parent", "relative", "resolve"]


class EditedTree:
    """`base` with `changes` (None deletes). Its `head` names no commit."""

    def __init__(self, base: Tree, changes: Mapping[str, str | None]) -> None:
        if isinstance(base, EditedTree):  # many in a row are one layer, not one on another
            base, changes = base.parts(changes)
        self._base: Tree = base
        self._changes = changes
        self._paths: Sequence[str] | None = None

    def parts(self, changes: Mapping[str, str | None]) -> tuple[Tree, Mapping[str, str | None]]:
        """What it is made of with more changes laid over it."""
        return self._base, {**self._changes, **changes}

    @property
    def head(self) -> str:
        return f"{self._base.head}+edited"

    def paths(self) -> Sequence[str]:
        if self._paths is None:
            paths = list(self._base.paths())
            for path, text in self._changes.items():
                if text is None and path in self._base:
                    del paths[bisect_left(paths, path)]
                elif text is not None and path not in self._base:
                    insort(paths, path)
            self._paths = paths
        return self._paths

    def __contains__(self, path: object) -> bool:
        if path in self._changes:
            return self._changes[str(path)] is not None
        return path in self._base

    def blob(self, path: str) -> str:
        if path not in self._changes:
            return self._base.blob(path)
        content = self.read(path).encode()  # Git's own id: what is parsed now serves the commit
        header = f"blob {len(content)}\0".encode()
        return hashlib.sha1(header + content, usedforsecurity=False).hexdigest()

    def read(self, path: str) -> str:
        if path not in self._changes:
            return self._base.read(path)
        text = self._changes[path]
        if text is None:
            raise KeyError(path)
        return text

    def read_all(self, paths: Iterable[str]) -> Mapping[str, str]:
        wanted = list(paths)
        found = dict(self._base.read_all(p for p in wanted if p not in self._changes))
        for path in wanted:
            text = self._changes.get(path)
            if text is not None:
                found[path] = text
        return found


def inside(path: str, folder: str) -> bool:
    """Whether the file is below the folder; "" is the repository's root."""
    return not folder or path.startswith(f"{folder}/")


def files_below(tree: Tree, folder: str) -> Iterator[str]:
    paths = tree.paths()
    prefix = f"{folder}/" if folder else ""
    for index in range(bisect_left(paths, prefix), len(paths)):
        if not paths[index].startswith(prefix):
            return
        yield paths[index]


def parent(path: str) -> str:
    return dirname(path)


def resolve(folder: str, reference: str) -> str | None:
    """Where a reference in a folder's file leads; None for what lies outside the repository."""
    path = normpath(join(folder, reference))
    if path.startswith(("/", "../")) or path == "..":
        return None
    return "" if path == "." else path


def relative(path: str, folder: str) -> str:
    return relpath(path or ".", folder or ".")
