"""What a machine reads in a pull request's text: one JSON object in an HTML comment. PURE.

People edit these texts, and forges rewrite their line ends. Text from the registry stands there
too, but never as HTML: it cannot write a marker.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

__all__ = ["marker", "read_marker"]

START = re.compile(r"<!--\s*mlflow-gitops (?=\{)")
TRIED = 20
ESCAPES = {ord(c): f"\\u{ord(c):04x}" for c in "<>-"}


def marker(values: Mapping[str, str]) -> str:
    text = json.dumps(dict(sorted(values.items())))
    return f"<!-- mlflow-gitops {text.translate(ESCAPES)} -->"


def read_marker(body: str) -> Mapping[str, str]:
    """The values of the last marker that can be read; none where there is none."""
    starts = [found.end() for found in START.finditer(body)]
    for start in reversed(starts[-TRIED:]):
        text = body[start:].partition("-->")[0]
        try:
            values = json.loads(text)
        except (ValueError, RecursionError):
            continue
        if all(isinstance(value, str) for value in values.values()):
            return dict(values)
    return {}
