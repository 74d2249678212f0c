"""The record of a move, written by a tracking server: what both of MLflow's plug points share.

`tracking_app` sees a move as a request to MLflow's app, `registry_store` as a call of its store.
From there on it is the same: one version tag `gitops.request.<selector>` says that somebody asked,
and who, where the server's authentication says so (`callers`); then a webhook tells of that tag. No
failure here reaches the user: the move stands, and a resync finds what was not recorded.
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
from mlflow_gitops.callers import caller
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
    "MLFLOW_GITOPS_USER_FROM",
    "MLFLOW_GITOPS_WEBHOOK_URL",
    "MLFLOW_GITOPS_WEBHOOK_SECRET",
    "MLFLOW_GITOPS_WEBHOOK_SECRET_FILE",
)
IS_PROMPT = "mlflow.prompt.is_prompt"

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

        tag, user = REQUESTS + move.key, caller(self.process.user_from)
        request, is_proven = _request(move, tag, user)
        key = self.process.request_key if is_proven else None
        text = request_text(request, model=move.model, tag=tag, key=key)
        store.set_model_version_tag(move.model, move.version, ModelVersionTag(tag, text))
        data = {"name": move.model, "version": move.version, "key": tag, "value": text}
        if self.announcer is not None:
            self.announcer.announce(data)
        if flask.has_request_context():
            _announce(store, data)


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
