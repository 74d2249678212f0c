"""What the files of a build refer to, and what no build may do. PURE."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from mlflow_gitops.errors import CannotBuildError
from mlflow_gitops.manifests.kustomization import FILE_NAMES
from mlflow_gitops.manifests.nodes import (
    Node,
    is_mapping,
    is_null,
    is_scalar,
    items,
    parse,
)
from mlflow_gitops.manifests.tree import parent, resolve

__all__ = ["check_stands_alone", "references", "target_of", "without_secrets"]

TEXTS = frozenset(
    {"annotations", "commonannotations", "commonlabels", "labels", "literals", "patch"}
)
"""Keys of a kustomization, in lower case, below which nothing names a file."""

PROGRAMS = frozenset(
    {"generators", "transformers", "validators"}
    | {"helmcharts", "helmchartinflationgenerator", "helmglobals"}
)
REMOTE = re.compile(
    r"(?:^|=)\s*(?:[a-z][a-z0-9+.-]*://|https?:|git@|git::|(?:www\.)?github\.com[:/])",
    re.IGNORECASE,
)

SECRET = re.compile(r"(?<=:/)(/?)[^/@\s]*@|\?[^\s'\"]*")
"""A user with a password or a token, and a query, in an address; kustomize shortens its slashes."""


def check_stands_alone(files: Mapping[str, str]) -> None:
    """Raise CannotBuildError where a build would fetch something, look at other files of this
    machine, or run anything but kustomize.
    """
    for path, text in files.items():
        if path.rpartition("/")[2] not in FILE_NAMES:
            continue
        for reference in references(text, path):
            if REMOTE.search(reference):
                raise CannotBuildError(
                    f"it needs `{without_secrets(reference)}`, and nothing is fetched for a build",
                    where=path,
                    hint="copy it into the repository",
                )
            if ".." in reference and target_of(path, reference) is None:
                raise CannotBuildError(
                    f"`{reference}` leads out of the repository",
                    where=path,
                    hint="copy it into the repository",
                )


def without_secrets(text: str) -> str:
    """Where an address in it leads, and no more."""
    return SECRET.sub(r"\1", text)


def target_of(path: str, reference: str) -> str | None:
    """Where it leads, also one in the form `key=file`; None for out of the repository."""
    return resolve(parent(path), reference.rpartition("=")[2])


def references(text: str, path: str) -> Iterator[str]:
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
                if name not in TEXTS:
                    todo.append(value)
        else:
            todo += items(node)
