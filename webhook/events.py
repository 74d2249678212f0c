"""What a delivery's body means: bytes to a trigger, to a reason for ignoring it, or an error.

An event only says which model to look at; nothing else in it is acted on, since the registry is
read again each time. A new event shape is a row in `_READERS`. No I/O here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from webhook.payload import EventError, decode, kind, object_at, refuse, text

__all__ = ["EventError", "Ignored", "Trigger", "parse"]

OWN_PREFIX: Final = "gitops."
REQUEST_PREFIX: Final = "gitops.request."
LONGEST_NAME: Final = 256
LONGEST_WORD: Final = 64


@dataclass(frozen=True, slots=True)
class Trigger:
    """Look at `model`. The rest is for people: why, and what the event named."""

    model: str
    reason: str
    version: str = ""
    key: str = ""


@dataclass(frozen=True, slots=True)
class Ignored:
    """A well-formed event that asks for nothing."""

    why: str


def parse(body: bytes) -> Trigger | Ignored:
    """The meaning of one delivery. Raises EventError where it has none."""
    event = object_at(decode(body), "body")
    entity = text(event, "entity", LONGEST_WORD)
    action = text(event, "action", LONGEST_WORD)
    name = f"{entity}.{action}"
    reader = _READERS.get(name)
    if reader is None:
        return Ignored(f"{name} is not an event that this service acts on")
    data = object_at(event.get("data"), "data")
    return reader(name, text(data, "name", LONGEST_NAME, "data."), data)


def _new_model(event: str, _model: str, _data: Mapping[str, Any]) -> Ignored:
    return Ignored(f"{event}: a new model has no version to deliver yet")


def _version(event: str, model: str, data: Mapping[str, Any]) -> Trigger:
    number = _number(data)
    return Trigger(model, f"{event} {number}".strip(), version=number)


def _alias(event: str, model: str, data: Mapping[str, Any]) -> Trigger:
    alias, number = text(data, "alias", LONGEST_NAME, "data."), _number(data)
    on = f" on version {number}" if number else ""
    return Trigger(model, f"{event} {alias}{on}", version=number, key=alias)


def _tag(event: str, model: str, data: Mapping[str, Any]) -> Trigger | Ignored:
    key, number = text(data, "key", LONGEST_NAME, "data."), _number(data)
    if key.startswith(OWN_PREFIX) and not key.startswith(REQUEST_PREFIX):
        return Ignored(f"{event}: the tag {key} is written by this tool itself")
    on = f" on version {number}" if number else ""
    return Trigger(model, f"{event} {key}{on}", version=number, key=key)


_READERS: Final[Mapping[str, Callable[[str, str, Mapping[str, Any]], Trigger | Ignored]]] = {
    "registered_model.created": _new_model,
    "model_version.created": _version,
    "model_version_tag.set": _tag,
    "model_version_tag.deleted": _tag,
    "model_version_alias.created": _alias,
    "model_version_alias.deleted": _alias,
}


def _number(data: Mapping[str, Any]) -> str:
    value = data.get("version")
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, str | int):
        refuse("data.version", f"must be a number, not {kind(value)}")
    text = str(value)
    if not (text.isascii() and text.isdecimal() and len(text) <= LONGEST_WORD):
        refuse("data.version", "must be a number")
    return text
