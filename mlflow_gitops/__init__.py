"""mlflow-gitops: registry stage transitions become Git commits.

The public API. Importing it imports no I/O library: what needs one is loaded when it is asked
for, so that the plugin, the service and a notebook start quickly.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from mlflow_gitops.errors import (
    ConfigError,
    GitOpsError,
    ManifestError,
    PublishError,
    RegistryError,
    RepositoryError,
    RequestError,
    TerminalError,
    TransientError,
)
from mlflow_gitops.state import State

if TYPE_CHECKING:
    from mlflow_gitops.bootstrap import Session, connect

__all__ = [
    "ConfigError",
    "GitOpsError",
    "ManifestError",
    "PublishError",
    "RegistryError",
    "RepositoryError",
    "RequestError",
    "Session",
    "State",
    "TerminalError",
    "TransientError",
    "__version__",
    "connect",
]

try:
    __version__ = version("mlflow-gitops")
except PackageNotFoundError:  # run from a folder of sources that was never installed
    __version__ = "0+unknown"

_LAZY = {"Session": "mlflow_gitops.bootstrap", "connect": "mlflow_gitops.bootstrap"}


def __getattr__(name: str) -> object:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
