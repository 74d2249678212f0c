"""What inference servers take and answer, as tables of JSON."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mlflow_gitops.errors import (
    ClusterError,
    ConfigError,
    GitOpsError,
    PredictionError,
    RequestError,
    TransientError,
)
from mlflow_gitops.planning.inference import (
    PROTOCOLS,
    declared_inputs,
    decode,
    encode,
    fitted,
    prepare,
    protocol_of,
)
from mlflow_gitops.planning.inference_errors import refused, words
from mlflow_gitops.planning.live import service_url
from mlflow_gitops.planning.tensors import Inputs, read_inputs
from mlflow_gitops.state import Predictor, Reply

TABLE = {"amount": [1.5, 2.5], "country": ["a", "b"]}
TRACEBACK = """\
Traceback (most recent call last):
  File "a.py", line 1, in <module>
    run()
KeyError: 'x'

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "b.py", line 2, in run
    raise SchemaError("no column x")
    ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
app.SchemaError: no
column x
"""
WHERE = "https://fraud.example.com/v2/models/fraud/infer"


def body(protocol: str, given: Any, model_format: str = "") -> Any:
    return json.loads(encode(protocol, prepare(protocol, given), model_format))


def reply(found: Any, status: int = 200, kind: str = "application/json") -> Reply:
    return Reply(status, found if isinstance(found, bytes) else json.dumps(found).encode(), kind)


@pytest.mark.parametrize(
    ("predictor", "protocol"),
    [
        (Predictor("sklearn"), "v1"),
        (Predictor("sklearn", "v2"), "v2"),
        (Predictor("sklearn", runtime="kserve-mlserver"), "v2"),
        (Predictor("mlflow"), "v2"),
        (Predictor("mlflow", "v2"), "v2"),
        (Predictor("onnx"), "v2"),
        (Predictor("triton"), "v2"),
        (Predictor("tensorflow"), "v1"),
        (Predictor("ours", runtime="ours"), "v1"),
    ],
    ids=str,
)
def test_the_protocol_is_what_kserve_makes_of_the_manifest(
    predictor: Predictor, protocol: str
) -> None:
    assert protocol_of(predictor) == protocol


def test_a_protocol_without_http_is_told() -> None:
    with pytest.raises(RequestError, match="`grpc-v2`"):
        protocol_of(Predictor("onnx", "grpc-v2"))


def test_v1() -> None:
    assert body("v1", TABLE) == {
        "instances": [
            {"amount": [1.5], "country": ["a"]},
            {"amount": [2.5], "country": ["b"]},
        ]
    }
    assert body("v1", TABLE, "tensorflow")["instances"][0] == {"amount": 1.5, "country": "a"}
    assert body("v1", [[1, 2], [3, 4]]) == {"instances": [[1, 2], [3, 4]]}
    named = {"x": np.array([[1, 2], [3, 4]]), "y": np.array([5, 6])}
    assert body("v1", named) == {"instances": [{"x": [1, 2], "y": 5}, {"x": [3, 4], "y": 6}]}
    with pytest.raises(RequestError, match="different numbers of rows"):
        body("v1", {"x": np.zeros(2), "y": np.zeros(3)})


def test_v2() -> None:
    assert body("v2", TABLE) == {
        "inputs": [
            {"name": "amount", "shape": [2, 1], "datatype": "FP64", "data": [1.5, 2.5]},
            {
                "name": "country",
                "shape": [2, 1],
                "datatype": "BYTES",
                "data": ["a", "b"],
                "parameters": {"content_type": "str"},
            },
        ],
        "parameters": {"content_type": "pd"},
    }
    assert body("v2", [[1, 2], [3, 4]]) == {
        "inputs": [
            {
                "name": "input-0",
                "shape": [2, 2],
                "datatype": "INT64",
                "data": [1, 2, 3, 4],
                "parameters": {"content_type": "np"},
            }
        ],
        "parameters": {"content_type": "np"},
    }
    named = body("v2", {"x": np.zeros((1, 2), dtype="float32")})
    assert named["parameters"] == {"content_type": "dict"}
    assert (named["inputs"][0]["name"], named["inputs"][0]["datatype"]) == ("x", "FP32")
    times = body("v2", {"at": pd.to_datetime(["2026-11-12"])})["inputs"][0]
    assert times["parameters"] == {"content_type": "datetime"}


def test_mlflow() -> None:
    assert body("mlflow", TABLE) == {
        "dataframe_split": {"columns": ["amount", "country"], "data": [[1.5, "a"], [2.5, "b"]]}
    }
    assert body("mlflow", [[1, 2]]) == {"inputs": [[1, 2]]}
    assert body("mlflow", {"x": np.zeros((1, 2))}) == {"inputs": {"x": [[0.0, 0.0]]}}
    missing = body("mlflow", {"x": [1.5, None]})
    assert missing["dataframe_split"]["data"] == [[1.5], [None]]


@pytest.mark.parametrize(
    ("protocol", "whole"),
    [
        ("v1", {"instances": [[1]], "parameters": {"a": 1}}),
        ("v2", {"inputs": [{"name": "x", "datatype": "FP64", "shape": [1], "data": [1]}]}),
        ("mlflow", {"inputs": [[1]], "params": {"a": 1}}),
        ("mlflow", {"dataframe_records": [{"a": 1}]}),
    ],
)
def test_a_whole_request_is_sent_as_it_is(protocol: str, whole: dict[str, Any]) -> None:
    assert body(protocol, whole) == whole


@pytest.mark.parametrize("protocol", ["v1", "v2"])
def test_a_missing_value_is_told_with_its_place(protocol: str) -> None:
    with pytest.raises(RequestError, match="a value is missing") as caught:
        body(protocol, {"amount": [1.0, None], "x": [1, 2]})
    assert caught.value.where == "input amount, row 1"


def test_values_of_several_types_are_no_tensor() -> None:
    with pytest.raises(RequestError, match="not of one type"):
        body("v2", {"x": [1, "a"]})
    assert body("v1", {"x": [[1], [2]]}) == {"instances": [{"x": [[1]]}, {"x": [[2]]}]}


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_what_json_cannot_say_is_told(protocol: str) -> None:
    key = "inputs" if protocol == "v2" else "instances"
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    for value in (float("nan"), object(), deep):
        whole = {key: [{"datatype": "FP64", "data": [value]}]}
        with pytest.raises(RequestError, match="the request"):
            encode(protocol, prepare(protocol, whole))


# Numbers as the server declares them


@pytest.mark.parametrize(
    ("values", "declared", "sent"),
    [
        ([1, 2], "FP64", "FP64"),
        ([1, 2], "FP32", "FP32"),
        ([2**24 + 1], "FP32", "INT64"),
        ([2**53 + 1], "FP64", "INT64"),
        ([1, 2], "INT32", "INT32"),
        ([2**31], "INT32", "INT64"),
        ([-1], "UINT8", "INT64"),
        ([255], "UINT8", "UINT8"),
        ([1.5], "FP32", "FP32"),
        ([1.0], "INT64", "FP64"),
        ([1], "BYTES", "INT64"),
        ([1], "INT", "INT64"),
        (["a"], "FP64", "BYTES"),
        ([True], "FP64", "BOOL"),
        ([1], "", "INT64"),
    ],
)
def test_a_number_goes_as_declared_where_it_stays_the_same(
    values: list[Any], declared: str, sent: str
) -> None:
    (tensor,) = fitted(read_inputs({"x": values}), {"x": declared}).tensors
    assert tensor.datatype == sent
    assert tensor.data == values


def test_an_array_takes_the_name_of_the_only_input() -> None:
    array = read_inputs([[1, 2]])
    assert fitted(array, {"x": "FP32"}).tensors[0].name == "x"
    assert fitted(array, {"x": "FP32", "y": "FP32"}) == array
    assert fitted(array, {}) == array


def test_what_a_server_declares() -> None:
    whole = {"inputs": [{"name": "x", "datatype": "FP64"}, {"name": 1}, 2, {"name": "y"}]}
    assert declared_inputs(reply(whole)) == {"x": "FP64"}
    for other in (reply(whole, 404), reply([]), reply(b"<html>"), reply({"inputs": 1})):
        assert declared_inputs(other) == {}


# Answers


def output(name: str, shape: list[int], data: list[Any]) -> dict[str, Any]:
    return {"name": name, "shape": shape, "datatype": "FP64", "data": data}


@pytest.mark.parametrize(
    ("outputs", "predictions"),
    [
        ([output("o", [2], [0, 1])], [0, 1]),
        ([output("o", [2, 1], [0, 1])], [0, 1]),
        ([output("o", [2, 1], [[0], [1]])], [0, 1]),
        ([output("o", [2, 2], [1, 2, 3, 4])], [[1, 2], [3, 4]]),
        ([output("o", [1, 1, 2], [1, 2])], [[[1, 2]]]),
        ([output("a", [2], [0, 1]), output("b", [2, 1], ["x", "y"])],
         [{"a": 0, "b": "x"}, {"a": 1, "b": "y"}]),
        ([output("a", [2], [0, 1]), output("b", [1], [3])], {"a": [0, 1], "b": [3]}),
        ([output("o", [0], [])], []),
    ],
)  # fmt: skip
def test_v2_outputs_as_predictions(outputs: list[Any], predictions: Any) -> None:
    answer = reply({"outputs": outputs, "model_name": "fraud", "model_version": None})
    assert decode("v2", answer, WHERE) == {"predictions": predictions, "model_name": "fraud"}


def test_other_answers_are_given_as_they_are() -> None:
    for protocol in ("v1", "mlflow"):
        said = {"predictions": [0, 1], "more": 1}
        assert decode(protocol, reply(said), WHERE) == said


@pytest.mark.parametrize(
    ("protocol", "found", "what"),
    [
        ("v1", b"<html>Welcome</html>", "not the JSON of an inference server"),
        ("v1", b"", "not the JSON"),
        ("v1", b"\xff", "not the JSON"),
        ("v1", b"[" * 100_000, "not the JSON"),
        ("v2", [1], "not the JSON"),
        ("v1", {"outputs": []}, "no `predictions`"),
        ("v2", {"predictions": []}, "no `outputs`"),
        ("v2", {"outputs": [1]}, "without a name"),
        ("v2", {"outputs": [{"name": "o"}]}, "without shape and data"),
        ("v2", {"outputs": [output("o", [-1], [1])]}, "without shape and data"),
        ("v2", {"outputs": [output("o", [True], [1])]}, "without shape and data"),
        ("v2", {"outputs": [output("o", [1] * 5000, [1])]}, "without shape and data"),
        ("v2", {"outputs": [output("o", [3], [1])]}, r"1 values for the shape \[3\]"),
        ("v2", {"outputs": [{**output("o", [1], [1]), "data": "x"}]}, "without shape and data"),
    ],
)
def test_an_answer_of_something_else_is_told(protocol: str, found: Any, what: str) -> None:
    with pytest.raises(PredictionError, match=what) as caught:
        decode(protocol, reply(found), WHERE)
    assert caught.value.where == WHERE


# Refusals


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (reply({"error": "Model nope not found"}), "Model nope not found"),
        (reply({"error_code": "BAD", "message": "no column", "stack_trace": "x"}), "no column"),
        (reply({"detail": [{"type": "t", "msg": "JSON decode error"}]}), "JSON decode error"),
        (reply({"detail": "Not Found"}), "Not Found"),
        (reply({"error": {"message": "deep"}}), "deep"),
        (reply({"other": 1}), ""),
        (reply(b"Internal Server Error", kind="text/plain"), "Internal Server Error"),
        (reply(b"", kind=""), ""),
        (
            reply(b"<html><head><title>x</title></head><body><h1>503</h1> a &amp; b"
                  b"<script>alert(1)</script></body></html>", kind="text/html"),
            "503 a & b",
        ),
        (reply(TRACEBACK.encode(), kind="text/plain"), "app.SchemaError: no column x"),
        (reply({"error": TRACEBACK}), "app.SchemaError: no column x"),
        (reply(b"Traceback (most recent call last):"), ""),
        (reply(b"\x1b[31mred\x00\n\nline", kind="text/plain"), "[31mred line"),
        (reply({"error": "x" * 1000}), "x" * 400 + "…"),
        (reply(b'{"error":' * 500 + b"1" + b"}" * 500), ""),
    ],
)  # fmt: skip
def test_the_servers_own_words_on_one_line(answer: Reply, said: str) -> None:
    assert words(answer) == said


@pytest.mark.parametrize(
    ("status", "kind", "what"),
    [
        (302, ConfigError, "not followed"),
        (400, RequestError, r"refuses the input \(HTTP 400: why\)"),
        (401, ConfigError, "does not let us in"),
        (403, ConfigError, "does not let us in"),
        (404, PredictionError, "there is no `fraud`"),
        (422, RequestError, "refuses the input"),
        (429, TransientError, "cannot answer now"),
        (500, PredictionError, r"failed on the input \(HTTP 500: why\)"),
        (501, PredictionError, "failed"),
        (503, TransientError, "cannot answer now"),
    ],
)
def test_a_status_has_its_error(status: int, kind: type[GitOpsError], what: str) -> None:
    error = refused(reply({"error": "why"}, status), WHERE, "fraud", "it takes x (FP64)")
    assert type(error) is kind
    with pytest.raises(kind, match=what):
        raise error
    assert error.where == WHERE
    assert error.hint
    assert ("it takes x (FP64)" in error.hint) == (status in (400, 422, 500, 501))


# Where the cluster says that it is


def service(**status: Any) -> dict[str, Any]:
    return {"status": status}


def ready(status: str, **more: str) -> list[dict[str, str]]:
    return [
        {"type": "PredictorReady", "status": "True"},
        {"type": "Ready", "status": status, **more},
    ]


def test_the_url_of_a_ready_service() -> None:
    found = service(url="http://fraud.example.com/", conditions=ready("True"))
    assert service_url(found, "ml", "fraud") == "http://fraud.example.com"


@pytest.mark.parametrize(
    ("found", "kind", "what"),
    [
        (None, ClusterError, "no such InferenceService"),
        ({}, TransientError, "not Ready: it says nothing"),
        ({"status": []}, TransientError, "not Ready"),
        (service(conditions=3), TransientError, "not Ready"),
        (service(conditions=[1, {"type": "Ready"}]), TransientError, "not Ready"),
        (
            service(
                conditions=ready("False", reason="Failed", message="no\nmemory"), url="http://x"
            ),
            TransientError,
            "not Ready: Failed: no memory",
        ),
        (service(conditions=ready("True")), TransientError, "no URL yet"),
        (service(conditions=ready("True"), url="ftp://x"), TransientError, "no URL yet"),
    ],
)
def test_a_service_that_cannot_be_asked(found: Any, kind: type[GitOpsError], what: str) -> None:
    with pytest.raises(kind, match=what) as caught:
        service_url(found, "ml", "fraud")
    assert caught.value.where == "ml/fraud"
    assert caught.value.hint


def test_inputs_know_whether_they_have_names() -> None:
    assert read_inputs(TABLE).is_named
    assert not read_inputs([[1]]).is_named
    assert isinstance(prepare("v2", {"inputs": [1, 2]}), Inputs), "a column of that name"
