"""Works on the queue: threads that take keys, one that keeps their leases, one that resyncs.

What a run does is the reconciler's; what its end means is decided in `policy`. No exception of a
run ends a thread.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Protocol

from mlflow_gitops import GitOpsError
from webhook.counters import Counters
from webhook.policy import Outcome, Policy, describe, done, released
from webhook.queue import Lease, Queue

__all__ = ["Reconcile", "Worker"]

log = logging.getLogger(__name__)

POLL_SECONDS: Final = 1.0
CRASHED: Final = (
    "the process ended during every attempt\n"
    "  next: look for the cause in the log of this service (memory?), then send a new event"
)

CONFLICTS: Final = "its branch conflicts with its base"

Result = float | BaseException | None
"""The seconds until the next look (None: nothing to wait for), or what was raised."""


class Reconcile(Protocol):
    """What a worker needs of the reconciler. Called from several threads."""

    def reconcile(self, model: str, *, reason: str) -> float | None:
        """Bring one model's services to what the registry asks for.

        `reason` is `event` or `resync`. Returns the seconds until the next look, or None when
        there is nothing to wait for. Raises TransientError or TerminalError.
        """

    def reconcile_many(
        self,
        reasons: Mapping[str, str],
        ended: Callable[[str, float | GitOpsError | None], None],
    ) -> None:
        """The same for many models at once, from model to reason.

        `ended` is told of each once, as soon as it has come to its end, from any thread.
        """

    def resync(self) -> Iterable[str]:
        """The models that need work, from one listing."""

    def ready(self) -> Mapping[str, str]:
        """Each part to "" where it answers, else to what is wrong."""

    @property
    def blocked(self) -> Mapping[str, str]:
        """Environment to the reason why the last resync changed nothing there."""

    def is_own(self, urls: Collection[str]) -> bool:
        """Whether one of these is the address of the manifests repository."""

    def model_of(self, branch: str) -> str | None:
        """Whose pull request is made from the branch; None where it is none of ours."""

    def proposed(self, base: str) -> Collection[str]:
        """The models that may have an open pull request to this branch."""

    def in_conflict(self) -> Collection[str]:
        """The models whose branch conflicts with its base by now, so that a look may mend it; each
        is named once for each head of its branch.
        """

    def touched(self, branch: str, paths: Collection[str]) -> Collection[str]:
        """The models that files of an environment's branch may belong to, by their names."""


@dataclass
class Worker:
    """Runs the reconciler for the queue's keys, from `start` to `stop`.

    At most `most` keys that are due at once are run together; nobody waits for others to come.
    `resync_every` is in seconds, spread by a tenth so that replicas do not list together.
    `clock` (seconds since the epoch) only dates the last resync; `chance` is in [0, 1).
    """

    queue: Queue
    reconciler: Reconcile
    threads: int = 4
    most: int = 100
    resync_every: float = 300.0
    policy: Policy = field(default_factory=Policy)
    counters: Counters = field(default_factory=Counters)
    chance: Callable[[], float] = random.random
    clock: Callable[[], float] = time.time
    resync_error: str = field(default="", init=False)
    resynced_at: float | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self._stopping = threading.Event()
        self._stopped = threading.Event()
        self._lock = threading.Lock()  # of `_running`
        self._claiming = threading.Lock()  # so that two leases of a key come in order
        self._running: dict[str, Lease] = {}
        self._workers: list[threading.Thread] = []
        self._helpers: list[threading.Thread] = []

    @property
    def alive(self) -> bool:
        """Whether every thread runs."""
        threads = self._workers + self._helpers
        return bool(threads) and all(thread.is_alive() for thread in threads)

    def start(self) -> None:
        """Begin. Raises QueueError where the queue cannot be written."""
        freed = self.queue.release_orphans()
        if freed:
            log.info("took over %d interrupted runs", freed, extra={"action": "worker.recover"})
        self._workers = [_thread(f"worker-{n}", self._work) for n in range(self.threads)]
        self._helpers = [_thread("beat", self._beat), _thread("resync", self._resync)]
        for thread in self._workers + self._helpers:
            thread.start()

    def stop(self, grace: float = 25.0) -> None:
        """Take no more keys, give the running ones `grace` seconds, then release their leases.

        Meant for the end of the process: a run that outlasts its grace is not interrupted.
        """
        end = time.monotonic() + grace
        self._stopping.set()
        for _ in self._workers:
            self.queue.ring()
        for thread in self._workers:
            thread.join(max(0.0, end - time.monotonic()))
        quiet = self._claiming.acquire(timeout=1.0)  # whoever claims just now has begun by then
        self._stopped.set()
        for lease in self._leases():
            log.warning("%r is released unfinished", lease.key, extra={"action": "worker.release"})
            self._try(lambda held=lease: self.queue.settle(held, released()))  # type: ignore[misc]
        if quiet:
            self._claiming.release()

    # Runs

    def _work(self) -> None:
        while not self._stopping.is_set():
            self._try(self._next)

    def _next(self) -> None:
        rings, fresh = self.queue.rings(), self.resynced_at is None
        # What an earlier process' resync marked waits for this one's: only a resync knows which
        # environments must not be changed by themselves.
        with self._claiming:
            if self._stopping.is_set():
                return
            leases = self.queue.claim_many(self.most, events_only=fresh)
            begun = [lease for lease in leases if self._begin(lease)]
        if not leases:
            due = self.queue.next_due(events_only=fresh)
            wait = POLL_SECONDS if due is None else min(due, POLL_SECONDS)
            self.queue.wait(rings, wait)
        self._run(begun)

    def _begin(self, lease: Lease) -> bool:
        """False if this very process still works on the key: it lost its lease while stalled.

        The run then goes on under the new lease, and ends as of the marks that it began with.
        """
        with self._lock:
            earlier = self._running.get(lease.key)
            self._running[lease.key] = replace(lease, gen=earlier.gen) if earlier else lease
            return earlier is None

    def _run(self, leases: Sequence[Lease]) -> None:
        """All at once; where that ends in a surprise, one by one: who is to blame is not known."""
        left = {lease.key: lease for lease in leases}
        if len(left) > 1:
            self._together(left)
        for number, lease in enumerate(list(left.values())):
            late = number and self._stopping.is_set()
            self._end(lease, released() if late else self._alone(lease))
        if leases:
            self._try(self._mark_in_conflict)

    def _mark_in_conflict(self) -> None:
        """A run fetched what others merged, and found what they have left in conflict."""
        found = self.reconciler.in_conflict()
        for model in self.queue.known(found) if found else ():
            self.queue.mark(model, "resync", detail=CONFLICTS)

    def _together(self, left: dict[str, Lease]) -> None:
        """Who has come to an end is taken out of `left`."""

        def ended(model: str, found: Result) -> None:
            lease = left.pop(model)
            self._end(lease, self._outcome(lease, found))

        try:
            reasons = {lease.key: lease.reason for lease in left.values()}
            self.reconciler.reconcile_many(reasons, ended)
        except GitOpsError as error:  # it concerns them all, and asking for each would not help
            for model in list(left):
                ended(model, error)
        except BaseException as error:
            _tell(f"{len(left)} models are run one by one", error, "batch.failed")

    def _end(self, lease: Lease, outcome: Outcome) -> None:
        with self._lock:
            held = self._running.pop(lease.key)
        if outcome.state == "dead":
            self.counters.add("deaths")
        self._try(lambda: self._settle(held, outcome))

    def _settle(self, held: Lease, outcome: Outcome) -> None:
        if not self.queue.settle(held, outcome):
            self.counters.add("leases_lost")
            log.warning("%r: the lease was lost", held.key, extra={"action": "run.lost"})

    def _alone(self, lease: Lease) -> Outcome:
        if self.policy.exhausted(lease.attempt):
            self._count(lease)
            self.counters.add("failures")
            return Outcome("dead", error=CRASHED)
        try:
            found: Result = self.reconciler.reconcile(lease.key, reason=lease.reason)
        except BaseException as error:
            found = error
        return self._outcome(lease, found)

    def _count(self, lease: Lease) -> None:
        self.counters.add("runs")
        if lease.found:
            self.counters.add("resync_found")

    def _outcome(self, lease: Lease, found: Result) -> Outcome:
        self._count(lease)
        if isinstance(found, BaseException):
            self.counters.add("failures")
            outcome = self.policy.failed(found, lease.attempt, self.chance())
            _tell(f"{lease.key!r} {outcome.state}", found, "run.failed")
        else:
            outcome = done(found)
            log.info("%r %s", lease.key, outcome.state, extra={"action": "run.done"})
        return outcome

    # Leases

    def _beat(self) -> None:
        while not self._stopped.wait(self.queue.lease / 3):
            for lease in self._leases():
                self._try(lambda held=lease: self.queue.beat(held))  # type: ignore[misc]

    def _leases(self) -> list[Lease]:
        with self._lock:
            return list(self._running.values())

    # The resync

    def _resync(self) -> None:
        failures = 0
        while not self._stopping.is_set():
            failures = 0 if self._resync_once() else failures + 1
            wait = self.resync_every * (0.9 + 0.2 * self.chance())
            if failures:
                wait = min(wait, self.policy.delay(failures, self.chance()))
            self._stopping.wait(wait)

    def _resync_once(self) -> bool:
        try:
            found = list(self.reconciler.resync())
            for start in range(0, len(found), self.most):
                if self._stopping.is_set():
                    return True
                self.queue.mark_found(found[start : start + self.most])
        except BaseException as error:
            self.counters.add("resync_failures")
            self.resync_error = describe(error)
            _tell("the resync failed", error, "resync.failed")
            return False
        self.counters.add("resyncs")
        self.resync_error, self.resynced_at = "", self.clock()
        self.queue.ring()
        return True

    def _try(self, act: Callable[[], object]) -> None:
        """One step of a loop that must go on: what fails is told, and the loop slows down."""
        try:
            act()
        except BaseException as error:
            _tell("the worker failed", error, "worker.failed")
            self._stopping.wait(self.policy.delay(1, self.chance()))


def _thread(name: str, target: Callable[[], None]) -> threading.Thread:
    return threading.Thread(target=target, name=f"gitops-{name}", daemon=True)


def _tell(what: str, error: BaseException, action: str) -> None:
    """A known error in its own words; an unforeseen one with its traceback."""
    if isinstance(error, GitOpsError):
        log.warning("%s: %s", what, error, extra={"action": action})
    else:
        log.error("%s", what, exc_info=error, extra={"action": action})
