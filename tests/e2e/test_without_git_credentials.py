"""Somebody who can reach MLflow alone asks the running service, through the registry."""

from __future__ import annotations

import os
import subprocess

import pytest

from mlflow_gitops.demo.world import World
from tests.e2e.worlds import head_after
from tests.support.fork_server import run_module
from tests.support.mlflow import Registry

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("worlds")]


def deployments(made: World, verb: str, *args: str) -> subprocess.CompletedProcess[str]:
    """Nothing is known but MLflow's address: no repository, no keys for Git or S3."""
    secret = ("MLFLOW", "GIT_", "AWS_")
    environ = {k: v for k, v in os.environ.items() if not k.startswith(secret)}
    environ["MLFLOW_TRACKING_URI"] = made.mlflow_url
    return run_module("mlflow", "deployments", verb, "-t", "gitops", *args, env=environ)


def test_a_service_is_promoted_looked_at_and_retired(with_plugin: World) -> None:
    made, model = with_plugin, "asked-for"
    name = ("--name", f"production/{model}")
    registry = Registry(made.mlflow_url)
    registry.register(model)
    told: list[subprocess.CompletedProcess[str]] = []

    def create() -> None:
        told.append(
            deployments(
                made, "create", *name, "-m", f"models:/{model}/1", "-C", "by=ada", "-C", "wait=120"
            )
        )

    head = head_after(made, create)
    assert told[0].returncode == 0, told[0].stderr
    assert f"version 1: committed by the service on main as {head}" in told[0].stdout
    assert "waiting up to 120 s" in told[0].stderr
    message = made.git("show", "-s", "--format=%B", head)
    assert "Claimed-By: ada" in message
    assert registry.client.get_model_version(model, "1").current_stage == "Production"

    got = deployments(made, "get", *name)
    assert got.returncode == 0, got.stderr
    assert "state: committed" in got.stdout
    assert f"commit: {head}" in got.stdout

    refused = deployments(made, "create", "--name", f"prod/{model}", "-m", f"models:/{model}/1")
    assert refused.returncode == 1
    assert "there is no environment `prod`" in refused.stderr
    assert "Traceback" not in refused.stdout + refused.stderr

    gone = head_after(made, lambda: told.append(deployments(made, "delete", *name)))
    assert told[1].returncode == 0, told[1].stderr
    assert f"retired by the service on main as {gone}" in told[1].stdout
    assert f"models/overlays/production/{model}" not in made.git("ls-tree", "-r", gone)
