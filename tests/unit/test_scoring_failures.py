"""The words of MLflow's scoring server, as it wrote them, and what people are told instead."""

from __future__ import annotations

import io
import os

import pytest

from mlflow_gitops.adapters.output_relay import OutputRelay
from mlflow_gitops.adapters.scoring_failures import is_known, scoring_failure

TRACEBACK = 'Traceback (most recent call last):\n  File "x.py", line 1, in f\n    f()\n'
COMMAND = (
    f"{TRACEBACK}Exception: Command '['bash', '-c', 'exec uvicorn']' returned non zero return code."
    " Return code = 1\n"
)
CONDA = "mlflow.exceptions.ExecutionException: Could not find Conda executable at conda. Ensure"
PYENV = "mlflow.exceptions.MlflowException: Could not find the pyenv binary. See https://github.com"
WORDS = {
    "pickle": (
        "mlflow.exceptions.MlflowException: Deserializing this model is disallowed because "
        "'MLFLOW_ALLOW_PICKLE_DESERIALIZATION' is not set to 'true'. Loading a model can",
        "MLFLOW_ALLOW_PICKLE_DESERIALIZATION does not allow",
        "set MLFLOW_ALLOW_PICKLE_DESERIALIZATION=true",
    ),
    "pickle's value": (
        "ValueError: MLFLOW_ALLOW_PICKLE_DESERIALIZATION value must be one of ['true', 'false']",
        "MLFLOW_ALLOW_PICKLE_DESERIALIZATION",
        "set MLFLOW_ALLOW_PICKLE_DESERIALIZATION=true",
    ),
    "port": (
        "ERROR:    [Errno 98] error while attempting to bind on address ('127.0.0.1', 5997): "
        "address already in use",
        "another program took the port",
        "-C port=0",
    ),
    "conda": (CONDA, "`conda` is not found", "MLFLOW_CONDA_HOME"),
    "pyenv": (PYENV, "`pyenv` is not found", "-C env-manager=uv"),
    "uv": (
        "FileNotFoundError: [Errno 2] No such file or directory: 'uv'",
        "`uv` is not found",
        "another -C env-manager",
    ),
    "virtualenv": (
        "/usr/bin/python3: No module named virtualenv",
        "`virtualenv` is missing",
        "next to mlflow",
    ),
    "package": (
        "ModuleNotFoundError: No module named 'lightgbm.basic'",
        "`lightgbm.basic`, which the model needs, is missing",
        "-C env-manager=uv, virtualenv or conda",
    ),
}


@pytest.mark.parametrize("name", WORDS)
def test_a_known_cause_has_its_own_next_step(name: str) -> None:
    words, what, hint = WORDS[name]
    said = f"INFO: start\n{TRACEBACK}{words}\n{COMMAND}"
    assert is_known(said)
    error = scoring_failure(said, 1, "mlflow models serve")
    assert what in error.what
    assert hint in error.hint
    assert "Traceback" not in str(error)


@pytest.mark.parametrize(
    "words",
    [
        "UserWarning: set MLFLOW_ALLOW_PICKLE_DESERIALIZATION to 'false' to be safe\n",
        "WARNING: the plugin x is not loaded: No module named 'x'\n",
    ],
)
def test_a_warning_on_the_way_is_not_the_cause(words: str) -> None:
    said = f"{words}{TRACEBACK}ValueError: a broken file\n{COMMAND}"
    assert not is_known(said)
    error = scoring_failure(said, 1, "mlflow models serve")
    assert error.what == "MLflow's scoring server ended with exit code 1: ValueError: a broken file"
    assert error.hint == "its own words are above"


def test_nothing_said_is_an_exit_code() -> None:
    assert scoring_failure("", -9, "x").what == "MLflow's scoring server ended with exit code -9"


def relayed(*lines: str) -> tuple[OutputRelay, io.StringIO]:
    reading, writing = os.pipe()
    os.write(writing, "".join(lines).encode())
    os.close(writing)
    out = io.StringIO()
    with os.fdopen(reading, "rb") as pipe:
        relay = OutputRelay(pipe, out)
        assert relay.ended() == "".join(lines)
    return relay, out


def test_a_traceback_waits_until_it_is_asked_for() -> None:
    relay, out = relayed("INFO: start\n", COMMAND, "the end, without a line break")
    assert out.getvalue() == "INFO: start\n"
    relay.release()
    assert out.getvalue() == f"INFO: start\n{COMMAND}the end, without a line break"
