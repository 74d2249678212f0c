"""The oldest MLflow server that is supported, without our plugin, as its own clients use it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mlflow_gitops.adapters.registry import MlflowRegistry
from mlflow_gitops.demo.mlflow_server import MlflowServer, mlflow_server
from mlflow_gitops.demo.seaweedfs import SeaweedFS
from mlflow_gitops.errors import RegistryError
from mlflow_gitops.state import Delivered, Identity, Request, Selector, State, Status
from tests.support.mlflow import MODEL_FILES, Registry, write_files
from tests.support.old_venv import COMPILED
from tests.support.stack import make_stack

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("old-mlflow")]

LOG_AND_MOVE = """
import sys
import mlflow
name, folder, stage = sys.argv[1:]
with mlflow.start_run() as run:
    mlflow.log_artifacts(folder, "model")
made = mlflow.register_model(f"runs:/{run.info.run_id}/model", name)
mlflow.MlflowClient().transition_model_version_stage(name, made.version, stage)
"""
REQUEST = Request("r-1", "1", time="2026-11-23T02:31:00.123Z", by="ann")


@pytest.fixture(scope="module")
def old_mlflow(
    tmp_path_factory: pytest.TempPathFactory, old_bin: Path
) -> Iterator[tuple[MlflowServer, Path]]:
    folder = tmp_path_factory.mktemp("old-mlflow")
    python = old_bin / "python"
    with mlflow_server(folder, workers=1, environ=COMPILED, python=python) as server:
        yield server, python


def test_a_stage_that_its_own_client_moved_is_committed(
    old_mlflow: tuple[MlflowServer, Path],
    tmp_path: Path,
    s3_server: SeaweedFS,
    s3_credentials: None,
    names: Callable[[str], str],
) -> None:
    server, python = old_mlflow
    stack, model = make_stack(tmp_path, s3_server, server), names("fraud")
    write_files(tmp_path / "files", MODEL_FILES)
    command = [python, "-c", LOG_AND_MOVE, model, tmp_path / "files", "Production"]
    environ = {**os.environ, **COMPILED, "MLFLOW_TRACKING_URI": server.url}
    subprocess.run(command, env=environ, check=True, capture_output=True)
    done = stack.cli("reconcile")
    assert done.returncode == 0, done.stderr
    assert stack.version("production", model) == "1"
    assert stack.status(model, "1", "production")["state"] == State.COMMITTED
    assert {f"{model}/v1/{name}" for name in MODEL_FILES} <= set(stack.objects())
    before = stack.head()
    assert stack.cli("reconcile").returncode == 0
    assert stack.head() == before


def test_our_client_moves_selectors_and_writes_what_fits(
    old_mlflow: tuple[MlflowServer, Path], names: Callable[[str], str]
) -> None:
    server, _ = old_mlflow
    registry, user, model = MlflowRegistry(server.url), Registry(server.url), names("fraud")
    user.create_model(model)
    user.create_version(model)
    selectors = [
        Selector("stage", "staging"),
        Selector("alias", "live"),
        Selector("tag", "at", "x"),
    ]
    version = registry.snapshot(model).versions[0]
    for selector in selectors:
        registry.select(version, selector, REQUEST)
    found = registry.snapshot(model).versions[0]
    assert [selector.matches(found) for selector in selectors] == [True] * 3
    assert [s.versions[0].stage for s in registry.snapshots() if s.model == model] == ["Staging"]
    registry.report(model, "1", "production", Status(State.FAILED, "é" * 20_000))
    assert 2_500 < len(user.tags(model, "1")["gitops.status.production"]) <= 5_000
    many = {str(number): "x" * 36 for number in range(200)}
    delivered = Delivered(
        REQUEST, Identity(1), model, model, "repository", "main", "head", None, matched=many
    )
    with pytest.raises(RegistryError, match="this MLflow server takes 5000"):
        registry.record(model, "production", delivered)
    user.client.copy_model_version(f"models:/{model}/1", names("copy"))
    copied = registry.snapshot(names("copy")).versions[0]
    assert registry.artifact_location(copied) == "s3://bucket/somewhere"
