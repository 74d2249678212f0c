"""Adds an operation to a JSON 6902 patch, below one that is there and in the same form."""

from __future__ import annotations

import json

from mlflow_gitops.errors import ManifestError
from mlflow_gitops.manifests.nodes import (
    Node,
    child,
    is_mapping,
    is_sequence,
    parse,
    parse_positions,
    text_of,
)
from mlflow_gitops.manifests.scalars import plain_or_quoted, quoted
from mlflow_gitops.manifests.spans import Splice, Unclear, apply, column_of, end_of, line_break
from mlflow_gitops.manifests.splice import insert_lines
from mlflow_gitops.manifests.verify import differences

__all__ = ["insert_operation"]


def insert_operation(text: str, after: int, pointer: str, value: str, where: str) -> str:
    """The patch with `add` of this text below the operation that is in this place."""
    body = text.removeprefix("\ufeff")
    try:
        old = parse_positions(body, where)[0]
        result = apply(body, _added(body, old, after, pointer, value))
    except Unclear as unclear:
        raise _unusual(where, str(unclear)) from None
    new = parse(result, where)[0]
    if not _is_inserted(old, new, after + 1, pointer, value):
        raise _unusual(where, "it would change another operation")
    return text[: len(text) - len(body)] + result


def _added(text: str, patch: Node, after: int, pointer: str, value: str) -> list[Splice]:
    item = patch.value[after]
    start, end = item.start_mark.index, end_of(text, None, item)
    column = column_of(text, start)
    if patch.flow_style:
        operation = json.dumps({"op": "add", "path": pointer, "value": value}, ensure_ascii=False)
        margin = text[start - column : start]
        own_line = start > column and not margin.strip()
        gap = line_break(text) + margin if own_line else " "
        return [Splice(end, end, f",{gap}{operation}")]
    dash = text.rindex("-", 0, start)
    margin = " " * column_of(text, dash) + text[dash:start]
    if text[dash + 1 : start].strip(" ") or text[start - column : dash].strip(" "):
        raise Unclear("an operation is written in an unusual form")
    if item.flow_style:
        line = f"{{op: add, path: {plain_or_quoted(pointer)}, value: {quoted(value)}}}"
        return insert_lines(text, end, [margin + line])
    pad = " " * column
    lines = ["op: add", f"path: {plain_or_quoted(pointer)}", f"value: {quoted(value)}"]
    return insert_lines(text, end, [margin + lines[0], *(pad + line for line in lines[1:])])


def _is_inserted(old: Node, new: Node, index: int, pointer: str, value: str) -> bool:
    if not is_sequence(new) or len(new.value) != len(old.value) + 1:
        return False
    added = new.value[index]
    wanted = {"op": "add", "path": pointer, "value": value}
    is_good = is_mapping(added) and wanted == {key: text_of(child(added, key)) for key in wanted}
    others = [*new.value[:index], *new.value[index + 1 :]]
    return is_good and not any(
        True for a, b in zip(old.value, others, strict=True) for _ in differences(a, b)
    )


def _unusual(where: str, why: str) -> ManifestError:
    return ManifestError(
        f"the JSON 6902 patch cannot take one more operation: {why}",
        where=where,
        hint="write each operation as a list item with `op`, `path` and `value` on its own lines",
    )
