"""YAML that a stranger wrote, as mappings, lists, texts, numbers and times. PURE.

The text is read as events, so that nothing in it decides what is built: tags and merge keys are
refused, and an alias never expands. Size, depth, the number of events and the length of numbers are
bounded. Aliases are followed, since MLflow's YAML writer emits one where a value occurs twice; both
places then share one value.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Any

import yaml
from yaml.constructor import SafeConstructor
from yaml.resolver import Resolver

from mlflow_gitops.yaml_limits import DEEPEST, MOST_DIRECTIVES, has_many_directives

__all__ = ["OddYamlError", "read_plain"]

LARGEST = 16 * 1024 * 1024  # characters
MOST_EVENTS = 200_000
LONGEST_NUMBER = 100  # characters; Python refuses to read much longer ones
YAML_ORG = "tag:yaml.org,2002:"
TAGS = frozenset(YAML_ORG + name for name in ("binary", "set", "str", "map", "seq"))
"""Tags that MLflow's writer may emit for metadata, and those that change nothing."""
TYPES = frozenset(YAML_ORG + name for name in ("null", "bool", "int", "float", "timestamp"))

_loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class OddYamlError(Exception):
    """`what` continues a sentence that begins with the name of the file."""

    def __init__(self, what: str, line: int = 0) -> None:
        self.what = f"{what} (line {line})" if line else what
        super().__init__(self.what)


def read_plain(text: str) -> object:
    """Return the only document's value: dict, list, str or None. Raises OddYamlError."""
    if len(text) > LARGEST:
        raise OddYamlError(f"has more than {LARGEST} characters")
    if has_many_directives(text):
        raise OddYamlError(f"has more than {MOST_DIRECTIVES} directives")
    reader = _Reader()
    try:
        for number, event in enumerate(yaml.parse(text, Loader=_loader)):
            if number >= MOST_EVENTS:
                raise OddYamlError(f"has more than {MOST_EVENTS} values")
            reader.take(event)
    except (yaml.YAMLError, ValueError, OverflowError, RecursionError) as error:
        raise OddYamlError(f"is no YAML ({type(error).__name__})", _line(error)) from None
    return reader.root


@dataclass(slots=True)
class _Open:
    """A mapping or a list that has not ended. `keys` holds a key that waits for its value."""

    value: dict[Hashable, object] | list[object]
    anchor: str | None
    keys: list[Hashable] = field(default_factory=list)


@dataclass(slots=True)
class _Reader:
    root: object = None
    _documents: int = 0
    _open: list[_Open] = field(default_factory=list)
    _anchors: dict[str, object] = field(default_factory=dict)
    _resolve: Any = field(default_factory=lambda: Resolver().resolve)
    _constructor: SafeConstructor = field(default_factory=SafeConstructor)

    def take(self, event: yaml.Event) -> None:
        line = event.start_mark.line + 1 if event.start_mark else 0
        if isinstance(event, yaml.ScalarEvent):
            value = self._scalar(event, line)
            self._name(event.anchor, value)
            self._put(value, line)
        elif isinstance(event, yaml.AliasEvent):
            name = str(event.anchor)
            if name not in self._anchors:
                raise OddYamlError(f"has an alias `*{name[:60]}` without its anchor", line)
            self._put(self._anchors[name], line)
        elif isinstance(event, yaml.CollectionStartEvent):
            self._start(event, line)
        elif isinstance(event, yaml.CollectionEndEvent):
            ended = self._open.pop()
            self._name(ended.anchor, ended.value)
            self._put(ended.value, line)
        elif isinstance(event, yaml.DocumentStartEvent):
            self._documents += 1
            if self._documents > 1:
                raise OddYamlError("has more than one document", line)

    def _scalar(self, event: yaml.ScalarEvent, line: int) -> Hashable:
        _check_tag(event.tag, line)
        text = str(event.value)
        tag = event.tag or self._resolve(yaml.ScalarNode, text, event.implicit)
        if tag == f"{YAML_ORG}merge":
            raise OddYamlError("has a merge key (`<<`)", line)
        if tag not in TYPES:
            return text
        kind = tag.removeprefix(YAML_ORG)
        if len(text) > LONGEST_NUMBER:
            raise OddYamlError(f"has a {kind} of more than {LONGEST_NUMBER} characters", line)
        try:
            construct = SafeConstructor.yaml_constructors[tag]
            value: Hashable = construct(self._constructor, yaml.ScalarNode(tag, text))
        except (ValueError, ArithmeticError, LookupError, AttributeError, yaml.YAMLError):
            raise OddYamlError(f"has `{text}`, which is no {kind}", line) from None
        return value

    def _start(self, event: yaml.CollectionStartEvent, line: int) -> None:
        _check_tag(event.tag, line)
        if len(self._open) == DEEPEST:
            raise OddYamlError(f"is nested deeper than {DEEPEST} levels", line)
        self._open.append(
            _Open({} if isinstance(event, yaml.MappingStartEvent) else [], event.anchor)
        )
        if event.anchor is not None:  # an alias inside of it would be a circle
            self._anchors.pop(event.anchor, None)

    def _name(self, anchor: str | None, value: object) -> None:
        if anchor is not None:
            self._anchors[anchor] = value

    def _put(self, value: object, line: int) -> None:
        if not self._open:
            self.root = value
            return
        here = self._open[-1]
        if isinstance(here.value, list):
            here.value.append(value)
        elif here.keys:
            here.value[here.keys.pop()] = value
        elif isinstance(value, dict | list):
            raise OddYamlError("has a mapping or a list as a key", line)
        elif value in here.value:
            raise OddYamlError(f"has the key `{str(value)[:60]}` twice", line)
        else:
            here.keys.append(value)


def _check_tag(tag: str | None, line: int) -> None:
    if tag is not None and tag not in TAGS:
        raise OddYamlError(f"has a YAML tag (`{tag.replace(YAML_ORG, '!!')[:60]}`)", line)


def _line(error: Exception) -> int:
    mark = getattr(error, "problem_mark", None)
    return int(mark.line) + 1 if mark else 0
