"""The text that a reviewer gets, by the real command over a real Git repository."""

from __future__ import annotations

from pathlib import Path

from mlflow_gitops.runs import RunFacts
from tests.support.git_session import SETTINGS, GitWorld
from tests.support.memory_session import FILES

MODEL = "fraud-model"
SERVICE = """apiVersion: serving.kserve.io/v1beta1
kind: InferenceService
metadata:
  name: fraud
  labels: {model-version: "1"}
spec:
  predictor:
    model:
      modelFormat: {name: mlflow}
      protocolVersion: v2
      storageUri: s3://prod-ml-models/fraud-model/v1/
"""
MORE = f"""    services: {{{MODEL}: fraud}}
    gates:
      metrics: {{auc: {{min: 0.95, worse-by: 0.01}}, rows: {{missing: allow}}}}
"""
SIGNATURE = b"""signature:
  inputs: '[{"name": "amount", "type": "double"}]'
  outputs: '[{"type": "long"}]'
"""
SERVED = {**FILES, "MLmodel": FILES["MLmodel"] + SIGNATURE, "requirements.txt": b"mlflow==3.17.0\n"}


def world(folder: Path, **files: str) -> GitWorld:
    made = {"mlflow-gitops.yaml": SETTINGS + MORE}
    made |= {f"production/{name}.yaml": text for name, text in files.items()}
    return GitWorld(folder=folder, files=made)


def measured(world: GitWorld, run: str, auc: float) -> None:
    url = f"https://mlflow.example/#/experiments/1/runs/{run}"
    facts = RunFacts(run, f"night-{run}", url, metrics={"auc": auc, "rows": 1204113.0})
    world.registry.runs[run] = facts
    world.register(MODEL, files=SERVED, run_id=run)


def text(world: GitWorld, number: str) -> str:
    done = world.cli("diff", MODEL, "-e", "production", "--version", number, "--markdown")
    assert done.exit_code == 0, done.output
    return done.stdout


def test_an_update_says_which_metric_failed_and_by_which_rule(tmp_path: Path) -> None:
    served = world(tmp_path, fraud=SERVICE)
    measured(served, "r1", 0.9649122807017544)
    measured(served, "r2", 0.9412345678901234)
    found = text(served, "2")
    assert found.startswith(
        "**`fraud` (model `fraud-model`) in `production`: version `1` -> `2`.**"
    )
    assert (
        "| metrics | **failed** | `auc` is 0.941235 (committed: 0.964912), and has to be at least "
        "0.95 and may be worse by 0.01 at most |\n"
        "|  | passed | `rows` is 1204113 (committed: 1204113) |"
    ) in found
    assert "| `auc` | 0.964912 | 0.941235 | -0.023677 | **worse** |" in found
    assert "| run | [`night-r1`](<https://mlflow.example/#/experiments/1/runs/r1>) | [" in found
    assert (
        "**Unchanged**: inputs and outputs, dependencies (1). **None**: parameters, datasets."
        in (found)
    )
    assert found.index("```diff") < found.index("### How to go back")
    shown = served.cli("diff", MODEL, "-e", "production", "--version", "2").stdout
    assert "0.941235" in shown
    assert "0.94123456" not in found + shown


def test_a_first_version_says_what_it_takes_and_needs(tmp_path: Path) -> None:
    empty = world(tmp_path, kustomization="resources: []\n")
    measured(empty, "r1", 0.97)
    found = text(empty, "1")
    assert "in `production`: first version, `1`.**" in found
    for row in (
        "| `input amount` | `double` |",
        "| `output number 1` | `long` |",
        "| `mlflow` | `==3.17.0` |",
        "| `auc` | 0.97 |",
    ):
        assert f"\n{row}" in found
    assert "| files | 3 files, " in found
    assert found.rstrip().endswith("the service is then removed.")
