"""JSON 6902 patches as values: what each operation does to the fields that this tool reads.

An operation is a dictionary update like a strategic-merge patch, so order is all that counts. What
moves or copies onto our fields, or reaches into a traffic split, is told, not followed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from mlflow_gitops.manifests.fields import (
    FRAMEWORKS,
    LABELS,
    PLACES,
    Fields,
    fields_of,
    label_field,
)
from mlflow_gitops.manifests.nodes import Node, child, items, node_at, text_of

__all__ = ["Operation", "read_operations"]

NAME = ("metadata", "name")
FOLLOWED = ("add", "replace", "remove", "test")
SPLITS = ("canary", "canaryTrafficPercent")


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation: its place in the patch, and its pointer as keys.

    `fields` are those that it sets, `expects` those that a `test` compares. `unclear` says that
    it touches our fields in a way that is not followed, `unclear_labels` which labels it does.
    """

    index: int
    op: str
    pointer: tuple[str, ...]
    document: int = 0
    fields: Fields = field(default_factory=dict)
    expects: Fields = field(default_factory=dict)
    unclear: bool = False
    unclear_labels: tuple[str, ...] = ()

    @property
    def path(self) -> str:
        """As it is written, but for escapes."""
        return "".join(f"/{key}" for key in self.pointer)

    def value_at(self, place: tuple[str, ...]) -> tuple[str | int, ...] | None:
        """Where in the patch the value for this place of the object stands or would stand."""
        above = place[: len(self.pointer)] == self.pointer
        if self.op not in ("add", "replace") or not above:
            return None
        return (self.index, "value", *place[len(self.pointer) :])


def read_operations(document: int, patch: Node, where: str) -> Iterator[Operation]:
    """Those that matter to this tool."""
    for index, node in enumerate(items(patch)):
        op, path = (text_of(child(node, key, where=where)) for key in ("op", "path"))
        if op is None or path is None:
            continue
        pointer = _keys(path)
        fields: Fields = {}
        expects: Fields = {}
        unclear = _is_unclear(op, pointer)
        labels = () if op in FOLLOWED else _label_at(pointer)
        if op == "move":
            source = _keys(text_of(child(node, "from", where=where)) or "")
            unclear = unclear or _is_unclear(op, source)
            labels += _label_at(source)
        elif op in ("add", "replace", "remove"):
            value = child(node, "value", where=where) if op != "remove" else None
            fields = _fields(pointer, value, where)
        elif op == "test":
            expects = _fields(pointer, child(node, "value", where=where), where)
        if fields or expects or unclear or labels:
            yield Operation(index, op, pointer, document, fields, expects, unclear, labels)


def _label_at(pointer: tuple[str, ...]) -> tuple[str, ...]:
    """The key of the label that it leads to."""
    return pointer[2:] if len(pointer) == 3 and pointer[:2] == PLACES[LABELS] else ()


def _keys(pointer: str) -> tuple[str, ...]:
    """kustomize's reader takes what stands before the first `/` for nothing."""
    return tuple(key.replace("~1", "/").replace("~0", "~") for key in pointer.split("/")[1:])


def _is_unclear(op: str, pointer: tuple[str, ...]) -> bool:
    if op == "test":
        return False
    if NAME[: len(pointer)] == pointer:
        return True
    if any(_is_below(pointer, PLACES[name]) for name in SPLITS):
        return True
    if op in ("add", "replace", "remove"):
        return False
    return any(
        place[: len(pointer)] == pointer or (name != LABELS and _is_below(pointer, place))
        for name, place in PLACES.items()
        if name not in FRAMEWORKS
    )


def _is_below(pointer: tuple[str, ...], place: tuple[str, ...]) -> bool:
    return len(pointer) > len(place) and pointer[: len(place)] == place


def _fields(pointer: tuple[str, ...], value: Node, where: str) -> Fields:
    """Value None is for what is removed."""
    gone = {name for name, place in PLACES.items() if place[: len(pointer)] == pointer}
    gone |= {label_field(key) for key in _label_at(pointer)}
    if not gone:
        return {} if value is None else _below(pointer, value)
    found = fields_of(node_at(pointer, value), where) if value is not None else {}
    return {**dict.fromkeys(gone - found.keys()), **found}


def _below(pointer: tuple[str, ...], value: Node) -> Fields:
    """What an operation deep inside a field makes of it."""
    for name, place in PLACES.items():
        if _is_below(pointer, place):
            if name.endswith(".modelFormat") and pointer[len(place) :] == ("name",):
                return {name: text_of(value)}
            rest = pointer[len(place) :]
            if name == "storageUris":
                return {name: "set"}
            if name.endswith(".storage"):
                more = {f"{name}.parameters": "set"} if rest[0] == "parameters" else {}
                return {name: "set", **more}
            if name == "containers" and (len(rest) == 1 or rest[1] == "env"):
                return {name: "patched"}
    return {}
