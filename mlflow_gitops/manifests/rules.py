"""What a rule of the settings means for one service: its file, and what is to be written there."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from mlflow_gitops.manifests.located import scalar_at
from mlflow_gitops.manifests.nodes import Node, child, is_mapping, items
from mlflow_gitops.manifests.scalars import plain_or_quoted
from mlflow_gitops.value_path import Pick, Steps

__all__ = ["SERVICE", "file_of", "file_pattern", "keys_at", "line_to_add"]

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


def keys_at(roots: Sequence[Node], steps: Steps) -> Iterator[str]:
    """What stands in the place of `{service}`, where that is a whole step."""
    for index, step in enumerate(steps):
        parents = [scalar_at([root], 0, _plain(steps[:index])) for root in roots]
        if step == SERVICE:
            for parent in filter(is_mapping, parents):
                yield from (str(key.value) for key, _ in parent.value)
        elif isinstance(step, Pick) and step.value == SERVICE:
            names = (child(item, step.key) for parent in parents for item in items(parent))
            yield from (str(name.value) for name in names if name is not None)


def _plain(steps: Steps) -> tuple[str | int, ...]:
    return tuple(step for step in steps if not isinstance(step, Pick))


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
