"""Which files an environment is made of: its kustomizations followed from its folder down.

A folder without a kustomization is read as Argo CD reads a plain directory, as far as the folder's
rules say; where a folder below has a kustomization, that one is a root of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from mlflow_gitops.errors import ManifestError
from mlflow_gitops.manifests.globs import matches
from mlflow_gitops.manifests.hidden import Hides, hides_nothing
from mlflow_gitops.manifests.kustomization import FILE_NAMES, Kustomization
from mlflow_gitops.manifests.tree import files_below, inside, parent, resolve
from mlflow_gitops.ports import Tree

__all__ = [
    "EVERY_FILE",
    "MANIFESTS",
    "Chain",
    "FolderRules",
    "Graph",
    "Layout",
    "build_graph",
    "kustomization_files",
]

Chain = tuple[str, ...]
"""Kustomization files, the outermost first; empty in a plain directory."""

Layout = Mapping[str, tuple[str, ...]]
"""Folder to the kustomization files in it."""

MANIFESTS = (".yaml", ".yml", ".json")
"""What Argo CD and kubectl read in a plain folder; capitals count as another ending."""

JSONNET = ".jsonnet"

MOST_DEPTH = 50
MOST_VISITS = 200_000  # folders that include each other many times over


@dataclass(frozen=True, slots=True)
class FolderRules:
    """Which files of a folder without a kustomization are manifests: `recurse` says whether those
    in its sub-folders are too. `include` ("" for all) and `exclude` are globs, as Argo CD's, for
    the path below the folder, or below one that is `above` it ("" or a path that ends in `/`).
    """

    recurse: bool = True
    include: str = ""
    exclude: tuple[str, ...] = ()
    above: str = ""

    def take(self, path: str) -> bool:
        """Whether the file at this path below the folder counts."""
        if not self.recurse and "/" in path:
            return False
        path = self.above + path
        if self.include and not matches(self.include, path):
            return False
        return not any(matches(pattern, path) for pattern in self.exclude)


EVERY_FILE = FolderRules()


@dataclass(frozen=True, slots=True)
class Graph:
    """`files` maps each resource file to the ways it is reached; `touched` is all that is read.

    `visited` are the folders that were followed, as the layout has them. `missing` are paths that
    are referred to and not there; `problems` say what is wrong, `remotes` what lies elsewhere.
    `roots` are the kustomizations that nothing here includes, `programs` the jsonnet files of a
    plain folder, which Argo CD evaluates.
    """

    files: Mapping[str, tuple[Chain, ...]]
    kustomizations: Mapping[str, Kustomization]
    touched: frozenset[str]
    visited: Layout
    roots: tuple[str, ...]
    missing: tuple[str, ...]
    problems: tuple[ManifestError, ...]
    remotes: tuple[str, ...]
    programs: tuple[str, ...] = ()


def kustomization_files(paths: Iterable[str]) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for path in [path for path in paths if path.endswith(FILE_NAMES)]:
        folder, _, name = path.rpartition("/")
        if name in FILE_NAMES:
            found[folder] = (*found.get(folder, ()), path)
    return found


def build_graph(
    tree: Tree,
    folder: str,
    layout: Layout,
    read: Callable[[str], Kustomization],
    rules: FolderRules = EVERY_FILE,
    hides: Hides = hides_nothing,
) -> Graph:
    """`read` gives the kustomization in a file, or raises ManifestError.

    What `hides` leaves out of a plain folder is read only where a kustomization lists it.
    """
    walk = _Walk(tree, layout, read)
    if folder in layout:
        roots: tuple[str, ...] = (folder,)
    else:
        roots = _roots_below(tree, folder, layout, walk, rules, hides)
    starts = tuple(start for root in roots if (start := walk.start(root)))
    return Graph(
        files={path: tuple(chains) for path, chains in walk.files.items()},
        kustomizations=walk.kustomizations,
        touched=frozenset(walk.touched),
        visited=walk.visited,
        roots=starts,
        missing=tuple(walk.missing),
        problems=tuple(walk.problems),
        remotes=tuple(walk.remotes),
        programs=tuple(walk.programs),
    )


def _roots_below(
    tree: Tree, folder: str, layout: Layout, walk: _Walk, rules: FolderRules, hides: Hides
) -> tuple[str, ...]:
    """The outermost kustomizations; the files outside all of them are plain manifests."""
    roots: list[str] = []
    start = len(folder) + 1 if folder else 0
    for path in files_below(tree, folder):
        if hides(path) or (roots and inside(path, roots[-1])) or not rules.take(path[start:]):
            continue
        above = parent(path)
        covering = ""
        while above != folder and inside(f"{above}/", folder):
            if above in layout:
                covering = above
            above = parent(above)
        if covering:
            roots.append(covering)
        elif path.endswith(MANIFESTS):
            walk.files[path] = [()]
            walk.touched.add(path)
        elif path.endswith(JSONNET):
            walk.programs.append(path)
    return tuple(dict.fromkeys(roots))


@dataclass(slots=True)
class _Walk:
    tree: Tree
    layout: Layout
    read: Callable[[str], Kustomization]
    files: dict[str, list[Chain]] = field(default_factory=dict)
    kustomizations: dict[str, Kustomization] = field(default_factory=dict)
    touched: set[str] = field(default_factory=set)
    visited: dict[str, tuple[str, ...]] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    problems: list[ManifestError] = field(default_factory=list)
    remotes: list[str] = field(default_factory=list)
    programs: list[str] = field(default_factory=list)
    visits: int = 0

    def start(self, folder: str) -> str:
        self.folder(folder, ())
        return self.layout[folder][0]

    def folder(self, folder: str, above: Chain) -> None:
        here = self.visited[folder] = self.layout[folder]
        if len(here) > 1:
            self.problem(f"there are {len(here)} kustomization files", folder, "keep one of them")
            return
        path = here[0]
        self.visits += 1
        if self.visits > MOST_VISITS:
            if self.visits == MOST_VISITS + 1:
                self.problem("too many kustomizations include each other", path, "split it up")
            return
        if path in above or len(above) > MOST_DEPTH:
            self.problem("the kustomization includes itself", path, "break the circle")
            return
        kustomization = self.kustomizations.get(path)
        if kustomization is None:
            self.touched.add(path)
            try:
                kustomization = self.read(path)
            except ManifestError as error:
                self.problems.append(error)
                return
            self.kustomizations[path] = kustomization
            self.note_patches(kustomization, folder)
        chain = (*above, path)
        for _, _, reference in kustomization.listed:
            self.reference(reference, folder, path, chain)

    def note_patches(self, kustomization: Kustomization, folder: str) -> None:
        named = (entry.path for entry in kustomization.patches if entry.path)
        for reference in (*named, *(path for path in kustomization.replacements if path)):
            found = resolve(folder, reference)
            if found is not None:
                self.touched.add(found)
                if found not in self.tree:
                    self.missing.append(found)

    def reference(self, reference: str, folder: str, path: str, chain: Chain) -> None:
        found = resolve(folder, reference)
        if found is not None and found in self.layout:
            self.folder(found, chain)
        elif found is not None and found in self.tree:
            self.files.setdefault(found, []).append(chain)
            self.touched.add(found)
        elif _is_remote(reference):
            self.remotes.append(reference)
        else:
            if found is not None:
                self.missing.append(found)
            hint = "correct the list; symbolic links and submodules are not followed"
            self.problem(f"it lists `{reference}`, which is not there", path, hint)

    def problem(self, what: str, where: str, hint: str) -> None:
        self.problems.append(ManifestError(what, where=where, hint=hint))


def _is_remote(reference: str) -> bool:
    return "://" in reference or reference.startswith(("git@", "github.com/")) or "?" in reference
