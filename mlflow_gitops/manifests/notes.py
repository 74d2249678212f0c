"""Comments that are meant for this tool, and the values on whose lines they stand.

YAML's readers drop comments, so they are found by position: from the end of a value to the end of
its line. What lies inside a text is no comment. Only files in which such a comment may be are
parsed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

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

_OURS = re.compile(r"#[^\r\n]*?(?:\$mlflow|mlflow[-_ ]?gitops)", re.IGNORECASE)
_MEANT = re.compile(
    r"#+\s*(?:\{?\s*[\"']?\$mlflow|mlflow[-_ ]?gitops\s*(?::|\sh\w{2,4}\b))"
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


def read_notes(text: str, where: str) -> FileNotes:
    """Never raises."""
    if _OURS.search(text) is None:
        return NOTHING
    body = text.removeprefix("\ufeff")
    try:
        roots = parse_positions(body, where)
    except ManifestError as error:
        return FileNotes(broken=error.what)
    values = [value for i, root in enumerate(roots) for value in _values(body, root, i)]
    return FileNotes(tuple(_notes(body, values, list(_spans(roots)))))


def _notes(text: str, values: list[_Value], spans: list[tuple[int, int]]) -> Iterator[Note]:
    comments: dict[int, int] = {}
    for value in values:
        pattern = _AFTER_HEADER if value.is_block else _AFTER_VALUE
        found = pattern.match(text, value.after)
        if found:
            comments[_line_start(text, found.start(1))] = found.start(1)
    for start in sorted({_line_start(text, each.start()) for each in _OURS.finditer(text)}):
        at = comments.get(start)
        if at is None:
            alone = _COMMENT.search(text, start)
            if alone is None or any(a <= alone.start(1) < b for a, b in spans):
                continue
            at = alone.start(1)
        comment = _BREAK.split(text[at:], maxsplit=1)[0].rstrip()
        if _MEANT.match(comment):
            ends = [v.noted for v in values if start <= (v.after if v.is_block else v.end) <= at]
            yield Note(len(_BREAK.findall(text, 0, at)) + 1, comment, tuple(ends))


def _line_start(text: str, position: int) -> int:
    return max(text.rfind("\n", 0, position), text.rfind("\r", 0, position)) + 1


def _values(text: str, root: Node, document: int) -> Iterator[_Value]:
    """Every scalar that is a value or an item, with where it ends. What is unclear is left out."""
    todo: list[tuple[Path, Node, Node]] = [((), None, root)]
    seen: set[int] = set()
    while todo:
        path, key, node = todo.pop()
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
