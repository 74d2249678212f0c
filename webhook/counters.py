"""What happened since the process started, as numbers that only grow, and their text form.

One table names and explains every metric. Counts start at 0 with each process.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from webhook.queue import Row

__all__ = ["METRICS", "STATES", "Counters", "PublishedCounts", "exposition"]

PREFIX: Final = "mlflow_gitops_"
STATES: Final = ("dead", "failed", "retrying", "running", "queued", "waiting", "idle")
METRICS: Final[Mapping[str, str]] = {
    "events": "Deliveries that named a model to look at, replays not counted.",
    "replays": "Deliveries whose id had been answered before: nothing was done.",
    "ignored": "Deliveries that ask for nothing.",
    "refused": "Deliveries answered with 400, 401 or 413.",
    "runs": "Runs that began.",
    "failures": "Runs that ended with an error of any kind.",
    "deaths": "Models given up on after too many attempts.",
    "leases_lost": "Runs whose lease another worker took over before they ended.",
    "resyncs": "Resyncs that ended well.",
    "resync_failures": "Resyncs that ended with an error.",
    "resync_found": "Models with work to do that no event had named.",
    "published_files": "Files of versions that publishing copied, or found and verified.",
    "published_bytes": "Bytes of those files.",
}


class Counters:
    """Counts by name; safe for several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts = Counter(dict.fromkeys(METRICS, 0))

    def add(self, name: str, amount: int = 1) -> None:
        if name not in METRICS:
            raise KeyError(name)
        with self._lock:
            self._counts[name] += amount

    def read(self) -> dict[str, int]:
        with self._lock:
            return dict(self._counts)


@dataclass(frozen=True, slots=True)
class PublishedCounts:
    """Counts what is published, as a progress is told of it. Any number of versions at once."""

    counters: Counters

    def start(self, what: str, files: int, size: int) -> None:
        """Only what is done counts."""

    def advance(self, size: int, *, file: str = "") -> None:
        del file
        self.counters.add("published_bytes", size)

    def done(self, file: str) -> None:
        del file
        self.counters.add("published_files")

    def finish(self) -> None:
        """What broke off was counted too: its bytes were moved."""


def exposition(counts: Mapping[str, int], rows: Iterable[Row]) -> str:
    """Prometheus' text format, version 0.0.4."""
    lines: list[str] = []
    for name, meaning in METRICS.items():
        full = f"{PREFIX}{name}_total"
        lines += [f"# HELP {full} {meaning}", f"# TYPE {full} counter", f"{full} {counts[name]}"]
    full = f"{PREFIX}models"
    states = Counter(row.state for row in rows)
    lines += [f"# HELP {full} Models known to the queue, by state.", f"# TYPE {full} gauge"]
    lines += [f'{full}{{state="{state}"}} {states[state]}' for state in STATES]
    return "\n".join(lines) + "\n"
