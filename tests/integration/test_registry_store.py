"""The registry store in a process that is no server: MLflow's own classes, and our record."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mlflow_gitops.demo.mlflow_server import MlflowServer
from mlflow_gitops.errors import ConfigError
from mlflow_gitops.planning.records import parse_request
from mlflow_gitops.registry_store import RecordingStore, open_store
from tests.support.mlflow import Registry

# MLflow's server is meant to be a process of its own: what it does with SQLAlchemy warns.
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy")


@pytest.mark.parametrize("workspaces", [False, True])
def test_it_is_the_store_that_mlflow_would_make(
    plain_mlflow: MlflowServer, monkeypatch: pytest.MonkeyPatch, workspaces: bool
) -> None:
    from mlflow.server.constants import READ_REPLICA_BACKEND_STORE_URI_ENV_VAR as REPLICA
    from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore

    replica = plain_mlflow.database.replace("mlflow.db", "/mlflow.db")
    monkeypatch.setenv("MLFLOW_ENABLE_WORKSPACES", str(workspaces).lower())
    monkeypatch.setenv(REPLICA, replica)
    store = open_store(f"gitops+{plain_mlflow.database}")
    assert isinstance(store, RecordingStore)
    assert isinstance(store, SqlAlchemyStore)
    assert store.supports_workspaces is workspaces
    assert store.db_uri == plain_mlflow.database
    assert str(store.read_engine.url) == replica


def test_a_program_without_a_server_records_that_nobody_knows_who(
    plain_mlflow: MlflowServer, names: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    user, model = Registry(plain_mlflow.url), names("fraud")
    user.create_model(model)
    user.create_version(model)
    store = open_store(f"gitops+{plain_mlflow.database}")
    store.set_registered_model_alias(model, "best", "1")
    tag = "gitops.request.alias.best"
    text = user.tags(model, "1")[tag]
    found = parse_request(text, model=model, version="1", tag=tag, key=b"key")
    assert (found.by, found.signed) == ("", False)
    monkeypatch.setenv("MLFLOW_GITOPS_SELECTOR_TAGS", "gitops.x")
    with pytest.raises(ConfigError, match="MLFLOW_GITOPS_SELECTOR_TAGS"):
        open_store(f"gitops+{plain_mlflow.database}")
