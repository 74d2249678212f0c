"""Bounds on YAML that strangers write, for every reader of it. PURE."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Any

__all__ = ["DEEPEST", "MOST_DIRECTIVES", "MOST_NODES", "expanded", "has_many_directives"]

DEEPEST = 100  # levels of nesting; libyaml's composer recurses in C and ends the process
MOST_DIRECTIVES = 20
MOST_NODES = 300_000  # some 300 MB; KServe's own CRDs, the largest files in use, have 100,000

_DIRECTIVE = re.compile(r"(?:^|[\n\r\x85\u2028\u2029])\ufeff?%")


def has_many_directives(text: str) -> bool:
    """Whether libyaml would take long: it compares each `%TAG` line with all before it."""
    return text.count("%") > MOST_DIRECTIVES and len(_DIRECTIVE.findall(text)) > MOST_DIRECTIVES


def expanded(roots: Iterable[Any]) -> tuple[float, float]:
    """Return how many values the composed nodes have with every alias written out, and how many
    levels; infinite where an alias leads back to a value that it is in.
    """
    sizes: dict[int, tuple[float, float]] = {}
    top = list(roots)
    todo = [(node, False) for node in top]
    while todo:
        node, is_ready = todo.pop()
        parts = _parts(node)
        if is_ready:
            found = [sizes[id(part)] for part in parts]
            sizes[id(node)] = (
                1.0 + sum(size for size, _ in found),
                1.0 + max((depth for _, depth in found), default=0.0),
            )
        elif id(node) not in sizes:
            sizes[id(node)] = (math.inf, math.inf)  # until it is known: what a circle meets
            todo.append((node, True))
            todo += ((part, False) for part in parts)
    return (
        sum(sizes[id(node)][0] for node in top),
        max((sizes[id(node)][1] for node in top), default=0.0),
    )


def _parts(node: Any) -> list[Any]:
    value = getattr(node, "value", None)
    if not isinstance(value, list):
        return []
    return [each for pair in value for each in pair] if node.id == "mapping" else value
