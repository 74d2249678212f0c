"""What a real MLflow server tells of a version's run and logged model."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mlflow_gitops.adapters.registry import MlflowRegistry
from mlflow_gitops.demo.mlflow_server import MlflowServer
from mlflow_gitops.runs import RunFacts
from tests.support.mlflow import Registry


@pytest.fixture
def user(plain_mlflow: MlflowServer) -> Registry:
    return Registry(plain_mlflow.url)


def facts(user: Registry, model: str) -> RunFacts:
    port = MlflowRegistry(user.url)
    return port.facts(port.snapshot(model).versions[-1])


def test_a_run_and_its_logged_model(user: Registry, names: Callable[[str], str]) -> None:
    model, client = names("fraud"), user.client
    run = client.create_run("0", tags={"mlflow.user": "dana", "mlflow.source.git.commit": "abc"})
    client.log_param(run.info.run_id, "depth", 3)
    for value in (0.5, 0.9):
        client.log_metric(run.info.run_id, "accuracy", value)
    user.register(model, run_id=run.info.run_id)
    found = facts(user, model)
    assert found.metrics == {"accuracy": 0.9}
    assert found.params == {"depth": "3"}
    assert (found.user, found.source_commit, found.missing) == ("dana", "abc", "")
    assert found.description == ""
    assert found.url == f"{user.url}/#/experiments/0/runs/{run.info.run_id}"
    assert found.version_url == f"{user.url}/#/models/{model}/versions/1"

    logged = client.get_model_version(model, "1").source.removeprefix("models:/")
    client.log_metric(run.info.run_id, "accuracy", 0.7, model_id=logged)
    client.log_metric(run.info.run_id, "accuracy", 0.6)
    assert facts(user, model).metrics == {"accuracy": 0.7}, "the model's own wins"


def test_a_run_that_is_not_there(user: Registry, names: Callable[[str], str]) -> None:
    model = names("fraud")
    user.register(model)
    user.client.update_model_version(model, "1", "as it *is*")
    assert facts(user, model).missing == "the version has no run"
    assert facts(user, model).version_url == f"{user.url}/#/models/{model}/versions/1"
    assert facts(user, model).description == "as it *is*"
    run = user.client.create_run("0").info.run_id
    user.register(model, run_id=run)
    user.client.update_model_version(model, "2", "second")
    assert facts(user, model).description == "second"
    user.client.delete_run(run)
    assert facts(user, model).missing == "the version's run was deleted"
