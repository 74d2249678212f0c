"""One value in any YAML file: finds it by its path, and writes it without moving anything else.

A path may lead into a literal block whose text is YAML itself, such as an Application's Helm
values: the text is edited by its own positions, and put back line by line.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from mlflow_gitops.errors import ManifestError
from mlflow_gitops.manifests.edit import set_values
from mlflow_gitops.manifests.inline import edit_text
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

__all__ = [
    "Spot",
    "is_plain_number",
    "locate",
    "node_of",
    "reached",
    "scalar_at",
    "shown",
    "write",
]

INT = "tag:yaml.org,2002:int"
_KINDS = {"mapping": "mapping", "sequence": "list"}
_PLAIN_KEY = re.compile(r'[^\s."\[\]=]+')
WHOLE = re.compile(r"0|[1-9][0-9]{0,5}")  # Helm writes larger ones as 1e+06


@dataclass(frozen=True, slots=True)
class Spot:
    """Where a value stands: `path` leads to it in the document, `line` counts from 1.

    `value` is None where it is null, or where the last key is not there yet. `text` leads to the
    block scalar (`|`) whose text is the YAML that `path` is in; it is None in the file itself.
    """

    document: int
    path: Path
    line: int
    value: str | None
    text: Path | None = None

    @property
    def place(self) -> tuple[int, Path | None, Path]:
        return self.document, self.text, self.path

    @property
    def shown(self) -> str:
        return shown((*(self.text or ()), *self.path))


@dataclass(frozen=True, slots=True)
class _At:
    """A node on the way. `line` is the one in the file above the YAML that the node is in."""

    node: Node
    path: Path = ()
    text: Path | None = None
    line: int = 0

    def below(self, key: str | int, node: Node) -> _At:
        return _At(node, (*self.path, key), self.text, self.line)

    @property
    def shown(self) -> str:
        return shown((*(self.text or ()), *self.path))


def locate(roots: Sequence[Node], steps: Steps, where: str) -> Spot | None:
    """The value, or the place for it in the mapping that would hold it; None without either.

    Raises ManifestError where two documents or items have it, or where it is no text.
    """
    ends = [
        (index, at)
        for index, root in enumerate(roots)
        for at in _walk(_At(root), steps[:-1], where)
        if is_mapping(at.node) or is_null(at.node)
    ]
    key = str(steps[-1])
    full = [end for end in ends if child(end[1].node, key, where=where) is not None]
    found = full or ends
    if len(found) > 1:
        raise ManifestError(
            f"`{shown(steps)}` is in it {len(found)} times",
            where=where,
            hint="name one place: keep it in one document, or pick an item with `[key=value]`",
        )
    if not found:
        return None
    index, at = found[0]
    node = child(at.node, key, where=where)
    line = at.line + (node if node is not None else at.node).start_mark.line + 1
    if node is not None and not is_scalar(node):
        raise ManifestError(
            f"`{shown(steps)}` is a {_KINDS[node.id]}, not a value",
            where=f"{where}:{line}",
            hint="let the path in the settings lead to the value itself",
        )
    return Spot(index, (*at.path, key), line, text_of(node), at.text)


def reached(roots: Sequence[Node], steps: Steps, where: str) -> list[Node]:
    """The nodes to which the steps lead, also inside of texts that are YAML."""
    return [at.node for root in roots for at in _walk(_At(root), steps, where)]


def _walk(at: _At, steps: Steps, where: str) -> Iterator[_At]:
    """Where the steps lead. A text with several lines is entered: YAML can be expected in it."""
    at = _entered(at, where)
    if not steps:
        yield at
        return
    for key, value in _below(at.node, steps[0], where):
        yield from _walk(at.below(key, value), steps[1:], where)


def _entered(at: _At, where: str) -> _At:
    """The root of the YAML that a text holds; the same node where it is no such text."""
    node = at.node
    if not is_scalar(node) or "\n" not in node.value:
        return at
    line = at.line + int(node.start_mark.line) + 1
    if node.style != "|" or at.text is not None:
        form = "a text in a text" if at.text is not None else "folded or quoted"
        raise _unreadable(at, where, line, f"is one text ({form}), which is not edited")
    try:
        roots = parse(str(node.value), where)
    except ManifestError as error:
        what = f"is one text, and the text is not YAML: {error.what}"
        raise _unreadable(at, where, line, what) from None
    if len(roots) != 1:
        raise _unreadable(at, where, line, f"is one text of {len(roots)} documents")
    return _At(roots[0], (), at.path, line)


def _unreadable(at: _At, where: str, line: int, what: str) -> ManifestError:
    hint = "write it as a literal block (`|`) of plain YAML"
    if at.path[-1:] == ("values",):
        hint = f"write it as `valuesObject`, without the text; or {hint}"
    return ManifestError(f"`{at.shown}` {what}", where=f"{where}:{line}", hint=hint)


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


def shown(steps: Sequence[Step]) -> str:
    """The path as people write it."""
    return "".join(map(_step, steps)).removeprefix(".")


def _step(step: Step) -> str:
    if isinstance(step, str):
        return f".{step}" if _PLAIN_KEY.fullmatch(step) else f'."{step}"'
    return f"[{step}]" if isinstance(step, int) else str(step)


def scalar_at(roots: Sequence[Node], document: int, path: Path) -> Node:
    """The node at a place that is there; None where it is not."""
    node: Node = roots[document] if document < len(roots) else None
    for key in path:
        if isinstance(key, int):
            node = items(node)[key] if key < len(items(node)) else None
        else:
            node = child(node, key)
    return node


def node_of(roots: Sequence[Node], spot: Spot) -> Node:
    """The node at a spot of the file; None where nothing is there yet."""
    if spot.text is None:
        return scalar_at(roots, spot.document, spot.path)
    text = scalar_at(roots, spot.document, spot.text)
    return scalar_at(parse(str(text.value), ""), 0, spot.path)


def write(text: str, values: Mapping[Spot, str], where: str, *, numbers: bool = True) -> str:
    """The text with the values set, and every other byte as it was.

    With `numbers`, a plain whole number stays one; everything else is a text.
    """
    for document, block in dict.fromkeys((spot.document, spot.text) for spot in values):
        mine = {s.path: v for s, v in values.items() if (s.document, s.text) == (document, block)}
        if block is None:
            text = _written(text, document, mine, where, numbers=numbers)
            continue
        inner = partial(_written, document=0, values=mine, where=where, numbers=numbers)
        text = edit_text(text, document, partial(scalar_at, document=0, path=block), inner, where)
    return text


def _written(
    text: str, document: int, values: Mapping[Path, str], where: str, *, numbers: bool
) -> str:
    roots = parse(text, where)
    whole = {
        path: value
        for path, value in values.items()
        if numbers and WHOLE.fullmatch(value) and is_plain_number(scalar_at(roots, document, path))
    }
    texts = {path: value for path, value in values.items() if path not in whole}
    if texts:
        text = set_values(text, document, texts, where)
    for path, value in whole.items():
        text = _set_number(text, document, path, value, where)
    return text


def is_plain_number(node: Node) -> bool:
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
            f"`{shown(path)}` cannot be changed without changing something else",
            where=where,
            hint="write the number out, without an anchor, a tag or an alias",
        )
    return text[: len(text) - len(body)] + new


def _changed(before: str, after: str, where: str) -> Collection[Path]:
    pairs = zip(parse(before, where), parse(after, where), strict=True)
    found = (differences(one, two, (index,)) for index, (one, two) in enumerate(pairs))
    return [path for each in found for path, _ in each]
