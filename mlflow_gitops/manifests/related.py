"""Objects beside a service that a change of it leaves behind, each as one sentence. PURE.

A cache of the old URI, a graph that routes to a service that is removed, a copy of the old URI or
version in any other object. This tool changes none of them: it only says so.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from mlflow_gitops.manifests.facts import KINDS
from mlflow_gitops.manifests.kustomization import FILE_NAMES, PATCHES
from mlflow_gitops.manifests.nodes import (
    Node,
    entries,
    is_mapping,
    is_null,
    is_scalar,
    items,
    objects,
    parse,
    text_of,
)
from mlflow_gitops.manifests.verify import Path
from mlflow_gitops.state import LABEL, ServiceSpec

__all__ = ["Moved", "notes_of", "traces_of"]

CACHES = ("LocalModelCache", "LocalModelNamespaceCache")
REFERRING = ("InferenceGraph", "TrainedModel")
NAMING = {"InferenceGraph": "serviceName", "TrainedModel": "inferenceService"}
MANAGED = (
    ("spec", "predictor"),
    ("spec", "canary"),
    ("spec", "model", "uri"),
    ("metadata", "labels", LABEL),
)
MOST_SLASHES = 2  # of a bucket's URI
HIGHEST = chr(0x10FFFF)
MOST_VALUES = 100_000  # of one object; an alias can repeat the same one many times
_URI = re.compile(r"[a-z][a-z0-9+.-]*://[^\s\"'`,;<>(){}\[\]|\\]+")
_KIND = re.compile(r"""\bkind["']?[ \t]*:[ \t]*["']?(\w+)""")
_WORD = re.compile(r"[a-z0-9][-a-z0-9]*")


@dataclass(frozen=True, slots=True)
class Moved:
    """A change of one service; `after` is None where it is removed.

    `services` are the names of all services of the environment.
    """

    service: str
    before: ServiceSpec
    after: ServiceSpec | None
    services: Collection[str] = ()

    @property
    def old(self) -> str:
        """The URI that is left, without its last slash; "" where it stays."""
        old = self.before.uri.rstrip("/")
        is_left = self.after is None or self.after.uri.rstrip("/") != old
        return old if is_left else ""

    @property
    def old_version(self) -> str:
        is_left = self.after is None or self.after.version != self.before.version
        return self.before.version if is_left else ""

    @property
    def traces(self) -> Iterator[tuple[str, str]]:
        """Where a file that matters may be found: (first, last) trace, "" for only the first."""
        yield self.service, ""
        yield f"{self.service}-", f"{self.service}-{HIGHEST}"
        if self.old:
            yield self.old, ""
            yield f"{self.old}/", f"{self.old}/{HIGHEST}"
        above = self.old.rpartition("/")[0]
        while above.count("/") > MOST_SLASHES:  # a cache may hold all of a folder
            yield above, ""
            above = above.rpartition("/")[0]

    def owns(self, name: str) -> bool:
        """Whether an object of this name is most likely the service's, and no other one's."""
        while name != self.service and name not in self.services and "-" in name:
            name = name.rpartition("-")[0]
        return name == self.service


@dataclass(frozen=True, slots=True)
class Found:
    """A value of an object: `line` counts from 1."""

    kind: str
    name: str
    path: Path
    value: str
    where: str

    def __str__(self) -> str:
        """The object and the place, for a sentence."""
        name = f" `{self.name}`" if self.name else ""
        return f"{self.kind or 'a text'}{name} ({self.where})"


def traces_of(text: str) -> frozenset[str]:
    """What a file can be found by: each URI in it, without its last slash; and each word, where it
    may hold another object that names a service.
    """
    found = {uri.rstrip("/") for uri in _URI.findall(text)} if "://" in text else set()
    is_candidate = LABEL in text or any(kind in text for kind in REFERRING)
    if is_candidate and not {*KINDS, "Kustomization"}.issuperset(_KIND.findall(text)):
        found.update(_WORD.findall(text))
    return frozenset(found)


def notes_of(text: str, file: str, moved: Moved) -> Iterator[str]:
    """One for each object of the file that the change leaves behind. Raises ManifestError."""
    for root in parse(text, file):
        if is_null(root) or not is_mapping(root):  # a JSON 6902 patch is nothing by itself
            continue
        for _, node in objects(root, file):
            values = list(_values(node, file))
            note = next(filter(None, (_note(each, moved) for each in values)), "")
            copied = "" if note else _copied_version(values, moved)
            if note or copied:
                yield note or copied


def _note(found: Found, moved: Moved) -> str:
    """What is wrong with a value, "" for nothing."""
    is_reference = found.path[-1:] == (NAMING.get(found.kind),) and found.value == moved.service
    if moved.after is None and is_reference:
        return f"{found} refers to `{moved.service}`, which is removed"
    if not moved.old:
        return ""
    if found.kind in CACHES and found.path == ("spec", "sourceModelUri"):
        return _stale_cache(found, moved)
    if not _is_below(found.value, moved.old) or _is_managed(found, moved):
        return ""
    return f"{found} still has the URI `{moved.before.uri}`"


def _stale_cache(found: Found, moved: Moved) -> str:
    """KServe takes a cache for a URI that is its own, or below its own."""
    source = found.value.rstrip("/")
    if not _is_below(moved.old, source):
        return ""
    if moved.after is None:
        return f"{found} still caches `{moved.before.uri}`, which nothing here serves any more"
    if _is_below(moved.after.uri, source):
        return ""
    return (
        f"{found} does not match the new URI: its `sourceModelUri` cannot be changed, so a cache "
        f"of `{moved.after.uri}` needs an object of its own"
    )


def _is_below(text: str, folder: str) -> bool:
    """Whether the text has the folder's URI, or one below it."""
    return bool(folder) and re.search(rf"{re.escape(folder)}(?![\w.~%+-])", text) is not None


def _is_managed(found: Found, moved: Moved) -> bool:
    """Whether it is what this tool changes, or what a patch that it changes overrides."""
    if found.kind in KINDS and found.name == moved.service:
        return any(found.path[: len(place)] == place for place in MANAGED)
    return found.kind == "Kustomization" and found.path[:1] in {(key,) for key in PATCHES}


def _copied_version(values: list[Found], moved: Moved) -> str:
    """An object that is the service's by its name, or that names it, and has the old version."""
    copies = (v for v in values if v.path[-1:] == (LABEL,) and v.value == moved.old_version)
    found = next((v for v in copies if not _is_managed(v, moved)), None)
    if found is None:
        return ""
    if not moved.owns(found.name) and all(v.value != moved.service for v in values):
        return ""
    return f"{found} still has `{LABEL}: {found.value}` for `{moved.service}`"


def _values(root: Node, file: str) -> Iterator[Found]:
    kind, name = _text(root, "kind"), ""
    for key, value in entries(root):
        if key == "metadata":
            name = _text(value, "name")
    is_kustomization = file.endswith(FILE_NAMES)
    kind = kind or ("Kustomization" if is_kustomization else "")
    todo: list[tuple[Path, Node]] = [((), root)]
    for _ in range(MOST_VALUES):
        if not todo:
            return
        path, node = todo.pop()
        if is_scalar(node):
            text, line = text_of(node), node.start_mark.line + 1
            if text:
                yield Found(kind, name, path, text, f"{file}:{line}")
        elif is_mapping(node):
            todo += reversed([((*path, key), value) for key, value in entries(node)])
        else:
            todo += reversed([((*path, at), value) for at, value in enumerate(items(node))])


def _text(node: Node, key: str) -> str:
    return next((text_of(value) or "" for name, value in entries(node) if name == key), "")
