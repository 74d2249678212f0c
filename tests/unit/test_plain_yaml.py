"""MLmodel files: what MLflow writes is read, anything else is one clear error in bounded time."""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable

import pytest

from mlflow_gitops.errors import PublishError
from mlflow_gitops.planning.mlmodel import parse_flavors, parse_mlmodel
from mlflow_gitops.planning.plain_yaml import MOST_EVENTS, OddYamlError, read_plain
from mlflow_gitops.planning.signatures import compare

FLAVORS = "flavors: {python_function: {loader_module: x}}\n"

SAVED = """\
flavors:
  python_function:
    cloudpickle_version: 3.1.2
    code: null
    env:
      conda: conda.yaml
      virtualenv: python_env.yaml
    loader_module: mlflow.pyfunc.model
    python_model: python_model.pkl
    python_version: 3.11.7
    streamable: false
is_signature_from_type_hint: false
metadata:
  b: !!binary |
    eHg=
  n: 1
  one: &id001
    a:
    - 1
    - 2
    b: null
  s: !!set
    1: null
    2: null
  t: 2026-11-28 21:30:52.671147
  two: *id001
mlflow_version: 3.17.2
model_id: null
model_size_bytes: 1308
signature:
  inputs: '[{"type": "double", "name": "x", "required": true}, {"type": "string",
    "name": "y", "required": true}]'
  outputs: '[{"type": "tensor", "tensor-spec": {"dtype": "float64", "shape": [-1]}}]'
utc_time_created: '2026-11-28 21:30:52.672386'
"""
"""As MLflow 3.17 saved it, with metadata in which one object occurs twice."""


def test_what_mlflow_saves_is_read() -> None:
    values = parse_mlmodel(SAVED)
    metadata = values["metadata"]
    assert isinstance(metadata, dict)
    assert metadata["one"] is metadata["two"]
    assert metadata["one"] == {"a": [1, 2], "b": None}
    assert metadata["n"] == 1
    assert metadata["t"] == datetime.datetime(2026, 11, 28, 21, 30, 52, 671147)
    assert (values["model_id"], values["is_signature_from_type_hint"]) == (None, False)
    assert parse_flavors(SAVED)["python_function"]["code"] is None
    assert compare(SAVED, SAVED).kind == "same"


def bomb(line: str) -> str:
    """Ten levels, each of ten aliases of the one before."""
    levels = (line.format(n=n, more=",".join([f"*a{n - 1}"] * 10)) for n in range(1, 11))
    return FLAVORS + "a0: &a0 {k: v}\n" + "".join(levels)


ODD = {
    '!!bool "q"': "YAML tag (`!!bool`)",
    '!!int ""': "YAML tag (`!!int`)",
    '!!float ""': "YAML tag (`!!float`)",
    '!!timestamp "q"': "YAML tag (`!!timestamp`)",
    "!!python/object/apply:os.system [ls]": "YAML tag (`!!python/object/apply:os.system`)",
    "!mine {a: b}": "YAML tag (`!mine`)",
    "2020-99-99": "`2020-99-99`, which is no timestamp",
    "0b_": "`0b_`, which is no int",
    "1:" * 200 + "1.5": "float of more than 100 characters",
    "9" * 5000: "int of more than 100 characters",
    "{<<: {a: b}}": "merge key",
    "*nobody": "an alias `*nobody` without its anchor",
    "&a [*a]": "an alias `*a` without its anchor",
    "&a {b: {c: *a}}": "an alias `*a` without its anchor",
    "{a: 1, a: 2}": "the key `a` twice",
    "{[a]: b}": "a list as a key",
    "[" * 200: "nested deeper than 100 levels",
    "a\n--- \nflavors: {}": "more than one document",
    "\0": "is no YAML",
    "\ud800": "is no YAML",
    '"\\ud800': "is no YAML",
    "[": "is no YAML",
}


@pytest.mark.parametrize(("value", "says"), ODD.items(), ids=range(len(ODD)))
def test_what_is_odd_is_one_clear_error(value: str, says: str) -> None:
    with pytest.raises(PublishError) as refused:
        parse_mlmodel(f"{FLAVORS}x: {value}\n")
    assert says in refused.value.what
    assert (refused.value.where, bool(refused.value.hint)) == ("MLmodel", True)


def test_merge_keys_expand_nothing() -> None:
    with pytest.raises(PublishError, match=r"merge key \(`<<`\) \(line 3\)"):
        parse_mlmodel(bomb("a{n}: &a{n} {{<<: [{more}]}}\n"))


def test_aliases_share_their_value() -> None:
    last = parse_mlmodel(bomb("a{n}: &a{n} [{more}]\n"))["a10"]
    assert isinstance(last, list)
    assert len({id(item) for item in last}) == 1


def _steps(count: int) -> str:
    return "a: &a x\nb: [" + "*a," * count + "]"


def test_values_are_counted() -> None:
    assert read_plain(_steps(1000))
    with pytest.raises(OddYamlError, match="more than 200000 values"):
        read_plain(_steps(MOST_EVENTS))


@pytest.mark.parametrize("end", ["\n", "\r", "\u2028"])
def test_directives_are_counted(end: str) -> None:
    """libyaml compares each with all before it: a minute for two megabytes."""
    text = "".join(f"%TAG !a{number}! x{end}" for number in range(100_000)) + "--- a"
    start = time.monotonic()
    with pytest.raises(PublishError, match="more than 20 directives"):
        parse_mlmodel(text)
    assert time.monotonic() - start < 5


NESTED: tuple[Callable[[str], str], ...] = (
    lambda inner: f'[{{"type": "x", "a": {inner}}}]',
    lambda inner: f'[{{"type": "tensor", "tensor-spec": {{"shape": {inner}, "dtype": "b"}}}}]',
)


@pytest.mark.parametrize("form", NESTED)
@pytest.mark.parametrize("depth", [300, 900, 980, 990, 5000, 100_000])
def test_a_deep_signature_is_no_traceback(form: Callable[[str], str], depth: int) -> None:
    def text(end: str) -> str:
        return f"signature: {{inputs: '{form('[' * depth + end + ']' * depth)}'}}"

    assert compare(text("1"), text("2")).kind in ("unknown", "breaking")
