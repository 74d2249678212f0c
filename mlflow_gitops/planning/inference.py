"""What inference servers take and answer: KServe's V1, the Open Inference Protocol (V2) and the
scoring protocol of MLflow's own server. PURE: values to JSON texts and back.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import quote

from mlflow_gitops.errors import PredictionError, RequestError
from mlflow_gitops.planning import runtimes
from mlflow_gitops.planning.tensors import Inputs, Tensor, nested, read_inputs, size_of
from mlflow_gitops.state import Predictor, Reply

__all__ = [
    "EXPLAIN",
    "PATHS",
    "PROTOCOLS",
    "Encoded",
    "declared_inputs",
    "decode",
    "encode",
    "fitted",
    "metadata_path",
    "prepare",
    "protocol_of",
]

PROTOCOLS = ("v1", "v2", "mlflow")
PATHS: Mapping[str, str] = {
    "v1": "/v1/models/{name}:predict",
    "v2": "/v2/models/{name}/infer",
    "mlflow": "/invocations",
}
EXPLAIN = "/v1/models/{name}:explain"
METADATA = "/v2/models/{name}"
BODIES: Mapping[str, frozenset[str]] = {
    "v1": frozenset({"instances"}),
    "mlflow": frozenset({"dataframe_split", "dataframe_records", "instances", "inputs"}),
}
SCALAR_ROWS = frozenset({"tensorflow", "triton"})
EXACT: Mapping[str, int] = {"FP16": 2**11, "FP32": 2**24, "FP64": 2**53}
DIMENSIONS = 32
DEEP = "is nested too deeply"

Encoded = Mapping[str, Any]
"""A request's body, before it is JSON text."""


def protocol_of(predictor: Predictor) -> str:
    """What KServe's runtime for this predictor speaks: "v1" or "v2". Raises RequestError."""
    protocol = runtimes.spoken(predictor)
    if protocol not in PATHS:
        raise RequestError(
            f"the service speaks `{protocol}`, which predictions do not go over",
            where="protocolVersion",
            hint="set `environments.<name>.endpoint.protocol` to v1, v2 or mlflow where the "
            "server speaks it too",
        )
    return protocol


def metadata_path(name: str) -> str:
    return METADATA.format(name=quote(name, safe=""))


def prepare(protocol: str, given: Any) -> Inputs | Encoded:
    """The inputs; or a dict that is a whole body of the protocol already, as it was given."""
    if isinstance(given, Mapping) and _is_body(protocol, given):
        return given
    return read_inputs(given)


def encode(protocol: str, inputs: Inputs | Encoded, model_format: str = "") -> bytes:
    """The JSON to send. Raises RequestError for what the protocol cannot say."""
    body = inputs if not isinstance(inputs, Inputs) else _body(protocol, inputs, model_format)
    try:
        return json.dumps(body, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        why = DEEP if isinstance(error, RecursionError) else "has values without a form in JSON"
        raise RequestError(
            f"the request {why}", where="inputs", hint="give numbers, texts and lists"
        ) from None


def decode(protocol: str, answer: Reply, where: str) -> dict[str, Any]:
    """What MLflow calls a response: `predictions`, and what the server said beside them."""
    found = parsed(answer.body)
    if not isinstance(found, dict):
        raise _unreadable("is not the JSON of an inference server", where)
    if protocol == "v2":
        return _v2_predictions(found, where)
    if "predictions" not in found:
        raise _unreadable("has no `predictions`", where)
    return found


def parsed(body: bytes) -> Any:
    """The JSON value, or None."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _is_body(protocol: str, given: Mapping[Any, Any]) -> bool:
    if protocol != "v2":
        return bool(BODIES[protocol] & given.keys())
    inputs = given.get("inputs")
    return isinstance(inputs, (list, tuple)) and all(
        isinstance(each, Mapping) and "datatype" in each for each in inputs
    )


def _body(protocol: str, inputs: Inputs, model_format: str) -> Encoded:
    if protocol == "v2":
        return _v2_body(inputs)
    if protocol == "mlflow":
        return _mlflow_body(inputs)
    for tensor in inputs.tensors:
        _refuse_missing(tensor, "V1 servers take no null")
    return {"instances": _rows(inputs, scalars=model_format in SCALAR_ROWS)}


def _mlflow_body(inputs: Inputs) -> Encoded:
    if inputs.is_table:
        rows = [list(row) for row in zip(*(t.data for t in inputs.tensors), strict=True)]
        return {"dataframe_split": {"columns": [t.name for t in inputs.tensors], "data": rows}}
    values = {tensor.name: nested(tensor.data, tensor.shape) for tensor in inputs.tensors}
    return {"inputs": values if inputs.is_named else values[""]}


def _rows(inputs: Inputs, *, scalars: bool) -> list[Any]:
    """One element for each row. KServe's Python servers make a table of `{"name": [value]}`."""
    if not inputs.is_named:
        (tensor,) = inputs.tensors
        return nested(tensor.data, tensor.shape)
    lengths = {tensor.shape[0] for tensor in inputs.tensors}
    if len(lengths) > 1:
        raise RequestError(
            "the tensors have different numbers of rows",
            where="inputs",
            hint="give each tensor a value for each row",
        )
    columns = [list(t.data) if inputs.is_table else nested(t.data, t.shape) for t in inputs.tensors]
    names = [tensor.name for tensor in inputs.tensors]
    as_lists = inputs.is_table and not scalars
    return [
        {name: [value] if as_lists else value for name, value in zip(names, row, strict=True)}
        for row in zip(*columns, strict=True)
    ]


def _v2_body(inputs: Inputs) -> Encoded:
    for tensor in inputs.tensors:
        _refuse_missing(tensor, "the Open Inference Protocol has no null")
        if not tensor.datatype:
            raise RequestError(
                "its values are not of one type that the Open Inference Protocol has",
                where=f"input {tensor.name}",
                hint="give numbers, texts, dates, or true and false, one kind in each input",
            )
    content = "pd" if inputs.is_table else "dict" if inputs.is_named else "np"
    return {
        "inputs": [_v2_tensor(tensor) for tensor in inputs.tensors],
        "parameters": {"content_type": content},
    }


def _v2_tensor(tensor: Tensor) -> Encoded:
    content = tensor.content or ("np" if tensor.shape[1:] != (1,) else "")
    return {
        "name": tensor.name or "input-0",
        "shape": list(tensor.shape),
        "datatype": tensor.datatype,
        "data": list(tensor.data),
        **({"parameters": {"content_type": content}} if content else {}),
    }


def _refuse_missing(tensor: Tensor, why: str) -> None:
    missing = next((i for i, value in enumerate(tensor.data) if value is None), None)
    if missing is not None:
        raise RequestError(
            f"a value is missing, and {why}",
            where=f"input {tensor.name or 'array'}, row {missing // size_of(tensor.shape[1:])}",
            hint="fill it before asking; MLflow's own server takes missing values "
            "(`endpoint.protocol: mlflow`)",
        )


# What a V2 server says that it takes


def declared_inputs(answer: Reply) -> Mapping[str, str]:
    """Input name to datatype, from the model's metadata; empty where the server says nothing."""
    found = parsed(answer.body) if answer.status == 200 else None
    listed = found.get("inputs") if isinstance(found, dict) else None
    return {
        each["name"]: each["datatype"]
        for each in (listed if isinstance(listed, list) else ())
        if isinstance(each, dict)
        and isinstance(each.get("name"), str)
        and isinstance(each.get("datatype"), str)
    }


def fitted(inputs: Inputs, declared: Mapping[str, str]) -> Inputs:
    """Numbers as the server declares them, where no value changes.

    A JSON file does not tell 1.0 from 1, so a column of whole numbers arrives as INT64 where the
    model was trained on FP64.
    """
    if not inputs.is_named and len(declared) == 1:
        (tensor,) = inputs.tensors
        inputs = replace(inputs, tensors=(replace(tensor, name=next(iter(declared))),))
    tensors = (_fitted(tensor, declared.get(tensor.name, "")) for tensor in inputs.tensors)
    return replace(inputs, tensors=tuple(tensors))


def _fitted(tensor: Tensor, wanted: str) -> Tensor:
    has = tensor.datatype
    if wanted == has or not has.startswith(("FP", "INT", "UINT")):
        return tensor
    values = [value for value in tensor.data if value is not None]
    if has.startswith("FP"):
        fits = wanted in EXACT
    elif wanted in EXACT:
        fits = all(abs(value) <= EXACT[wanted] for value in values)
    else:
        fits = all(value in _whole_numbers(wanted) for value in values)
    return replace(tensor, datatype=wanted) if fits else tensor


def _whole_numbers(datatype: str) -> range:
    kind = datatype.rstrip("0123456789")
    bits = int(datatype.removeprefix(kind) or 0)
    if kind == "INT" and bits:
        return range(-(2 ** (bits - 1)), 2 ** (bits - 1))
    return range(2**bits) if kind == "UINT" and bits else range(0)


# Answers


def _v2_predictions(found: dict[str, Any], where: str) -> dict[str, Any]:
    outputs = found.get("outputs")
    if not isinstance(outputs, list) or not outputs:
        raise _unreadable("has no `outputs`", where)
    values = dict(_v2_output(each, where) for each in outputs)
    told = {key: found[key] for key in ("model_name", "model_version", "id") if found.get(key)}
    return {"predictions": _joined(list(values.items())), **told}


def _joined(values: list[tuple[str, list[Any]]]) -> Any:
    """One output alone; several of the same length as rows; others by name."""
    if len(values) == 1:
        return values[0][1]
    if len({len(value) for _, value in values}) > 1:
        return dict(values)
    names = [name for name, _ in values]
    columns = (value for _, value in values)
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def _v2_output(output: Any, where: str) -> tuple[str, list[Any]]:
    """The name, and a value for each row; a column `[n, 1]` is a value for each row too."""
    if not isinstance(output, dict) or not isinstance(output.get("name"), str):
        raise _unreadable("has an output without a name", where)
    name, shape, data = output["name"], output.get("shape"), output.get("data")
    if not isinstance(shape, list) or not isinstance(data, list) or not _is_shape(shape):
        raise _unreadable("has an output without shape and data", where)
    flat = _flat(data)
    if len(flat) != size_of(shape):
        raise _unreadable(f"has an output of {len(flat)} values for the shape {shape}", where)
    return name, nested(flat, shape[:-1] if len(shape) == 2 and shape[1] == 1 else shape)


def _is_shape(shape: list[Any]) -> bool:
    return len(shape) <= DIMENSIONS and all(type(n) is int and n >= 0 for n in shape)


def _flat(data: Sequence[Any]) -> list[Any]:
    """The protocol allows nested lists for the same tensor."""
    while data and all(isinstance(value, list) for value in data):
        data = [each for value in data for each in value]
    return list(data)


def _unreadable(why: str, where: str) -> PredictionError:
    return PredictionError(
        f"the answer {why}",
        where=where,
        hint="look whether this address is the service's, and set `endpoint.protocol` of the "
        "environment to what its server speaks (v1, v2 or mlflow)",
    )
