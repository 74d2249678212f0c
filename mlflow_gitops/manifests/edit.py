"""Changes values of a document, and entries of a kustomization's lists: old text to new text."""

from __future__ import annotations

import json
from collections.abc import Mapping

from mlflow_gitops.errors import ManifestError
from mlflow_gitops.manifests.nodes import (
    Node,
    check_keys,
    child,
    is_mapping,
    is_null,
    is_sequence,
    own_entry,
    parse,
    parse_positions,
    text_of,
    with_marks,
    without_marks,
)
from mlflow_gitops.manifests.scalars import plain_or_quoted
from mlflow_gitops.manifests.spans import (
    Splice,
    Unclear,
    after_colon,
    apply,
    column_of,
    end_of,
    is_empty,
    line_break,
    line_end,
    next_line,
)
from mlflow_gitops.manifests.splice import Place, insert_lines, set_text, shared_nodes
from mlflow_gitops.manifests.verify import Path, check_only_changed, differences

__all__ = ["add_to_list", "remove_from_list", "set_values"]

Values = Mapping[Path, str]
"""Path in a document to its new text; a number is a place in a list, which must be there."""


def set_values(text: str, document: int, values: Values, where: str) -> str:
    """The text with these values set in one of its documents, and every other byte as it was."""
    original, text = text, without_marks(text)
    roots = parse_positions(text, where)
    for root in roots:
        check_keys(root, where)
    try:
        new = _with_values(text, roots[document], values, where)
        if new is None:
            new = _one_by_one(text, document, values, where)
    except (Unclear, IndexError) as unclear:
        raise _unusual(where, str(unclear)) from None
    wanted: dict[Path, str] = {(document, *path): value for path, value in values.items()}
    check_only_changed(text, new, wanted, where)
    if _is_json(text) or text.lstrip().startswith("["):  # kustomize reads such a patch as JSON
        _check_json(new, where)
    return with_marks(new, original)


def _check_json(text: str, where: str) -> None:
    """Raise ManifestError unless the text is JSON, which is less than YAML."""
    try:
        json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _unusual(where, f"it would be no JSON ({error})") from None


def _is_json(text: str) -> bool:
    if not text.lstrip().startswith(("{", "[")):
        return False
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _with_values(text: str, root: Node, values: Values, where: str) -> str | None:
    """All at once; None where two go in at the same place."""
    place = Place(text, where, shared_nodes(root), is_json=_is_json(text))
    splices = [splice for path in values for splice in _set(place, root, path, values[path])]
    if len({splice.start for splice in splices}) < len(splices):
        return None
    return apply(text, splices)


def _one_by_one(text: str, document: int, values: Values, where: str) -> str:
    for path, value in values.items():
        root = parse_positions(text, where)[document]
        place = Place(text, where, shared_nodes(root), is_json=_is_json(text))
        text = apply(text, _set(place, root, path, value))
    return text


def _set(place: Place, root: Node, path: Path, value: str) -> list[Splice]:
    """Walks to the last item of a list on the path; below it are only mappings."""
    node, keys = root, list(path)
    while any(isinstance(key, int) for key in keys):
        key = keys.pop(0)
        if isinstance(key, int):
            node = node.value[key] if is_sequence(node) else None
        else:
            node = child(node, key)
        if not (is_mapping(node) or is_sequence(node)) or id(node) in place.shared:
            raise Unclear("an item of a list is an alias, or no mapping")
    return set_text(place, node, tuple(str(key) for key in keys), value)


def add_to_list(
    text: str, key: str, entry: str, where: str, *, item_key: str = "", by_name: bool = False
) -> str:
    """The kustomization with one more entry at the end of a list, `- entry` or `- item_key: entry`.

    With `by_name` a list in block style has it below the entry that comes before it in the order of
    names, so that additions by several branches mostly do not touch each other. The list is made
    where it is missing.
    """
    item = plain_or_quoted(entry)
    if item_key:
        item = f"{item_key}: {item}"
    mark, text = _split_mark(text)
    old = parse(text, where)
    root, before = old[0] if old else None, _list_of(old, key, where)
    index = _place_by_name(root, key, entry, where) if by_name else len(before)
    try:
        result = apply(text, _added(text, root, key, item, index, where))
    except Unclear as unclear:
        raise _unusual(where, str(unclear)) from None
    new = parse(result, where)
    after = _list_of(new, key, where)
    added = after.pop(index) if len(after) > index else None
    if item_key and is_mapping(added):
        entry_of = own_entry(added, item_key, where)
        added = entry_of[1] if entry_of else None
    if text_of(added) != entry or not _same(before, after):
        raise _unusual(where, f"`{key}` cannot take one more entry")
    _check_others_kept(old, new, key, where)
    return mark + result


def remove_from_list(text: str, key: str, index: int, where: str) -> str:
    """The kustomization without one entry of a list; `[]` stays where it was the last one."""
    mark, text = _split_mark(text)
    old = parse(text, where)
    try:
        result = apply(text, _removed(text, old[0], key, index, where))
    except Unclear as unclear:
        raise _unusual(where, str(unclear)) from None
    new = parse(result, where)
    before = _list_of(old, key, where)
    del before[index]
    if not _same(before, _list_of(new, key, where)):
        raise _unusual(where, f"an entry of `{key}` cannot be removed")
    _check_others_kept(old, new, key, where)
    return mark + result


def _split_mark(text: str) -> tuple[str, str]:
    """The byte order mark apart: libyaml and ruamel.yaml count it differently."""
    body = text.removeprefix("\ufeff")
    return text[: len(text) - len(body)], body


def _list_of(roots: list[Node], key: str, where: str) -> list[Node]:
    entry = own_entry(roots[0], key, where) if roots and is_mapping(roots[0]) else None
    return list(entry[1].value) if entry and is_sequence(entry[1]) else []


def _same(one: list[Node], two: list[Node]) -> bool:
    return len(one) == len(two) and not any(
        True for a, b in zip(one, two, strict=True) for _ in differences(a, b)
    )


def _check_others_kept(old: list[Node], new: list[Node], key: str, where: str) -> None:
    changed = (
        path
        for one, two in zip(old, new, strict=False)
        for path, _ in differences(one, two)
        if path[:1] != (key,)
    )
    if next(changed, None) is not None or (old and len(old) != len(new)):
        raise _unusual(where, f"a change to `{key}` would change something else")


def _place_by_name(root: Node, key: str, entry: str, where: str) -> int:
    """The index below the nearest name that comes before the entry's, in whatever order they are;
    the end of a list in flow style.
    """
    found = own_entry(root, key, where) if is_mapping(root) else None
    if found is None or not is_sequence(found[1]):
        return 0
    items = found[1].value
    if found[1].flow_style:
        return len(items)
    names = ((text_of(item) or "", index) for index, item in enumerate(items))
    return max((each for each in names if each[0] < entry), default=("", -1))[1] + 1


def _added(text: str, root: Node, key: str, item: str, index: int, where: str) -> list[Splice]:
    """`index` is the place in a list of block style; in flow style it is the end."""
    if root is None or is_null(root):
        eol = line_break(text)
        gap = "" if not text or text.endswith(("\n", "\r")) else eol
        return [Splice(len(text), len(text), f"{gap}{key}:{eol}  - {item}{eol}")]
    entry = own_entry(root, key, where)
    if entry is None:
        if root.flow_style:
            raise Unclear("the kustomization is in flow style")
        indent = column_of(text, root.value[0][0].start_mark.index)
        lines = [f"{' ' * indent}{key}:", f"{' ' * indent}  - {item}"]
        return insert_lines(text, end_of(text, *root.value[-1]), lines)
    name, value = entry
    indent = column_of(text, name.start_mark.index)
    if is_null(value) or (is_sequence(value) and not value.value):
        if root.flow_style:
            raise Unclear("the kustomization is in flow style")
        end, start = end_of(text, *entry), after_colon(text, name)
        emptied = [] if is_empty(text, value) else [Splice(start, end, "")]
        return [*emptied, *insert_lines(text, end, [f"{' ' * indent}  - {item}"])]
    if not is_sequence(value):
        raise Unclear(f"`{key}` is no list")
    if value.flow_style:
        last = _item_end(text, value.value[-1])
        flow = f"{{{item}}}" if ": " in item else item
        return [Splice(last, last, f", {flow}")]
    end = _item_end(text, value.value[index - 1]) if index else after_colon(text, name)
    return insert_lines(text, end, [f"{_dash(text, value)}{item}"])


def _dash(text: str, sequence: Node) -> str:
    """What stands before an item: the file's own indentation and space."""
    last = sequence.value[-1].start_mark.index
    dash = text.rindex("-", 0, last)
    return " " * column_of(text, dash) + text[dash:last]


def _item_end(text: str, item: Node) -> int:
    return end_of(text, None, item)


def _removed(text: str, root: Node, key: str, index: int, where: str) -> list[Splice]:
    entry = own_entry(root, key, where)
    assert entry is not None
    name, value = entry
    item = value.value[index]
    start = item.start_mark.index
    if value.flow_style:
        if len(value.value) == 1:
            return [Splice(start, _item_end(text, item), "")]
        if index + 1 < len(value.value):
            return [Splice(start, value.value[index + 1].start_mark.index, "")]
        return [Splice(_item_end(text, value.value[index - 1]), _item_end(text, item), "")]
    dash = text.rindex("-", 0, start)
    line = dash - column_of(text, dash)
    if text[line:dash].strip(" ") or text[dash + 1 : start].strip():
        raise Unclear("an item is written in an unusual form")
    end = next_line(text, line_end(text, _item_end(text, item)))
    emptied = []
    if len(value.value) == 1:
        at = after_colon(text, name)
        emptied = [Splice(at, at, " []")]
    return [*emptied, Splice(line, end, "")]


def _unusual(where: str, why: str) -> ManifestError:
    return ManifestError(
        f"it is written in a form that cannot be changed safely: {why}",
        where=where,
        hint="write it in plain block style",
    )
