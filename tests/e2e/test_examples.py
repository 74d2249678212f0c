"""What stands in examples/ is what the product writes, and it runs."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.stack import Stack

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def test_the_manifests_example_is_what_init_writes(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mlflow_gitops.cli", "init", "made"]
    options = ["--bucket", "prod-ml-models"]
    subprocess.run([*command, *options], cwd=tmp_path, check=True, capture_output=True)
    assert files(tmp_path / "made") == files(EXAMPLES / "manifests")


def files(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): path.read_text()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.mark.slow
def test_a_notebook_asks_for_a_version(stack: Stack, names: Callable[[str], str]) -> None:
    model = names("notebook")
    stack.registry.register(model)
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / "promote.py"), "production", model, "1", "it is better"],
        env=stack.environ,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert f"production/{model}: committed" in done.stdout
    assert stack.version("production", model) == "1"
    assert "it is better" in stack.git("log", "-1", "--format=%B", "main")
