"""What people and machines may look at: a page, the same as JSON, and metrics. All read-only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Final

from flask import Blueprint, Response, jsonify, render_template

from mlflow_gitops import __version__
from webhook.counters import METRICS, STATES, Counters, exposition
from webhook.queue import Queue, Row
from webhook.worker import Worker

__all__ = ["Dashboard", "blueprint"]

MOST_ROWS: Final = 500
EXPOSITION: Final = "text/plain; version=0.0.4; charset=utf-8"
TIMES: Final = ("due_at", "marked_at", "started_at", "settled_at")


@dataclass(frozen=True, slots=True)
class Dashboard:
    """Reads the queue and the counts of this process."""

    queue: Queue
    counters: Counters
    worker: Worker | None

    def status(self) -> dict[str, Any]:
        """Everything, as JSON values: times are ISO 8601 in UTC, or null."""
        rows = self.queue.snapshot()
        counts = Counter(row.state for row in rows)
        return {
            "version": __version__,
            "states": {state: counts[state] for state in STATES},
            "counters": self.counters.read(),
            "resync": self._resync(),
            "queue": [_plain(row) for row in sorted(rows, key=_trouble_first)],
        }

    def _resync(self) -> dict[str, Any]:
        if self.worker is None:
            return {"last": None, "error": "", "blocked": {}}
        return {
            "last": _time(self.worker.resynced_at),
            "error": self.worker.resync_error,
            "blocked": dict(self.worker.reconciler.blocked),
        }

    def metrics(self) -> str:
        return exposition(self.counters.read(), self.queue.snapshot())


def _trouble_first(row: Row) -> tuple[int, str]:
    return STATES.index(row.state), row.key


def _plain(row: Row) -> dict[str, Any]:
    plain = asdict(row)
    return {**plain, **{name: _time(plain[name]) for name in TIMES}}


def _time(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _headings(counts: dict[str, int]) -> Iterable[tuple[str, str, int]]:
    return ((name.replace("_", " "), METRICS[name], count) for name, count in counts.items())


def blueprint(dashboard: Dashboard) -> Blueprint:
    routes = Blueprint("dashboard", __name__)

    @routes.get("/")
    def index() -> str:
        status = dashboard.status()
        return render_template(
            "index.html",
            status=status,
            rows=status["queue"][:MOST_ROWS],
            counters=_headings(status["counters"]),
        )

    @routes.get("/status")
    def status() -> Response:
        return jsonify(dashboard.status())

    @routes.get("/metrics")
    def metrics() -> Response:
        return Response(
            dashboard.metrics(), content_type="text/plain; version=0.0.4; charset=utf-8"
        )

    return routes
