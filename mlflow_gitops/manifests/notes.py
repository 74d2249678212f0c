"""Comments that are meant for this tool, and the values on whose lines they stand.

YAML's readers drop comments, so they are found by position: from the end of a value to the end of
its line. What lies inside a text is no comment. Only files in which such a comment may be are
parsed.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from operator import itemgetter

from mlflow_gitops.errors import ManifestError
from mlflow_gitops.manifests.nodes import (
    Node,
    is_mapping,
    is_scalar,
    is_sequence,
    parse_positions,
    text_of,
)
from mlflow_gitops.manifests.spans import Unclear, end_of
from mlflow_gitops.manifests.verify import Path

__all__ = ["FileNotes", "Note", "Noted", "read_notes"]

_OURS = re.compile(r"\$mlflow|mlflow[-_ ]?gitops", re.IGNORECASE)
_MEANT = re.compile(
    r"#+\s*(?:(?:\{\s*)?[\"']?\$mlflow|mlflow[-_ ]?gitops\s*(?::|\sh\w{2,4}\b))"
    r"|#[^\r\n]*mlflow[-_ ]?gitops\W{1,3}hold\b",
    re.IGNORECASE,
)
_AFTER_VALUE = re.compile(r"[ \t,\]}]*(?<=[ \t])(#[^\r\n]*)")
_AFTER_HEADER = re.compile(r"[|>][-+0-9]*[ \t]+(#[^\r\n]*)")
_COMMENT = re.compile(r"(?:[ \t]|^)(#[^\r\n]*)")
_BREAK = re.compile(r"\r\n|\n|\r")


@dataclass(frozen=True, slots=True)
class Noted:
    """A value with a comment: where it is, and its text (None for null)."""

    document: int
    path: Path
    value: str | None


@dataclass(frozen=True, slots=True)
class Note:
    """A comment from its `#` on, and the values on its line: mostly one, none if it is astray."""

    line: int
    comment: str
    values: tuple[Noted, ...]


@dataclass(frozen=True, slots=True)
class FileNotes:
    """`broken` says why a file with such a comment cannot be read ("" if it can)."""

    notes: tuple[Note, ...] = ()
    broken: str = ""


NOTHING = FileNotes()


@dataclass(frozen=True, slots=True)
class _Value:
    noted: Noted
    end: int
    after: int  # where a comment of its line may start
    is_block: bool

    def line_end(self) -> int:
        """A position on the line whose comment is about the value."""
        return self.after if self.is_block else self.end


def read_notes(text: str, where: str) -> FileNotes:
    """Never raises."""
    lines = _Lines(text.removeprefix("\ufeff"))
    ours = lines.with_comments()
    if not ours:
        return NOTHING
    try:
        roots = parse_positions(lines.text, where)
    except ManifestError as error:
        return FileNotes(broken=error.what)
    values = [value for i, root in enumerate(roots) for value in _values(lines.text, root, i)]
    return FileNotes(tuple(_notes(lines, ours, values, sorted(_spans(roots)))))


class _Lines:
    """A text and where its lines start. Each step takes time in proportion to the text at most."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.starts = [0, *(found.end() for found in _BREAK.finditer(text))]

    def index(self, position: int) -> int:
        return bisect_right(self.starts, position) - 1

    def end(self, index: int) -> int:
        """Where the line's break is, or where the text ends."""
        found = _BREAK.search(self.text, self.starts[index])
        return found.start() if found else len(self.text)

    def with_comments(self) -> list[int]:
        """The lines that may have a comment for this tool: its name, and a `#` before it."""
        found: dict[int, None] = {}
        at = 0
        for each in _OURS.finditer(self.text):
            index = self.index(each.start())
            if self.text.find("#", max(at, self.starts[index]), each.start()) >= 0:
                found[index] = None
            at = each.end()
        return list(found)


def _notes(
    lines: _Lines, ours: list[int], values: list[_Value], spans: list[tuple[int, int]]
) -> Iterator[Note]:
    comments: dict[int, int] = {}
    for after, is_block in {(value.after, value.is_block) for value in values}:
        found = (_AFTER_HEADER if is_block else _AFTER_VALUE).match(lines.text, after)
        if found:
            comments[lines.index(found.start(1))] = found.start(1)
    by_end = sorted(values, key=_Value.line_end)
    ends = [value.line_end() for value in by_end]
    for index in ours:
        start, end = lines.starts[index], lines.end(index)
        at = comments.get(index)
        if at is None:
            alone = _COMMENT.search(lines.text, start, end)
            if alone is None or _is_within(alone.start(1), spans):
                continue
            at = alone.start(1)
        comment = lines.text[at:end].rstrip()
        if _MEANT.match(comment):
            here = by_end[bisect_left(ends, start) : bisect_right(ends, at)]
            yield Note(index + 1, comment, tuple(value.noted for value in here))


def _is_within(position: int, spans: list[tuple[int, int]]) -> bool:
    """`spans` are sorted, and none overlaps another."""
    index = bisect_right(spans, position, key=itemgetter(0)) - 1
    return index >= 0 and spans[index][0] <= position < spans[index][1]


def _values(text: str, root: Node, document: int) -> Iterator[_Value]:
    """Every scalar that is a value or an item, with where it ends. What is unclear is left out."""
    todo: list[tuple[Path, Node, Node]] = [((), None, root)]
    seen: set[int] = set()
    while todo:
        path, key, node = todo.pop()
        if key is not None:
            if id(key) in seen:
                continue  # an alias: where it is written is not known
            seen.add(id(key))
        if is_scalar(node):
            try:
                end = end_of(text, key, node)
            except Unclear:
                continue
            noted = Noted(document, path, text_of(node))
            is_block = node.style in ("|", ">")
            yield _Value(noted, end, node.start_mark.index if is_block else end, is_block)
        elif id(node) in seen:
            continue  # an alias: its anchor's place has it
        elif is_mapping(node):
            seen.add(id(node))
            todo += (((*path, str(k.value)), k, v) for k, v in node.value if is_scalar(k))
        elif is_sequence(node):
            seen.add(id(node))
            todo += (((*path, index), None, item) for index, item in enumerate(node.value))


def _spans(roots: list[Node]) -> Iterator[tuple[int, int]]:
    todo, seen = list(roots), set()
    while todo:
        node = todo.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if is_scalar(node):
            yield node.start_mark.index, node.end_mark.index
        elif is_mapping(node):
            todo += (each for pair in node.value for each in pair)
        else:
            todo += node.value
