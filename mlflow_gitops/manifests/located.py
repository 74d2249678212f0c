"""One value in any YAML file: finds it by its path, and writes it without moving anything else."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from mlflow_gitops.errors import ManifestError
from mlflow_gitops.manifests.edit import set_values
from mlflow_gitops.manifests.nodes import (
    Node,
    child,
    is_mapping,
    is_null,
    is_scalar,
    items,
    parse,
    parse_positions,
    text_of,
)
from mlflow_gitops.manifests.spans import Splice, apply
from mlflow_gitops.manifests.verify import Path, differences
from mlflow_gitops.value_path import Pick, Step, Steps

__all__ = ["Spot", "locate", "scalar_at", "write"]

INT = "tag:yaml.org,2002:int"
WHOLE = re.compile(r"0|[1-9][0-9]{0,5}")  # Helm writes larger ones as 1e+06


@dataclass(frozen=True, slots=True)
class Spot:
    """Where a value stands: `path` leads to it in the document, `line` counts from 1.

    `value` is None where it is null, or where the last key is not there yet.
    """

    document: int
    path: Path
    line: int
    value: str | None


def locate(roots: Sequence[Node], steps: Steps, where: str) -> Spot | None:
    """The value, or the place for it in the mapping that would hold it; None without either.

    Raises ManifestError where two documents or items have it, or where it is no text.
    """
    ends = [
        (index, path, parent)
        for index, root in enumerate(roots)
        for path, parent in _walk(root, steps[:-1], (), where)
        if is_mapping(parent) or is_null(parent)
    ]
    key = str(steps[-1])
    full = [end for end in ends if child(end[2], key, where=where) is not None]
    found = full or ends
    if len(found) > 1:
        raise ManifestError(
            f"`{_shown(steps)}` is in it {len(found)} times",
            where=where,
            hint="name one place: keep it in one document, or pick an item with `[key=value]`",
        )
    if not found:
        return None
    index, path, parent = found[0]
    node = child(parent, key, where=where)
    if node is not None and not is_scalar(node):
        raise ManifestError(
            f"`{_shown(steps)}` is a {node.id}, no text",
            where=f"{where}:{node.start_mark.line + 1}",
            hint="correct the path in the settings",
        )
    line = (node if node is not None else parent).start_mark.line + 1
    return Spot(index, (*path, key), line, text_of(node))


def _walk(node: Node, steps: Steps, path: Path, where: str) -> Iterator[tuple[Path, Node]]:
    if not steps:
        yield path, node
        return
    step = steps[0]
    for key, value in _below(node, step, where):
        yield from _walk(value, steps[1:], (*path, key), where)


def _below(node: Node, step: Step, where: str) -> Iterator[tuple[str | int, Node]]:
    if isinstance(step, str):
        value = child(node, step, where=where)
        if value is not None:
            yield step, value
        return
    for index, item in enumerate(items(node)):
        if index == step if isinstance(step, int) else _is_picked(item, step, where):
            yield index, item


def _is_picked(item: Node, pick: Pick, where: str) -> bool:
    return text_of(child(item, pick.key, where=where)) == pick.value


def _shown(steps: Steps) -> str:
    """The path as people write it."""
    return "".join(
        f"[{step}]" if isinstance(step, int) else f".{step}" if isinstance(step, str) else str(step)
        for step in steps
    ).removeprefix(".")


def scalar_at(roots: Sequence[Node], document: int, path: Path) -> Node:
    """The node at a place that is there; None where it is not."""
    node: Node = roots[document] if document < len(roots) else None
    for key in path:
        if isinstance(key, int):
            node = items(node)[key] if key < len(items(node)) else None
        else:
            node = child(node, key)
    return node


def write(text: str, document: int, values: Mapping[Path, str], where: str) -> str:
    """The text with the values set; a plain whole number stays one, everything else is a text."""
    roots = parse(text, where)
    numbers = {
        path: value
        for path, value in values.items()
        if WHOLE.fullmatch(value) and _is_plain_number(scalar_at(roots, document, path))
    }
    texts = {path: value for path, value in values.items() if path not in numbers}
    if texts:
        text = set_values(text, document, texts, where)
    for path, value in numbers.items():
        text = _set_number(text, document, path, value, where)
    return text


def _is_plain_number(node: Node) -> bool:
    return is_scalar(node) and not node.style and str(node.tag) == INT


def _set_number(text: str, document: int, path: Path, value: str, where: str) -> str:
    body = text.removeprefix("\ufeff")
    node = scalar_at(parse_positions(body, where), document, path)
    if node.value == value:
        return text
    start, end = node.start_mark.index, node.end_mark.index
    new = apply(body, [Splice(start, end, value)])
    if body[start:end] != node.value or _changed(body, new, where) != [(document, *path)]:
        raise ManifestError(
            f"`{_shown(path)}` cannot be changed without changing something else",
            where=where,
            hint="write the number out, without an anchor, a tag or an alias",
        )
    return text[: len(text) - len(body)] + new


def _changed(before: str, after: str, where: str) -> Collection[Path]:
    pairs = zip(parse(before, where), parse(after, where), strict=True)
    found = (differences(one, two, (index,)) for index, (one, two) in enumerate(pairs))
    return [path for each in found for path, _ in each]
