"""Bounds on YAML that strangers write, for every reader of it. PURE."""

from __future__ import annotations

import re

__all__ = ["DEEPEST", "MOST_DIRECTIVES", "has_many_directives"]

DEEPEST = 100  # levels of nesting; libyaml's composer recurses in C and ends the process
MOST_DIRECTIVES = 20

_DIRECTIVE = re.compile(r"(?:^|[\n\r\x85\u2028\u2029])\ufeff?%")


def has_many_directives(text: str) -> bool:
    """Whether libyaml would take long: it compares each `%TAG` line with all before it."""
    return text.count("%") > MOST_DIRECTIVES and len(_DIRECTIVE.findall(text)) > MOST_DIRECTIVES
