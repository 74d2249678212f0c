"""Composed nodes as plain Python values: dicts, lists, texts, numbers, booleans and None."""

from __future__ import annotations

import math
from typing import Any

from mlflow_gitops.errors import ManifestError
from mlflow_gitops.manifests.nodes import Node, entries, is_mapping, is_null, is_sequence, items

__all__ = ["list_at", "mapping_at", "plain", "text_at", "texts_at"]

MOST_VALUES = 100_000
BOOL, INT, FLOAT = (f"tag:yaml.org,2002:{name}" for name in ("bool", "int", "float"))


def plain(node: Node, where: str) -> Any:
    """Return the node's value. Raises ManifestError where aliases make it too large."""
    return _plain(node, where, [MOST_VALUES])


def _plain(node: Node, where: str, left: list[int]) -> Any:
    left[0] -= 1
    if left[0] < 0:
        raise ManifestError(
            f"it has more than {MOST_VALUES} values", where=where, hint="this is no manifest"
        )
    if is_mapping(node):
        return {key: _plain(value, where, left) for key, value in entries(node)}
    if is_sequence(node):
        return [_plain(each, where, left) for each in items(node)]
    if node is None or is_null(node):
        return None
    text = str(node.value)
    if str(node.tag) == BOOL:
        return text.lower() in ("true", "yes", "on", "y")
    if str(node.tag) == INT and text.lstrip("-").isascii() and text.lstrip("-").isdigit():
        return int(text) if len(text) < 20 else text
    if str(node.tag) == FLOAT:
        return _number(text)
    return text


def _number(text: str) -> float | str:
    try:
        found = float(text)
    except ValueError:  # `1_000.5` and the like
        return text
    return found if math.isfinite(found) else text


def mapping_at(value: Any, *keys: str) -> dict[str, Any]:
    """Return the mapping at the end of the keys; an empty one where there is none."""
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else {}


def text_at(value: Any, *keys: str) -> str:
    """Return the scalar at the end of the keys as a text; "" where there is none."""
    found = mapping_at(value, *keys[:-1]).get(keys[-1])
    return "" if found is None or isinstance(found, (dict, list)) else _text(found)


def list_at(value: Any, *keys: str) -> list[Any]:
    """Return the list at the end of the keys; an empty one where there is none."""
    found = mapping_at(value, *keys[:-1]).get(keys[-1])
    return found if isinstance(found, list) else []


def texts_at(value: Any, *keys: str) -> tuple[str, ...]:
    """Return the list of texts at the end of the keys."""
    return tuple(map(_text, list_at(value, *keys)))


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
