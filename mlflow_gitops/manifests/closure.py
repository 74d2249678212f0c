"""The builds that show what a change does to an environment: which files each gets. PURE.

kustomize's time grows with the square of the objects. Of a large environment only what leads to the
changed services is built: the other entries of its lists are other objects, which the change does
not reach. What connects objects with each other (`replacements`, `vars`) needs the whole.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from mlflow_gitops.manifests.building import references, target_of
from mlflow_gitops.manifests.catalog import Catalog, Index
from mlflow_gitops.manifests.services import Service
from mlflow_gitops.manifests.tree import inside, parent, resolve

__all__ = ["Build", "Closure", "Side", "closure_of", "whole_build"]

MOST_WHOLE = 60  # files of an environment that is always built as a whole
COMPANIONS = 20  # entries of the innermost list that are the service's own, more are neighbours
MANY_ROOTS = 50

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
            whole[folder] = whole_build(before.catalog, after.catalog, folder)
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
    return any(
        side.catalog.listing(path).connects
        for side in sides
        for path in {path for chain in _chains(side, ()) for path in chain}
    )


def whole_build(before: Catalog, after: Catalog, folder: str) -> Build:
    """The folder's kustomization with everything that it reads."""

    def texts(catalog: Catalog) -> Files | None:
        return _collected(catalog, folder, catalog.text)

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
        def narrowed(path: str) -> str:
            if path not in kustomizations:
                return side.catalog.text(path)
            listing, here = side.catalog.listing(path), parent(path)
            keeps_all = path in innermost and len(listing.listed) <= COMPANIONS

            def is_wanted_patch(reference: str) -> bool:
                file = resolve(here, reference)
                return file is None or file in wanted or _may_patch(side.catalog, file, names)

            return listing.narrowed(
                path,
                lambda reference: keeps_all or _target(here, reference) in wanted,
                is_wanted_patch,
            )

        return _collected(side.catalog, folder, narrowed)

    before, after = sides
    return Build(folder, texts(before), texts(after), is_part=True)


def _target(folder: str, reference: str) -> str | None:
    """`resolve` for thousands of references, most of them plain names."""
    if folder and "." not in reference and "/" not in reference:
        return f"{folder}/{reference}"
    return resolve(folder, reference)


def _collected(catalog: Catalog, folder: str, text_of: Callable[[str], str]) -> Files | None:
    """The folder's kustomization and all that it leads to; None where there is none."""
    layout, found, others = catalog.layout(), {}, set()

    def read(path: str) -> str | None:
        return catalog.text(path) if path in catalog.tree else None

    if folder not in layout:
        return None
    todo = [folder]
    while todo:
        here = todo.pop()
        for path in layout[here]:
            if path in found:
                continue
            text = found[path] = text_of(path)
            for reference in references(text, path, read):
                target = target_of(path, reference)
                if target is not None and target in layout:
                    todo.append(target)
                elif target is not None and target in catalog.tree:
                    others.add(target)
    return {**catalog.tree.read_all(sorted(others)), **found}


def _may_patch(catalog: Catalog, file: str, names: set[str]) -> bool:
    if file not in catalog.tree:
        return True
    text = catalog.text(file)
    return any(name in text for name in names)
