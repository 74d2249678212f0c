"""Where things stand in a text: the spans of composed nodes, without the comments around them.

A composer's marks are not enough: an empty value has none of its own, a block collection ends
where the next token starts, and an alias is marked where its anchor is.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from mlflow_gitops.manifests.nodes import Node, is_mapping, is_scalar, is_sequence

__all__ = [
    "Splice",
    "Unclear",
    "after_colon",
    "apply",
    "block_content",
    "column_of",
    "content_start",
    "end_of",
    "line_break",
    "line_end",
    "line_of",
    "next_line",
]

_COLON = re.compile(r"\s*:")
_SPACE = re.compile(r"(?:[ \t\r\n]|#[^\r\n]*)*")
_PROPERTY = re.compile(r"[&!][^\s,\[\]{}]*")
_ALIAS = re.compile(r"\*[^\s,\[\]{}]+")
_REST_OF_LINE = re.compile(r"[ \t]*(?:#[^\r\n]*)?(?=\r\n|\n|\r|\Z)")
_BREAK = re.compile(r"\r\n|\n|\r")
_HEADER = re.compile(r"[|>]([-+]?[0-9]?[-+]?)[ \t]*(?:#[^\r\n]*)?(?:\r\n|\n|\r|\Z)")
_LINE = re.compile(r"([^\r\n]*)(\r\n|\n|\r|\Z)")


class Unclear(Exception):  # noqa: N818 - a signal between the modules that edit, not a failure
    """The text is written in a form whose positions cannot be told."""


@dataclass(frozen=True, slots=True)
class Splice:
    """Replace text[start:end]."""

    start: int
    end: int
    text: str


def apply(text: str, splices: list[Splice]) -> str:
    """Splices at one place go in in the order given."""
    pieces: list[str] = []
    at = 0
    for splice in sorted(splices, key=lambda each: each.start):
        if splice.start < at:
            raise Unclear("two edits overlap")
        pieces += (text[at : splice.start], splice.text)
        at = splice.end
    return "".join((*pieces, text[at:]))


def line_break(text: str, near: int = 0) -> str:
    """The line break in use at that place, else the file's first, else a newline."""
    found = _BREAK.search(text, near) or _BREAK.search(text)
    return found[0] if found else "\n"


def line_end(text: str, position: int) -> int:
    """Where the line ends, if only a comment follows."""
    rest = _REST_OF_LINE.match(text, position)
    if rest is None:
        raise Unclear("something else follows on the line")
    return rest.end()


def line_of(text: str, position: int) -> int:
    """Where the line ends that the position is in, whatever it holds."""
    found = _LINE.match(text, position)
    return found.end(1) if found else position


def next_line(text: str, end: int) -> int:
    """The start of the line after the break at `end`; `end` itself at the end of the text."""
    found = _BREAK.match(text, end)
    return found.end() if found else end


def column_of(text: str, position: int) -> int:
    start = max(text.rfind("\n", 0, position), text.rfind("\r", 0, position)) + 1
    return len(text[start:position].removeprefix("\ufeff"))


def after_colon(text: str, key: Node) -> int:
    found = _COLON.match(text, key.end_mark.index)
    if found is None:
        raise Unclear("the key is written in an unusual form")
    return found.end()


def content_start(text: str, start: int, *, properties: bool = True) -> int:
    """Past spaces, comments, and (unless told otherwise) an anchor and a tag."""
    while True:
        space = _SPACE.match(text, start)
        at = space.end() if space else start
        found = _PROPERTY.match(text, at) if properties else None
        if found is None:
            return at
        start = found.end()


def is_empty(text: str, node: Node) -> bool:
    """Whether the value is written as nothing (an anchor or a tag may stand there)."""
    if not is_scalar(node) or node.value != "" or node.style:
        return False
    written = text[node.start_mark.index : node.end_mark.index]
    return not _PROPERTY.sub("", written).strip()


def end_of(text: str, key: Node, value: Node) -> int:
    """Where an entry's text ends. `key` is None for an item of a sequence."""
    if key is not None:
        start = after_colon(text, key)
        at = content_start(text, start)
        alias = _ALIAS.match(text, at)
        if alias is not None:
            return alias.end()
        if is_empty(text, value):
            return _end_of_properties(text, start)
        if value.start_mark.index < start:
            raise Unclear("the value stands elsewhere")
    return _end_of_value(text, value)


def _end_of_properties(text: str, start: int) -> int:
    at = start
    while (found := _PROPERTY.match(text, content_start(text, at, properties=False))) is not None:
        at = found.end()
    return at


def _end_of_value(text: str, value: Node) -> int:
    start, end = value.start_mark.index, value.end_mark.index
    if is_scalar(value):
        if value.style in ("|", ">"):
            return block_content(text, value)[2]
        if is_empty(text, value):
            raise Unclear("an empty item")
        return int(end)
    if value.flow_style:
        return int(end)
    if is_mapping(value) and value.value:
        return end_of(text, *value.value[-1])
    if is_sequence(value) and value.value:
        last = value.value[-1]
        if last.start_mark.index < start:
            raise Unclear("the last item is an alias")
        return _end_of_value(text, last)
    raise Unclear("an empty block")


def block_content(text: str, value: Node) -> tuple[int, int, int]:
    """Of a block scalar: the header's start, the content's first and last position."""
    header = content_start(text, value.start_mark.index)
    found = _HEADER.match(text, header)
    if found is None:
        raise Unclear("a block scalar without content")
    at, first, last, indent = found.end(), -1, found.end(), 0
    while at < len(text):
        line = _LINE.match(text, at)
        assert line is not None
        stripped = line[1].lstrip(" ")
        width = len(line[1]) - len(stripped)
        if stripped and first < 0:
            first, indent = at + width, width
        if stripped and (width < indent or at >= value.end_mark.index):
            break
        if stripped or "+" in found[1]:
            last = line.end(1)
        if line.end() == at:
            break
        at = line.end()
    if first < 0 or first >= value.end_mark.index:
        raise Unclear("a block scalar without content")
    return header, first, last
