"""What the files of a build refer to, and what no build may do. PURE."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from mlflow_gitops.errors import CannotBuildError
from mlflow_gitops.manifests.addresses import is_remote, without_secrets
from mlflow_gitops.manifests.kustomization import FILE_NAMES
from mlflow_gitops.manifests.nodes import (
    Node,
    is_mapping,
    is_null,
    is_scalar,
    items,
    parse,
)
from mlflow_gitops.manifests.plugins import PLUGINS, Read, configurations, is_inline
from mlflow_gitops.manifests.tree import parent, resolve

__all__ = ["check_stands_alone", "references", "target_of"]

TEXTS = frozenset(
    {"annotations", "commonannotations", "commonlabels", "labels", "literals", "patch"}
)
"""Keys of a kustomization, in lower case, below which nothing names a file."""

PROGRAMS = frozenset({"helmcharts", "helmchartinflationgenerator", "helmglobals"})


def check_stands_alone(files: Mapping[str, str]) -> None:
    """Raise CannotBuildError where a build would fetch something, look at other files of this
    machine, or run anything but kustomize.
    """
    for path, text in files.items():
        if path.rpartition("/")[2] not in FILE_NAMES:
            continue
        for reference in references(text, path, files.get):
            if is_remote(reference):
                raise CannotBuildError(
                    f"it needs `{without_secrets(reference)}`, and nothing is fetched for a build",
                    where=path,
                    hint="copy it into the repository",
                )
            if _leads_out(path, reference):
                raise CannotBuildError(
                    f"`{reference}` leads out of the repository",
                    where=path,
                    hint="copy it into the repository",
                )


def target_of(path: str, reference: str) -> str | None:
    """Where it leads, also one in the form `key=file`; None for out of the repository."""
    return resolve(parent(path), reference.rpartition("=")[2])


def _leads_out(path: str, reference: str) -> bool:
    """Whether it names a place outside of the repository. A lone `/` is a delimiter."""
    is_path = ".." in reference or reference.rpartition("=")[2].startswith("/")
    return is_path and reference != "/" and target_of(path, reference) is None


def references(text: str, path: str, read: Read) -> Iterator[str]:
    """Every text in a kustomization that may name a file. Raises CannotBuildError for programs."""
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
                    raise CannotBuildError(
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
