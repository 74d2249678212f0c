"""One commit's files, as the reconciler sees them: paths, blob ids, and texts read on demand."""

from __future__ import annotations

import threading
import unicodedata
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from mlflow_gitops.adapters.git_objects import Objects
from mlflow_gitops.adapters.git_process import GitProcess
from mlflow_gitops.errors import ManifestError, RepositoryError

__all__ = ["FILE_MODES", "Entries", "Entry", "GitTree", "Trees", "is_commit", "is_plain"]

Entry = tuple[str, str]
"""Mode and object id, as Git has them."""

Entries = Mapping[str, Entry]
"""Path to entry, of everything in a commit that is no folder."""

FILE_MODES = ("100644", "100755")
TREES_KEPT = 8
HEX = frozenset("0123456789abcdef")


def is_commit(text: str) -> bool:
    """Whether it is a full hash; nothing else from outside is ever given to Git as a revision."""
    return len(text) in (40, 64) and set(text) <= HEX


def is_plain(path: str) -> bool:
    """Whether the path is UTF-8 text without control characters: others are left alone."""
    return path.isprintable() or not any(unicodedata.category(c) in ("Cc", "Cs") for c in path)


@dataclass(frozen=True, eq=False)
class GitTree:
    """Implements `ports.Tree`. Links and submodules are in `entries`, and are no files."""

    head: str
    entries: Entries = field(repr=False)
    objects: Objects = field(repr=False)

    @cached_property
    def _files(self) -> Mapping[str, str]:
        entries = self.entries  # of a commit with tens of thousands of files, for each new head
        return {
            path: entries[path][1]
            for path in sorted(entries)
            if entries[path][0] in FILE_MODES and (path.isprintable() or is_plain(path))
        }

    @cached_property
    def _paths(self) -> Sequence[str]:
        return tuple(self._files)

    def paths(self) -> Sequence[str]:
        return self._paths

    def __contains__(self, path: object) -> bool:
        return path in self._files

    def blob(self, path: str) -> str:
        return self._files[path]

    def read(self, path: str) -> str:
        blob = self._files[path]
        text = self.objects.texts([blob])[blob]
        if text is None:
            raise ManifestError(
                "the file is no UTF-8 text", where=path, hint="save it as UTF-8, or move it away"
            )
        return text

    def read_all(self, paths: Iterable[str]) -> Mapping[str, str]:
        blobs = {path: self._files[path] for path in paths}
        texts = self.objects.texts(blobs.values())
        return {path: text for path, blob in blobs.items() if (text := texts[blob]) is not None}


class Trees:
    """The trees of the commits that were asked for last. Safe for threads."""

    def __init__(self, git: GitProcess, objects: Objects) -> None:
        self._git = git
        self._objects = objects
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, GitTree] = OrderedDict()

    def at(self, commit: str) -> GitTree:
        """Raises RepositoryError where no such commit was fetched."""
        with self._lock:
            tree = self._kept.get(commit)
            if tree is None:
                tree = GitTree(commit, self._entries(commit), self._objects)
            self._keep(tree)
            return tree

    def add(self, commit: str, entries: Entries) -> None:
        """What is known without asking Git: a commit that was just made."""
        with self._lock:
            self._keep(GitTree(commit, entries, self._objects))

    def forget(self) -> None:
        with self._lock:
            self._kept.clear()

    def _keep(self, tree: GitTree) -> None:
        self._kept[tree.head] = tree
        self._kept.move_to_end(tree.head)
        if len(self._kept) > TREES_KEPT:
            self._kept.popitem(last=False)

    def _entries(self, commit: str) -> Entries:
        if not is_commit(commit):
            raise _unknown(commit)
        near = next(reversed(self._kept.values()), None)
        if near is not None:
            answer = self._git.run("diff-tree", "-r", "-z", "--no-renames", near.head, commit)
            if answer.code == 0:
                return _changed(near.entries, answer.out)
        answer = self._git.run("ls-tree", "-r", "-z", "--full-tree", commit)
        if answer.code == 0:
            return _listed(answer.out)
        if not self._objects.known(commit):
            raise _unknown(commit)
        raise self._objects.damage(answer.words)


def _listed(out: bytes) -> Entries:
    entries: dict[str, Entry] = {}
    for line in _lines(out):
        about, path = line.split("\t", 1)
        mode, _, object_id = about.split(" ")
        entries[path] = (mode, object_id)
    return entries


def _changed(entries: Entries, out: bytes) -> Entries:
    """The entries after a raw diff: `:mode mode id id status`, then the path."""
    after = dict(entries)
    lines = _lines(out)
    for about, path in zip(lines[::2], lines[1::2], strict=True):
        _, mode, _, object_id, status = about.split(" ")
        if status == "D":
            after.pop(path, None)
        else:
            after[path] = (mode, object_id)
    return after


def _lines(out: bytes) -> list[str]:
    return out.decode("utf-8", "surrogateescape").split("\0")[:-1]


def _unknown(commit: str) -> RepositoryError:
    return RepositoryError(
        "there is no such commit in what was fetched",
        where=commit[:64],
        hint="fetch; if it was dropped from its branch, nothing can be read from it",
    )
