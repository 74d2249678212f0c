"""The queue's contract, on a real SQLite file. A lease of no seconds stands for one that is up."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from mlflow_gitops import TerminalError
from webhook.policy import Outcome
from webhook.queue import Lease, Queue, Row, Seen
from webhook.schema import QueueError

IDLE = Outcome("idle")
LATER = Outcome("waiting", 3600.0)
RETRY = Outcome("retrying", 3600.0, "busy")
FAILED = Outcome("failed", error="no such bucket")
DEAD = Outcome("dead", error="still busy")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "queue.db"


@pytest.fixture
def queue(path: Path) -> Iterator[Queue]:
    made = Queue(path)
    yield made
    made.close()


@pytest.fixture
def other(path: Path, queue: Queue) -> Iterator[Queue]:
    """The same file, as another process has it."""
    made = Queue(path)
    yield made
    made.close()


def take(queue: Queue, lease: float | None = None) -> Lease:
    taken = queue.claim(lease=lease)
    assert taken is not None
    return taken


def row(queue: Queue, key: str = "m") -> Row:
    return next(row for row in queue.snapshot() if row.key == key)


def ended(queue: Queue, outcome: Outcome, key: str = "m") -> None:
    queue.mark(key, "event")
    assert queue.settle(take(queue), outcome)


def test_a_new_queue_has_nothing_to_do(queue: Queue) -> None:
    assert queue.claim() is None
    assert queue.next_due() is None
    assert queue.snapshot() == ()


def test_a_mark_is_one_run(queue: Queue) -> None:
    assert queue.mark("m", "event", detail="why")
    assert row(queue).state == "queued"
    lease = take(queue)
    assert (lease.key, lease.reason, lease.detail, lease.attempt) == ("m", "event", "why", 1)
    assert row(queue).state == "running"
    assert queue.claim() is None
    assert queue.settle(lease, IDLE)
    assert queue.claim() is None
    assert row(queue).state == "idle"


def test_many_marks_before_a_run_are_one_run(queue: Queue) -> None:
    for _ in range(5):
        queue.mark("m", "event")
    assert queue.settle(take(queue), IDLE)
    assert queue.claim() is None


@pytest.mark.parametrize("outcome", [IDLE, LATER, RETRY, FAILED, DEAD], ids=lambda o: o.state)
@pytest.mark.parametrize("reason", ["event", "resync"])
def test_marks_during_a_run_are_exactly_one_more_run(
    queue: Queue, outcome: Outcome, reason: str
) -> None:
    queue.mark("m", "event")
    lease = take(queue)
    for _ in range(3):
        queue.mark("m", reason)  # type: ignore[arg-type]
        assert queue.claim() is None
    assert queue.settle(lease, outcome)
    again = take(queue)
    assert again.attempt == 1
    assert queue.settle(again, IDLE)
    assert queue.claim() is None


def test_keys_are_worked_on_side_by_side(queue: Queue) -> None:
    for key in ("a", "b", "c"):
        queue.mark(key, "event")
    assert sorted(take(queue).key for _ in range(3)) == ["a", "b", "c"]


def test_what_an_event_asked_for_goes_before_what_a_resync_found(queue: Queue) -> None:
    queue.mark("found", "resync")
    queue.mark("asked", "event")
    assert [take(queue).key, take(queue).key] == ["asked", "found"]


def test_an_event_overrides_a_resync_and_not_the_other_way_round(queue: Queue) -> None:
    queue.mark("m", "resync")
    queue.mark("m", "event", detail="tag set")
    queue.mark("m", "resync")
    lease = take(queue)
    assert (lease.reason, lease.detail, lease.found) == ("event", "tag set", False)


def test_until_the_first_resync_only_events_may_be_taken(queue: Queue) -> None:
    queue.mark("found", "resync")
    assert queue.claim(events_only=True) is None
    assert queue.next_due(events_only=True) is None
    assert queue.next_due() == 0
    queue.mark("found", "event")
    assert queue.claim(events_only=True) is not None


class TestFound:
    """What only a resync saw is counted once."""

    def test_a_clean_key(self, queue: Queue) -> None:
        queue.mark("new", "resync")
        assert take(queue).found
        ended(queue, IDLE)
        queue.mark("m", "resync")
        assert take(queue).found

    def test_not_a_key_that_failed(self, queue: Queue) -> None:
        ended(queue, FAILED)
        queue.mark("m", "resync")
        assert not take(queue).found

    def test_not_twice(self, queue: Queue) -> None:
        queue.mark("m", "resync")
        assert take(queue, lease=0).found
        again = take(queue)
        assert not again.found
        assert queue.settle(again, Outcome("waiting", 0.0))
        assert not take(queue).found


class TestLeases:
    def test_a_lease_that_ran_out_is_taken_over(self, queue: Queue) -> None:
        queue.mark("m", "event")
        lost, held = take(queue, lease=0), take(queue)
        assert held.attempt == 2
        assert held.token != lost.token
        assert queue.claim() is None

    def test_who_lost_it_can_neither_settle_nor_keep_it(self, queue: Queue) -> None:
        queue.mark("m", "event")
        lost, held = take(queue, lease=0), take(queue)
        assert not queue.settle(lost, DEAD)
        assert not queue.beat(lost)
        assert row(queue).state == "running"
        assert queue.settle(held, IDLE)

    def test_a_beat_keeps_it(self, queue: Queue) -> None:
        queue.mark("m", "event")
        lease = take(queue, lease=0)
        assert queue.beat(lease)
        assert queue.claim() is None
        assert queue.settle(lease, IDLE)

    def test_an_interrupted_run_that_was_marked_is_one_more_run(self, queue: Queue) -> None:
        queue.mark("m", "event")
        take(queue, lease=0)
        queue.mark("m", "event")
        assert queue.settle(take(queue), IDLE)
        assert queue.claim() is None

    def test_an_event_starts_the_count_of_interrupted_runs_anew(self, queue: Queue) -> None:
        queue.mark("m", "event")
        take(queue, lease=0)
        take(queue, lease=0)
        queue.mark("m", "event")
        assert take(queue).attempt == 1

    def test_it_shows_as_queued_once_it_ran_out(self, queue: Queue) -> None:
        queue.mark("m", "event")
        take(queue, lease=0)
        assert row(queue).state == "queued"
        assert queue.next_due() == 0

    def test_a_released_run_counts_as_not_started(self, queue: Queue) -> None:
        queue.mark("m", "event")
        assert queue.settle(take(queue), Outcome("released", 0.0))
        assert take(queue).attempt == 1

    def test_a_key_is_never_taken_twice_at_once(self, queue: Queue, other: Queue) -> None:
        keys = {f"m{n}" for n in range(40)}
        for key in keys:
            queue.mark(key, "event")

        def drain(mine: Queue) -> list[str]:
            return [lease.key for lease in iter(mine.claim, None)]

        with ThreadPoolExecutor(8) as pool:
            taken = [key for part in pool.map(drain, [queue, other] * 4) for key in part]
        assert sorted(taken) == sorted(keys)


class TestOrphans:
    def test_the_only_worker_frees_what_the_dead_left(self, queue: Queue, other: Queue) -> None:
        queue.mark("m", "event")
        take(other)
        assert queue.claim() is None
        assert queue.release_orphans() == 1
        assert take(queue).attempt == 2

    def test_leases_of_the_living_stand(self, queue: Queue, other: Queue) -> None:
        assert other.release_orphans() == 0
        queue.mark("m", "event")
        lease = take(other)
        assert queue.release_orphans() == 0
        assert queue.claim() is None
        assert other.settle(lease, IDLE)

    def test_whoever_outlives_the_first_still_counts_as_living(
        self, path: Path, queue: Queue, other: Queue
    ) -> None:
        other.release_orphans()
        queue.release_orphans()
        other.close()
        queue.mark("m", "event")
        take(queue)
        third = Queue(path)
        assert third.release_orphans() == 0
        third.close()

    def test_a_second_call_frees_nothing(self, queue: Queue) -> None:
        queue.release_orphans()
        queue.mark("m", "event")
        take(queue)
        assert queue.release_orphans() == 0


class TestLater:
    def test_a_wait_is_not_due_yet(self, queue: Queue) -> None:
        ended(queue, LATER)
        assert row(queue).state == "waiting"
        assert queue.claim() is None
        due = queue.next_due()
        assert due is not None
        assert 0 < due <= 3600

    def test_a_wait_of_no_length_is_due(self, queue: Queue) -> None:
        ended(queue, Outcome("waiting", 0.0))
        assert take(queue).attempt == 1

    def test_retries_are_counted(self, queue: Queue) -> None:
        ended(queue, Outcome("retrying", 0.0, "busy"))
        lease = take(queue)
        assert lease.attempt == 2
        queue.settle(lease, Outcome("retrying", 0.0, "busy"))
        assert take(queue).attempt == 3

    @pytest.mark.parametrize("outcome", [LATER, RETRY, FAILED, DEAD], ids=lambda o: o.state)
    def test_an_event_overtakes_and_counts_anew(self, queue: Queue, outcome: Outcome) -> None:
        ended(queue, outcome)
        assert queue.claim() is None
        queue.mark("m", "event")
        assert take(queue).attempt == 1

    @pytest.mark.parametrize("outcome", [LATER, FAILED, DEAD], ids=lambda o: o.state)
    def test_a_resync_ends_a_wait_and_revives_the_dead(
        self, queue: Queue, outcome: Outcome
    ) -> None:
        ended(queue, outcome)
        queue.mark("m", "resync")
        assert take(queue).attempt == 1

    def test_a_wait_survives_a_restart_and_is_still_overtaken(
        self, path: Path, queue: Queue
    ) -> None:
        ended(queue, LATER)
        queue.close()
        again = Queue(path)
        again.release_orphans()
        assert again.claim() is None
        assert again.next_due() is not None
        again.mark("m", "event")
        assert take(again).attempt == 1
        again.close()

    def test_what_does_not_count_leaves_the_count(self, queue: Queue) -> None:
        ended(queue, Outcome("retrying", 0.0, "busy"))
        queue.settle(take(queue), Outcome("retrying", 0.0, "limited", counts=False))
        assert row(queue).last_error == "limited"
        assert take(queue).attempt == 2

    def test_only_known_keys_are_known(self, queue: Queue) -> None:
        queue.mark("m", "resync")
        assert queue.known(["m", "n"]) == ("m",)
        assert queue.known([]) == ()

    def test_a_resync_leaves_a_backoff_alone(self, queue: Queue) -> None:
        ended(queue, RETRY)
        queue.mark("m", "resync")
        assert queue.claim() is None
        assert row(queue).state == "retrying"

    def test_a_clock_that_was_set_back_does_not_hold_up_what_is_queued(
        self, path: Path, queue: Queue
    ) -> None:
        queue.mark("m", "event")
        with sqlite3.connect(path) as connection:
            connection.execute("UPDATE work SET due_at = due_at + 86400")
        connection.close()
        assert queue.claim() is not None


class TestErrors:
    @pytest.mark.parametrize("outcome", [RETRY, FAILED, DEAD], ids=lambda o: o.state)
    def test_an_error_is_kept_until_a_run_ends_well(self, queue: Queue, outcome: Outcome) -> None:
        ended(queue, outcome)
        assert row(queue).state == outcome.state
        assert row(queue).last_error == outcome.error
        queue.mark("m", "event")
        assert row(queue).last_error == outcome.error
        queue.settle(take(queue), IDLE)
        assert row(queue).last_error == ""

    def test_a_person_can_retry(self, queue: Queue) -> None:
        ended(queue, DEAD)
        assert queue.retry("m")
        assert take(queue).attempt == 1
        assert not queue.retry("unknown")

    def test_a_key_can_be_forgotten_unless_it_runs(self, queue: Queue) -> None:
        ended(queue, DEAD)
        assert queue.forget("m")
        assert queue.snapshot() == ()
        assert not queue.forget("m")
        queue.mark("m", "event")
        lease = take(queue)
        with pytest.raises(TerminalError, match="being worked on"):
            queue.forget("m")
        assert queue.settle(lease, IDLE)


class TestDeliveries:
    SEEN = Seen("d1", expires_at=600.0, now=0.0)

    def test_a_delivery_is_one_mark(self, queue: Queue) -> None:
        assert queue.mark("m", "event", delivery=self.SEEN)
        queue.settle(take(queue), IDLE)
        assert not queue.mark("m", "event", delivery=self.SEEN)
        assert queue.claim() is None

    def test_a_delivery_is_remembered_after_a_restart(self, path: Path) -> None:
        first = Queue(path)
        first.mark("m", "event", delivery=self.SEEN)
        first.close()
        second = Queue(path)
        assert not second.mark("m", "event", delivery=self.SEEN)
        assert second.claim() is not None
        second.close()

    def test_it_is_forgotten_only_when_its_timestamp_is_too_old(self, queue: Queue) -> None:
        queue.mark("m", "event", delivery=self.SEEN)
        assert not queue.mark("m", "event", delivery=Seen("d1", 1200.0, now=600.0))
        assert queue.mark("m", "event", delivery=Seen("d1", 1200.0, now=601.0))

    def test_of_many_copies_at_once_one_is_new(self, queue: Queue, other: Queue) -> None:
        ready = threading.Barrier(16)

        def mark(number: int) -> bool:
            ready.wait()
            mine = (queue, other)[number % 2]
            return mine.mark("m", "event", delivery=self.SEEN)

        with ThreadPoolExecutor(16) as pool:
            assert sum(pool.map(mark, range(16))) == 1


class TestBell:
    def test_a_mark_wakes_who_waits(self, queue: Queue) -> None:
        rings = queue.rings()
        thread = threading.Thread(target=queue.wait, args=(rings, 120.0))
        thread.start()
        queue.mark("m", "event")
        thread.join(60)
        assert not thread.is_alive()

    def test_a_mark_before_the_wait_is_not_missed(self, queue: Queue) -> None:
        rings = queue.rings()
        queue.mark("m", "event")
        queue.wait(rings, 250.0)
        assert queue.rings() != rings


class TestFile:
    def test_it_is_durable(self, path: Path, queue: Queue) -> None:
        with queue._engine.connect() as connection:
            assert connection.execute(text("PRAGMA journal_mode")).scalar() == "wal"
            assert connection.execute(text("PRAGMA synchronous")).scalar() == 2
            assert connection.execute(text("PRAGMA busy_timeout")).scalar() == 30_000

    def test_odd_characters_in_its_path(self, tmp_path: Path) -> None:
        queue = Queue(tmp_path / "a b?c=d#e%20" / "queue.db")
        queue.mark("m", "event")
        assert (tmp_path / "a b?c=d#e%20" / "queue.db").exists()
        queue.close()

    def test_a_damaged_file_is_told(self, tmp_path: Path) -> None:
        path = tmp_path / "queue.db"
        path.write_bytes(b"not a database, but long enough to be looked at" * 100)
        with pytest.raises(QueueError, match="not a database") as caught:
            Queue(path)
        assert caught.value.where == str(path)

    def test_a_folder_in_its_place_is_told(self, tmp_path: Path) -> None:
        with pytest.raises(QueueError, match="cannot be read or written"):
            Queue(tmp_path)

    def test_a_parent_that_is_a_file_is_told(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(TerminalError, match="cannot be made"):
            Queue(tmp_path / "file" / "queue.db")

    def test_a_newer_format_is_left_alone(self, tmp_path: Path) -> None:
        path = tmp_path / "queue.db"
        engine = create_engine(f"sqlite:///{path}")
        with engine.begin() as connection:
            connection.execute(text("PRAGMA user_version = 2"))
        engine.dispose()
        with pytest.raises(TerminalError, match="format 2"):
            Queue(path)

    def test_a_broken_file_is_told_when_it_breaks_later(self, path: Path, queue: Queue) -> None:
        queue.check()
        with sqlite3.connect(path) as connection:
            connection.execute("DROP TABLE probe")
        connection.close()
        with pytest.raises(QueueError, match="no such table"):
            queue.check()
