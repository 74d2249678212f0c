"""The builds that show what a change does to an environment: which files each gets. PURE.

kustomize's time grows with the square of the objects. Of a large environment only what leads to the
changed services is built: the other entries of its lists are other objects, which the change does
not reach. What connects objects with each other (`replacements`, `vars`) needs the whole.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from mlflow_gitops.errors import CannotBuildError
from mlflow_gitops.manifests.building import references, target_of
from mlflow_gitops.manifests.catalog import Catalog, Index
from mlflow_gitops.manifests.nodes import (
    Node,
    child,
    entries,
    is_mapping,
    is_scalar,
    items,
    parse,
)
from mlflow_gitops.manifests.services import Service
from mlflow_gitops.manifests.tree import inside, parent

__all__ = ["Build", "Closure", "Side", "closure_of"]

MOST_WHOLE = 60  # files of an environment that is always built as a whole
COMPANIONS = 20  # entries of the innermost list that are the service's own, more are neighbours
MANY_ROOTS = 50
LISTS = ("resources", "bases")
PATCHES = ("patches", "patchesStrategicMerge", "patchesJson6902")
CONNECTING = ("replacements", "vars")

Files = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Build:
    """The folder to build with kustomize, and the texts that this needs before and after.

    None where there is nothing to build. `is_part` says that entries of other services are left
    out.
    """

    folder: str
    before: Files | None
    after: Files | None
    is_part: bool = False


@dataclass(frozen=True, slots=True)
class Closure:
    """What shows a change: kustomizations to build, changed files that are applied as they are
    (`plain`), and changed files that nothing here builds (`unread`).
    """

    builds: tuple[Build, ...] = ()
    plain: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Side:
    """An environment in one tree, with the services of a change that are InferenceServices."""

    catalog: Catalog
    index: Index
    services: tuple[Service, ...]


def closure_of(
    before: Side, after: Side, changed: Collection[str], *, may_be_part: bool = True
) -> Closure:
    """The builds of a change to the files in `changed`.

    Raises CannotBuildError where an environment is too large to be built as a whole and its list
    cannot be narrowed.
    """
    sides = (before, after)
    roots = {parent(chain[0]) for side in sides for chain in _chains(side, changed) if chain}
    plain = [path for path in changed if any(_is_plain(side, path) for side in sides)]
    rest = [path for path in changed if path not in plain and not _is_known(sides, path)]
    builds: dict[str, Build] = {}
    whole: dict[str, Build] = {}

    def built(folder: str) -> Build:
        if folder not in whole:
            whole[folder] = _whole(before, after, folder)
        return whole[folder]

    unread = []
    for path in rest:
        found = [folder for folder in _may_read(sides, path) if _reads(built(folder), path)]
        roots.update(found)
        unread += [] if found else [path]
    for folder in roots:
        if rest or not may_be_part or not _is_large(sides) or _is_connected(sides):
            builds[folder] = built(folder)
        else:
            builds[folder] = _part(sides, folder, changed)
    return Closure(tuple(builds[each] for each in sorted(builds)), tuple(plain), tuple(unread))


def _chains(side: Side, changed: Iterable[str]) -> Iterator[tuple[str, ...]]:
    """The ways to the services and to the changed resource files."""
    files = side.index.graph.files
    for path in {*(service.file for service in side.services), *changed}:
        yield from files.get(path, ())


def _is_plain(side: Side, path: str) -> bool:
    return () in side.index.graph.files.get(path, ())


def _is_known(sides: Sequence[Side], path: str) -> bool:
    """Whether a service's values come from the file, or a build lists it."""
    for side in sides:
        graph = side.index.graph
        if path in graph.files or path in graph.kustomizations:
            return True
        if any(path == setter.file for each in side.services for setter in each.setters):
            return True
    return False


def _may_read(sides: Sequence[Side], path: str) -> list[str]:
    """Folders of kustomizations that may read a file that no list of resources names."""
    roots = {parent(root) for side in sides for root in side.index.graph.roots}
    if len(roots) <= MANY_ROOTS:
        return sorted(roots)
    return sorted(root for root in roots if inside(path, root))


def _reads(build: Build, path: str) -> bool:
    return any(files is not None and path in files for files in (build.before, build.after))


def _is_large(sides: Sequence[Side]) -> bool:
    return max(len(side.index.graph.touched) for side in sides) > MOST_WHOLE


def _is_connected(sides: Sequence[Side]) -> bool:
    """Whether values of one object may come from another."""
    for side in sides:
        for path in {path for chain in _chains(side, ()) for path in chain}:
            text = side.catalog.text(path) if path in side.catalog.tree else ""
            if any(f"{key}:" in text for key in CONNECTING):
                roots = parse(text, path)
                if any(child(root, key) is not None for root in roots for key in CONNECTING):
                    return True
    return False


def _whole(before: Side, after: Side, folder: str) -> Build:
    def texts(side: Side) -> Files | None:
        return _collected(side.catalog, folder, lambda _, text: text)

    return Build(folder, texts(before), texts(after))


def _part(sides: tuple[Side, Side], folder: str, changed: Collection[str]) -> Build:
    """The kustomization with the entries that lead to the services and the changed files.

    Both sides keep the same entries, so that what they share stays the same.
    """
    chains = [chain for side in sides for chain in _chains(side, changed) if chain]
    services = [service for side in sides for service in side.services]
    kustomizations = {path for chain in chains for path in chain}
    innermost = {chain[-1] for chain in chains}
    wanted = {*map(parent, kustomizations), *changed, *(each.file for each in services)}
    names = {service.name for service in services}

    def texts(side: Side) -> Files | None:
        def narrowed(path: str, text: str) -> str:
            if path not in kustomizations:
                return text
            text = _narrowed(text, path, wanted, COMPANIONS if path in innermost else 0)
            return _without_other_patches(side.catalog, text, path, wanted, names)

        return _collected(side.catalog, folder, narrowed)

    before, after = sides
    return Build(folder, texts(before), texts(after), is_part=True)


def _collected(catalog: Catalog, folder: str, text_of: Callable[[str, str], str]) -> Files | None:
    """The folder's kustomization and all that it leads to; None where there is none."""
    layout, found, others = catalog.layout(), {}, set()
    if folder not in layout:
        return None
    todo = [folder]
    while todo:
        here = todo.pop()
        for path in layout[here]:
            if path in found:
                continue
            text = found[path] = text_of(path, catalog.text(path))
            for reference in references(text, path):
                target = target_of(path, reference)
                if target is not None and target in layout:
                    todo.append(target)
                elif target is not None and target in catalog.tree:
                    others.add(target)
    return {**catalog.tree.read_all(sorted(others)), **found}


def _narrowed(text: str, path: str, wanted: set[str], kept: int) -> str:
    """The kustomization's text without the lines that list others, where there are more than
    `kept`.
    """
    listed = [
        item
        for root in parse(text, path)
        for key, value in entries(root)
        if key in LISTS
        for item in items(value)
        if is_scalar(item)
    ]
    if len(listed) <= kept:
        return text
    lines = text.split("\n")
    for item in listed:
        number, reference = item.start_mark.line, str(item.value)
        if target_of(path, reference) in wanted:
            continue
        if number >= len(lines) or not _lists_only(lines[number], reference):
            raise CannotBuildError(
                "the environment is too large to be built as a whole, and its list has more than "
                "one entry on a line",
                where=path,
                hint="give each entry a line of its own",
            )
        lines[number] = ""
    return "\n".join(lines)


def _lists_only(line: str, reference: str) -> bool:
    entry = line.partition(" #")[0].strip()
    return entry.startswith("- ") and entry[2:].strip().strip("'\"") == reference


def _without_other_patches(
    catalog: Catalog, text: str, path: str, wanted: set[str], names: set[str]
) -> str:
    """Without patches of objects that are left out: kustomize refuses one that finds no object."""
    lines, dropped = text.split("\n"), False
    for root in parse(text, path):
        for key, value in entries(root):
            for item in items(value) if key in PATCHES else ():
                reference = child(item, "path") if is_mapping(item) else item
                if not is_scalar(reference) or (is_mapping(item) and len(item.value) > 1):
                    continue  # with a target it is no error to match nothing
                file = target_of(path, str(reference.value))
                if file is None or file in wanted or _may_patch(catalog, file, names):
                    continue
                line = lines[item.start_mark.line]
                if line.partition(" #")[0].strip().startswith("- ") and _is_one_line(item):
                    lines[item.start_mark.line], dropped = "", True
    return "\n".join(lines) if dropped else text


def _is_one_line(item: Node) -> bool:
    start, end = item.start_mark, item.end_mark
    return bool(end.line == start.line or (end.line == start.line + 1 and end.column == 0))


def _may_patch(catalog: Catalog, file: str, names: set[str]) -> bool:
    if file not in catalog.tree:
        return True
    text = catalog.text(file)
    return any(name in text for name in names)
