"""What a caller gives to predict on, as tensors: tables, arrays, lists and dicts. PURE.

A tensor's data are plain JSON values in row-major order, so what follows needs no pandas. A value
that has no form in JSON is refused here, with its column and row.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

from mlflow_gitops.errors import RequestError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

__all__ = ["Inputs", "Tensor", "nested", "read_inputs", "size_of"]

DEEPEST = 32
NUMBERS = {"b": "BOOL", "i": "INT", "u": "UINT", "f": "FP"}
INT64 = range(-(2**63), 2**63)
WHERE = "inputs"


@dataclass(frozen=True, slots=True)
class Tensor:
    """`datatype` is one of the Open Inference Protocol, "" for values that have none there.

    `content` is what MLServer calls the values' meaning ("str", "datetime"), "" for none. A value
    that is missing is None.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]
    data: Sequence[Any]
    content: str = ""


@dataclass(frozen=True, slots=True)
class Inputs:
    """A table of columns, or tensors of any shape; one without a name stands alone."""

    tensors: tuple[Tensor, ...]
    is_table: bool = False

    @property
    def is_named(self) -> bool:
        return self.tensors[0].name != ""


def read_inputs(given: Any) -> Inputs:
    """Raises RequestError. A DataFrame whose columns have no names (0, 1, 2…) is an array."""
    import numpy as np
    import pandas as pd

    if isinstance(given, pd.Series):
        given = given.to_frame()
    if isinstance(given, pd.DataFrame):
        if all(isinstance(name, str) for name in given.columns):
            return _table(given)
        return Inputs((_of_array("", given.to_numpy()),))
    if isinstance(given, np.ndarray):
        return Inputs((_of_array("", given),))
    if isinstance(given, Mapping):
        return _of_mapping(given)
    if isinstance(given, (list, tuple)):
        return _of_list(given)
    raise _refused(
        f"a {type(given).__name__} is nothing to predict on",
        hint="give a DataFrame, a NumPy array, a list, or a dict of columns or arrays",
    )


def nested(data: Sequence[Any], shape: Sequence[int]) -> list[Any]:
    """Row-major values as lists of lists."""
    if len(shape) <= 1:
        return list(data)
    step = size_of(shape[1:])
    rows = range(0, len(data), step) if step else []
    return [nested(data[start : start + step], shape[1:]) for start in rows]


def size_of(shape: Iterable[int]) -> int:
    return math.prod(shape)


def _of_list(given: Sequence[Any]) -> Inputs:
    import numpy as np
    import pandas as pd

    if given and all(isinstance(row, Mapping) for row in given):
        return _table(pd.DataFrame.from_records([dict(row) for row in given]))
    tensor = _of_array("", np.array(given, dtype=object))
    if any(isinstance(value, (list, dict)) for value in tensor.data):
        raise _refused(
            "the rows of the list are not of the same length",
            hint="give each row as many values, or every row as a dict with the columns' names",
        )
    return Inputs((tensor,))


def _of_mapping(given: Mapping[Any, Any]) -> Inputs:
    import numpy as np
    import pandas as pd

    if not all(isinstance(name, str) for name in given):
        raise _refused("a key of the dict is no text", hint="name each column or tensor")
    arrays = [isinstance(value, np.ndarray) for value in given.values()]
    if arrays and all(arrays):
        return Inputs(tuple(_of_array(name, value) for name, value in given.items()))
    lists = [
        pd.api.types.is_list_like(value) and not isinstance(value, Mapping)
        for value in given.values()
    ]
    if any(lists) and not all(lists):
        raise _refused(
            "some values of the dict are lists and others are not",
            hint="give a list of one value for each row to every column",
        )
    try:
        return _table(pd.DataFrame(dict(given) if any(lists) else [dict(given)]))
    except (TypeError, ValueError):
        raise _refused(
            "the columns of the dict are not lists of the same length",
            hint="give each column a value for each row",
        ) from None


def _table(frame: pd.DataFrame) -> Inputs:
    if frame.empty:
        raise _refused("there are no rows to predict on", hint="give at least one row")
    names = list(frame.columns)
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise _refused(
            "the column is there twice", where=_shown(twice), hint="rename one of the two"
        )
    return Inputs(tuple(_column(name, frame[name]) for name in names), is_table=True)


def _column(name: str, series: pd.Series[Any]) -> Tensor:
    data = [_plain(value, f"column {_shown(name)}, row {i}") for i, value in enumerate(series)]
    datatype, content = _datatype(series.dtype, data, series)
    return Tensor(name, datatype, (len(data), 1), data, content)


def _of_array(name: str, array: np.ndarray[Any, Any]) -> Tensor:
    if array.size == 0:
        raise _refused("there are no values to predict on", hint="give at least one row")
    where = f"tensor {_shown(name)}" if name else "the array"
    if array.dtype.kind in "mM":
        raise _refused(
            "an array of dates has no form in JSON",
            where=where,
            hint="give a DataFrame with a column of dates, or dates as texts",
        )
    flat = array.reshape(-1)
    data = [_plain(value, f"{where}, value {i}") for i, value in enumerate(flat.tolist())]
    datatype, content = _datatype(array.dtype, data, flat)
    return Tensor(name, datatype, array.shape or (1,), data, content)


def _datatype(dtype: Any, data: Sequence[Any], values: Iterable[Any]) -> tuple[str, str]:
    """Of the protocol, and what MLServer calls it. Values decide where the dtype says nothing."""
    kind, size = getattr(dtype, "kind", "O"), getattr(dtype, "itemsize", 8)
    if kind in NUMBERS:
        return (NUMBERS[kind] if kind == "b" else f"{NUMBERS[kind]}{size * 8}"), ""
    kinds = {type(value) for value in data if value is not None}
    if kinds == {str}:
        is_time = kind == "M" or all(isinstance(v, date) for v in values if v is not None)
        return "BYTES", "datetime" if is_time else "str"
    if kinds == {bool}:
        return "BOOL", ""
    if kinds == {int} and all(value in INT64 for value in data if value is not None):
        return "INT64", ""
    if float in kinds and kinds <= {int, float}:
        return "FP64", ""
    return "", ""


def _plain(value: Any, where: str, depth: int = 0) -> Any:
    """As JSON has it; a date as ISO 8601."""
    import pandas as pd

    if isinstance(value, (str, bool, int)) and not hasattr(value, "dtype"):
        return value
    if isinstance(value, Mapping) and depth < DEEPEST:
        return {str(key): _plain(each, where, depth + 1) for key, each in value.items()}
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, (list, tuple)) and depth < DEEPEST:
        return [_plain(each, where, depth + 1) for each in value]
    if pd.api.types.is_scalar(value) and pd.isna(value):
        return None
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, float):
        if math.isinf(value):
            raise _refused("JSON has no infinity", where=where, hint="give a finite number")
        return value
    if isinstance(value, (str, bool, int)):
        return value
    raise _refused(
        f"a {type(value).__name__} has no form in JSON",
        where=where,
        hint="convert it to numbers, texts, or dates",
    )


def _shown(name: str) -> str:
    clean = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in name)
    return f"`{clean[:60]}`"


def _refused(what: str, *, hint: str, where: str = WHERE) -> RequestError:
    return RequestError(what, where=where, hint=hint)
