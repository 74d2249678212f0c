"""What a caller gives to predict on."""

from __future__ import annotations

import datetime as dt
import math
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mlflow_gitops.errors import RequestError
from mlflow_gitops.planning.tensors import Inputs, Tensor, nested, read_inputs

ROWS = [{"amount": 1.5, "country": "a"}, {"amount": 2.5, "country": "b"}]
TABLE = Inputs(
    (
        Tensor("amount", "FP64", (2, 1), [1.5, 2.5]),
        Tensor("country", "BYTES", (2, 1), ["a", "b"], "str"),
    ),
    is_table=True,
)


@pytest.mark.parametrize(
    "given",
    [
        pd.DataFrame(ROWS),
        ROWS,
        {"amount": [1.5, 2.5], "country": ["a", "b"]},
        {"amount": np.array([1.5, 2.5]), "country": ["a", "b"]},
        pd.DataFrame(ROWS).astype({"country": "category"}),
    ],
    ids=["DataFrame", "records", "columns", "mixed columns", "category"],
)
def test_a_table_in_every_form(given: Any) -> None:
    assert read_inputs(given) == TABLE


def test_a_dict_of_scalars_is_one_row_and_a_series_one_column() -> None:
    assert [t.data for t in read_inputs(ROWS[0]).tensors] == [[1.5], ["a"]]
    assert read_inputs(pd.Series([1, 2], name="x")).tensors == (
        Tensor("x", "INT64", (2, 1), [1, 2]),
    )


@pytest.mark.parametrize(
    ("values", "datatype"),
    [
        (pd.Series([1, 2], dtype="int8"), "INT8"),
        (pd.Series([1, 2], dtype="uint32"), "UINT32"),
        (pd.Series([1, 2], dtype="float32"), "FP32"),
        (pd.Series([1, 2], dtype="float16"), "FP16"),
        (pd.Series([1, None], dtype="Int64"), "INT64"),
        (pd.Series([True, False]), "BOOL"),
        (pd.Series([True, None], dtype="boolean"), "BOOL"),
        (pd.Series([True, None], dtype=object), "BOOL"),
        (pd.Series([1, 2], dtype=object), "INT64"),
        (pd.Series([1, 2.5], dtype=object), "FP64"),
        (pd.Series([2**64], dtype=object), ""),
        (pd.Series(["a", None], dtype=object), "BYTES"),
        (pd.Series(["a", 1], dtype=object), ""),
        (pd.Series([[1], [2]]), ""),
        (pd.Series([None, None], dtype=object), ""),
    ],
)
def test_the_datatype_is_that_of_the_column(values: pd.Series[Any], datatype: str) -> None:
    (tensor,) = read_inputs(pd.DataFrame({"x": values})).tensors
    assert (tensor.datatype, tensor.shape) == (datatype, (len(values), 1))


def test_values_are_those_of_json() -> None:
    frame = pd.DataFrame(
        {
            "missing": pd.Series([math.nan]),
            "na": pd.Series([None], dtype="Int64"),
            "time": pd.to_datetime(["2026-11-12T10:00:00"]),
            "day": [dt.date(2026, 11, 12)],
            "nested": [{"a": [np.int64(1), np.nan]}],
        }
    )
    found = {t.name: (t.data[0], t.content) for t in read_inputs(frame).tensors}
    assert found == {
        "missing": (None, ""),
        "na": (None, ""),
        "time": ("2026-11-12T10:00:00", "datetime"),
        "day": ("2026-11-12", "datetime"),
        "nested": ({"a": [1, None]}, ""),
    }


def test_arrays_keep_their_shape_and_a_frame_without_names_is_one() -> None:
    array = np.arange(6, dtype="int32").reshape(1, 2, 3)
    assert read_inputs(array) == Inputs((Tensor("", "INT32", (1, 2, 3), [0, 1, 2, 3, 4, 5]),))
    rows = [[1, 2], [3, 4]]
    for given in (rows, pd.DataFrame(rows), np.array(rows)):
        assert read_inputs(given) == Inputs((Tensor("", "INT64", (2, 2), [1, 2, 3, 4]),))
    named = read_inputs({"a": np.zeros((2, 2)), "b": np.array(["x"])})
    assert [(t.name, t.datatype, t.shape) for t in named.tensors] == [
        ("a", "FP64", (2, 2)),
        ("b", "BYTES", (1,)),
    ]
    assert not named.is_table
    assert read_inputs([1, 2]).tensors[0].shape == (2,)
    assert read_inputs(np.array(3.0)).tensors[0].shape == (1,)
    assert read_inputs([[1, "a"]]).tensors[0].data == [1, "a"], "no number becomes a text"


@pytest.mark.parametrize(
    ("given", "what"),
    [
        (None, "a NoneType is nothing to predict on"),
        ("text", "a str is nothing"),
        ({1, 2}, "a set is nothing"),
        ([], "no values"),
        ({}, "no rows"),
        (pd.DataFrame(), "no rows"),
        (pd.DataFrame({"x": []}), "no rows"),
        (np.zeros((0, 3)), "no values"),
        ({"a": [1, 2], "b": [1]}, "not lists of the same length"),
        ({"a": {1, 2}}, "not lists of the same length"),
        ({"a": [1, 2], "b": 1}, "some values of the dict are lists"),
        ({1: [1]}, "a key of the dict is no text"),
        ([[1, 2], [3]], "not of the same length"),
        ([{"a": 1}, [2]], "not of the same length"),
        (pd.DataFrame([[1, 2]], columns=["x", "x"]), "there twice"),
        ({"x": [math.inf]}, "JSON has no infinity"),
        ({"x": [b"raw"]}, "a bytes has no form in JSON"),
        ({"x": [Decimal("1.5")]}, "a Decimal has no form in JSON"),
        ({"x": [1j]}, "a complex has no form in JSON"),
        ({"x": [dt.timedelta(1)]}, "a Timedelta has no form in JSON"),
        (np.array(["2026-11-12"], dtype="datetime64[ns]"), "an array of dates"),
    ],
)
def test_what_is_no_input_is_told(given: Any, what: str) -> None:
    with pytest.raises(RequestError, match=what) as caught:
        read_inputs(given)
    assert caught.value.hint
    assert caught.value.where


def test_a_wrong_value_is_named_by_column_and_row_on_one_line() -> None:
    with pytest.raises(RequestError) as caught:
        read_inputs({"a\nb" + "c" * 100: [1.0, math.inf]})
    assert caught.value.where.startswith("column `a�bccc")
    assert caught.value.where.endswith("`, row 1")
    assert len(caught.value.where) < 100


def test_deep_values_end() -> None:
    deep: list[Any] = []
    deep.append(deep)
    with pytest.raises(RequestError):
        read_inputs({"x": [deep]})


def test_row_major_values_as_nested_lists() -> None:
    assert nested([1, 2, 3, 4, 5, 6], [3, 2]) == [[1, 2], [3, 4], [5, 6]]
    assert nested([1, 2], [2]) == [1, 2]
    assert nested([1, 2, 3, 4], [1, 2, 2]) == [[[1, 2], [3, 4]]]
    assert nested([], [0]) == nested([], [0, 3]) == []
