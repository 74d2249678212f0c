"""MLflow's server plugin: records who moved a stage or an alias, and lets MLflow announce it.

MLflow's stage endpoint fires no webhook and keeps no history. `mlflow server --app-name gitops`
is MLflow's own server with one hook behind its endpoints: after a successful move it writes the
request record, one version tag, through the server's own store, and hands MLflow's own webhook
machinery the `model_version_tag.set` event for it. So URLs and secrets stay registered in MLflow.

The answer to the user is never changed, and no failure here reaches it: the move stands, and the
service's resync finds what was not recorded.

Environment: `MLFLOW_GITOPS_REQUEST_KEY`, or a file that `…_FILE` names, signs the records (the
service has the same key), so that
who asked counts as proven. `MLFLOW_GITOPS_INNER_APP` names another app of MLflow's `mlflow.app`
entry points to run inside, such as `basic-auth`, which is also what knows who asks.
"""

from __future__ import annotations

import logging
import os
import types
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

import flask

from mlflow_gitops.config import Process
from mlflow_gitops.planning.fields import UnreadableError
from mlflow_gitops.planning.records import REQUESTS, is_moving, parse_request, request_text
from mlflow_gitops.state import Request

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["create_app", "install"]

OURS = "gitops"
GROUP = "mlflow.app"
KEY_VARIABLES = ("MLFLOW_GITOPS_REQUEST_KEY", "MLFLOW_GITOPS_REQUEST_KEY_FILE")
IS_PROMPT = "mlflow.prompt.is_prompt"
BASIC_AUTH = "mlflow.server.auth:authenticate_request_basic_auth"
INSTALLED = "mlflow-gitops"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Move:
    """A selector was moved to a version. `key` is the selector's, `tags` the version's."""

    model: str
    version: str
    key: str
    tags: Mapping[str, str]


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
    process = Process.from_environ({k: v for k, v in os.environ.items() if k in KEY_VARIABLES})

    def after(response: flask.Response) -> flask.Response:
        read = _reader(response)
        if read is not None:
            try:
                move = read(response)
                if move is not None:
                    _record(move, _user(app), process.request_key)
            except Exception:
                _log.exception("action=request_record_failed: the move stands; a resync finds it")
        return response

    app.after_request(after)


def _inner_app(name: str) -> Any:
    found = {point.name: point for point in entry_points(group=GROUP) if point.name != OURS}
    if name not in found:
        raise RuntimeError(
            f"MLFLOW_GITOPS_INNER_APP: there is no app `{name}`; take one of: {', '.join(found)}"
        )
    app = found[name].load()
    return app() if isinstance(app, types.FunctionType) else app


# What was moved


def _reader(response: flask.Response) -> Callable[[flask.Response], Move | None] | None:
    """How to read the move, if this was a successful one; no other answer is looked into."""
    rule = flask.request.url_rule
    if rule is None or flask.request.method != "POST" or response.status_code != 200:
        return None
    if rule.rule.endswith("/mlflow/model-versions/transition-stage"):
        return _stage_move
    if rule.rule.endswith("/mlflow/registered-models/alias"):
        return _alias_move
    return None


def _stage_move(response: flask.Response) -> Move | None:
    """From the answer, which spells the stage as MLflow stores it."""
    moved = response.get_json()["model_version"]
    tags = {tag["key"]: tag.get("value", "") for tag in moved.get("tags", ())}
    return Move(moved["name"], str(moved["version"]), f"stage.{moved['current_stage']}", tags)


def _alias_move(_response: flask.Response) -> Move | None:
    """From the request, since the answer is empty. A prompt's alias is none of our business."""
    asked = flask.request.get_json(force=True)
    version = _store().get_model_version(asked["name"], asked["version"])
    if version.tags.get(IS_PROMPT, "").lower() == "true":
        return None
    return Move(version.name, str(version.version), f"alias.{asked['alias']}", version.tags)


# Who asked


def _user(app: flask.Flask) -> str:
    """Who MLflow's basic-auth let in, "" without it: a name that nobody checked is no name."""
    hooks = app.before_request_funcs.get(None, [])
    if not any(getattr(hook, "__module__", "") == "mlflow.server.auth" for hook in hooks):
        return ""
    from mlflow.server import auth

    if auth.auth_config.authorization_function == BASIC_AUTH:
        authorization = flask.request.authorization  # it was checked, or this was a 401
    else:
        authorization = auth.authenticate_request()
    return getattr(authorization, "username", None) or ""


# The effects


def _record(move: Move, user: str, key: bytes | None) -> None:
    from mlflow.entities.model_registry import ModelVersionTag

    tag = REQUESTS + move.key
    request, is_proven = _request(move, tag, user)
    text = request_text(request, model=move.model, tag=tag, key=key if is_proven else None)
    store = _store()
    store.set_model_version_tag(move.model, move.version, ModelVersionTag(tag, text))
    _announce(store, move, tag, text)


def _request(move: Move, tag: str, user: str) -> tuple[Request, bool]:
    """The request behind the move, and whether all that it says of `by` is known here.

    A caller who announced the move has made the request, and this is the end of it, not another.
    """
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    fresh = Request(id=str(uuid.uuid4()), version=move.version, time=now, by=user)
    text = move.tags.get(tag, "")
    if not is_moving(text):
        return fresh, True
    try:
        announced = parse_request(text, model=move.model, version=move.version, tag=tag)
    except UnreadableError:
        return fresh, True
    if announced.action == "retire":  # no move of a selector asks for that
        return fresh, True
    by = user or announced.by
    return replace(announced, time=max(now, announced.time), by=by), by == user


def _announce(store: Any, move: Move, tag: str, text: str) -> None:
    """As MLflow does for a tag that a user sets. Delivery is in the background."""
    try:
        from mlflow.entities.webhook import WebhookAction, WebhookEntity, WebhookEvent
        from mlflow.webhooks.delivery import deliver_webhook
    except ImportError:  # MLflow before 3.3 has no webhooks: the resync finds the record
        return
    deliver_webhook(
        event=WebhookEvent(WebhookEntity.MODEL_VERSION_TAG, WebhookAction.SET),
        payload={"name": move.model, "version": move.version, "key": tag, "value": text},
        store=store,
    )


def _store() -> Any:
    from mlflow.server.handlers import _get_model_registry_store

    return _get_model_registry_store()
