"""Whether the process lives, and whether it can do its job.

The registry and the repository may take minutes to fail, and probes come every few seconds: one
check runs at a time, its answer serves for a while, and no probe waits for another's.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from flask import Blueprint, Response, jsonify

from mlflow_gitops import GitOpsError
from webhook.policy import describe
from webhook.queue import Queue
from webhook.worker import Reconcile, Worker

__all__ = ["Readiness", "blueprint"]

log = logging.getLogger(__name__)

FRESH_SECONDS: Final = 5.0
STALE_SECONDS: Final = 60.0


@dataclass
class Readiness:
    """Checks by name, to "" where good. `clock` gives seconds and only needs to grow.

    `notes` are what is missing and does not make the service unready.
    """

    queue: Queue
    reconciler: Reconcile
    worker: Worker | None
    clock: Callable[[], float]
    notes: Callable[[], Mapping[str, str]] = dict
    _busy: threading.Lock = field(default_factory=threading.Lock, init=False)
    _last: Mapping[str, str] = field(default_factory=dict, init=False)
    _noted: Mapping[str, str] = field(default_factory=dict, init=False)
    _at: float | None = field(default=None, init=False)

    def checks(self) -> dict[str, str]:
        found = {"queue": _attempt(self.queue.check)}
        if self.worker is not None:
            found["worker"] = "" if self.worker.alive else "a thread of the worker has ended"
        return {**found, **self._remote()}

    def warnings(self) -> Mapping[str, str]:
        """Return what was noted with the last checks."""
        return self._noted

    def _remote(self) -> Mapping[str, str]:
        if self._age() > FRESH_SECONDS and self._busy.acquire(blocking=False):
            try:
                self._last = self._ask()
                self._noted = self.notes()
                self._at = self.clock()
            finally:
                self._busy.release()
        if self._age() > STALE_SECONDS:
            return {"reconciler": "its check has not ended yet\n  next: look again soon"}
        return self._last

    def _ask(self) -> Mapping[str, str]:
        try:
            return dict(self.reconciler.ready())
        except Exception as error:
            if not isinstance(error, GitOpsError):
                log.exception("the readiness check failed", extra={"action": "ready.failed"})
            return {"reconciler": describe(error)}

    def _age(self) -> float:
        return float("inf") if self._at is None else self.clock() - self._at


def _attempt(check: Callable[[], None]) -> str:
    try:
        check()
    except GitOpsError as error:
        return describe(error)
    return ""


def blueprint(readiness: Readiness) -> Blueprint:
    routes = Blueprint("health", __name__)

    @routes.get("/healthz")
    def healthz() -> Response:
        return jsonify(status="alive")

    @routes.get("/readyz")
    def readyz() -> tuple[Response, int]:
        checks = readiness.checks()
        good = not any(checks.values())
        answer: dict[str, object] = {
            "status": "ready" if good else "not ready",
            "checks": {name: wrong or "ok" for name, wrong in checks.items()},
        }
        if warnings := readiness.warnings():
            answer["warnings"] = dict(warnings)
        return jsonify(answer), 200 if good else 503

    return routes
