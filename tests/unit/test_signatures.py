"""What a change of inputs and outputs means for clients, as a truth table."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from mlflow_gitops.planning.signatures import SchemaChange, compare

X = {"type": "double", "name": "x", "required": True}
Y = {"type": "string", "name": "y", "required": True}
MAYBE_Y = {**Y, "required": False}
UNNAMED = {"type": "double", "required": True}
TENSOR = {"name": "t", "type": "tensor", "tensor-spec": {"dtype": "float32", "shape": [2, 3]}}
ANY_TENSOR = {**TENSOR, "tensor-spec": {"dtype": "float32", "shape": [-1, 3]}}
LIST = {"type": "array", "items": {"type": "double"}, "name": "x", "required": True}
PARAM = {"name": "k", "default": 3, "shape": None, "type": "long"}
DEEP = "[" * 100_000


def mlmodel(**parts: Any) -> str:
    texts = {name: json.dumps(fields) for name, fields in parts.items()}
    return yaml.safe_dump({"flavors": {"sklearn": {}}, "signature": texts})


@pytest.mark.parametrize(
    ("before", "now", "kind", "text"),
    [
        ([X], [X], "same", ""),
        ([X, Y], [Y, X], "compatible", "the inputs come in another order"),
        ([X], [X, Y], "breaking", "input y (string) is new and required"),
        ([X], [X, MAYBE_Y], "compatible", "input y (string) is new and optional"),
        ([X, Y], [X], "breaking", "input y is gone"),
        ([X, Y], [X, MAYBE_Y], "compatible", "input y is optional now"),
        ([X, MAYBE_Y], [X, Y], "breaking", "input y is required now"),
        ([X], [{**X, "type": "string"}], "breaking", "input x was double and is string"),
        ([{**X, "type": "float"}], [X], "compatible", "input x was float and is double"),
        ([X], [{**X, "type": "float"}], "breaking", "input x was double and is float"),
        ([UNNAMED], [UNNAMED, UNNAMED], "breaking", "input number 2 (double) is new and required"),
        ([TENSOR], [ANY_TENSOR], "compatible", '[2, 3]} and is {"dtype": "float32"'),
        ([ANY_TENSOR], [TENSOR], "breaking", "[-1, 3]}"),
        ([X], [LIST], "breaking", 'input x was double and is {"type": "array"'),
        ([LIST], [LIST], "same", ""),
    ],
)
def test_inputs(before: list[Any], now: list[Any], kind: str, text: str) -> None:
    found = compare(mlmodel(inputs=now), mlmodel(inputs=before))
    assert found.kind == kind
    assert text in found.text


@pytest.mark.parametrize(
    ("before", "now", "kind", "text"),
    [
        ([X], [X, Y], "compatible", "output y (string) is new"),
        ([X, Y], [X], "breaking", "output y is gone"),
        ([{**X, "type": "float"}], [X], "breaking", "output x was float and is double"),
        ([X], [{**X, "required": False}], "same", ""),
    ],
)
def test_outputs(before: list[Any], now: list[Any], kind: str, text: str) -> None:
    assert compare(mlmodel(outputs=now), mlmodel(outputs=before)) == SchemaChange(kind, text)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("before", "now", "kind", "text"),
    [
        ([PARAM], [PARAM], "same", ""),
        ([], [PARAM], "compatible", "parameter k is new"),
        ([PARAM], [], "breaking", "parameter k is gone"),
        ([PARAM], [{**PARAM, "default": 4}], "compatible", "parameter k has another default"),
        ([PARAM], [{**PARAM, "type": "string"}], "breaking", "parameter k was long and is string"),
        ([PARAM], [{**PARAM, "shape": [-1]}], "breaking", "parameter k was long and is long"),
    ],
)
def test_parameters(before: list[Any], now: list[Any], kind: str, text: str) -> None:
    assert compare(mlmodel(params=now), mlmodel(params=before)) == SchemaChange(kind, text)  # type: ignore[arg-type]


def test_what_breaks_is_told_first() -> None:
    found = compare(mlmodel(inputs=[X, MAYBE_Y]), mlmodel(inputs=[Y]))
    assert found.kind == "breaking"
    assert found.text == "input x (double) is new and required; input y is optional now"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "has no signature"),
        ("flavors: {sklearn: {}}", "has no signature"),
        ("- a list", "has no signature"),
        ("{", "cannot be read"),
        (DEEP, "cannot be read"),
        ("signature: 1", "cannot be read"),
        ("signature: {inputs: 1}", "cannot be read"),
        ("signature: {inputs: '{'}", "cannot be read"),
        (f"signature: {{inputs: '{DEEP}'}}", "cannot be read"),
        ("signature: {inputs: '[1]'}", "cannot be read"),
        ("signature: {inputs: '[{}]'}", "cannot be read"),
    ],
)
def test_what_cannot_be_compared_is_told(text: str, why: str) -> None:
    whole = mlmodel(inputs=[X])
    now, before = compare(text, whole), compare(whole, text)
    assert now.kind == "unknown"
    assert before.kind == ("new" if why == "has no signature" else "unknown")
    assert "the new version" in now.text
    assert "the committed version" in before.text
    assert why in now.text
    assert why in before.text
