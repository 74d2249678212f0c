"""Puts the Flask application together. Every error leaves it as JSON: what, and the next step."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from flask import Flask, Response, jsonify
from werkzeug.exceptions import HTTPException

from mlflow_gitops import GitOpsError, TerminalError, TransientError
from webhook import dashboard, forge_receiver, health, receiver
from webhook.counters import Counters
from webhook.payload import EventError
from webhook.queue import Queue
from webhook.signature import SignatureError
from webhook.worker import Reconcile, Worker

__all__ = ["EXTENSION", "Service", "create_app"]

log = logging.getLogger(__name__)

EXTENSION: Final = "mlflow-gitops"
HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; img-src data:; base-uri 'none'; form-action 'none';"
        " frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
NEXT_STEPS: Final = {
    404: "look at / for the status page, or POST to /webhooks/mlflow or /webhooks/forge",
    405: "use one of the methods in the Allow header",
    413: "send a webhook's payload as it is; what is too large is found by the next resync",
}


@dataclass(frozen=True, slots=True)
class Service:
    """What runs beside the application: found in `app.extensions[EXTENSION]`."""

    queue: Queue
    worker: Worker | None
    max_body: int


def create_app(
    *,
    queue: Queue,
    secrets: Sequence[str],
    reconciler: Reconcile,
    forge_secrets: Sequence[str] = (),
    worker: Worker | None = None,
    clock: Callable[[], float] = time.time,
    max_body: int = 1024 * 1024,
    window: float = 300.0,
    allow_unsigned: bool = False,
    notes: Callable[[], Mapping[str, str]] = dict,
) -> Flask:
    """The application; whoever serves it starts and stops the worker.

    `max_body` is in bytes, `window` in seconds: how far a delivery's timestamp may be from
    `clock`. It must outlast MLflow's retries, which repeat the timestamp. Without `forge_secrets`
    no forge is listened to, unless `allow_unsigned`. `notes` are what readiness shows without
    being unready for it. Raises TerminalError without any of MLflow's
    `secrets`, unless `allow_unsigned`.
    """
    _check_secrets(secrets, allow_unsigned)
    counters = Counters() if worker is None else worker.counters
    app = Flask(__name__)
    app.config["MAX_CONTENT_LENGTH"] = max_body
    app.extensions[EXTENSION] = Service(queue, worker, max_body)
    accepting = receiver.Receiver(queue, tuple(secrets), counters, clock, window)
    app.register_blueprint(receiver.blueprint(accepting))
    forges = forge_receiver.ForgeReceiver(
        queue, reconciler, tuple(forge_secrets), counters, clock, window, allow_unsigned
    )
    app.register_blueprint(forge_receiver.blueprint(forges))
    readiness = health.Readiness(queue, reconciler, worker, time.monotonic, notes)
    app.register_blueprint(health.blueprint(readiness))
    app.register_blueprint(dashboard.blueprint(dashboard.Dashboard(queue, counters, worker)))
    _answer_errors(app, counters)
    app.after_request(_harden)
    return app


def _check_secrets(secrets: Sequence[str], allow_unsigned: bool) -> None:
    if isinstance(secrets, str) or not all(secret.strip() for secret in secrets):
        raise TerminalError(
            "the webhook secrets must be a list of texts, none of them blank",
            where="secrets",
            hint="give the secret that the webhook has in MLflow",
        )
    if not secrets and not allow_unsigned:
        raise TerminalError(
            "no webhook secret is set, so anybody could ask for work",
            where="secrets",
            hint="give the secret that the webhook has in MLflow, or allow unsigned deliveries",
        )


def _answer_errors(app: Flask, counters: Counters) -> None:
    @app.errorhandler(GitOpsError)
    def known(error: GitOpsError) -> Response:
        return _answer_known(error, counters)

    @app.errorhandler(HTTPException)
    def http(error: HTTPException) -> Response:
        status = error.code or 500
        if status in (400, 413):
            counters.add("refused")
        answer = _json(status, error.name.lower(), NEXT_STEPS.get(status, ""))
        headers = error.get_response().headers
        for name in ("Allow", "Location"):
            if name in headers:
                answer.headers[name] = headers[name]
        return answer

    @app.errorhandler(Exception)
    def unforeseen(error: Exception) -> Response:
        log.error("unforeseen error", exc_info=error, extra={"action": "http.error"})
        return _json(500, "internal error", "look for its traceback in the log of this service")


def _answer_known(error: GitOpsError, counters: Counters) -> Response:
    what = f"{error.where}: {error.what}" if error.where else error.what
    if isinstance(error, SignatureError | EventError):
        counters.add("refused")
        log.warning("refused: %r", what, extra={"action": "webhook.refused"})
        return _json(401 if isinstance(error, SignatureError) else 400, what, error.hint)
    log.error("%s", error, extra={"action": "http.unavailable"})
    if not isinstance(error, TransientError):
        return _json(500, what, error.hint)
    answer = _json(503, what, error.hint)
    answer.headers["Retry-After"] = "5"
    return answer


def _json(status: int, error: str, next_step: str) -> Response:
    answer = jsonify(error=error, next=next_step)
    answer.status_code = status
    return answer


def _harden(response: Response) -> Response:
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    return response
