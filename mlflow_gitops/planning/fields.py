"""Reads JSON that anybody may have written into typed values, or says why not. PURE."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

__all__ = ["Fields", "UnreadableError", "read_object"]

T = TypeVar("T", bound=str)


class UnreadableError(ValueError):
    """A stored text is not what this tool writes; the message says how."""


def read_object(text: str, most: int) -> Mapping[str, object]:
    """The JSON object in the text, which has at most that many characters."""
    if len(text) > most:
        raise UnreadableError(f"it has {len(text)} characters, and may have {most}")
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        raise UnreadableError("it is not JSON") from None
    if not isinstance(value, dict):
        raise UnreadableError("it is not a JSON object")
    return value


@dataclass(frozen=True, slots=True)
class Fields:
    """Typed access; `path` leads to this object, for the messages."""

    values: Mapping[str, object]
    path: str = ""

    def text(self, name: str, default: str | None = None) -> str:
        return _text(self.values.get(name, default), f"{self.path}{name}")

    def choice(self, name: str, choices: Iterable[T], default: T | None = None) -> T:
        found = self.text(name, default)
        for choice in choices:
            if found == choice:
                return choice
        raise UnreadableError(f"`{self.path}{name}` has to be one of: {', '.join(choices)}")

    def number(self, name: str, default: int | None = None) -> int:
        value = self.values.get(name, default)
        if isinstance(value, bool) or not isinstance(value, int):
            raise UnreadableError(f"`{self.path}{name}` has to be a whole number")
        return value

    def flag(self, name: str) -> bool:
        value = self.values.get(name, False)
        if not isinstance(value, bool):
            raise UnreadableError(f"`{self.path}{name}` has to be true or false")
        return value

    def texts(self, name: str) -> tuple[str, ...]:
        value = self.values.get(name, [])
        if not isinstance(value, list):
            raise UnreadableError(f"`{self.path}{name}` has to be a list")
        return tuple(_text(item, f"{self.path}{name}[]") for item in value)

    def mapping(self, name: str) -> Mapping[str, str]:
        value = self.values.get(name, {})
        if not isinstance(value, dict):
            raise UnreadableError(f"`{self.path}{name}` has to be an object")
        return {key: _text(item, f"{self.path}{name}.{key}") for key, item in value.items()}

    def object(self, name: str) -> Fields:
        value = self.values.get(name)
        if not isinstance(value, dict):
            raise UnreadableError(f"`{self.path}{name}` has to be an object")
        return Fields(value, f"{self.path}{name}.")

    def object_or_none(self, name: str) -> Fields | None:
        if name in self.values and self.values[name] is None:
            return None
        return self.object(name)


def _text(value: object, path: str) -> str:
    if not isinstance(value, str):
        raise UnreadableError(f"`{path}` has to be a text")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:  # half a surrogate pair: JSON can say it, UTF-8 cannot
            raise UnreadableError(f"`{path}` is no Unicode text") from None
    return value
