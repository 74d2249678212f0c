"""Edits a text that is YAML itself, such as a patch inside its kustomization.

The text is changed by the same editors as a file, then put back line by line: in a block scalar
only the lines that differ are written, with the block's own indentation and line ends.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from difflib import SequenceMatcher
from functools import partial
from itertools import accumulate

from mlflow_gitops.errors import ManifestError
from mlflow_gitops.manifests.kustomization import PatchEntry
from mlflow_gitops.manifests.nodes import Node, child, items, parse_positions, text_of
from mlflow_gitops.manifests.scalars import quoted, single_quoted
from mlflow_gitops.manifests.spans import (
    Splice,
    Unclear,
    apply,
    block_content,
    column_of,
    content_start,
    line_break,
)
from mlflow_gitops.manifests.splice import shared_nodes
from mlflow_gitops.manifests.verify import differences

__all__ = ["edit_inline", "edit_text"]

MOST_COMPARED = 1000  # lines; the time to compare them grows with their square
_LINES = re.compile(r"[^\r\n]*(?:\r\n|\n|\r)|[^\r\n]+")


def edit_inline(text: str, entry: PatchEntry, change: Callable[[str], str], where: str) -> str:
    """The kustomization with one of its inline patches changed, and every other byte as it was."""
    return edit_text(text, 0, partial(_scalar, entry=entry), change, where, what="an inline patch")


def edit_text(
    text: str,
    document: int,
    find: Callable[[list[Node]], Node],
    change: Callable[[str], str],
    where: str,
    *,
    what: str = "a text in it",
) -> str:
    """The file with one text of a document changed, and every other byte as it was.

    `find` gives the text's node in a list with the document alone.
    """
    body = text.removeprefix("\ufeff")
    roots = parse_positions(body, where)
    node = find(roots[document : document + 1])
    old = text_of(node) or ""
    new = change(old)
    if new == old:
        return text
    try:
        if id(node) in shared_nodes(roots[document]):
            raise Unclear("it is an alias, or has an anchor")
        result = apply(body, _splices(body, node, old, new))
    except Unclear as unclear:
        raise _unusual(what, where, str(unclear)) from None
    after = parse_positions(result, where)
    same_count = len(roots) == len(after)
    changed = [path for pair in zip(roots, after, strict=False) for path, _ in differences(*pair)]
    if not same_count or len(changed) != 1 or text_of(find(after[document : document + 1])) != new:
        raise _unusual(what, where, "the change would change something else")
    return text[: len(text) - len(body)] + result


def _scalar(roots: list[Node], entry: PatchEntry) -> Node:
    node = items(child(roots[0], entry.field))[entry.index]
    return child(node, "patch") or node


def _splices(text: str, node: Node, old: str, new: str) -> list[Splice]:
    if node.style == "|":
        return _changed_lines(text, node, old, new)
    start = content_start(text, node.start_mark.index)
    end = int(node.end_mark.index)
    for style, write in (('"', quoted), ("'", single_quoted)):
        if node.style == style and write(old) == text[start:end]:
            return [Splice(start, end, write(new))]
    raise Unclear("it is no literal block (`|`)")


def _changed_lines(text: str, node: Node, old: str, new: str) -> list[Splice]:
    _, first, last = block_content(text, node)
    first -= column_of(text, first)
    was, becomes = old.rstrip("\n").split("\n"), new.rstrip("\n").split("\n")
    written = _LINES.findall(text[first:last])[: len(was)]
    written[-1] = written[-1].rstrip("\r\n")  # what ends the block stays as it is
    indent = " " * (len(written[0].rstrip("\r\n")) - len(was[0]))
    if not _stands_so(written, was, indent):
        raise Unclear("its lines cannot be told apart")
    starts = list(accumulate(map(len, written), initial=first))
    eol = line_break(text, first)
    splices = []
    for kind, here, there, begin, end in _opcodes(was, becomes):
        lines = [f"{indent}{line}" if line else "" for line in becomes[begin:end]]
        if here == len(was):
            lines.insert(0, "")
        elif there < len(was):
            lines.append("")
        if kind != "equal":
            splices.append(Splice(starts[here], starts[there], eol.join(lines)))
    return splices


def _opcodes(was: list[str], becomes: list[str]) -> Iterator[tuple[str, int, int, int, int]]:
    """As SequenceMatcher gives them, of what is between the lines that both begin and end with."""
    pairs = zip(was, becomes, strict=False)
    start = next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(was), len(becomes)))
    pairs = zip(reversed(was[start:]), reversed(becomes[start:]), strict=False)
    shorter = min(len(was), len(becomes)) - start
    end = next((i for i, (a, b) in enumerate(pairs) if a != b), shorter)
    old, new = was[start : len(was) - end], becomes[start : len(becomes) - end]
    if max(len(old), len(new)) > MOST_COMPARED:
        raise Unclear(f"more than {MOST_COMPARED} lines are between the values to change")
    for kind, *places in SequenceMatcher(None, old, new, False).get_opcodes():
        here, there, begin, stop = (start + place for place in places)
        yield kind, here, there, begin, stop


def _stands_so(written: list[str], lines: list[str], indent: str) -> bool:
    """Whether each line of the value is in the text as it is, below the indentation."""
    return len(written) == len(lines) and all(
        each.rstrip("\r\n") == indent + line or not (line or each.strip())
        for each, line in zip(written, lines, strict=True)
    )


def _unusual(what: str, where: str, why: str) -> ManifestError:
    hint = "write it as `|-` with the lines below"
    if what == "an inline patch":
        hint = "write it as `patch: |-` with the lines below, or in a file of its own"
    return ManifestError(f"{what} cannot be changed safely: {why}", where=where, hint=hint)
