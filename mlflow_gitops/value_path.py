"""The path of a value in any YAML file, as people write it in the settings: text to steps.

`a.b`, `a[0].b`, `a[name=x].b` and `"a.b".c`. The last step is a key, since that is what can be set.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["Pick", "Step", "Steps", "filled", "parse_path"]

_STEP = re.compile(
    r'(?P<dot>\.?)(?:"(?P<quoted>[^"]+)"|(?P<plain>[^\s."\[\]=]+))|\[(?P<item>[^\[\]]*)\]'
)
_PICK = re.compile(r'(?P<key>[^\s."\[\]=]+)=(?:"(?P<quoted>[^"]+)"|(?P<plain>[^\s"]+))')


@dataclass(frozen=True, slots=True)
class Pick:
    """The item of a list whose key has this value."""

    key: str
    value: str

    def __str__(self) -> str:
        is_plain = not any(c.isspace() for c in self.value)
        return f"[{self.key}={self.value}]" if is_plain else f'[{self.key}="{self.value}"]'


Step = str | int | Pick
Steps = tuple[Step, ...]


def parse_path(text: str) -> Steps:
    """The steps. Raises ValueError with what is wrong, as the end of a sentence."""
    steps: list[Step] = []
    at = 0
    while at < len(text):
        found = _STEP.match(text, at)
        if found is None:
            raise ValueError(f"cannot be read from `{text[at : at + 20]}` on")
        item = found["item"]
        if item is not None:
            steps.append(_item(item))
        elif bool(found["dot"]) != bool(steps):
            raise ValueError("needs one `.` between two keys, and none at either end")
        else:
            steps.append(found["quoted"] or found["plain"])
        at = found.end()
    if not steps or not isinstance(steps[0], str):
        raise ValueError("has to begin with a key")
    if not isinstance(steps[-1], str):
        raise ValueError("has to end with a key")
    return tuple(steps)


def _item(text: str) -> Step:
    if text.isascii() and text.isdigit() and len(text) < 7:
        return int(text)
    found = _PICK.fullmatch(text)
    if found is None:
        raise ValueError(f"has `[{text[:20]}]`, which is neither a number nor `[key=value]`")
    return Pick(found["key"], found["quoted"] or found["plain"])


def filled(steps: Steps, placeholder: str, value: str) -> Steps:
    """The steps with the placeholder replaced: after parsing, so that no value adds a step."""
    return tuple(
        Pick(step.key, step.value.replace(placeholder, value))
        if isinstance(step, Pick)
        else step.replace(placeholder, value)
        if isinstance(step, str)
        else step
        for step in steps
    )
