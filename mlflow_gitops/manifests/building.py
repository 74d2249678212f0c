"""What kustomize is given to build one service, before and after a change. PURE.

Only files that the build reads are taken. kustomize's time grows with the square of the objects, so
of a large environment only what leads to the service is built: its neighbours are other objects,
and change nothing of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from mlflow_gitops.errors import RenderError
from mlflow_gitops.manifests.addresses import is_remote, without_secrets
from mlflow_gitops.manifests.catalog import Catalog, Index
from mlflow_gitops.manifests.kustomization import FILE_NAMES
from mlflow_gitops.manifests.nodes import (
    Node,
    entries,
    is_mapping,
    is_null,
    is_scalar,
    items,
    parse,
)
from mlflow_gitops.manifests.plugins import PLUGINS, Read, configurations, is_inline
from mlflow_gitops.manifests.services import Service
from mlflow_gitops.manifests.tree import parent, resolve

__all__ = ["Builds", "Side", "builds", "check_stands_alone"]

MOST_WHOLE = 1000  # files of an environment that is built as a whole
COMPANIONS = 20  # entries of the innermost list that are the service's own, more are neighbours
LISTS = ("resources", "bases")
TEXTS = frozenset(
    {"annotations", "commonannotations", "commonlabels", "labels", "literals", "patch"}
)
"""Keys of a kustomization, in lower case, below which nothing names a file."""

PROGRAMS = frozenset({"helmcharts", "helmchartinflationgenerator", "helmglobals"})


@dataclass(frozen=True, slots=True)
class Builds:
    """The folder to build, and the texts of the repository that this needs; None where there is
    nothing to build.
    """

    folder: str
    before: Mapping[str, str] | None
    after: Mapping[str, str] | None


@dataclass(frozen=True, slots=True)
class Side:
    """An environment in one tree; `service` is None where it is not in it."""

    catalog: Catalog
    index: Index
    service: Service | None


def builds(before: Side, after: Side) -> Builds | None:
    """None where no kustomization builds the service."""
    found = [side.service for side in (after, before) if side.service is not None]
    if not found or not found[0].chain:
        return None
    folder = parent(found[0].chain[0])
    if max(len(side.index.graph.touched) for side in (before, after)) <= MOST_WHOLE:
        whole = (_collected(side.catalog, folder, _as_it_is) for side in (before, after))
        return Builds(folder, *whole)
    return Builds(folder, _least(before), _least(after))


def check_stands_alone(files: Mapping[str, str]) -> None:
    """Raises RenderError where a build would fetch something, look at other files of this machine,
    or run anything but kustomize.
    """
    for path, text in files.items():
        if path.rpartition("/")[2] not in FILE_NAMES:
            continue
        for reference in _references(text, path, files.get):
            if is_remote(reference):
                raise RenderError(
                    f"it needs `{without_secrets(reference)}`, and nothing is fetched for a build",
                    where=path,
                    hint="copy it into the repository",
                )
            if _leads_out(path, reference):
                raise RenderError(
                    f"`{reference}` leads out of the repository",
                    where=path,
                    hint="copy it into the repository",
                )


def _target(path: str, reference: str) -> str | None:
    """Where it leads, also one in the form `key=file`; None for out of the repository."""
    return resolve(parent(path), reference.rpartition("=")[2])


def _leads_out(path: str, reference: str) -> bool:
    """Whether it names a place outside of the repository. A lone `/` is a delimiter."""
    is_path = ".." in reference or reference.rpartition("=")[2].startswith("/")
    return is_path and reference != "/" and _target(path, reference) is None


def _as_it_is(_: str, text: str) -> str:
    return text


def _least(side: Side) -> Mapping[str, str] | None:
    service = side.service
    if service is None or not service.chain:
        return None
    wanted = {*map(parent, service.chain), service.file}

    def narrowed(path: str, text: str) -> str:
        kept = COMPANIONS if path == service.chain[-1] else 0
        return _narrowed(text, path, wanted, kept) if path in service.chain else text

    return _collected(side.catalog, parent(service.chain[0]), narrowed)


def _collected(
    catalog: Catalog, folder: str, text_of: Callable[[str, str], str]
) -> Mapping[str, str] | None:
    """The kustomization of the folder, and all that it leads to; None where there is none."""
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
            text = found[path] = text_of(path, catalog.text(path))
            for reference in _references(text, path, read):
                target = _target(path, reference)
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
        if _target(path, reference) in wanted:
            continue
        if number >= len(lines) or not _lists_only(lines[number], reference):
            raise RenderError(
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


def _references(text: str, path: str, read: Read) -> Iterator[str]:
    """Every text in a kustomization that may name a file. Raises RenderError for programs."""
    todo: list[Node] = parse(text, path)
    seen: set[int] = set()
    while todo:
        node = todo.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if is_scalar(node):
            yield str(node.value)
        elif is_mapping(node):
            for key, value in node.value:
                name = str(key.value).lower() if is_scalar(key) else ""
                if name in PROGRAMS and value.value and not is_null(value):
                    raise RenderError(
                        f"`{key.value}` may run programs, which no build here does",
                        where=path,
                        hint="look at what Argo CD makes of it",
                    )
                if name in PLUGINS:
                    yield from (str(item.value) for item in items(value) if not is_inline(item))
                    todo += configurations(value, path, read)
                elif name not in TEXTS:
                    todo.append(value)
        else:
            todo += items(node)
