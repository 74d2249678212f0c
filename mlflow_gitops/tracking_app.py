"""MLflow's server plugin: records who moved a stage, an alias or a selector tag.

MLflow's stage endpoint fires no webhook and keeps no history. `mlflow server --app-name gitops`
is MLflow's own server with one hook behind its endpoints: after a successful move the request
record is written and announced (`recording`). Where the app cannot be chosen, `registry_store` is
the other way to the same record; where both are at work, the store writes it.

The answer to the user is never changed. docs/mlflow-server.md tells how to run it, and which
environment variables it reads; `MLFLOW_GITOPS_INNER_APP` is the one that is read here.
"""

from __future__ import annotations

import fcntl
import json
import os
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import flask

from mlflow_gitops.recording import Move, Recorder, harmless
from mlflow_gitops.registry_store import RecordingStore

__all__ = ["create_app", "install"]

OURS = "gitops"
GROUP = "mlflow.app"
INSTALLED = "mlflow-gitops"

Reader = Callable[[Recorder, flask.Response], Move | None]


def create_app() -> Any:
    """The app that MLflow's server runs: a FastAPI app under uvicorn, else a Flask app."""
    from mlflow.server import app as flask_app

    install(flask_app)
    inner = os.environ.get("MLFLOW_GITOPS_INNER_APP", "")
    if inner:
        return _inner_app(inner)
    if os.environ.get("_MLFLOW_SGI_NAME") == "uvicorn":
        from mlflow.server.fastapi_app import app as fastapi_app  # it wraps flask_app

        return fastapi_app
    return flask_app


def install(app: flask.Flask) -> None:
    """Hook MLflow's Flask app, once."""
    if INSTALLED in app.extensions:
        return
    app.extensions[INSTALLED] = True
    recorder = Recorder.from_environ()

    def after(response: flask.Response) -> flask.Response:
        read = _reader(response)
        if read is not None:
            with harmless():
                _record(recorder, read, response)
        return response

    app.after_request(after)


def _inner_app(name: str) -> Any:
    found = {point.name: point for point in entry_points(group=GROUP) if point.name != OURS}
    if name not in found:
        raise RuntimeError(
            f"MLFLOW_GITOPS_INNER_APP: there is no app `{name}`; take one of: {', '.join(found)}"
        )
    with _one_at_a_time():
        app = found[name].load()
        return app() if isinstance(app, types.FunctionType) else app


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    """Workers start together, and each would make basic-auth's database: one would fail, and
    gunicorn end the server. MLflow makes it beforehand, but for the name `basic-auth` alone.
    """
    with Path(__file__).open() as lock:  # any file will do that all of them can read
        with suppress(OSError):  # a file system without locks
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _record(recorder: Recorder, read: Reader, response: flask.Response) -> None:
    store = _store()
    if isinstance(store, RecordingStore):  # it has done so
        return
    move = read(recorder, response)
    if move is not None:
        recorder.record(store, move)


# What was moved


def _reader(response: flask.Response) -> Reader | None:
    """How to read the move, if this was a successful one; no other answer is looked into."""
    rule = flask.request.url_rule
    if rule is None or flask.request.method != "POST" or response.status_code != 200:
        return None
    for ending, read in (
        ("/mlflow/model-versions/transition-stage", _stage_move),
        ("/mlflow/registered-models/alias", _alias_move),
        ("/mlflow/model-versions/set-tag", _tag_move),
    ):
        if rule.rule.endswith(ending):
            return read
    return None


def _stage_move(_recorder: Recorder, response: flask.Response) -> Move:
    """From the answer, which spells the stage as MLflow stores it."""
    moved = response.get_json()["model_version"]
    tags = {tag["key"]: tag.get("value", "") for tag in moved.get("tags", ())}
    return Move(moved["name"], str(moved["version"]), f"stage.{moved['current_stage']}", tags)


def _alias_move(_recorder: Recorder, _response: flask.Response) -> Move:
    asked = _asked()
    return Move.of(_version(asked), f"alias.{asked['alias']}")


def _tag_move(recorder: Recorder, _response: flask.Response) -> Move | None:
    asked = _asked()
    key = asked["key"]
    return Move.of(_version(asked), f"tag.{key}") if recorder.is_selector(key) else None


def _asked() -> Any:
    """The request, where the answer is empty. Old clients encode it twice, and MLflow takes it."""
    asked = flask.request.get_json(force=True)
    return json.loads(asked) if isinstance(asked, str) else asked


def _version(asked: Any) -> Any:
    return _store().get_model_version(asked["name"], asked["version"])


def _store() -> Any:
    from mlflow.server.handlers import _get_model_registry_store

    return _get_model_registry_store()
