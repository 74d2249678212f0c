"""How one text value is written in YAML, so that every reader gives the same text back."""

from __future__ import annotations

import json
import re

from yaml import ScalarNode
from yaml.resolver import Resolver

from mlflow_gitops.manifests.nodes import STR

__all__ = ["plain_or_quoted", "quoted", "reads_as_text", "single_quoted"]

_PLAIN = re.compile(r"[A-Za-z0-9_./](?:[A-Za-z0-9_./@+~=-]|:(?=[A-Za-z0-9_./]))*")
_NUMBER = re.compile(  # YAML 1.2, where PyYAML knows 1.1
    r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|0o[0-7]+|0x[0-9a-fA-F]+"
)
_WORDS = {"y", "n", "yes", "no", "on", "off", "true", "false", "null", "none", "~", ""}
_resolver = Resolver()


def reads_as_text(value: str) -> bool:
    """Whether the plain scalar is a string to YAML 1.1 and 1.2 readers alike."""
    if value.lower() in _WORDS or _NUMBER.fullmatch(value):
        return False
    return bool(_resolver.resolve(ScalarNode, value, (True, False)) == STR)  # type: ignore[no-untyped-call]


def plain_or_quoted(value: str) -> str:
    """Plain where that is safe in block and flow style, else in double quotes."""
    return value if _PLAIN.fullmatch(value) and reads_as_text(value) else quoted(value)


def quoted(value: str) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return re.sub(
        r"[\x7f-\x9f\u2028\u2029\ufeff\ud800-\udfff]", lambda m: f"\\u{ord(m[0]):04x}", text
    )


def single_quoted(value: str) -> str:
    if not value.isprintable():
        return quoted(value)
    return "'" + value.replace("'", "''") + "'"
