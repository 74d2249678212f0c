"""Why MLflow's scoring server ended, from its own words. PURE.

It has one exit code for everything, so its words are matched. What is not known is quoted.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from mlflow_gitops.errors import RequestError

__all__ = ["is_known", "scoring_failure"]

LONGEST = 300  # characters of its last error
LAST_ERROR = re.compile(r"^(?:[A-Za-z_][\w.]*(?:Error|Exception|Interrupt): .*)$", re.MULTILINE)
COMMAND_ERROR = "Exception: Command '["  # MLflow's own, about the process that failed before


@dataclass(frozen=True, slots=True)
class Cause:
    """If `pattern` is in the words, this is what happened; `{0}` is its group, or all of it."""

    pattern: str
    what: str
    hint: str


PACKAGES_HINT = (
    "install it here, or take -C env-manager=uv, virtualenv or conda, which install the model's "
    "own packages (virtualenv needs pyenv)"
)
# The first that matches counts.
CAUSES = (
    Cause(
        r"(?m)^[\w.]+(?:Exception|Error): .*MLFLOW_ALLOW_PICKLE_DESERIALIZATION",
        "MLflow does not load this model: its files can run code when they are loaded, and "
        "MLFLOW_ALLOW_PICKLE_DESERIALIZATION does not allow that",
        "set MLFLOW_ALLOW_PICKLE_DESERIALIZATION=true for this command, if you trust whoever made "
        "the version",
    ),
    Cause(
        r"address already in use",
        "another program took the port",
        "choose another port (0 for any free one): -C port=0",
    ),
    Cause(
        r"Could not find Conda executable",
        "the program `conda` is not found",
        "install conda, let MLFLOW_CONDA_HOME name its folder, or take another -C env-manager",
    ),
    Cause(
        r"Could not find the pyenv binary",
        "the program `pyenv` is not found, and virtualenv needs it",
        "install pyenv, or take -C env-manager=uv, conda or local",
    ),
    Cause(
        r"No such file or directory: '(uv|conda|pyenv|virtualenv|bash)'",
        "the program `{0}` is not found",
        "install it, or take another -C env-manager",
    ),
    Cause(
        r"No module named '?(virtualenv)\b",
        "the package `{0}` is missing",
        "install it next to mlflow, or take -C env-manager=uv, conda or local",
    ),
    Cause(
        r"(?m)^ModuleNotFoundError: No module named '([\w.]+)'",
        "the package `{0}`, which the model needs, is missing",
        PACKAGES_HINT,
    ),
)


def is_known(words: str) -> bool:
    """Return whether the words say a cause that people are told without a traceback."""
    return any(re.search(cause.pattern, words) for cause in CAUSES)


def scoring_failure(words: str, code: int, where: str) -> RequestError:
    """Return the error for a server that ended by itself; `words` is what it wrote."""
    for cause in CAUSES:
        found = re.search(cause.pattern, words)
        if found:
            named = found[1] if found.re.groups else found[0]
            return RequestError(cause.what.format(named), where=where, hint=cause.hint)
    errors = [e for e in LAST_ERROR.findall(words) if not e.startswith(COMMAND_ERROR)]
    said = f": {errors[-1][:LONGEST]}" if errors else ""
    return RequestError(
        f"MLflow's scoring server ended with exit code {code}{said}",
        where=where,
        hint="its own words are above",
    )
