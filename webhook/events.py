"""What a delivery's body means: bytes to a trigger, to a reason for ignoring it, or an error.

An event only says which model to look at; nothing else in it is acted on, since the registry is
read again each time. A new event shape is a row in `_READERS`. No I/O here.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from mlflow_gitops import TerminalError

__all__ = ["EventError", "Ignored", "Trigger", "parse"]

OWN_PREFIX: Final = "gitops."
REQUEST_PREFIX: Final = "gitops.request."
LONGEST_NAME: Final = 256
LONGEST_WORD: Final = 64


class EventError(TerminalError):
    """The body is not an event of MLflow's; `where` is the field."""


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
    event = _object(_decode(body), "body")
    entity = _text(event, "entity", LONGEST_WORD)
    action = _text(event, "action", LONGEST_WORD)
    name = f"{entity}.{action}"
    reader = _READERS.get(name)
    if reader is None:
        return Ignored(f"{name} is not an event that this service acts on")
    data = _object(event.get("data"), "data")
    return reader(name, _text(data, "name", LONGEST_NAME, "data."), data)


def _new_model(event: str, _model: str, _data: Mapping[str, Any]) -> Ignored:
    return Ignored(f"{event}: a new model has no version to deliver yet")


def _version(event: str, model: str, data: Mapping[str, Any]) -> Trigger:
    number = _number(data)
    return Trigger(model, f"{event} {number}".strip(), version=number)


def _alias(event: str, model: str, data: Mapping[str, Any]) -> Trigger:
    alias, number = _text(data, "alias", LONGEST_NAME, "data."), _number(data)
    on = f" on version {number}" if number else ""
    return Trigger(model, f"{event} {alias}{on}", version=number, key=alias)


def _tag(event: str, model: str, data: Mapping[str, Any]) -> Trigger | Ignored:
    key, number = _text(data, "key", LONGEST_NAME, "data."), _number(data)
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


def _decode(body: bytes) -> Any:
    try:
        return json.loads(
            body.decode("utf-8"), object_pairs_hook=_no_twins, parse_constant=_no_constant
        )
    except UnicodeDecodeError as error:
        _refuse("body", f"not UTF-8 at byte {error.start}")
    except json.JSONDecodeError as error:
        _refuse("body", f"not JSON: {error.msg} at character {error.pos}")
    except RecursionError:
        _refuse("body", "nested too deeply")
    except ValueError:  # an integer of thousands of digits
        _refuse("body", "holds a number that is too long")


def _no_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        _refuse("body", "an object has the same key twice")
    return found


def _no_constant(name: str) -> NoReturn:
    _refuse("body", f"{name} is not JSON")


def _object(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        _refuse(where, f"must be an object, not {_kind(value)}")
    return value


def _text(fields: Mapping[str, Any], key: str, longest: int, inside: str = "") -> str:
    value, where = fields.get(key), inside + key
    if not isinstance(value, str):
        _refuse(where, f"must be text, not {_kind(value)}")
    return _printable(value, where, longest)


def _number(data: Mapping[str, Any]) -> str:
    value = data.get("version")
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, str | int):
        _refuse("data.version", f"must be a number, not {_kind(value)}")
    text = str(value)
    if not (text.isascii() and text.isdecimal() and len(text) <= LONGEST_WORD):
        _refuse("data.version", "must be a number")
    return text


def _printable(value: str, where: str, longest: int) -> str:
    if not value.strip():
        _refuse(where, "must not be empty")
    if len(value) > longest:
        _refuse(where, f"is {len(value)} characters long, {longest} are allowed")
    if any(unicodedata.category(char) in {"Cc", "Cs", "Zl", "Zp"} for char in value):
        _refuse(where, "holds a control character")
    return value


def _kind(value: Any) -> str:
    if value is None:
        return "missing"
    names = {dict: "an object", list: "a list", str: "text", bool: "true or false"}
    return names.get(type(value), "a number")


def _refuse(where: str, what: str) -> NoReturn:
    raise EventError(what, where=where, hint="send MLflow's webhook payload as it is")
