"""MLflow's model registry store with records: the plug point of servers whose app is taken.

`mlflow server --registry-store-uri gitops+postgresql://…` is MLflow's own store for the URI behind
`gitops+`, which also writes the request record of each move. It needs no `--app-name`, so it goes
with MLflow's basic-auth as it is. The entry points of `mlflow.model_registry_store` name each
scheme literally, drivers included (setup.py). `mlflow db` and `mlflow gc` take the plain URI.
"""

from __future__ import annotations

from typing import Any

from mlflow_gitops.recording import Move, Recorder, harmless

__all__ = ["RecordingStore", "open_store"]

SCHEME = "gitops+"


class RecordingStore:
    """Goes before MLflow's store class. Its own writes are those of the class behind it."""

    recorder: Recorder

    def transition_model_version_stage(
        self, name: str, version: Any, stage: str, archive_existing_versions: bool
    ) -> Any:
        moved = super().transition_model_version_stage(  # type: ignore[misc]
            name, version, stage, archive_existing_versions
        )
        with harmless():
            self.recorder.record(self, Move.of(moved, f"stage.{moved.current_stage}"))
        return moved

    def set_registered_model_alias(self, name: str, alias: str, version: Any) -> Any:
        done = super().set_registered_model_alias(name, alias, version)  # type: ignore[misc]
        self._moved(name, version, f"alias.{alias}")
        return done

    def set_model_version_tag(self, name: str, version: Any, tag: Any) -> Any:
        done = super().set_model_version_tag(name, version, tag)  # type: ignore[misc]
        if self.recorder.is_selector(tag.key):
            self._moved(name, version, f"tag.{tag.key}")
        return done

    def _moved(self, name: str, version: Any, key: str) -> None:
        with harmless():
            found = self.get_model_version(name, version)  # type: ignore[attr-defined]
            self.recorder.record(self, Move.of(found, key))


def open_store(store_uri: str) -> Any:
    """What MLflow calls for a URI of ours. Raises ConfigError, and what MLflow raises."""
    from mlflow.server.handlers import _model_registry_store_registry as stores

    recorder = Recorder.from_environ()
    plain = store_uri[len(SCHEME) :]
    store = stores.get_store_builder(plain)(store_uri=plain)
    # MLflow's server decides the class (workspaces) and its arguments (a read replica), so the
    # store that it makes becomes one of a class that stands before its own.
    kind = type(store)
    store.__class__ = type(f"Recording{kind.__name__}", (RecordingStore, kind), {})
    store.recorder = recorder
    return store
