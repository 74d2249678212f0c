"""YAML text as values that know their place, and the problems found in them.

The text is composed, never constructed: no object is built, no alias is expanded, and each value
keeps its line. Scalars mean what YAML 1.2 says, so that `on` and `no` are words. Problems are
collected, so that people see all of them at once.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import yaml

from mlflow_gitops.config.names import unprintable
from mlflow_gitops.yaml_limits import MOST_NODES

__all__ = ["Enough", "Findings", "Problem", "Value", "compose", "did_you_mean"]

PROBLEMS_SHOWN = 100
LARGEST = 2 * 1024 * 1024  # characters
TAG = "tag:yaml.org,2002:"
PLAIN_KEY = re.compile(r"[A-Za-z0-9_-]+")
KINDS = {"int": "a number", "float": "a number", "bool": "true or false", "null": "empty"}
HINTS = (
    ("\\t", "indent with spaces; YAML allows no tabs there"),
    ("scanning an alias", 'put a text that begins with * in quotes: "*"'),
    ("single document", "keep one document in the file: remove what comes after `---`"),
)


class _Loader(yaml.SafeLoader):
    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 - PyYAML's own form


for _name, _form, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", "-+0123456789"),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", "-+.0123456789"),
    ("null", r"~|null|Null|NULL|", "~nN\0"),
):
    _pattern = re.compile(rf"(?:{_form})\Z")
    _Loader.add_implicit_resolver(
        f"{TAG}{_name}", _pattern, [*_first.replace("\0", ""), *([""] if "\0" in _first else [])]
    )


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing to change. `path` is the key's path, `line` and `column` count from 1 (0: none)."""

    path: str
    line: int
    what: str
    allowed: str = ""
    hint: str = ""
    column: int = 0

    def __str__(self) -> str:
        place = f"line {self.line}" + (f", column {self.column}" if self.column else "")
        key = f": {self.path}" if self.path else ""
        allowed = f"; allowed: {self.allowed}" if self.allowed else ""
        hint = f"; {self.hint}" if self.hint else ""
        return f"{place}{key}: {self.what}{allowed}{hint}"


class Enough(Exception):  # noqa: N818 - a signal, never shown
    """So many problems were found that more would help nobody."""


@dataclass(frozen=True, slots=True)
class Value:
    """A value at its place: `path` is "" for the whole document, `key` the node of its key."""

    node: yaml.Node
    path: str = ""
    key: yaml.Node | None = None

    @property
    def line(self) -> int:
        return int((self.key or self.node).start_mark.line) + 1

    @property
    def kind(self) -> str:
        """mapping, list, text, int, float, bool, null, or "" for one with a tag of its own."""
        tag = str(self.node.tag).removeprefix(TAG)
        if isinstance(self.node, yaml.MappingNode):
            return "mapping" if tag == "map" else ""
        if isinstance(self.node, yaml.SequenceNode):
            return "list" if tag == "seq" else ""
        return {"str": "text"}.get(tag, tag if tag in KINDS else "")

    @property
    def text(self) -> str:
        return str(self.node.value) if isinstance(self.node, yaml.ScalarNode) else ""


@dataclass(slots=True)
class Findings:
    """Reads values; what is wrong with them is added to `problems`, and None returned.

    `concerns` are problems of single services: the settings as a whole can be used.
    """

    problems: list[Problem] = field(default_factory=list)
    concerns: list[Problem] = field(default_factory=list)
    _read: int = 0

    def add(self, value: Value, what: str, *, allowed: str = "", hint: str = "") -> None:
        self.problems.append(Problem(value.path, value.line, what, allowed, hint))
        if len(self.problems) >= PROBLEMS_SHOWN:
            raise Enough

    def concern(self, value: Value, what: str, hint: str) -> None:
        self.concerns.append(Problem(value.path, value.line, what, hint=hint))

    def text(
        self,
        value: Value,
        complaint: Callable[[str], str],
        allowed: str = "",
        *,
        quote: bool = True,
        is_block: bool = False,
        hint: str = "",
    ) -> str | None:
        """A text of which `complaint` says ""; without `quote` it is not repeated to people.

        Only a block may have several lines.
        """
        if not self._is(value, "text", "a text", allowed):
            return None
        line = value.text.replace("\n", "") if is_block else value.text
        wrong = "has an unprintable character" if unprintable(line) else complaint(value.text)
        if wrong:
            what = f"`{_short(value.text)}` {wrong}" if quote else wrong
            self.add(value, what, allowed=allowed, hint=hint)
        return None if wrong else value.text

    def number(self, value: Value, allowed: str) -> int | None:
        """A whole number from 1, as people write it."""
        if not self._is(value, "int", "a whole number", allowed):
            return None
        if not re.fullmatch(r"[1-9][0-9]{0,8}", value.text):
            self.add(value, f"is {_short(value.text)}", allowed=allowed)
            return None
        return int(value.text)

    def decimal(self, value: Value, allowed: str) -> float | None:
        """A number, whole or not."""
        if value.kind != "int" and not self._is(value, "float", "a number", allowed):
            return None
        try:
            number = float(value.text)
        except ValueError:  # 0x1f
            number = math.inf
        if not math.isfinite(number):
            self.add(value, f"is {_short(value.text)}", allowed=allowed)
            return None
        return number

    def flag(self, value: Value, allowed: str) -> bool | None:
        """true or false."""
        if not self._is(value, "bool", "true or false", allowed):
            return None
        return value.text.lower() == "true"

    def items(self, value: Value, allowed: str) -> tuple[Value, ...] | None:
        if not self._is(value, "list", "a list", allowed):
            return None
        self._count(value)
        return tuple(Value(n, f"{value.path}[{i}]") for i, n in enumerate(value.node.value))

    def entries(self, value: Value, allowed: str = "") -> Mapping[str, Value] | None:
        """A mapping with keys that people choose. A key that is told as wrong is left out."""
        if not self._is(value, "mapping", "a mapping", allowed):
            return None
        self._count(value)
        found: dict[str, Value] = {}
        for key_node, node in value.node.value:
            key = Value(key_node)
            at = Value(node, _join(value.path, key.text), key_node)
            if key.kind != "text":
                self.add(at, "has a key that is no text", hint="put the key in quotes")
            elif key.text in found:
                first = found[key.text].line
                self.add(at, f"is there twice, first on line {first}", hint="keep one of them")
            else:
                found[key.text] = at
        return found

    def fields(
        self, value: Value, known: Iterable[str], required: Iterable[str] = ()
    ) -> Mapping[str, Value] | None:
        """A mapping with keys of ours only."""
        names = tuple(known)
        found = self.entries(value, f"the keys {', '.join(names)}")
        if found is None:
            return None
        for key, at in found.items():
            if key not in names:
                hint = (
                    "merge keys are not supported: write the keys out"
                    if key == "<<"
                    else did_you_mean(key, names) or "remove it"
                )
                self.add(at, "is no known key", allowed=", ".join(names), hint=hint)
        for key in required:
            if key not in found:
                missing = Value(value.node, _join(value.path, key), value.key)
                self.add(missing, "is missing", hint=f"add the key `{key}`")
        return found

    def _count(self, value: Value) -> None:
        """Stop where aliases make a small document a very large one."""
        self._read += len(value.node.value)
        if self._read > MOST_NODES:
            self.add(value, "has aliases that repeat too much", hint="write the values out")
            raise Enough

    def _is(self, value: Value, kind: str, name: str, allowed: str) -> bool:
        if value.kind == kind:
            return True
        if not value.kind:
            self.add(value, "has a YAML tag", hint="remove the word that begins with `!`")
            return False
        hint = "give it a value, or leave the key out" if value.kind == "null" else ""
        if kind == "text" and value.kind in ("int", "float", "bool"):
            hint = f'put it in quotes: "{_short(value.text)}"'
        has = KINDS.get(value.kind) or f"a {value.kind}"
        what = "is empty" if value.kind == "null" else f"has to be {name}, and is {has}"
        self.add(value, what, allowed=allowed, hint=hint)
        return False


def compose(text: str) -> Value | Problem:
    """The whole document, or why it is none. Never raises."""
    if len(text) > LARGEST:
        return Problem("", 1, f"has more than {LARGEST} characters", hint="is it the right file?")
    try:
        node = yaml.compose(text, _Loader)
    except yaml.MarkedYAMLError as error:
        return _syntax(error)
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        what = f"has the character U+{int(error.character):04X}, which YAML does not allow"
        return Problem("", line, what, hint="remove it")
    except (yaml.YAMLError, ValueError, OverflowError):
        return Problem("", 1, "is no YAML", hint="look for an escape such as \\U that is too large")
    except RecursionError:
        return Problem("", 1, "is nested too deeply", hint="the settings have five levels at most")
    if node is None:
        return Problem("", 1, "is empty", hint="docs/settings.md has an example")
    return Value(node)


def _syntax(error: yaml.MarkedYAMLError) -> Problem:
    mark = error.problem_mark or error.context_mark
    line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
    told = ", ".join(part for part in (error.context, error.problem) if part)
    hint = next((hint for sign, hint in HINTS if sign in told), "correct the YAML there")
    return Problem("", line, f"is no YAML: {_short(told, 200)}", hint=hint, column=column)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """ "" where nothing is near."""
    near = difflib.get_close_matches(word[:80].replace("_", "-").lower(), list(known), n=1)
    return f"did you mean `{near[0]}`?" if near else ""


def _join(path: str, key: str) -> str:
    if not PLAIN_KEY.fullmatch(key):
        return f'{path}["{_short(key)}"]'
    return f"{path}.{key}" if path else key


def _short(text: str, limit: int = 60) -> str:
    """One line that no terminal acts on."""
    line = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
    return line if len(line) <= limit else f"{line[: limit - 1]}…"
