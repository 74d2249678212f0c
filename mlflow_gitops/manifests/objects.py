"""Objects of two builds compared, value by value. PURE.

Works on composed nodes, so that nothing is expanded: an alias or a merge key counts as it is
written, and a small file cannot grow.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from mlflow_gitops.errors import CannotBuildError
from mlflow_gitops.manifests.nodes import (
    Node,
    child,
    is_mapping,
    is_scalar,
    is_sequence,
    items,
    parse,
    text_of,
)

__all__ = [
    "Compared",
    "Difference",
    "ObjectId",
    "compare",
    "differences",
    "documents_with",
    "has_objects",
    "split_documents",
]

SEPARATOR = re.compile(r"^---[ \t]*$", re.MULTILINE)
HASH = re.compile(r"-[a-z0-9]{10}$")
MOST_DIFFERENCES = 1000

Path = tuple[str, ...]


@dataclass(frozen=True, slots=True, order=True)
class ObjectId:
    """What names an object in a cluster; the version of its API does not."""

    kind: str
    name: str
    namespace: str = ""
    group: str = ""

    def __str__(self) -> str:
        return "/".join(filter(None, (self.kind, self.namespace, self.name)))


@dataclass(frozen=True, slots=True)
class Difference:
    """One value: None where a side does not have it. Mappings and lists are given as they are."""

    path: Path
    before: Node
    after: Node

    @property
    def place(self) -> str:
        return ".".join(self.path)


@dataclass(frozen=True, slots=True)
class Compared:
    """Two builds: objects that are in one of them only, and those whose values differ."""

    added: Mapping[ObjectId, Node] = field(default_factory=dict)
    removed: Mapping[ObjectId, Node] = field(default_factory=dict)
    changed: Mapping[ObjectId, tuple[Node, Node]] = field(default_factory=dict)
    twice: tuple[ObjectId, ...] = ()


def compare(before: Sequence[str], after: Sequence[str], where: str) -> Compared:
    """Two builds, each a list of texts of YAML documents. Only texts that are not in both are
    parsed.

    An object that kustomize renamed by the hash of its content counts as the same object.
    """
    gone, come = _only_in(before, after), _only_in(after, before)
    found = _compared(gone, come, where)
    renamed = list(_renamed(found))
    if not renamed:
        return found
    for was, now in renamed:
        gone = [text.replace(was, now) for text in gone]
    return _compared(_only_in(gone, come), _only_in(come, gone), where)


def _only_in(texts: Sequence[str], others: Sequence[str]) -> list[str]:
    return list((Counter(texts) - Counter(others)).elements())


def objects_in(text: str, where: str) -> Iterator[tuple[ObjectId, Node]]:
    """Every object of a text, those of a `kind: List` one by one."""
    todo = parse(text, where)
    while todo:
        root = todo.pop(0)
        kind = text_of(child(root, "kind")) or ""
        if kind == "List" or (kind.endswith("List") and items(child(root, "items"))):
            todo = [*items(child(root, "items")), *todo]
        elif kind:
            yield _id_of(root, kind), root


def differences(before: Node, after: Node) -> list[Difference]:
    """Every value that differs, the outermost that one side lacks. Raises CannotBuildError where
    there are too many to look at.
    """
    found: list[Difference] = []
    same: set[tuple[int, int]] = set()
    todo: list[tuple[Path, Node, Node]] = [((), before, after)]
    while todo:
        path, old, new = todo.pop()
        if (id(old), id(new)) in same:
            continue
        same.add((id(old), id(new)))
        if is_mapping(old) and is_mapping(new):
            olds, news = _entries(old), _entries(new)
            for key in {**olds, **news}:
                todo.append(((*path, key), olds.get(key), news.get(key)))
        elif is_sequence(old) and is_sequence(new) and len(old.value) == len(new.value):
            pairs = zip(old.value, new.value, strict=True)
            todo += (((*path, str(i)), *pair) for i, pair in enumerate(pairs))
        elif not _is_same(old, new):
            found.append(Difference(path, old, new))
        if len(found) > MOST_DIFFERENCES:
            raise CannotBuildError("two builds differ in too many values to compare them")
    return sorted(found, key=lambda each: each.path)


def documents_with(texts: Iterable[str], word: str) -> Iterator[tuple[ObjectId, Node]]:
    """The objects of a build that mention the word. Only their texts are parsed."""
    for text in texts:
        if word in text:
            yield from objects_in(text, "")


def has_objects(text: str, where: str) -> bool:
    return any(True for _ in objects_in(text, where))


def split_documents(text: str) -> tuple[str, ...]:
    """The documents of what kustomize wrote."""
    parts = (part.strip("\n") for part in SEPARATOR.split(text))
    return tuple(part for part in parts if part)


def _compared(before: Iterable[str], after: Iterable[str], where: str) -> Compared:
    olds, news = (
        [found for text in texts for found in objects_in(text, where)] for texts in (before, after)
    )
    old, new = dict(olds), dict(news)
    counts = Counter(key for key, _ in news)
    return Compared(
        added={key: node for key, node in new.items() if key not in old},
        removed={key: node for key, node in old.items() if key not in new},
        changed={
            key: (node, new[key])
            for key, node in old.items()
            if key in new and differences(node, new[key])
        },
        twice=tuple(sorted(key for key, count in counts.items() if count > 1)),
    )


def _renamed(found: Compared) -> Iterator[tuple[str, str]]:
    """Names that differ only in the hash that kustomize puts behind them."""
    added = {(each.kind, each.namespace, HASH.sub("", each.name)): each for each in found.added}
    for was in found.removed:
        now = added.get((was.kind, was.namespace, HASH.sub("", was.name)))
        if now is not None and HASH.search(was.name) and HASH.search(now.name):
            yield was.name, now.name


def _id_of(root: Node, kind: str) -> ObjectId:
    group, _, version = (text_of(child(root, "apiVersion")) or "").rpartition("/")
    name, namespace = (text_of(child(root, "metadata", key)) or "" for key in ("name", "namespace"))
    return ObjectId(kind, name, namespace, group if version else "")


def _entries(mapping: Node) -> dict[str, Node]:
    return {str(key.value): value for key, value in mapping.value if is_scalar(key)}


def _is_same(old: Node, new: Node) -> bool:
    """Of scalars, text and type; nothing else gets here unless it differs."""
    if old is None or new is None:
        return old is new
    return bool(
        is_scalar(old)
        and is_scalar(new)
        and (str(old.tag), str(old.value)) == (str(new.tag), str(new.value))
    )
