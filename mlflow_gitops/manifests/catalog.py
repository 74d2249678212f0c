"""Finds files by what they say: each environment's graph, and which file may hold which service.

Everything is indexed by blob id. A new head costs a comparison of blob ids, not a parse, and one
service is looked up without parsing the others.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import ChainMap
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from mlflow_gitops.errors import ManifestError
from mlflow_gitops.manifests.applications import Deployer, read_deployers
from mlflow_gitops.manifests.cache import ParseCache
from mlflow_gitops.manifests.facts import FileFacts, Mentions, read_facts, read_mentions
from mlflow_gitops.manifests.graph import (
    EVERY_FILE,
    MANIFESTS,
    FolderRules,
    Graph,
    Layout,
    build_graph,
    kustomization_files,
)
from mlflow_gitops.manifests.hidden import Hides, hides_nothing
from mlflow_gitops.manifests.kustomization import FILE_NAMES, Kustomization, read_kustomization
from mlflow_gitops.manifests.listing import Listing, read_listing
from mlflow_gitops.manifests.notes import FileNotes, read_notes
from mlflow_gitops.manifests.related import traces_of
from mlflow_gitops.manifests.runtimes import Defined, may_define, read_runtimes
from mlflow_gitops.manifests.tree import files_below, inside
from mlflow_gitops.ports import Tree

__all__ = ["Catalog", "Index"]

T = TypeVar("T")
LAYOUT = ("kustomizations",)
YAML = (".yaml", ".yml")
ANYWHERE = ""


@dataclass(frozen=True, slots=True)
class Named:
    """What a look at a file's text tells: whether it may define serving runtimes, and what else it
    can be found by (see `related.traces_of`).
    """

    mentions: Mentions
    may_define_runtimes: bool = True
    traces: frozenset[str] = field(default=frozenset(), compare=False)


UNSURE = Named(Mentions(None))  # a file that is no text


@dataclass(frozen=True, slots=True)
class Index:
    """One environment: `names` maps a service to files that may hold it, `unsure` may hold any.
    `runtimes` are files that may define serving runtimes. `traces` are sorted pairs of a trace and
    a file; they are not brought up to date for a tree that is only edited.

    `computed` and `renderers` are the files with names that are filled in later, and with objects
    that may render services: see `Mentions`.

    The graph was built from the blobs of `kustomizations` and the files that are there, `plain`
    (None under a kustomization), by the folder's `rules`; the names were read from `blobs`.
    """

    folder: str
    rules: FolderRules
    plain: tuple[str, ...] | None
    kustomizations: Mapping[str, str]
    graph: Graph
    blobs: Mapping[str, str]
    names: Mapping[str, tuple[str, ...]]
    unsure: frozenset[str]
    computed: frozenset[str] = frozenset()
    renderers: frozenset[str] = frozenset()
    runtimes: frozenset[str] = frozenset()
    traces: Sequence[tuple[str, str]] = ()

    def files_with(self, start: str, end: str = "") -> set[str]:
        """The files that have the trace; with an `end`, one from `start` up to there."""
        low = bisect_left(self.traces, (start, ""))
        high = bisect_left(self.traces, (end or f"{start}\0", ""))
        return {file for _, file in self.traces[low:high]}

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
    """The files in which something was found; `paths` are all of the head's.

    `files` are those that were searched, with their `blobs` in the same order.
    """

    paths: Sequence[str]
    files: tuple[str, ...]
    blobs: tuple[str, ...]
    found: Mapping[str, Any]

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
        self._deployers: Mapping[str, tuple[Deployer, ...]] | None = None

    def text(self, path: str) -> str:
        found = self.tree.read_all([path]).get(path)
        if found is None:
            what = "it is no UTF-8 text" if path in self.tree else "it is not there"
            raise ManifestError(what, where=path, hint="correct the manifests repository")
        return found

    def facts(self, path: str) -> FileFacts:
        return self._parsed("facts", path, read_facts)

    def runtimes(self, path: str) -> tuple[Defined, ...]:
        return self._parsed("runtimes", path, read_runtimes)

    def kustomization(self, path: str) -> Kustomization:
        return self._parsed("kustomization", path, read_kustomization)

    def listing(self, path: str) -> Listing:
        return self._parsed("listing", path, read_listing)

    def notes(self, path: str) -> FileNotes:
        return self._parsed("notes", path, read_notes)

    def noted(self, folder: str, hides: Hides = hides_nothing) -> Mapping[str, FileNotes]:
        """The YAML files below the folder, but the hidden ones, that have comments for this tool.

        Only what changed since another head is searched, and only what has one is parsed.
        """
        if folder not in self._noted:
            after = self._noted_after(folder, *self._before) if self._before else None
            self._noted[folder] = self._search(folder) if after is None else after
        return {path: each for path, each in self._noted[folder].items() if not hides(path)}

    def _search(self, folder: str) -> Mapping[str, FileNotes]:
        def searched() -> tuple[str, ...]:
            return tuple(p for p in files_below(self.tree, folder) if p.endswith(YAML))

        return self._searched("notes", folder, searched, read_notes, _has_notes)

    def deployers(self) -> Mapping[str, tuple[Deployer, ...]]:
        """The files anywhere in the repository, but in folders with a dot, that say what deploys
        its folders. Only what changed since another head is searched.
        """
        if self._deployers is None:
            after = self._deployers_after(*self._before) if self._before else None
            self._deployers = after if after is not None else self._search_deployers()
        return self._deployers

    def _search_deployers(self) -> Mapping[str, tuple[Deployer, ...]]:
        def searched() -> tuple[str, ...]:
            return tuple(filter(_may_hold_deployers, self.tree.paths()))

        return self._searched("deployers", ANYWHERE, searched, read_deployers, bool)

    def _deployers_after(
        self, before: Catalog, changed: Collection[str]
    ) -> Mapping[str, tuple[Deployer, ...]]:
        found = before.deployers()
        touched = [p for p in changed if _may_hold_deployers(p)]
        new = {p: self._parsed("deployers", p, read_deployers) for p in touched if p in self.tree}
        if not any(new.values()) and not any(path in found for path in touched):
            return found
        kept = {path: each for path, each in found.items() if path not in touched}
        return kept | {path: each for path, each in new.items() if each}

    def _searched(
        self,
        kind: str,
        folder: str,
        searched: Callable[[], tuple[str, ...]],
        read: Callable[[str, str], T],
        counts: Callable[[T], bool],
    ) -> Mapping[str, T]:
        """The files, of those to be searched, whose parsed form counts."""
        key, paths = (kind, folder), self.tree.paths()
        old: Search = self._cache.view(key) or NOT_SEARCHED
        files = old.files
        if old is NOT_SEARCHED or old.paths != paths:
            files = searched()
        blobs = tuple(map(self.tree.blob, files))
        changed = old.changed(files, blobs)
        found = {p: each for p, each in old.found.items() if p in self.tree}
        self._preload(kind, changed, read)
        for path in changed:
            parsed: T | None = self._cache.get(kind, self.tree.blob(path))
            found.pop(path, None)
            if parsed is not None and counts(parsed):
                found[path] = parsed
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
                if _has_notes(notes):
                    found[path] = notes
        return found

    def index(
        self,
        name: str,
        folder: str,
        rules: FolderRules = EVERY_FILE,
        hides: Hides = hides_nothing,
    ) -> Index:
        """The environment's index, brought up to date from the one of another tree."""
        if name not in self._indexes:
            after = self._index_after(name, folder, rules, hides)
            self._indexes[name] = after or self._index(name, folder, rules, hides)
        return self._indexes[name]

    def _index_after(
        self, name: str, folder: str, rules: FolderRules, hides: Hides
    ) -> Index | None:
        """From the tree that this one follows, where the changed files name the same services."""
        if self._before is None or not self._alike:
            return None
        before, changed = self._before
        old = before.index(name, folder, rules, hides)
        if old.rules != rules:
            return None
        blobs = {path: self.tree.blob(path) for path in changed if path in old.blobs}
        self._preload_names(blobs)
        for path, blob in blobs.items():
            found = self._cache.get("names", blob)
            if found is None or found != self._cache.get("names", old.blobs[path]):
                return None
        return replace(old, blobs=_laid_over(old.blobs, blobs))

    def _index(self, name: str, folder: str, rules: FolderRules, hides: Hides) -> Index:
        layout = self.layout()
        below = (path for path in files_below(self.tree, folder) if not hides(path))
        plain = None if folder in layout else tuple(below)
        old: Index | None = self._cache.view(name)
        if old is not None and (old.rules != rules or not self._still_holds(old, folder, plain)):
            old = None
        read = self.kustomization
        graph = old.graph if old else build_graph(self.tree, folder, layout, read, rules, hides)
        new = self._updated(folder, rules, plain, graph, old)
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
        self,
        folder: str,
        rules: FolderRules,
        plain: tuple[str, ...] | None,
        graph: Graph,
        old: Index | None,
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
        computed = set(old.computed) - gone if old else set()
        renderers = set(old.renderers) - gone if old else set()
        runtimes = set(old.runtimes) - gone if old else set()
        traces = [each for each in old.traces if each[1] not in gone] if old else []
        if old:
            stale = [n for n, paths in names.items() if not gone.isdisjoint(paths)]
            for name in stale:
                names[name] = tuple(path for path in names[name] if path not in gone)
        for path in changed:
            found: Named = self._cache.get("names", blobs[path]) or UNSURE
            if found.mentions.computed:
                computed.add(path)
            if found.mentions.renders:
                renderers.add(path)
            if found.may_define_runtimes:
                runtimes.add(path)
            traces += ((trace, path) for trace in found.traces)
            if found.mentions.names is None:
                unsure.add(path)
            for name in found.mentions.names or ():
                names[name] = (*names.get(name, ()), path)
        if old is not None:
            kustomizations = old.kustomizations
        else:
            kustomizations = {path: blob(path) for each in graph.visited.values() for path in each}
        return Index(
            folder,
            rules,
            plain,
            kustomizations,
            graph,
            blobs,
            names,
            unsure=frozenset(unsure),
            computed=frozenset(computed),
            renderers=frozenset(renderers),
            runtimes=frozenset(runtimes),
            traces=sorted(traces),
        )

    def _preload_names(self, paths: Iterable[str]) -> None:
        for blob, _, text in self._uncached("names", paths):
            found = Named(read_mentions(text), may_define(text), traces_of(text))
            self._cache.put("names", blob, found)


def _has_notes(notes: FileNotes) -> bool:
    return bool(notes.notes or notes.broken)


def _may_hold_deployers(path: str) -> bool:
    is_hidden = path.startswith(".") or "/." in path
    return path.endswith(MANIFESTS) and not is_hidden and not path.endswith(FILE_NAMES)


def _laid_over(blobs: Mapping[str, str], changed: Mapping[str, str]) -> Mapping[str, str]:
    """Not a copy for each of many edits of thousands of files; and one layer, however many."""
    if isinstance(blobs, ChainMap):
        return ChainMap({**blobs.maps[0], **changed}, *blobs.maps[1:])
    return ChainMap(dict(changed), dict(blobs) if not isinstance(blobs, dict) else blobs)
