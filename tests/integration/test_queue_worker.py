"""The worker on a real queue: what it does with ends, errors, resyncs and stops."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path

import pytest

from mlflow_gitops import TerminalError, TransientError
from tests.support.reconcilers import Ended, OneByOne
from webhook.policy import Outcome, Policy
from webhook.queue import Lease, Queue, Row
from webhook.worker import Worker

QUICK = Policy(base=0.001, cap=0.002, attempts=4)
PATIENCE_SECONDS = 60.0


class Scripted(OneByOne):
    """A reconciler that does what a test says, and remembers what it was asked."""

    def __init__(self) -> None:
        self.runs: list[tuple[str, str]] = []
        self.batches: list[tuple[str, ...]] = []
        self.on_batch: Callable[[tuple[str, ...]], object] = lambda _models: None
        self.on_run: Callable[[str], float | None] = lambda _model: None
        self.on_resync: Callable[[], Iterable[str]] = lambda: ()
        self.conflicts: list[str] = []

    def reconcile(self, model: str, *, reason: str) -> float | None:
        self.runs.append((model, reason))
        return self.on_run(model)

    def reconcile_many(self, reasons: Mapping[str, str], ended: Ended) -> None:
        self.batches.append(tuple(reasons))
        self.on_batch(tuple(reasons))
        super().reconcile_many(reasons, ended)

    def resync(self) -> Iterable[str]:
        return self.on_resync()

    def ready(self) -> Mapping[str, str]:
        return {}

    def in_conflict(self) -> Collection[str]:
        found, self.conflicts = self.conflicts, []
        return found

    @property
    def blocked(self) -> Mapping[str, str]:
        return {}


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[Queue]:
    made = Queue(tmp_path / "queue.db")
    yield made
    made.close()


@pytest.fixture
def script() -> Scripted:
    return Scripted()


@pytest.fixture
def worker(queue: Queue, script: Scripted) -> Iterator[Worker]:
    made = Worker(queue, script, policy=QUICK, chance=lambda: 0.5)
    yield made
    made.stop()


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.005)


def row(queue: Queue, key: str = "m") -> Row | None:
    return next((row for row in queue.snapshot() if row.key == key), None)


def until_state(queue: Queue, state: str, key: str = "m") -> Row:
    def reached() -> bool:
        found = row(queue, key)
        return found is not None and found.state == state and found.settled_at is not None

    until(reached)
    found = row(queue, key)
    assert found is not None
    return found


def fail_with(*errors: BaseException) -> Callable[[str], float | None]:
    left = list(errors)

    def run(_model: str) -> float | None:
        if left:
            raise left.pop(0)
        return None

    return run


def test_what_was_marked_before_the_start_is_run(
    queue: Queue, worker: Worker, script: Scripted
) -> None:
    queue.mark("m", "event")
    worker.start()
    until_state(queue, "idle")
    assert script.runs == [("m", "event")]
    assert worker.alive
    assert worker.counters.read()["runs"] == 1


def test_what_a_run_finds_in_conflict_is_run_next(
    queue: Queue, worker: Worker, script: Scripted
) -> None:
    """Though it waits for its next look; a name that was never marked is none of a model."""
    script.on_run = lambda model: 600.0 if model == "other" else None
    worker.start()
    queue.mark("other", "event")
    until_state(queue, "waiting", "other")
    script.conflicts = ["other", "made-up"]
    queue.mark("m", "event")
    until(lambda: len(script.runs) == 3)
    until_state(queue, "waiting", "other")
    assert [model for model, _ in script.runs] == ["other", "m", "other"]


def test_a_mark_wakes_an_idle_worker(queue: Queue, worker: Worker, script: Scripted) -> None:
    worker.start()
    until(lambda: worker.resynced_at is not None)
    for number in range(5):
        queue.mark(f"m{number}", "event")
    until(lambda: len(script.runs) == 5)


@pytest.mark.parametrize(
    "errors",
    [
        [TransientError("busy")],
        [TransientError("busy")] * 3,
        [ValueError("surprise")],
        [SystemExit(3)],
        [RecursionError()],
    ],
    ids=repr,
)
def test_what_may_pass_is_retried(
    queue: Queue, worker: Worker, script: Scripted, errors: list[BaseException]
) -> None:
    script.on_run = fail_with(*errors)
    queue.mark("m", "event")
    worker.start()
    until_state(queue, "idle")
    assert len(script.runs) == len(errors) + 1
    assert worker.counters.read()["failures"] == len(errors)
    assert worker.alive


def test_what_never_passes_is_dead_until_it_is_asked_for_again(
    queue: Queue, worker: Worker, script: Scripted
) -> None:
    script.on_run = fail_with(*[TransientError("busy", hint="wait")] * 4)
    queue.mark("m", "event")
    worker.start()
    assert until_state(queue, "dead").last_error == "busy\n  next: wait"
    assert len(script.runs) == 4
    assert worker.counters.read()["deaths"] == 1
    queue.mark("m", "event")
    assert until_state(queue, "idle").last_error == ""


def test_what_a_person_must_change_is_not_retried(
    queue: Queue, worker: Worker, script: Scripted
) -> None:
    script.on_run = fail_with(TerminalError("no such bucket", where="bucket"))
    queue.mark("m", "event")
    worker.start()
    assert until_state(queue, "failed").last_error == "bucket: no such bucket"
    assert len(script.runs) == 1
    queue.mark("m", "resync")
    until_state(queue, "idle")


def test_a_surprise_is_logged_and_kept_from_the_status(
    queue: Queue, worker: Worker, script: Scripted, caplog: pytest.LogCaptureFixture
) -> None:
    script.on_run = fail_with(*[ValueError("token=hunter2")] * 4)
    queue.mark("m", "event")
    worker.start()
    error = until_state(queue, "dead").last_error
    assert error.startswith("unexpected ValueError")
    assert "hunter2" not in error
    assert any(r.exc_info for r in caplog.records if getattr(r, "action", "") == "run.failed")


def test_a_wait_is_looked_at_again(queue: Queue, worker: Worker, script: Scripted) -> None:
    script.on_run = lambda _model: 3600.0
    queue.mark("m", "event")
    worker.start()
    until_state(queue, "waiting")
    queue.mark("m", "event")
    until(lambda: len(script.runs) == 2)


def test_a_mark_during_a_run_is_exactly_one_more(
    queue: Queue, worker: Worker, script: Scripted
) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def run(_model: str) -> None:
        begun.set()
        assert go_on.wait(PATIENCE_SECONDS)

    script.on_run = run
    queue.mark("m", "event")
    worker.start()
    assert begun.wait(PATIENCE_SECONDS)
    for _ in range(3):
        queue.mark("m", "event")
    assert len(script.runs) == 1
    go_on.set()
    until(lambda: len(script.runs) == 2)
    until_state(queue, "idle")
    assert len(script.runs) == 2


def test_one_slow_key_does_not_hold_up_the_others(
    queue: Queue, worker: Worker, script: Scripted
) -> None:
    go_on = threading.Event()

    def run(model: str) -> None:
        if model == "slow":
            assert go_on.wait(PATIENCE_SECONDS)

    script.on_run = run
    worker.start()
    for key in ("slow", "a", "b"):
        queue.mark(key, "event")
    until_state(queue, "idle", "a")
    until_state(queue, "idle", "b")
    found = row(queue, "slow")
    assert found is not None
    assert found.state == "running"
    go_on.set()
    until_state(queue, "idle", "slow")


class TestResync:
    def test_it_comes_at_the_start_and_again(
        self, queue: Queue, worker: Worker, script: Scripted
    ) -> None:
        listings = iter([["a", "b"], ["b"]])
        script.on_resync = lambda: next(listings, ())
        worker.resync_every = 0.05
        worker.start()
        until(lambda: worker.counters.read()["resyncs"] >= 3)
        until(lambda: {r.state for r in queue.snapshot()} == {"idle"})
        assert {key for key, _ in script.runs} == {"a", "b"}
        assert {reason for _, reason in script.runs} == {"resync"}
        assert worker.counters.read()["resync_found"] >= 2

    def test_what_an_event_named_is_not_counted_as_found(
        self, queue: Queue, worker: Worker, script: Scripted
    ) -> None:
        listed = threading.Event()

        def listing() -> Iterable[str]:
            assert listed.wait(PATIENCE_SECONDS)
            return ["m"]

        script.on_run = lambda _model: 3600.0
        script.on_resync = listing
        queue.mark("m", "event")
        worker.start()
        until_state(queue, "waiting")
        listed.set()
        until(lambda: len(script.runs) == 2)
        assert worker.counters.read()["resync_found"] == 0

    @pytest.mark.parametrize("error", [TransientError("busy"), TerminalError("no"), OSError("x")])
    def test_a_failing_one_is_told_and_tried_again(
        self, queue: Queue, worker: Worker, script: Scripted, error: Exception
    ) -> None:
        told: list[str] = []
        failures = [error, error]

        def listing() -> Iterable[str]:
            told.append(worker.resync_error)
            if failures:
                raise failures.pop()
            return ["m"]

        script.on_resync = listing
        worker.start()
        until_state(queue, "idle")
        assert told[0] == ""
        assert told[1]
        assert worker.resync_error == ""
        assert worker.counters.read()["resync_failures"] == 2

    def test_models_listed_before_a_failure_are_looked_at(
        self, queue: Queue, worker: Worker, script: Scripted
    ) -> None:
        def listing() -> Iterable[str]:
            yield "m"
            if not failed:
                failed.append(1)
                raise TransientError("the second page")

        failed: list[int] = []
        script.on_resync = listing
        worker.start()
        until_state(queue, "idle")
        assert worker.counters.read()["resync_failures"] == 1

    def test_what_an_earlier_process_found_waits_for_this_ones_resync(
        self, queue: Queue, worker: Worker, script: Scripted
    ) -> None:
        listed = threading.Event()

        def listing() -> Iterable[str]:
            assert listed.wait(PATIENCE_SECONDS)
            return ()

        script.on_resync = listing
        queue.mark("found", "resync")
        queue.mark("asked", "event")
        worker.start()
        until_state(queue, "idle", "asked")
        assert script.runs == [("asked", "event")]
        listed.set()
        until_state(queue, "idle", "found")


class TestCrashes:
    def test_an_interrupted_run_is_taken_up_at_once(
        self, tmp_path: Path, queue: Queue, worker: Worker, script: Scripted
    ) -> None:
        queue.mark("m", "event")
        assert queue.claim() is not None
        worker.start()
        until_state(queue, "idle")
        assert script.runs == [("m", "event")]

    def test_a_key_that_takes_the_process_down_each_time_is_given_up(
        self, queue: Queue, worker: Worker, script: Scripted
    ) -> None:
        queue.mark("m", "event")
        for _ in range(4):
            assert queue.claim(lease=0) is not None
        worker.start()
        assert "the process ended during every attempt" in until_state(queue, "dead").last_error
        assert script.runs == []

    def test_a_run_that_outlives_its_lease_is_neither_doubled_nor_lost(
        self, queue: Queue, worker: Worker, script: Scripted
    ) -> None:
        go_on, going, most = threading.Event(), [0], [0]
        lock = threading.Lock()

        def run(_model: str) -> None:
            with lock:
                going[0] += 1
                most[0] = max(most[0], going[0])
            assert go_on.wait(PATIENCE_SECONDS)
            with lock:
                going[0] -= 1

        script.on_run = run
        worker.policy = Policy(attempts=10**6)  # every look at it takes the lease over
        queue.lease = 0.0001  # each claim has run out before the next look
        queue.mark("m", "event")
        worker.start()

        def taken_over() -> bool:
            found = row(queue)
            return found is not None and found.attempts > 3

        until(taken_over)
        queue.lease = 60.0
        queue.mark("m", "event")
        go_on.set()
        until_state(queue, "idle")
        assert most == [1]
        assert len(script.runs) >= 2

    def test_a_broken_queue_is_told_and_does_not_end_the_threads(
        self, queue: Queue, worker: Worker, script: Scripted, caplog: pytest.LogCaptureFixture
    ) -> None:
        worker.start()
        until(lambda: worker.resynced_at is not None)
        with queue._engine.connect() as connection:
            connection.exec_driver_sql("ALTER TABLE work RENAME TO gone")
            connection.commit()
        until(lambda: any("no such table" in r.getMessage() for r in caplog.records))
        assert worker.alive
        with queue._engine.connect() as connection:
            connection.exec_driver_sql("ALTER TABLE gone RENAME TO work")
            connection.commit()
        queue.mark("m", "event")
        until_state(queue, "idle")


class TestStop:
    def test_a_run_may_end(self, queue: Queue, worker: Worker, script: Scripted) -> None:
        begun, go_on = threading.Event(), threading.Event()

        def run(_model: str) -> None:
            begun.set()
            assert go_on.wait(PATIENCE_SECONDS)

        script.on_run = run
        queue.mark("m", "event")
        worker.start()
        assert begun.wait(PATIENCE_SECONDS)
        stopping = threading.Thread(target=worker.stop)
        stopping.start()
        go_on.set()
        stopping.join(PATIENCE_SECONDS)
        assert until_state(queue, "idle").attempts == 0
        assert not worker.alive

    def test_a_run_that_does_not_end_is_released(
        self, queue: Queue, worker: Worker, script: Scripted
    ) -> None:
        begun, go_on = threading.Event(), threading.Event()

        def run(_model: str) -> None:
            begun.set()
            assert go_on.wait(PATIENCE_SECONDS)

        script.on_run = run
        queue.mark("m", "event")
        worker.start()
        assert begun.wait(PATIENCE_SECONDS)
        worker.stop(grace=0)
        leases: list[Lease] = []
        until(lambda: leases.extend(filter(None, [queue.claim()])) or bool(leases))
        assert leases[0].attempt == 1
        go_on.set()
        until(lambda: worker.counters.read()["leases_lost"] == 1)
        assert queue.settle(leases[0], Outcome("idle"))

    def test_nothing_is_taken_afterwards(
        self, queue: Queue, worker: Worker, script: Scripted
    ) -> None:
        worker.start()
        worker.stop()
        queue.mark("m", "event")
        assert queue.claim() is not None
        assert script.runs == []

    def test_it_may_be_stopped_before_it_was_started(self, worker: Worker) -> None:
        worker.stop()
        assert not worker.alive


# Many at once


def keys(count: int) -> list[str]:
    return [f"m{number}" for number in range(count)]


def until_idle(queue: Queue, *marked: str) -> None:
    def idle() -> bool:
        return {r.key for r in queue.snapshot() if r.state == "idle"}.issuperset(marked)

    until(idle)


def test_what_is_due_at_once_is_run_together(
    queue: Queue, worker: Worker, script: Scripted
) -> None:
    worker.most = 4
    queue.mark("first", "event")
    for key in keys(6):
        queue.mark(key, "event")
    worker.start()
    until_idle(queue, "first", *keys(6))
    assert max(len(batch) for batch in script.batches) <= 4
    assert any(len(batch) == 4 for batch in script.batches)
    assert Counter(key for key, _ in script.runs) == Counter(["first", *keys(6)])
    assert worker.counters.read()["runs"] == 7


def test_each_of_a_batch_has_its_own_end(queue: Queue, worker: Worker, script: Scripted) -> None:
    def run(model: str) -> float | None:
        if model == "m0":
            raise TerminalError("a person must act")
        if model == "m1":
            raise TransientError("busy", retry_after=1800)
        return 600.0 if model == "m2" else None

    script.on_run = run
    for key in keys(4):
        queue.mark(key, "event")
    worker.start()
    until(lambda: all(r.settled_at is not None for r in queue.snapshot()))
    assert script.batches == [tuple(keys(4))]
    states = {r.key: (r.state, r.attempts) for r in queue.snapshot()}
    assert states == {"m0": ("failed", 1), "m1": ("retrying", 0), "m2": ("waiting", 0)} | {
        "m3": ("idle", 0)
    }


def test_one_surprise_takes_a_batch_down_once(
    queue: Queue, worker: Worker, script: Scripted
) -> None:
    """Then everybody runs alone, and the one with the surprise from then on."""
    left = [ValueError("surprise")] * 3

    def run(model: str) -> float | None:
        if model == "m1" and left:
            raise left.pop()
        return None

    script.on_run = run
    for key in keys(3):
        queue.mark(key, "event")
    worker.start()
    until_idle(queue, *keys(3))
    assert script.batches == [tuple(keys(3))]
    assert not left


def test_what_concerns_all_of_a_batch_is_not_asked_for_each(
    queue: Queue, worker: Worker, script: Scripted
) -> None:
    """The repository is down, say: no more questions than for one."""

    def fail(_models: tuple[str, ...]) -> None:
        raise TransientError("no answer", retry_after=1800)

    script.on_batch = fail
    for key in keys(3):
        queue.mark(key, "event")
    worker.start()
    until(lambda: all(r.settled_at is not None for r in queue.snapshot()))
    assert (script.batches, script.runs) == ([tuple(keys(3))], [])
    assert {(r.state, r.last_error) for r in queue.snapshot()} == {("retrying", "no answer")}


def test_a_key_that_took_its_process_down_runs_alone(tmp_path: Path, script: Scripted) -> None:
    first = Queue(tmp_path / "queue.db")
    for key in keys(3):
        first.mark(key, "event")
    assert [lease.key for lease in first.claim_many(2)] == ["m0", "m1"]
    first.close()  # as after a kill: nothing was settled
    queue = Queue(tmp_path / "queue.db")
    worker = Worker(queue, script, policy=QUICK, threads=1)
    try:
        for key in keys(6)[3:]:
            queue.mark(key, "event")
        worker.start()
        until_idle(queue, *keys(6))
    finally:
        worker.stop()
        queue.close()
    assert script.batches == [("m2", "m3", "m4", "m5")]


def test_every_lease_of_a_batch_is_kept(tmp_path: Path, script: Scripted) -> None:
    queue = Queue(tmp_path / "queue.db", lease=0.3)
    worker = Worker(queue, script, policy=QUICK, threads=1)
    hold, begun = threading.Event(), threading.Event()

    def wait(_models: tuple[str, ...]) -> None:
        begun.set()
        assert hold.wait(PATIENCE_SECONDS)

    script.on_batch = wait
    try:
        for key in keys(3):
            queue.mark(key, "event")
        worker.start()
        assert begun.wait(PATIENCE_SECONDS)
        time.sleep(0.7)  # more than two leases
        assert queue.claim_many(10) == ()
        hold.set()
        until_idle(queue, *keys(3))
    finally:
        hold.set()
        worker.stop()
        queue.close()
    assert worker.counters.read()["leases_lost"] == 0


def test_a_stop_releases_a_whole_batch(queue: Queue, worker: Worker, script: Scripted) -> None:
    hold, begun = threading.Event(), threading.Event()

    def wait(_models: tuple[str, ...]) -> None:
        begun.set()
        hold.wait(PATIENCE_SECONDS)

    script.on_batch = wait
    for key in keys(3):
        queue.mark(key, "event")
    worker.start()
    assert begun.wait(PATIENCE_SECONDS)
    worker.stop(grace=0.01)
    assert {(r.state, r.attempts) for r in queue.snapshot()} == {("queued", 0)}
    hold.set()
