"""Which files can change a service's managed part, and the least of a tree that shows it.

History asks for one service at many commits: reading a few files of each is enough where they
show the service; where they do not, only the whole tree tells.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator

from mlflow_gitops.errors import ManifestError
from mlflow_gitops.manifests.cache import ParseCache
from mlflow_gitops.manifests.catalog import Catalog
from mlflow_gitops.manifests.facts import possible_names, read_facts
from mlflow_gitops.manifests.kustomization import FILE_NAMES, Kustomization
from mlflow_gitops.manifests.services import Resolver, Service
from mlflow_gitops.manifests.tree import inside, parent, resolve
from mlflow_gitops.ports import Tree

__all__ = ["FILE_NAMES", "narrowed", "newly_listed", "service_names", "sources"]

_ITEM = re.compile(r" *- +([A-Za-z0-9_./][A-Za-z0-9_./-]*)\s*")


def sources(resolver: Resolver, service: Service, folder: str) -> frozenset[str]:
    """The files, there or not, that the service's values come from.

    A file that is not there is one that would change how the others are read.
    """
    found = {setter.file for setter in service.setters}
    for path in resolver.patches.kustomizations_of(service.chain):
        found.add(path)
        kustomization = resolver.index.graph.kustomizations[path]
        found.update(_resolved(path, kustomization.replacements))
        for entry, _ in resolver.patches.matching(path, kustomization, service.name):
            found.update(_resolved(path, (entry.path,)))
    return frozenset(found | set(_watched(service.file, folder)))


def _watched(file: str, folder: str) -> Iterator[str]:
    """Kustomizations that would take the service's file in, from its folder up to the root's."""
    yield f"{folder}/Chart.yaml".lstrip("/")
    above = parent(file) if inside(file, folder) else folder
    while True:
        yield from (f"{above}/{name}".lstrip("/") for name in FILE_NAMES)
        if above in (folder, ""):
            return
        above = parent(above)


def narrowed(
    paths: Iterable[str], look: Callable[[Iterable[str]], Tree], cache: ParseCache
) -> Tree:
    """The tree of the paths and of all that can set values where they include it.

    `look` gives a tree of the named paths, where they are there. What is only listed beside them
    adds other objects, and is left out.
    """
    wanted = frozenset(paths)
    while True:
        tree = look(sorted(wanted))
        catalog = Catalog(tree, cache)
        more = {path for each in _kustomizations(tree) for path in _included(catalog, each)}
        if more <= wanted:
            return tree
        wanted |= more


def _kustomizations(tree: Tree) -> Iterator[str]:
    return (path for path in tree.paths() if path.rpartition("/")[2] in FILE_NAMES)


def _included(catalog: Catalog, path: str) -> Iterator[str]:
    try:
        kustomization: Kustomization = catalog.kustomization(path)
    except ManifestError:
        return
    yield from _resolved(path, (entry.path for entry in kustomization.patches))
    yield from _resolved(path, kustomization.replacements)
    for folder in _resolved(path, kustomization.components):
        yield from (f"{folder}/{name}" for name in FILE_NAMES)


def newly_listed(path: str, added: Iterable[str]) -> tuple[str, ...] | None:
    """What lines that were added to a kustomization list: paths; None where they may do more."""
    found = [_ITEM.fullmatch(line) for line in added]
    references = [match[1] for match in found if match]
    paths = [resolve(parent(path), reference) for reference in references]
    known = tuple(each for each in paths if each)
    return known if len(known) == len(found) else None


def _resolved(path: str, references: Iterable[str]) -> Iterator[str]:
    for reference in filter(None, references):
        found = resolve(parent(path), reference)
        if found:
            yield found


def service_names(text: str, where: str) -> frozenset[str]:
    """The services that a file may define; none where it cannot be read."""
    names = possible_names(text)
    if names is not None:
        return names
    try:
        return frozenset(each.name for each in read_facts(text, where).documents if each.is_service)
    except ManifestError:
        return frozenset()
