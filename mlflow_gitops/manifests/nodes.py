"""YAML text to composed nodes, and questions about nodes. The boundary to the two YAML libraries.

`parse` is for reading many files: libyaml where there is one, ruamel.yaml for what it refuses.
`parse_positions` is for edits, whose marks must count the text's characters: libyaml where the text
is plain, else ruamel.yaml's composer, which takes many times as long.
Both give nodes of the same shape (`id`, `tag`, `value`, `start_mark`, `end_mark`), and neither
expands an alias, so a small file cannot grow.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

import yaml
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError as RuamelError

from mlflow_gitops.errors import ManifestError
from mlflow_gitops.yaml_limits import (
    DEEPEST,
    MOST_DIRECTIVES,
    MOST_NODES,
    expanded,
    has_many_directives,
)

__all__ = [
    "Node",
    "check_keys",
    "child",
    "document_starts",
    "entries",
    "is_mapping",
    "is_null",
    "is_scalar",
    "is_sequence",
    "items",
    "node_at",
    "objects",
    "own_entry",
    "parse",
    "parse_positions",
    "text_of",
    "with_marks",
    "without_marks",
]

Node = Any
"""A composed node of PyYAML or of ruamel.yaml."""

STR = "tag:yaml.org,2002:str"
NULL = "tag:yaml.org,2002:null"
MERGE = "tag:yaml.org,2002:merge"
MARK = "\ufeff"  # a byte order mark
SUSPECT = re.compile(r"^ {100}|(?:[-?:][ \t]+){20}", re.MULTILINE)
MOST_SLOW = 1_000_000  # characters; ruamel.yaml takes 20 seconds for them
STARTS = ("\n", "\r", ":", ",", "[", "{", "?", "- ", "\x85", "\u2028", "\u2029")
"""Each value comes behind one of these, but for a document's only one."""

# What is before the first key of a later document, where Go's YAML readers drop a mark.
_LATER_START = re.compile(
    r"^(?:---|\.\.\.)[^\n]*\n(?:[ \t\r]*(?:\#[^\n]*)?\n)*(\ufeff?)", re.MULTILINE
)
_loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def parse(text: str, where: str) -> list[Node]:
    """The documents' root nodes, for reading. Raises ManifestError with line and column."""
    body = without_marks(text)
    try:
        return _compose(body, where)
    except yaml.YAMLError as error:
        if len(body) > MOST_SLOW:
            raise _broken(error, body, where) from None
        return _composed(body, where)  # a second anchor of one name, for one, is good YAML


def parse_positions(text: str, where: str) -> list[Node]:
    """The documents' root nodes, with marks whose `index` counts characters of `text`.

    The text has no byte order mark: the two libraries count it differently.
    """
    if text.isascii() and "\r" not in text:
        return parse(text, where)
    try:
        return _composed(text, where)
    except ManifestError:
        try:  # a tab before a comment, for one, is good YAML
            return _compose(text, where)
        except yaml.YAMLError:
            pass
        raise


def without_marks(text: str) -> str:
    """The text without the byte order marks at the start of its documents.

    kubectl, Argo CD and kustomize split a file into documents first, and drop the mark of each.
    """
    body = text.removeprefix(MARK)
    if MARK not in body:
        return body
    return _LATER_START.sub(lambda found: found[0].removesuffix(MARK), body)


def with_marks(body: str, like: str) -> str:
    """Put the marks of `like` back into its edited body, which has as many documents."""
    old = list(_LATER_START.finditer(like.removeprefix(MARK)))
    new = list(_LATER_START.finditer(body))
    for before, after in reversed(list(zip(old, new, strict=True)) if MARK in like else []):
        body = f"{body[: after.end()]}{before[1]}{body[after.end() :]}"
    return MARK + body if like.startswith(MARK) else body


def document_starts(text: str, where: str) -> list[int]:
    """Where each document starts: at its `---`, or at its first character."""
    offset = len(text) - len(text.removeprefix("\ufeff"))
    try:
        events = yaml.parse(text[offset:], Loader=_loader)
        starts = [event for event in events if isinstance(event, yaml.DocumentStartEvent)]
    except yaml.YAMLError as error:
        raise _broken(error, text, where) from None
    return [event.start_mark.index + offset for event in starts if event.start_mark]


def _compose(text: str, where: str) -> list[Node]:
    try:
        _check_limits(text, where)
        return _bounded(list(yaml.compose_all(text, Loader=_loader)), text, where)
    except RecursionError:
        raise _too_deep(where) from None
    except UnicodeEncodeError:
        raise ManifestError(
            "not Unicode text: it has half of a surrogate pair",
            where=where,
            hint="correct the file",
        ) from None


def _composed(text: str, where: str) -> list[Node]:
    if len(text) > MOST_SLOW:
        raise ManifestError(
            f"it has more than {MOST_SLOW} characters, and not only ASCII ones",
            where=where,
            hint="split the file, or write other characters as escapes",
        )
    reader = YAML(typ="safe", pure=True)
    reader.composer.warn_double_anchors = False
    try:
        _check_limits(text, where)
        return _bounded(list(reader.compose_all(text)), text, where)
    except (RuamelError, yaml.YAMLError) as error:
        raise _broken(error, text, where) from None
    except RecursionError:
        raise _too_deep(where) from None
    except (ValueError, NotImplementedError, ArithmeticError, AttributeError, LookupError) as error:
        # ruamel.yaml lets a few of these out for malformed directives and escapes
        raise ManifestError(f"not YAML: {error}", where=where, hint="correct the file") from None


def _check_limits(text: str, where: str) -> None:
    """Raise ManifestError for what would take a composer much memory or time. Cheap if plain."""
    if has_many_directives(text):
        what = f"it has more than {MOST_DIRECTIVES} YAML directives"
        raise ManifestError(what, where=where, hint="this is no manifest")
    may_be_deep = text.count("[") + text.count("{") >= DEEPEST or SUSPECT.search(text)
    if not may_be_deep and sum(map(text.count, STARTS)) < MOST_NODES:
        return
    depth = count = 0
    for event in yaml.parse(text, Loader=_loader):
        count += isinstance(event, yaml.NodeEvent)
        if count > MOST_NODES:
            raise _too_large(where)
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > DEEPEST:
                raise _too_deep(where)
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _bounded(roots: list[Node], text: str, where: str) -> list[Node]:
    """The roots, unless aliases make them endless, deep or very large."""
    if "*" in text:
        size, depth = expanded(roots)
        if depth > DEEPEST:
            raise _too_deep(where)
        if size > MOST_NODES:
            raise _too_large(where)
    return roots


def _too_deep(where: str) -> ManifestError:
    return ManifestError(
        f"nested deeper than {DEEPEST} levels, or without end",
        where=where,
        hint="this is no manifest",
    )


def _too_large(where: str) -> ManifestError:
    return ManifestError(
        f"it has more than {MOST_NODES} values, aliases written out",
        where=where,
        hint="split the file, or write fewer aliases",
    )


def _broken(error: Exception, text: str, where: str) -> ManifestError:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    problem = getattr(error, "problem", None) or getattr(error, "reason", None) or "not YAML"
    if mark is not None:
        line, column = mark.line + 1, mark.column + 1
    else:
        before = text[: getattr(error, "position", 0)]
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
    return ManifestError(
        f"broken YAML at line {line}, column {column}: {problem}",
        where=where,
        hint="correct the file in the manifests repository",
    )


def is_mapping(node: Node) -> bool:
    return node is not None and node.id == "mapping"


def is_sequence(node: Node) -> bool:
    return node is not None and node.id == "sequence"


def is_scalar(node: Node) -> bool:
    return node is not None and node.id == "scalar"


def is_null(node: Node) -> bool:
    return is_scalar(node) and str(node.tag) == NULL


def text_of(node: Node) -> str | None:
    """A scalar's text as written (`12` and `"12"` alike); None for null and collections."""
    return None if not is_scalar(node) or is_null(node) else str(node.value)


def items(node: Node) -> list[Node]:
    return list(node.value) if is_sequence(node) else []


def node_at(keys: Iterable[str], value: Node) -> Node:
    """A mapping in which the value stands below these keys."""
    for key in reversed(tuple(keys)):
        value = yaml.MappingNode("tag:yaml.org,2002:map", [(yaml.ScalarNode(STR, key), value)])
    return value


def own_entry(mapping: Node, key: str, where: str) -> tuple[Node, Node] | None:
    """The key and value that are written in the mapping itself. A key given twice is an error."""
    found: tuple[Node, Node] | None = None
    for each in mapping.value:
        if each[0].value == key and is_scalar(each[0]):
            if found is not None:
                raise _duplicate(each[0], where)
            found = each
    return found


def entries(mapping: Node) -> Iterator[tuple[str, Node]]:
    """Every key with its value, those that `<<` merges in included; the own ones win."""
    seen: set[str] = set()
    merged: list[Node] = []
    for key, value in mapping.value if is_mapping(mapping) else ():
        if str(key.tag) == MERGE or (key.value == "<<" and is_scalar(key) and not key.style):
            merged += items(value) or [value]
        elif is_scalar(key):
            seen.add(key.value)
            yield key.value, value
    for source in merged:
        for name, value in entries(source):
            if name not in seen:
                seen.add(name)
                yield name, value


def child(mapping: Node, *path: str, where: str = "") -> Node:
    """The value at the end of the path, through merge keys; None where there is none."""
    node = mapping
    for key in path:
        if not is_mapping(node):
            return None
        own = own_entry(node, key, where)
        if own is not None:
            node = own[1]
        elif own_entry(node, "<<", where) is None:
            return None
        else:
            node = next((value for name, value in entries(node) if name == key), None)
    return node


def objects(root: Node, where: str) -> Iterator[tuple[tuple[str | int, ...], Node]]:
    """The object, or those of a `kind: List`: kubectl, Argo CD and kustomize take it apart."""
    kind = text_of(child(root, "kind", where=where)) or ""
    listed = child(root, "items", where=where)
    if kind.endswith("List") and is_sequence(listed):
        for index, node in enumerate(items(listed)):
            yield ("items", index), node
    else:
        yield (), root


def check_keys(root: Node, where: str) -> None:
    """Raises ManifestError where any mapping has a key twice: readers differ on which counts."""
    seen: set[int] = set()
    todo = [root]
    while todo:
        node = todo.pop()
        if node is None or id(node) in seen:
            continue
        seen.add(id(node))
        if is_mapping(node):
            keys: set[str] = set()
            for key, value in node.value:
                if is_scalar(key):
                    if key.value in keys:
                        raise _duplicate(key, where)
                    keys.add(key.value)
                todo += (key, value)
        elif is_sequence(node):
            todo += node.value


def _duplicate(key: Node, where: str) -> ManifestError:
    mark = key.start_mark
    return ManifestError(
        f"the key `{key.value}` is given twice, again at line {mark.line + 1}, "
        f"column {mark.column + 1}",
        where=where,
        hint="remove one of the two",
    )
