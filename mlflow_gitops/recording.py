"""The record of a move, written by a tracking server: what both of MLflow's plug points share.

`tracking_app` sees a move as a request to MLflow's app, `registry_store` as a call of its store.
From there on it is the same: one version tag `gitops.request.<selector>` says that somebody asked,
and who, where MLflow's basic-auth checked it; then a webhook tells of that tag. No failure here
reaches the user: the move stands, and the service's resync finds what was not recorded.
"""

from __future__ import annotations

import logging
import os
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import flask

from mlflow_gitops.announcing import Announcer
from mlflow_gitops.config import Process
from mlflow_gitops.planning.fields import UnreadableError
from mlflow_gitops.planning.records import (
    REQUESTS,
    is_moving,
    is_relayed,
    parse_request,
    request_text,
)
from mlflow_gitops.state import Request

__all__ = ["Move", "Recorder", "harmless"]

VARIABLES = (
    "MLFLOW_GITOPS_REQUEST_KEY",
    "MLFLOW_GITOPS_REQUEST_KEY_FILE",
    "MLFLOW_GITOPS_SELECTOR_TAGS",
    "MLFLOW_GITOPS_WEBHOOK_URL",
    "MLFLOW_GITOPS_WEBHOOK_SECRET",
    "MLFLOW_GITOPS_WEBHOOK_SECRET_FILE",
)
IS_PROMPT = "mlflow.prompt.is_prompt"
BASIC_AUTH = "mlflow.server.auth:authenticate_request_basic_auth"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Move:
    """A selector was moved to a version. `key` is the selector's, `tags` the version's."""

    model: str
    version: str
    key: str
    tags: Mapping[str, str]

    @classmethod
    def of(cls, version: Any, key: str) -> Move:
        """`version` is MLflow's entity."""
        return cls(version.name, str(version.version), key, version.tags)

    @property
    def is_prompt(self) -> bool:
        """MLflow keeps prompts as versions of models, too."""
        return self.tags.get(IS_PROMPT, "").lower() == "true"


@contextmanager
def harmless() -> Iterator[None]:
    """What fails inside is logged, and that is all."""
    try:
        yield
    except Exception:
        _log.exception("action=request_record_failed: the move stands; a resync finds it")


@dataclass(frozen=True, slots=True)
class Recorder:
    """Writes the record of a move through the server's own store, and announces it."""

    process: Process
    announcer: Announcer | None

    @classmethod
    def from_environ(cls) -> Recorder:
        """Only the variables of the server's plugin count. Raises ConfigError."""
        process = Process.from_environ({k: v for k, v in os.environ.items() if k in VARIABLES})
        for warning in process.warnings:
            _log.warning("%s", warning)
        url = process.announce_url
        return cls(process, Announcer(url, process.announcing) if url else None)

    def is_selector(self, tag: str) -> bool:
        return tag in self.process.selector_tags

    def record(self, store: Any, move: Move) -> None:
        """Raises whatever the store does: see `harmless`."""
        if move.is_prompt:
            return
        from mlflow.entities.model_registry import ModelVersionTag

        tag, user = REQUESTS + move.key, _user()
        request, is_proven = _request(move, tag, user)
        key = self.process.request_key if is_proven else None
        text = request_text(request, model=move.model, tag=tag, key=key)
        store.set_model_version_tag(move.model, move.version, ModelVersionTag(tag, text))
        data = {"name": move.model, "version": move.version, "key": tag, "value": text}
        if self.announcer is not None:
            self.announcer.announce(data)
        if flask.has_request_context():
            _announce(store, data)


def _user() -> str:
    """Who MLflow's basic-auth let in, "" without it: a name that nobody checked is no name."""
    if not flask.has_request_context():
        return ""
    hooks = flask.current_app.before_request_funcs.get(None, [])
    if not any(getattr(hook, "__module__", "") == "mlflow.server.auth" for hook in hooks):
        return ""
    from mlflow.server import auth

    if auth.auth_config.authorization_function == BASIC_AUTH:
        authorization = flask.request.authorization  # it was checked, or this was a 401
    else:
        authorization = auth.authenticate_request()
    return getattr(authorization, "username", None) or ""


def _request(move: Move, tag: str, user: str) -> tuple[Request, bool]:
    """The request behind the move, and whether all that it says of `by` is known here.

    A caller who announced the move has made the request, and this is the end of it, not another;
    one who relays it is not who asked.
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
    by = announced.by if is_relayed(text) else user or announced.by
    return replace(announced, time=max(now, announced.time), by=by), by == user


def _announce(store: Any, data: Mapping[str, str]) -> None:
    """As MLflow does for a tag that a user sets. Delivery is in the background."""
    try:
        from mlflow.entities.webhook import WebhookAction, WebhookEntity, WebhookEvent
        from mlflow.webhooks.delivery import deliver_webhook
    except ImportError:  # MLflow before 3.3 has no webhooks: the announcer, or the resync
        return
    deliver_webhook(
        event=WebhookEvent(WebhookEntity.MODEL_VERSION_TAG, WebhookAction.SET),
        payload=data,
        store=store,
    )
