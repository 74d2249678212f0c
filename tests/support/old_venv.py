"""The second environment, `.venv-old`: the oldest MLflow server that is supported, and MLServer.

`make install` makes it from requirements-old.txt. What is in it runs as a process of its own; this
process never imports from it. MLFLOW_GITOPS_TEST_OLD_VENV names another one.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

VARIABLE = "MLFLOW_GITOPS_TEST_OLD_VENV"
COMPILED: Mapping[str, str] = {"PYTHONDONTWRITEBYTECODE": ""}
"""For its processes' environment: it is installed uncompiled, and each start would compile."""


@pytest.fixture(scope="session")
def old_bin() -> Path:
    """Its folder of commands: `python`, `mlflow`, `mlserver`."""
    named = os.environ.get(VARIABLE)
    folder = (Path(named) if named else Path(__file__).parents[2] / ".venv-old") / "bin"
    if not (folder / "python").exists():
        why = f"there is no {folder}/python: `make install`, or set {VARIABLE}"
        if os.environ.get("CI") == "true":
            pytest.fail(why)
        pytest.skip(why)
    return folder
