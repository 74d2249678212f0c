"""What a rule of the settings means for one service: its file, and what is to be written there."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from mlflow_gitops.manifests.located import reached, shown
from mlflow_gitops.manifests.nodes import (
    Node,
    child,
    is_mapping,
    is_null,
    is_sequence,
    items,
)
from mlflow_gitops.manifests.scalars import plain_or_quoted
from mlflow_gitops.value_path import Pick, Steps

__all__ = ["SERVICE", "file_of", "file_pattern", "keys_at", "line_to_add", "way_to_add"]

SERVICE = "{service}"
_NAMED = re.compile(r"\{(service|model|environment)\}")


def file_of(template: str, service: str, model: str, environment: str) -> str:
    names = {"service": service, "model": model, "environment": environment}
    return _NAMED.sub(lambda found: names[found[1]], template)


def file_pattern(template: str, environment: str) -> re.Pattern[str]:
    """A placeholder that comes twice has to stand for the same both times."""
    pattern, seen, at = "", set[str](), 0
    for found in _NAMED.finditer(template):
        pattern += re.escape(template[at : found.start()])
        name = found[1]
        if name == "environment":
            pattern += re.escape(environment)
        else:
            pattern += f"(?P={name})" if name in seen else f"(?P<{name}>[^/]+)"
            seen.add(name)
        at = found.end()
    return re.compile(pattern + re.escape(template[at:]))


def keys_at(roots: Sequence[Node], steps: Steps, where: str) -> Iterator[str]:
    """What stands in the place of `{service}`, where that is a whole step."""
    for index, step in enumerate(steps):
        if step == SERVICE:
            for parent in filter(is_mapping, reached(roots, steps[:index], where)):
                yield from (str(key.value) for key, _ in parent.value)
        elif isinstance(step, Pick) and step.value == SERVICE:
            parents = reached(roots, steps[:index], where)
            names = (child(item, step.key) for parent in parents for item in items(parent))
            yield from (str(name.value) for name in names if name is not None)


def way_to_add(roots: Sequence[Node], steps: Steps, value: str, where: str) -> tuple[str, str]:
    """What stops the path, as a sentence's end, and what to write where: never over a value."""
    reach = ((n, reached(roots, steps[:n], where)) for n in range(len(steps) - 1, -1, -1))
    depth, nodes = next(((n, nodes) for n, nodes in reach if nodes), (0, []))
    node, rest = (nodes[0] if nodes else None), steps[depth:]
    above, line = shown(steps[:depth]), line_to_add(rest, value)
    is_item = not isinstance(rest[0], str)
    if node is None or is_null(node) or (is_mapping(node) and not is_item):
        missing = f"it has no place for `{shown(steps)}`"
        return missing, f"add below `{above}`: `{line}`" if depth else f"add to it `{line}`"
    if is_sequence(node) and isinstance(rest[0], Pick):
        return f"`{above}` has no item `{rest[0]}`", f"add to the list `{above}`: `- {line[1:-1]}`"
    kind = "a list" if is_sequence(node) else "a mapping" if is_mapping(node) else "one value"
    if is_sequence(node):
        ask = f"it has no item {rest[0]}" if is_item else "an item is picked with `[key=value]`"
        return f"`{above}` is a list, and {ask}", "correct the path in the settings"
    what = f"`{above}` is {kind}, and the path leads on to `{shown(steps)}`"
    return what, "correct the path in the settings"


def line_to_add(steps: Steps, value: str) -> str:
    """What to write: the value below its keys, on one line; of a list, as far as it is known."""
    text = plain_or_quoted(value)
    for depth, step in enumerate(reversed(steps)):
        if isinstance(step, str):
            text = f"{plain_or_quoted(step)}: {text}"
            text = f"{{{text}}}" if depth < len(steps) - 1 else text
        elif isinstance(step, Pick):
            picked = f"{plain_or_quoted(step.key)}: {plain_or_quoted(step.value)}"
            text = f"[{{{picked}, {text[1:-1]}}}]"
        else:
            text = f"[{text}]"
    return text
