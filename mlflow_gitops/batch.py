"""Services that are delivered together, and what became of each so far: values of one call.

One service's failure is its own and takes nobody else down; whose branch moved is looked at again.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from mlflow_gitops.errors import GitOpsError, HeadMovedError
from mlflow_gitops.observe import View
from mlflow_gitops.outcome import Outcome
from mlflow_gitops.state import Environment, Revision, ServiceKey, Snapshot

__all__ = ["Batch", "Ended", "Job", "Patience", "Result", "Results", "Seen"]

PUSH_ATTEMPTS = 12
PUSH_PAUSE = 0.05  # seconds, doubled for each attempt up to PUSH_PAUSE_MOST, with full jitter
PUSH_PAUSE_MOST = 2.0
CLOSED = 2  # services that a branch refused one by one, in a row: it refuses the others as well


@dataclass(frozen=True, slots=True)
class Job:
    """One service to bring to what the registry asks for."""

    snapshot: Snapshot
    environment: Environment

    @property
    def key(self) -> ServiceKey:
        return ServiceKey(self.environment.name, self.snapshot.model)


@dataclass(frozen=True, slots=True)
class Seen:
    """The same, looked at; `revision` is there once it is published, `notes` once it is edited."""

    job: Job
    view: View
    revision: Revision | None = None
    notes: tuple[str, ...] = ()


Result = tuple[Outcome, ...] | GitOpsError
"""What became of a model in each of its environments; or what concerns all of them."""

Ended = Callable[[str, Result], None]
"""Told of each model once, as soon as it has its result; from any thread. Never raises."""


class Results:
    """Each model's, as soon as all of its services have an outcome. Safe for threads."""

    def __init__(self, ended: Ended) -> None:
        self.found: dict[str, Result] = {}
        self._ended = ended
        self._lock = threading.Lock()
        self._wanted: dict[str, tuple[ServiceKey, ...]] = {}
        self._outcomes: dict[ServiceKey, Outcome] = {}

    def expect(self, model: str, keys: tuple[ServiceKey, ...]) -> None:
        self._wanted[model] = keys
        self._look(model)

    def end(self, model: str, result: Result) -> None:
        self.found[model] = result
        self._ended(model, result)

    def add(self, outcome: Outcome) -> None:
        with self._lock:
            self._outcomes[outcome.key] = outcome
        self._look(outcome.key.model)

    def _look(self, model: str) -> None:
        with self._lock:
            keys = self._wanted[model]
            if model in self.found or not all(key in self._outcomes for key in keys):
                return
            result = self.found[model] = tuple(self._outcomes[key] for key in keys)
        self._ended(model, result)


@dataclass(slots=True)
class Batch:
    """`again` are those whose branch moved, with the error that says so. `refusals` counts what a
    branch did not take of single services, since it last took something.
    """

    results: Results
    again: dict[ServiceKey, tuple[Job, HeadMovedError]] = field(default_factory=dict)
    refusals: dict[str, int] = field(default_factory=dict)

    def is_closed(self, branch: str) -> bool:
        return self.refusals.get(branch, 0) >= CLOSED

    def refuse(self, branch: str) -> None:
        self.refusals[branch] = self.refusals.get(branch, 0) + 1

    def take_moved(self) -> Sequence[tuple[Job, HeadMovedError]]:
        moved, self.again = tuple(self.again.values()), {}
        return moved


@dataclass(frozen=True, slots=True)
class Patience:
    """How often a head that moved is looked at again, and after which pauses in seconds."""

    pause: Callable[[float], None] = time.sleep
    jitter: Callable[[], float] = random.random

    def wait(self, attempt: int, moved: HeadMovedError) -> None:
        """Raises the error where it was tried often enough."""
        if attempt >= PUSH_ATTEMPTS:
            raise moved
        self.pause(min(PUSH_PAUSE_MOST, PUSH_PAUSE * 2**attempt) * self.jitter())
