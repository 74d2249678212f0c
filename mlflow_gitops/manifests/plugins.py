"""Kustomize's transformers, generators and validators: only the built-in ones. PURE.

A build takes one only where its configuration is in the repository and says `apiVersion: builtin`.
Charts, functions and plugins of any other kind would run programs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from mlflow_gitops.errors import CannotBuildError, ManifestError
from mlflow_gitops.manifests.addresses import without_secrets
from mlflow_gitops.manifests.kustomization import FILE_NAMES
from mlflow_gitops.manifests.nodes import (
    Node,
    child,
    entries,
    is_mapping,
    is_null,
    is_sequence,
    items,
    parse,
    text_of,
)
from mlflow_gitops.manifests.tree import parent, resolve

__all__ = ["PLUGINS", "Read", "configurations", "is_inline"]

PLUGINS = frozenset({"generators", "transformers", "validators"})
"""Keys of a kustomization, in lower case."""

FUNCTION = frozenset({"config.kubernetes.io/function", "config.k8s.io/function"})
DEEPEST = 10  # folders that list folders
HINT = "write it with `apiVersion: builtin`, or look at what Argo CD makes of it"

Read = Callable[[str], str | None]
"""The text of a file of the repository, None where there is none."""


def configurations(listed: Node, path: str, read: Read) -> list[Node]:
    """The configuration of every plugin that a list in the kustomization at `path` leads to.

    Raises CannotBuildError for one that may run a program or that cannot be found.
    """
    if not is_sequence(listed) and not is_null(listed):
        raise _refused("its plugins are not a list", path)
    found: list[Node] = []
    seen: set[str] = set()
    for item in items(listed):
        text = text_of(item) or ""
        inline = _inline(text)
        for where, root in (
            ((path, each) for each in inline) if inline else _files(text, path, read, seen)
        ):
            _check(root, where)
            found.append(root)
    return found


def is_inline(item: Node) -> bool:
    """Whether an entry is a configuration itself, and not a path."""
    return bool(_inline(text_of(item) or ""))


def _inline(text: str) -> list[Node]:
    """The documents of an entry that is no path, as kustomize decides it."""
    try:
        roots = [root for root in parse(text, "") if not is_null(root)]
    except ManifestError:
        return []
    return roots if all(map(is_mapping, roots)) else []


def _files(
    reference: str, path: str, read: Read, seen: set[str], depth: int = 0
) -> Iterator[tuple[str, Node]]:
    """The documents of a file, or of the files that a folder's kustomization lists."""
    target = resolve(parent(path), reference) if reference else None
    if target is None or depth > DEEPEST:
        raise _refused(f"`{without_secrets(reference)[:200]}` is no file of the repository", path)
    for file in (target, *(f"{target}/{name}".lstrip("/") for name in FILE_NAMES)):
        text = read(file)
        if text is None:
            continue
        if file in seen:
            raise _refused(f"`{file}` is listed twice", path)
        seen.add(file)
        for root in parse(text, file):
            if file != target:
                for listed in _listed(root, file):
                    yield from _files(listed, file, read, seen, depth + 1)
            elif not is_null(root):
                yield file, root
        return
    raise _refused(f"`{without_secrets(reference)[:200]}` is no file of the repository", path)


def _listed(root: Node, path: str) -> Iterator[str]:
    """What a kustomization of plugins lists. It may change none of them."""
    for key, value in entries(root):
        if key == "resources":
            yield from (text_of(item) or "" for item in items(value))
        elif key not in ("apiVersion", "kind", "metadata"):
            raise _refused(f"`{key}` may change what the plugins in it do", path)


def _check(root: Node, where: str) -> None:
    kind = text_of(child(root, "kind", where=where)) or ""
    if text_of(child(root, "apiVersion", where=where)) != "builtin":
        raise _refused(f"`{kind}` is no built-in plugin, and may run programs", where)
    if "chart" in kind.lower():
        raise _refused(f"`{kind}` inflates a Helm chart, which no build here does", where)
    metadata = child(root, "metadata", where=where)
    names = {name for name, _ in entries(child(metadata, "annotations", where=where))}
    if names & FUNCTION or child(metadata, "configFn", where=where) is not None:
        raise _refused(f"`{kind}` is a function, which no build here runs", where)


def _refused(what: str, where: str) -> CannotBuildError:
    return CannotBuildError(what, where=where, hint=HINT)
