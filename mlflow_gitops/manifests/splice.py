"""Sets one text value in a document by position: replaces the scalar, or inserts what is missing.

Nothing else moves: comments, quotes, line ends and the order of keys stay as they are. A value
that also counts elsewhere (an alias, a merge key) is refused, never changed along.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from mlflow_gitops.errors import ManifestError
from mlflow_gitops.manifests.nodes import (
    NULL,
    STR,
    Node,
    child,
    is_mapping,
    is_null,
    is_scalar,
    is_sequence,
    own_entry,
)
from mlflow_gitops.manifests.scalars import plain_or_quoted, quoted, reads_as_text, single_quoted
from mlflow_gitops.manifests.spans import (
    Splice,
    Unclear,
    after_colon,
    block_content,
    column_of,
    content_start,
    end_of,
    is_empty,
    line_break,
    line_end,
    line_of,
    next_line,
)
from mlflow_gitops.state import LABEL

__all__ = ["Place", "insert_lines", "set_text", "shared_nodes"]


@dataclass(frozen=True, slots=True)
class Place:
    """A text, where it is from, and the nodes in it that several places refer to.

    What goes into a text that `is_json` has JSON's quotes everywhere.
    """

    text: str
    where: str
    shared: frozenset[int]
    is_json: bool = False

    def refuse(self, what: str, hint: str) -> ManifestError:
        return ManifestError(what, where=self.where, hint=hint)


def shared_nodes(root: Node) -> frozenset[int]:
    """The ids of nodes that an alias or a merge key uses a second time."""
    seen: set[int] = set()
    shared: set[int] = set()
    todo = [root]
    while todo:
        node = todo.pop()
        if id(node) in seen:
            shared.add(id(node))
            continue
        seen.add(id(node))
        if is_mapping(node):
            todo += (each for pair in node.value for each in pair)
        elif is_sequence(node):
            todo += node.value
    return frozenset(shared)


def set_text(place: Place, root: Node, path: tuple[str, ...], value: str) -> list[Splice]:
    """The splices that make the value at the path this text; none if it is so already."""
    node = root
    parents: tuple[Node, ...] = (root,)
    written = quoted(value) if _is_label(path) else plain_or_quoted(value)
    for depth, key in enumerate(path):
        name = ".".join(path[: depth + 1])
        found = own_entry(node, key, place.where)
        if found is None:
            if child(node, key) is not None:
                raise place.refuse(
                    f"`{name}` comes in through a merge key (`<<`)",
                    "write the value in the InferenceService itself",
                )
            return _insert(place, node, parents, path[depth:], value, written)
        _refuse_shared(place, found[0], found[1], name)
        if depth == len(path) - 1:
            return _replace(place, node, found, name, value, written)
        if is_null(found[1]):
            return _fill(place, node, found, path[depth + 1 :], value, written)
        if not is_mapping(found[1]):
            raise place.refuse(f"`{name}` is no mapping", "correct the manifest")
        node, parents = found[1], (*parents, found[1])
    raise AssertionError("the path is empty")


def _is_label(path: tuple[str, ...]) -> bool:
    """A label's value is quoted always: the next version may be a number."""
    return path[-1] == LABEL or path[-2:-1] == ("labels",)


def _refuse_shared(place: Place, key: Node, value: Node, name: str) -> None:
    if id(value) in place.shared or value.start_mark.index < key.start_mark.index:
        raise place.refuse(
            f"`{name}` is an alias, or has an anchor that is used elsewhere in the file: a change "
            f"here would be a change there",
            "write the value out in both places",
        )


def _replace(
    place: Place,
    mapping: Node,
    entry: tuple[Node, Node],
    name: str,
    value: str,
    written: str,
) -> list[Splice]:
    key, old = entry
    if not is_scalar(old):
        raise place.refuse(f"`{name}` is no text", "correct the manifest")
    text = place.text
    start = content_start(text, after_colon(text, key))
    tagged = "!" in text[old.start_mark.index : start]
    if old.value == value and str(old.tag) == STR:
        if old.style or tagged or reads_as_text(value):
            return []
    elif tagged and str(old.tag) != STR:
        raise place.refuse(f"`{name}` has the tag `{old.tag}`", "remove the tag")
    if is_empty(text, old):
        at = end_of(text, key, old)
        return [Splice(at, at, f" {_json_or(written, mapping, value)}")]
    if old.style in ("|", ">"):
        return _replace_block(text, old, value)
    if old.style == '"':
        new = quoted(value)
    elif old.style == "'":
        new = single_quoted(value)
    else:
        new = _json_or(plain_or_quoted(value), mapping, value)
    return [Splice(start, old.end_mark.index, new)]


def _replace_block(text: str, old: Node, value: str) -> list[Splice]:
    header, first, last = block_content(text, old)
    last = line_of(text, first + len(text[first:last].rstrip()))
    if not value.isprintable() or value != value.strip() or value.startswith(("#", "\ufeff")):
        raise Unclear("the value does not fit a block scalar")
    indicator = text[header + 1 : first].splitlines()[0].split("#")[0].strip()
    splices = [Splice(first, last, value)]
    if "-" not in indicator:  # the value would end in a line break
        plus = text.find("+", header, first) if "+" in indicator else -1
        at = plus if plus >= 0 else header + 1
        splices.insert(0, Splice(at, at + (plus >= 0), "-"))
    return splices


def _json_or(plain: str, mapping: Node, value: str) -> str:
    return quoted(value) if _is_json(mapping) else plain


def _is_json(mapping: Node) -> bool:
    return bool(
        mapping.flow_style and mapping.value and all(key.style == '"' for key, _ in mapping.value)
    )


def _flow(keys: tuple[str, ...], value: str, written: str, *, json: bool) -> str:
    """`a: {b: "v"}`; with JSON's quotes where the mapping has them."""
    text = quoted(value) if json else written
    for depth, key in enumerate(reversed(keys)):
        text = f"{quoted(key) if json else plain_or_quoted(key)}: {text}"
        if depth < len(keys) - 1:
            text = f"{{{text}}}"
    return text


def _block(keys: tuple[str, ...], written: str, indent: int, step: int) -> list[str]:
    names = map(plain_or_quoted, keys)
    lines = [f"{' ' * (indent + step * depth)}{key}:" for depth, key in enumerate(names)]
    lines[-1] += f" {written}"
    return lines


def _step(parents: tuple[Node, ...]) -> int:
    """The file's own indentation, in columns."""
    columns = [
        node.value[0][0].start_mark.column for node in parents if node.value and not node.flow_style
    ]
    steps = [b - a for a, b in pairwise(columns) if b > a]
    return steps[-1] if steps else 2


def _insert(
    place: Place,
    mapping: Node,
    parents: tuple[Node, ...],
    keys: tuple[str, ...],
    value: str,
    written: str,
) -> list[Splice]:
    text = place.text
    if mapping.flow_style:
        entry = _flow(keys, value, written, json=place.is_json or _is_json(mapping))
        if not mapping.value:
            at = text.index("{", content_start(text, mapping.start_mark.index)) + 1
            return [Splice(at, at, entry)]
        at = end_of(text, *mapping.value[-1])
        return [Splice(at, at, f",{_gap(place, mapping)}{entry}")]
    first = mapping.value[0][0]
    indent = column_of(text, first.start_mark.index)
    lines = _block(keys, written, indent, _step(parents))
    if keys[0] == "labels":
        after = own_entry(mapping, "name", place.where) or mapping.value[-1]
    else:
        after = mapping.value[-1]
    try:
        return insert_lines(text, end_of(text, *after), lines)
    except Unclear:
        start = first.start_mark.index
        before = text[start - indent : start]
        if before.strip(" "):
            raise
        eol = line_break(text, start)
        return [Splice(start, start, eol.join([*lines, ""]).lstrip(" ") + before)]


def _gap(place: Place, mapping: Node) -> str:
    """What goes between two entries: a line break where JSON has each on a line of its own."""
    text, key = place.text, mapping.value[-1][0].start_mark.index
    lead = text[key - column_of(text, key) : key]
    return line_break(text, key) + lead if place.is_json and not lead.strip() else " "


def insert_lines(text: str, after: int, lines: list[str]) -> list[Splice]:
    """Whole lines below the line in which the entry at `after` ends."""
    end = line_end(text, after)
    start = next_line(text, end)
    eol = line_break(text, end)
    if start == end:  # the last line has no line break, and keeps having none
        return [Splice(end, end, eol + eol.join(lines))]
    return [Splice(start, start, eol.join([*lines, ""]))]


def _fill(
    place: Place,
    mapping: Node,
    entry: tuple[Node, Node],
    keys: tuple[str, ...],
    value: str,
    written: str,
) -> list[Splice]:
    """Put a mapping where null is."""
    text, (key, null) = place.text, entry
    assert str(null.tag) == NULL
    json = _is_json(mapping)
    if not is_empty(text, null):
        start = content_start(text, after_colon(text, key))
        return [Splice(start, null.end_mark.index, f"{{{_flow(keys, value, written, json=json)}}}")]
    at = end_of(text, key, null)
    if mapping.flow_style:
        return [Splice(at, at, f" {{{_flow(keys, value, written, json=json)}}}")]
    indent = column_of(text, key.start_mark.index)
    return insert_lines(text, at, _block(keys, written, indent + 2, 2))
