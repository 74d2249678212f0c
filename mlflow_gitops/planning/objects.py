"""What differs between two builds of the same manifests, object by object. PURE."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from difflib import unified_diff

__all__ = ["objects_diff"]

SEPARATOR = re.compile(r"^---\s*$", re.MULTILINE)
KIND = re.compile(r"^kind:\s*(\S+)", re.MULTILINE)
NAME = re.compile(r"^metadata:\n(?:[ ].*\n)*?  name:\s*(.+)$", re.MULTILINE)
NAMESPACE = re.compile(r"^metadata:\n(?:[ ].*\n)*?  namespace:\s*(.+)$", re.MULTILINE)
CONTEXT = 5  # lines
MOST_LINES = 10_000  # of one object; the time to compare them grows with their square
SECRETS = re.compile(r"^((?:data|stringData):)(?:\n[ ].*)+", re.MULTILINE)


def objects_diff(before: str, after: str) -> str:
    """Unified, of the objects that changed, from YAML in the form that kustomize writes."""
    old, new = _objects(before), _objects(after)
    return "".join(_changed(old, new))


def _changed(old: Mapping[str, str], new: Mapping[str, str]) -> Iterator[str]:
    for name in sorted(old.keys() | new.keys()):
        was, now = (side.get(name, "").splitlines() for side in (old, new))
        if was != now:
            if max(len(was), len(now)) > MOST_LINES:
                yield f"--- {name} now\n+++ {name} proposed\n (more than {MOST_LINES} lines)\n"
                continue
            lines = unified_diff(was, now, f"{name} now", f"{name} proposed", "", "", CONTEXT, "")
            yield "".join(f"{line}\n" for line in lines)


def _objects(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for part in SEPARATOR.split(text):
        document = part.strip("\n")
        if document:
            name = _name(f"{document}\n")
            is_secret = name.startswith("Secret/")
            found[name] = SECRETS.sub(r"\1 (not shown)", document) if is_secret else document
    return found


def _name(document: str) -> str:
    parts = (pattern.search(document) for pattern in (KIND, NAMESPACE, NAME))
    return "/".join(part[1].strip("\"'") for part in parts if part)
