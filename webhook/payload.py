"""A webhook's body as JSON, strictly: what is no such thing says where and why. No I/O here."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Mapping
from typing import Any, NoReturn

from mlflow_gitops import TerminalError

__all__ = ["EventError", "decode", "kind", "object_at", "refuse", "text"]


class EventError(TerminalError):
    """The body is not what the sender's webhooks send; `where` is the field."""


def decode(body: bytes) -> Any:
    try:
        return json.loads(
            body.decode("utf-8"), object_pairs_hook=_no_twins, parse_constant=_no_constant
        )
    except UnicodeDecodeError as error:
        refuse("body", f"not UTF-8 at byte {error.start}")
    except json.JSONDecodeError as error:
        refuse("body", f"not JSON: {error.msg} at character {error.pos}")
    except RecursionError:
        refuse("body", "nested too deeply")
    except ValueError:  # an integer of thousands of digits
        refuse("body", "holds a number that is too long")


def _no_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        refuse("body", "an object has the same key twice")
    return found


def _no_constant(name: str) -> NoReturn:
    refuse("body", f"{name} is not JSON")


def object_at(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        refuse(where, f"must be an object, not {kind(value)}")
    return value


def text(fields: Mapping[str, Any], key: str, longest: int, inside: str = "") -> str:
    value, where = fields.get(key), inside + key
    if not isinstance(value, str):
        refuse(where, f"must be text, not {kind(value)}")
    return _printable(value, where, longest)


def _printable(value: str, where: str, longest: int) -> str:
    if not value.strip():
        refuse(where, "must not be empty")
    if len(value) > longest:
        refuse(where, f"is {len(value)} characters long, {longest} are allowed")
    if any(unicodedata.category(char) in {"Cc", "Cs", "Zl", "Zp"} for char in value):
        refuse(where, "holds a control character")
    return value


def kind(value: Any) -> str:
    if value is None:
        return "missing"
    names = {dict: "an object", list: "a list", str: "text", bool: "true or false"}
    return names.get(type(value), "a number")


def refuse(where: str, what: str) -> NoReturn:
    raise EventError(what, where=where, hint="send the webhook's payload as it is")
