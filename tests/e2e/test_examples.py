"""What stands in examples/ is what the product writes, and it runs."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from mlflow_gitops.demo.world import World
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


def test_the_notebook_is_kept_without_outputs() -> None:
    cells = json.loads((EXAMPLES / "promote.ipynb").read_text())["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert [(cell["outputs"], cell["execution_count"]) for cell in code] == [([], None)] * len(code)


@pytest.mark.slow
@pytest.mark.xdist_group("worlds")
def test_the_notebook_runs_from_top_to_bottom(with_plugin: World) -> None:
    made, model = with_plugin, "notebook-story"
    before = int(made.git("rev-list", "--count", "main"))
    notebook = nbformat.read(EXAMPLES / "promote.ipynb", as_version=4)
    NotebookClient(notebook, timeout=240, kernel_name="python3").execute(
        env={**made.environ, "MODEL": model}
    )
    shown = "".join(
        output.get("text", "") or output["data"]["text/plain"]
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
    )
    assert "dry run: nothing was written" in shown
    assert f"staging/{model}: (no service) -> 1: committed to main as" in shown
    assert f"production/{model}: 1 -> 2: committed to main as" in shown
    assert "deeper trees, better on the held-out rows" in shown
    assert "'state': 'held'" in shown
    subjects = made.git("log", "--format=%s", "-4", "main").splitlines()
    assert int(made.git("rev-list", "--count", "main")) == before + 4
    assert subjects == [
        f'Revert "production: {model} v1 -> v2"',
        f"production: {model} v1 -> v2",
        f"production: deploy {model} v1",
        f"staging: deploy {model} v1",
    ]
