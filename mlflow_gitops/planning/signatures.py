"""What a new version's inputs and outputs mean for clients of the one before. PURE.

MLflow writes a signature into the MLmodel: lists of columns or tensors, as JSON. A client goes on
as it does where everything that it sends is still taken, nothing else is asked for, and everything
that it reads still comes. What is not known to be harmless is breaking.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from mlflow_gitops.errors import PublishError
from mlflow_gitops.planning.mlmodel import parse_mlmodel

__all__ = ["SchemaChange", "compare", "described"]

WIDER = {("integer", "long"), ("integer", "double"), ("float", "double")}
"""What MLflow takes for an input of the second type."""

UNREADABLE = (PublishError, ValueError, RecursionError)

Harm = Literal["compatible", "breaking"]
Found = tuple[Harm, str]


@dataclass(frozen=True, slots=True)
class SchemaChange:
    """How inputs and outputs differ from those that are committed.

    `kind` is "new" where the committed version promises nothing, and "unknown" where they cannot be
    compared; `text` says what differs, or why not.
    """

    kind: Literal["same", "compatible", "breaking", "new", "unknown"]
    text: str = ""


def compare(candidate: str, committed: str) -> SchemaChange:
    """From the texts of two MLmodels, "" for none."""
    try:
        old = _signature(committed)
    except UNREADABLE:
        return SchemaChange("unknown", "the signature of the committed version cannot be read")
    if old is None:
        return SchemaChange("new", "the committed version has no signature")
    try:
        new = _signature(candidate)
    except UNREADABLE:
        return SchemaChange("unknown", "the signature of the new version cannot be read")
    if new is None:
        return SchemaChange("unknown", "the new version has no signature, the committed one has")
    try:
        return _compared(new, old)
    except RecursionError:
        return SchemaChange("unknown", "the signatures are nested too deeply to be compared")


def described(mlmodel: str) -> Mapping[str, str] | str:
    """Return the type of each input, output and parameter, or why there is none to return."""
    try:
        found = _signature(mlmodel)
        if found is None:
            return "the version has no signature"
        parts = {"input": found.inputs, "output": found.outputs, "parameter": found.params}
        return {
            f"{part} {name}": _shown(field) + ("" if _is_required(field) else ", optional")
            for part, fields in parts.items()
            for name, field in fields.items()
        }
    except UNREADABLE:
        return "the version's signature cannot be read"


@dataclass(frozen=True, slots=True)
class _Signature:
    """Each part by name, in order; a part without names by number."""

    inputs: Mapping[str, Mapping[str, Any]]
    outputs: Mapping[str, Mapping[str, Any]]
    params: Mapping[str, Mapping[str, Any]]


def _compared(new: _Signature, old: _Signature) -> SchemaChange:
    found = [*_inputs(new, old), *_outputs(new, old), *_params(new, old)]
    if not found:
        return SchemaChange("same")
    breaking = [text for harm, text in found if harm == "breaking"]
    others = [text for harm, text in found if harm != "breaking"]
    return SchemaChange("breaking" if breaking else "compatible", "; ".join(breaking + others))


def _inputs(new: _Signature, old: _Signature) -> Iterator[Found]:
    for name, field in old.inputs.items():
        if name not in new.inputs:
            yield "breaking", f"input {name} is gone"
            continue
        now = new.inputs[name]
        if _type(now) != _type(field):
            harm: Harm = "compatible" if _takes(_type(now), _type(field)) else "breaking"
            yield harm, f"input {name} was {_shown(field)} and is {_shown(now)}"
        if _is_required(now) != _is_required(field):
            wants = _is_required(now)
            yield (
                "breaking" if wants else "compatible",
                (f"input {name} is {'required' if wants else 'optional'} now"),
            )
    for name, field in new.inputs.items():
        if name not in old.inputs:
            harm = "breaking" if _is_required(field) else "compatible"
            kind = "required" if _is_required(field) else "optional"
            yield harm, f"input {name} ({_shown(field)}) is new and {kind}"
    if list(new.inputs) != list(old.inputs) and set(new.inputs) == set(old.inputs):
        yield "compatible", "the inputs come in another order"


def _outputs(new: _Signature, old: _Signature) -> Iterator[Found]:
    for name, field in old.outputs.items():
        if name not in new.outputs:
            yield "breaking", f"output {name} is gone"
        elif _type(new.outputs[name]) != _type(field):
            now = new.outputs[name]
            yield "breaking", f"output {name} was {_shown(field)} and is {_shown(now)}"
    for name, field in new.outputs.items():
        if name not in old.outputs:
            yield "compatible", f"output {name} ({_shown(field)}) is new"


def _params(new: _Signature, old: _Signature) -> Iterator[Found]:
    for name, field in old.params.items():
        if name not in new.params:
            yield "breaking", f"parameter {name} is gone"
            continue
        now = new.params[name]
        if _type(now) != _type(field) or now.get("shape") != field.get("shape"):
            yield "breaking", f"parameter {name} was {_shown(field)} and is {_shown(now)}"
        elif now.get("default") != field.get("default"):
            yield "compatible", f"parameter {name} has another default"
    for name in new.params:
        if name not in old.params:
            yield "compatible", f"parameter {name} is new"


def _takes(now: object, before: object) -> bool:
    """Whether an input takes what it was sent before."""
    if isinstance(now, str) and isinstance(before, str):
        return (before, now) in WIDER
    if not isinstance(now, Mapping) or not isinstance(before, Mapping):
        return False
    is_tensor = {"dtype", "shape"} <= now.keys() and now.get("dtype") == before.get("dtype")
    return is_tensor and _fits(now["shape"], before.get("shape"))


def _fits(now: object, before: object) -> bool:
    """-1 in a tensor's shape stands for any number."""
    if not isinstance(now, list) or not isinstance(before, list) or len(now) != len(before):
        return False
    return all(a in (b, -1) for a, b in zip(now, before, strict=True))


def _type(field: Mapping[str, Any]) -> object:
    """A plain type's name, else all that describes it."""
    if "tensor-spec" in field:
        return field["tensor-spec"]
    more = {k: v for k, v in field.items() if k not in ("name", "required", "default", "shape")}
    return field["type"] if list(more) == ["type"] else more


def _is_required(field: Mapping[str, Any]) -> bool:
    return field.get("required", True) is not False


def _shown(field: Mapping[str, Any]) -> str:
    found = _type(field)
    return found if isinstance(found, str) else json.dumps(found)


def _signature(mlmodel: str) -> _Signature | None:
    """Raises PublishError or ValueError where it cannot be read."""
    values = parse_mlmodel(mlmodel).get("signature") if mlmodel else None
    if values is None:
        return None
    if not isinstance(values, dict):
        raise ValueError
    return _Signature(*(_fields(values.get(part)) for part in ("inputs", "outputs", "params")))


def _fields(text: object) -> Mapping[str, Mapping[str, Any]]:
    if text is None:
        return {}
    if not isinstance(text, str):
        raise ValueError
    items: Sequence[object] = json.loads(text)
    found: dict[str, Mapping[str, Any]] = {}
    for number, item in enumerate(items if isinstance(items, list) else [items], 1):
        if not isinstance(item, dict) or not isinstance(item.get("type"), str):
            raise ValueError
        name = item.get("name")
        found[name if isinstance(name, str) else f"number {number}"] = item
    return found
