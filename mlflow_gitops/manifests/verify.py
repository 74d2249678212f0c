"""Proof after the edit: the text is read again, by another parser, and compared with the old one.

Only the values that were meant may differ. Anything else is an error, and nothing is written.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from mlflow_gitops.errors import ManifestError
from mlflow_gitops.manifests.nodes import (
    STR,
    Node,
    check_keys,
    is_mapping,
    is_null,
    is_scalar,
    is_sequence,
    parse,
)

__all__ = ["Path", "check_only_changed", "differences"]

Path = tuple[str | int, ...]


def check_only_changed(before: str, after: str, wanted: Mapping[Path, str], where: str) -> None:
    """Raises ManifestError unless exactly the wanted values are new, and everything else is old.

    A path starts with the document's index.
    """
    old, new = parse(before, where), parse(after, where)
    found: dict[Path, Node] = {}
    same_count = len(old) == len(new)
    for index, (one, two) in enumerate(zip(old, new, strict=False)):
        check_keys(two, where)
        found.update(differences(one, two, (index,)))
    good = same_count and all(
        path in wanted and is_scalar(node) and node.value == wanted[path] and node.tag == STR
        for path, node in found.items()
    )
    if not good or not all(_holds(new, path, value) for path, value in wanted.items()):
        raise ManifestError(
            "it is written in a form that cannot be changed without changing something else",
            where=where,
            hint="write metadata.labels and spec.predictor in plain block style",
        )


def _holds(roots: list[Node], path: Path, value: str) -> bool:
    node: Node = roots[int(path[0])] if int(path[0]) < len(roots) else None
    for key in path[1:]:
        if isinstance(key, int):
            node = node.value[key] if is_sequence(node) and key < len(node.value) else None
        elif is_mapping(node):
            node = next((each for name, each in node.value if name.value == key), None)
        else:
            return False
    return is_scalar(node) and node.value == value


def differences(old: Node, new: Node, path: Path = ()) -> Iterator[tuple[Path, Node]]:
    """The leaves of `new` that `old` does not have so. A leaf that is gone has the node None."""
    seen: set[tuple[int, int]] = set()
    todo: list[tuple[Node, Node, Path]] = [(old, new, path)]
    while todo:
        one, two, at = todo.pop()
        if (id(one), id(two)) in seen:
            continue
        seen.add((id(one), id(two)))
        if is_mapping(one) and is_mapping(two):
            todo += _pairs(one, two, at)
        elif is_sequence(one) and is_sequence(two) and len(one.value) == len(two.value):
            pairs = zip(one.value, two.value, strict=True)
            todo += ((a, b, (*at, index)) for index, (a, b) in enumerate(pairs))
        elif (one is None or is_null(one)) and is_mapping(two):
            todo += ((None, value, (*at, _key(key))) for key, value in two.value)
        elif not _same_scalar(one, two):
            yield at, two


def _same_scalar(one: Node, two: Node) -> bool:
    both = is_scalar(one) and is_scalar(two)
    return both and bool(one.value == two.value and one.tag == two.tag)


def _pairs(one: Node, two: Node, at: Path) -> Iterator[tuple[Node, Node, Path]]:
    old = {_key(key): value for key, value in one.value}
    new = {_key(key): value for key, value in two.value}
    for key, value in new.items():
        yield old.get(key), value, (*at, key)
    for key, value in old.items():
        if key not in new:
            yield value, None, (*at, key)


def _key(node: Node) -> str:
    return str(node.value) if is_scalar(node) else f"({node.id})"
