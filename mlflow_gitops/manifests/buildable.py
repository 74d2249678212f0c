"""The few files that a folder is built from: it, and all that its kustomizations could refer to.

A kustomization is not interpreted here: each word in one that leads to a file or folder brings it
in. More than is needed does no harm, less would not build.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from mlflow_gitops.manifests.kustomization import FILE_NAMES
from mlflow_gitops.manifests.tree import files_below, inside, parent, resolve
from mlflow_gitops.ports import Tree

__all__ = ["build_files", "build_folder"]

WORD = re.compile(r"[A-Za-z0-9_.@+/-]*[A-Za-z0-9_][A-Za-z0-9_.@+/-]*")


def build_folder(tree: Tree, paths: Iterable[str]) -> str | None:
    """The innermost folder with a kustomization above any of the paths; None where none has one."""
    for path in sorted(paths, key=lambda each: (-each.count("/"), each)):
        folder = parent(path)
        while True:
            if any(f"{folder}/{name}".lstrip("/") in tree for name in FILE_NAMES):
                return folder
            if not folder:
                break
            folder = parent(folder)
    return None


def build_files(tree: Tree, folder: str, most: int) -> Mapping[str, str] | None:
    """Path to text; None where there are more than `most`."""
    found: dict[str, str] = {}
    folders, wanted = {folder}, set(files_below(tree, folder))
    while new := [path for path in sorted(wanted) if path not in found]:
        if len(wanted) > most:
            return None
        found |= dict.fromkeys(new, "") | dict(tree.read_all(new))
        for path in new:
            if path.rpartition("/")[2] in FILE_NAMES:
                wanted |= _named(tree, path, found[path], folders)
    return found


def _named(tree: Tree, path: str, text: str, folders: set[str]) -> set[str]:
    named: set[str] = set()
    here = parent(path)
    for word in WORD.findall(text):
        at = resolve(here, word)
        if at is None or inside(path, at) or at in folders:
            continue
        if at in tree:
            named.add(at)
        else:
            folders.add(at)
            named.update(files_below(tree, at))
    return named
