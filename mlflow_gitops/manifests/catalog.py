"""Finds files by what they say: each environment's graph, and which file may hold which service.

Everything is indexed by blob id. A new head costs a comparison of blob ids, not a parse, and one
service is looked up without parsing the others.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from mlflow_gitops.errors import ManifestError
from mlflow_gitops.manifests.cache import ParseCache
from mlflow_gitops.manifests.facts import FileFacts, possible_names, read_facts
from mlflow_gitops.manifests.graph import Graph, Layout, build_graph, kustomization_files
from mlflow_gitops.manifests.hidden import Hides, hides_nothing
from mlflow_gitops.manifests.kustomization import Kustomization, read_kustomization
from mlflow_gitops.manifests.notes import FileNotes, read_notes
from mlflow_gitops.manifests.tree import files_below, inside
from mlflow_gitops.ports import Tree

__all__ = ["Catalog", "Index"]

T = TypeVar("T")
ANY = frozenset({"*"})
LAYOUT = ("kustomizations",)
YAML = (".yaml", ".yml")


@dataclass(frozen=True, slots=True)
class Index:
    """One environment: `names` maps a service to files that may hold it, `unsure` may hold any.

    The graph was built from the blobs of `kustomizations` and the files that are there, `plain`
    (None under a kustomization); the names were read from `blobs`.
    """

    folder: str
    plain: tuple[str, ...] | None
    kustomizations: Mapping[str, str]
    graph: Graph
    blobs: Mapping[str, str]
    names: Mapping[str, tuple[str, ...]]
    unsure: frozenset[str]

    def candidates(self, service: str) -> tuple[str, ...]:
        named = self.names.get(service, ())
        return tuple(sorted({*named, *self.unsure})) if self.unsure else named


@dataclass(frozen=True, slots=True)
class Found:
    """The kustomizations of the head that was read last: another one mostly has the same."""

    paths: Sequence[str]
    layout: Layout
    blobs: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Search:
    """The files below a folder that comments of ours are in; `paths` are all of the head's.

    `files` are those that were searched, with their `blobs` in the same order.
    """

    paths: Sequence[str]
    files: tuple[str, ...]
    blobs: tuple[str, ...]
    found: Mapping[str, FileNotes]

    def changed(self, files: tuple[str, ...], blobs: tuple[str, ...]) -> list[str]:
        """The files that were not searched so."""
        if files is self.files:
            pairs = zip(files, blobs, self.blobs, strict=True)
            return [file for file, new, old in pairs if new != old]
        before = dict(zip(self.files, self.blobs, strict=True))
        return [file for file, new in zip(files, blobs, strict=True) if before.get(file) != new]


NOT_SEARCHED = Search((), (), (), {})


class Catalog:
    """Reads one tree through the cache."""

    def __init__(self, tree: Tree, cache: ParseCache) -> None:
        self.tree = tree
        self._cache = cache
        self._layout: Layout | None = None
        self._before: tuple[Catalog, Collection[str]] | None = None
        self._alike = False
        self._indexes: dict[str, Index] = {}
        self._noted: dict[str, Mapping[str, FileNotes]] = {}

    def text(self, path: str) -> str:
        found = self.tree.read_all([path]).get(path)
        if found is None:
            what = "it is no UTF-8 text" if path in self.tree else "it is not there"
            raise ManifestError(what, where=path, hint="correct the manifests repository")
        return found

    def facts(self, path: str) -> FileFacts:
        return self._parsed("facts", path, read_facts)

    def kustomization(self, path: str) -> Kustomization:
        return self._parsed("kustomization", path, read_kustomization)

    def notes(self, path: str) -> FileNotes:
        return self._parsed("notes", path, read_notes)

    def noted(self, folder: str) -> Mapping[str, FileNotes]:
        """The YAML files below the folder that have comments of ours.

        Only what changed since another head is searched, and only what has one is parsed.
        """
        if folder not in self._noted:
            after = self._noted_after(folder, *self._before) if self._before else None
            self._noted[folder] = self._search(folder) if after is None else after
        return self._noted[folder]

    def _search(self, folder: str) -> Mapping[str, FileNotes]:
        key, paths = ("notes", folder), self.tree.paths()
        old: Search = self._cache.view(key) or NOT_SEARCHED
        files = old.files
        if old is NOT_SEARCHED or old.paths != paths:
            files = tuple(p for p in files_below(self.tree, folder) if p.endswith(YAML))
        blobs = tuple(map(self.tree.blob, files))
        changed = old.changed(files, blobs)
        found = {p: notes for p, notes in old.found.items() if p in self.tree}
        self._preload("notes", changed, read_notes)
        for path in changed:
            notes: FileNotes | None = self._cache.get("notes", self.tree.blob(path))
            found.pop(path, None)
            if notes is not None and (notes.notes or notes.broken):
                found[path] = notes
        self._cache.put_view(key, Search(paths, files, blobs, found))
        return found

    def _parsed(self, kind: str, path: str, read: Callable[[str, str], T]) -> T:
        if path not in self.tree:
            raise ManifestError("it is not there", where=path, hint="correct who refers to it")
        blob = self.tree.blob(path)
        found: T | None = self._cache.get(kind, blob)
        if found is None:
            found = read(self.text(path), path)
            self._cache.put(kind, blob, found)
        return found

    def preload_facts(self, paths: Iterable[str]) -> None:
        """Parse many files with one read. Broken ones are left for whoever asks for them."""
        self._preload("facts", paths, read_facts)

    def _preload(self, kind: str, paths: Iterable[str], read: Callable[[str, str], object]) -> None:
        for blob, path, text in self._uncached(kind, paths):
            try:
                self._cache.put(kind, blob, read(text, path))
            except ManifestError:
                continue

    def _uncached(self, kind: str, paths: Iterable[str]) -> list[tuple[str, str, str]]:
        """(blob, path, text) of what the cache does not know yet, each content once."""
        missing: dict[str, str] = {}
        for path in paths:
            if path in self.tree:
                blob = self.tree.blob(path)
                if blob not in missing and self._cache.get(kind, blob) is None:
                    missing[blob] = path
        if not missing:
            return []
        texts = self.tree.read_all(missing.values())
        return [(blob, path, texts[path]) for blob, path in missing.items() if path in texts]

    def layout(self) -> Layout:
        if self._layout is None:
            paths = self.tree.paths()
            known: Found | None = self._cache.view(LAYOUT)
            is_alike = known is not None and known.paths == paths
            layout = known.layout if known and is_alike else kustomization_files(paths)
            files = [path for group in layout.values() for path in group]
            blob, before = self.tree.blob, known.blobs if known else {}
            blobs = {path: blob(path) for path in files}
            if blobs != before:
                changed = [path for path, each in blobs.items() if before.get(path) != each]
                self._preload("kustomization", changed, read_kustomization)
            self._cache.put_view(LAYOUT, Found(paths, layout, blobs))
            self._layout = layout
        return self._layout

    def follow(self, before: Catalog, changed: Collection[str], *, alike: bool) -> None:
        """Take over what was found in another tree, which differs in these files.

        `alike` says that it has the same files, and the same kustomizations.
        """
        self._before = (before, changed)
        self._alike = alike
        if alike:
            self._layout = before.layout()

    def _noted_after(
        self, folder: str, before: Catalog, changed: Collection[str]
    ) -> Mapping[str, FileNotes]:
        found = {p: notes for p, notes in before.noted(folder).items() if p not in changed}
        for path in changed:
            if path in self.tree and inside(path, folder) and path.endswith(YAML):
                notes = self.notes(path)
                if notes.notes or notes.broken:
                    found[path] = notes
        return found

    def index(self, name: str, folder: str, hides: Hides = hides_nothing) -> Index:
        """The environment's index, brought up to date from the one of another tree."""
        if name not in self._indexes:
            after = self._index_after(name, folder, hides)
            self._indexes[name] = after or self._index(name, folder, hides)
        return self._indexes[name]

    def _index_after(self, name: str, folder: str, hides: Hides) -> Index | None:
        """From the tree that this one follows, where the changed files name the same services."""
        if self._before is None or not self._alike:
            return None
        before, changed = self._before
        old = before.index(name, folder, hides)
        blobs = {path: self.tree.blob(path) for path in changed if path in old.blobs}
        self._preload_names(blobs)
        for path, blob in blobs.items():
            names = self._cache.get("names", blob)
            if names is None or names != self._cache.get("names", old.blobs[path]):
                return None
        return replace(old, blobs=_laid_over(old.blobs, blobs))

    def _index(self, name: str, folder: str, hides: Hides) -> Index:
        layout = self.layout()
        below = (path for path in files_below(self.tree, folder) if not hides(path))
        plain = None if folder in layout else tuple(below)
        old: Index | None = self._cache.view(name)
        if old is not None and not self._still_holds(old, folder, plain):
            old = None
        graph = (
            old.graph if old else build_graph(self.tree, folder, layout, self.kustomization, hides)
        )
        new = self._updated(folder, plain, graph, old)
        if new is not old:
            self._cache.put_view(name, new)
        return new

    def _still_holds(self, old: Index, folder: str, plain: tuple[str, ...] | None) -> bool:
        """Whether the graph of another head is this one's too."""
        layout, tree, graph = self.layout(), self.tree, old.graph
        return (
            (old.folder, old.plain) == (folder, plain)
            and all(layout.get(each) == files for each, files in graph.visited.items())
            and all(tree.blob(path) == blob for path, blob in old.kustomizations.items())
            and not any(path in tree or path in layout for path in graph.missing)
            and all(path in tree for path in graph.files)
        )

    def _updated(
        self, folder: str, plain: tuple[str, ...] | None, graph: Graph, old: Index | None
    ) -> Index:
        blob = self.tree.blob
        blobs = {path: blob(path) for path in graph.files}
        if old is not None and blobs == old.blobs:
            return old
        before = old.blobs if old else {}
        changed = [path for path, each in blobs.items() if before.get(path) != each]
        self._preload_names(changed)
        gone = set(changed)
        names = dict(old.names) if old else {}
        unsure = set(old.unsure) - gone if old else set()
        if old:
            stale = [n for n, paths in names.items() if not gone.isdisjoint(paths)]
            for name in stale:
                names[name] = tuple(path for path in names[name] if path not in gone)
        for path in changed:
            found = self._cache.get("names", blobs[path])
            if found is None or found is ANY:
                unsure.add(path)
                continue
            for name in found:
                names[name] = (*names.get(name, ()), path)
        if old is not None:
            kustomizations = old.kustomizations
        else:
            kustomizations = {path: blob(path) for each in graph.visited.values() for path in each}
        return Index(folder, plain, kustomizations, graph, blobs, names, frozenset(unsure))

    def _preload_names(self, paths: Iterable[str]) -> None:
        for blob, _, text in self._uncached("names", paths):
            names = possible_names(text)
            self._cache.put("names", blob, ANY if names is None else names)


def _laid_over(blobs: Mapping[str, str], changed: Mapping[str, str]) -> Mapping[str, str]:
    """Not a copy for each of many edits of thousands of files; and one layer, however many."""
    if isinstance(blobs, ChainMap):
        return ChainMap({**blobs.maps[0], **changed}, *blobs.maps[1:])
    return ChainMap(dict(changed), dict(blobs) if not isinstance(blobs, dict) else blobs)
