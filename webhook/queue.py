"""The embedded queue: a table of dirty keys in SQLite, one row for each key.

The contract: a key that was marked is worked on at least once after the mark, by one run at a
time; a mark during a run causes exactly one more run; nothing is lost when a process dies. What a
run means is not known here, and nothing is retried here: see `policy` and `worker`.
"""

from __future__ import annotations

import fcntl
import math
import os
import threading
import time
import uuid
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from sqlalchemy import Connection, RowMapping, case, delete, func, select, update
from sqlalchemy.dialects.sqlite import insert as upsert

from mlflow_gitops import TerminalError
from webhook import statements as sql
from webhook.policy import Outcome
from webhook.schema import QueueError, deliveries, now, open_engine, probe, reading, work, writing

__all__ = ["Lease", "Queue", "Reason", "Row", "Seen"]

Reason = Literal["event", "resync"]
HASTY_SECONDS = 0.8


@dataclass(frozen=True, slots=True)
class Seen:
    """A delivery to remember until `expires_at`; what expired before `now` is forgotten.

    Both are seconds since the epoch by the clock that judges timestamps, not the database's.
    """

    id: str
    expires_at: float
    now: float


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to work on a key for a while. `found`: only a resync saw that there is work."""

    key: str
    token: str
    gen: int
    attempt: int
    reason: Reason
    detail: str
    found: bool


@dataclass(frozen=True, slots=True)
class Row:
    """What is known of a key. Times are seconds since the epoch, None where never.

    `state` is idle, queued, running, waiting, retrying, failed (a person must change something)
    or dead (retried too often).
    """

    key: str
    state: str
    reason: str
    detail: str
    attempts: int
    last_error: str
    due_at: float | None
    marked_at: float | None
    started_at: float | None
    settled_at: float | None


@dataclass
class Queue:
    """The queue in the SQLite file at `path`. Safe to share between threads and processes.

    `lease` is how many seconds a run's key is kept from others after its last sign of life.
    """

    path: Path
    lease: float = 60.0
    _bell: threading.Condition = field(default_factory=threading.Condition, init=False)
    _rings: int = field(default=0, init=False)
    _presence: int | None = field(default=None, init=False)
    _turn: threading.Lock = field(default_factory=threading.Lock, init=False)

    def __post_init__(self) -> None:
        self._engine = open_engine(self.path)
        self._hasty = open_engine(self.path, HASTY_SECONDS)
        self._refused_at = -math.inf

    def close(self) -> None:
        self._engine.dispose()
        self._hasty.dispose()
        if self._presence is not None:
            os.close(self._presence)
            self._presence = None

    # Asking for work

    def mark(
        self, key: str, reason: Reason, *, detail: str = "", delivery: Seen | None = None
    ) -> bool:
        """Durably ask for a run of `key`. False if `delivery` was seen before: nothing is done.

        An event overtakes a wait or a backoff, and starts the count of attempts anew. A resync
        ends a wait and revives what failed, but leaves a backoff alone.

        Whoever sent an event waits for the answer and can send it again, so an event does not wait
        for long where another process keeps the file locked. Raises QueueError.
        """
        with self._answering() if reason == "event" else self._writing() as connection:
            if delivery is not None:
                gone = deliveries.c.expires_at < delivery.now
                connection.execute(delete(deliveries).where(gone))
                row = {"id": delivery.id, "expires_at": delivery.expires_at}
                added = upsert(deliveries).values(row).on_conflict_do_nothing()
                if connection.execute(added).rowcount == 0:
                    return False
            marked = sql.event if reason == "event" else sql.resync
            connection.execute(marked(key, detail))
        self.ring()
        return True

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        """A transaction. Threads of this process take turns: SQLite would let them poll."""
        with self._turn, writing(self._engine) as connection:
            yield connection

    @contextmanager
    def _answering(self) -> Iterator[Connection]:
        """A transaction for somebody who waits. Just after one that got no lock, others are
        refused at once, so that they do not fill the threads.
        """
        if time.monotonic() - self._refused_at < HASTY_SECONDS:
            raise self._locked()
        if not self._turn.acquire(timeout=HASTY_SECONDS):
            self._refused_at = time.monotonic()
            raise self._locked()
        try:
            with writing(self._hasty) as connection:
                yield connection
        except QueueError as error:
            if "locked" in error.what:
                self._refused_at = time.monotonic()
            raise
        finally:
            self._turn.release()

    def _locked(self) -> QueueError:
        return QueueError(
            "the queue's file is locked by another process",
            where=str(self.path),
            hint="send it again soon; look for what else has the file open",
        )

    def mark_found(self, keys: Collection[str]) -> None:
        """Ask for a run of each, as a resync that found them does."""
        with self._writing() as connection:
            for key in keys:
                connection.execute(sql.resync(key, "found by the resync"))
        self.ring()

    def known(self, keys: Collection[str]) -> tuple[str, ...]:
        """Those that were ever marked, by name."""
        query = select(work.c.key).where(work.c.key.in_(keys)).order_by(work.c.key)
        with reading(self._engine) as connection:
            return tuple(connection.execute(query).scalars())

    def retry(self, key: str) -> bool:
        """Run a known key now, whatever became of it. False where there is no such key."""
        with self._writing() as connection:
            known = connection.execute(select(work.c.key).where(work.c.key == key)).first()
            if known is None:
                return False
            connection.execute(sql.event(key, "asked for by a person"))
        self.ring()
        return True

    def forget(self, key: str) -> bool:
        """Drop a key and its errors. False where there is none; TerminalError while it runs."""
        with self._writing() as connection:
            idle = delete(work).where(work.c.key == key, sql.not_leased())
            if connection.execute(idle).rowcount:
                return True
            if connection.execute(select(work.c.key).where(work.c.key == key)).first() is None:
                return False
        raise TerminalError("it is being worked on", where=key, hint="try again when the run ended")

    # Working

    def claim(self, *, lease: float | None = None, events_only: bool = False) -> Lease | None:
        """The next due key, for `lease` seconds (default: the queue's), or None."""
        return next(iter(self.claim_many(1, lease=lease, events_only=events_only)), None)

    def claim_many(
        self, most: int, *, lease: float | None = None, events_only: bool = False
    ) -> tuple[Lease, ...]:
        """The next due keys, to be worked on together; none where nothing is due.

        A key whose last run never ended comes alone.
        """
        due = sql.due(events_only=events_only)
        with reading(self._engine) as connection:
            if connection.execute(select(work.c.key).where(due).limit(1)).first() is None:
                return ()
        token = uuid.uuid4().hex
        seconds = self.lease if lease is None else lease
        with self._writing() as connection:
            ready = select(work.c.key, sql.sociable()).where(due).order_by(*sql.in_turn())
            first = connection.execute(ready.limit(1)).first()
            keys = [first[0]] if first else []
            if first and first[1] and most > 1:
                keys = list(connection.execute(ready.where(sql.sociable()).limit(most)).scalars())
            rows = connection.execute(sql.claim(keys, token, seconds)).mappings().all()
        leases = (_lease(row, token) for row in rows)
        return tuple(sorted(leases, key=lambda each: keys.index(each.key)))

    def beat(self, lease: Lease) -> bool:
        """A sign of life; False if the lease was lost to another worker."""
        return self._update(lease, {"lease_until": now() + self.lease})

    def settle(self, lease: Lease, outcome: Outcome) -> bool:
        """End a run; False if the lease was lost: then whoever has it now decides.

        If the key was marked in the meantime it is due at once, whatever the outcome.
        """
        held = self._update(lease, sql.settled(lease.gen, outcome))
        self.ring()
        return held

    def _update(self, lease: Lease, values: dict[str, Any]) -> bool:
        held = update(work).where(sql.held(lease.key, lease.token)).values(values)
        with self._writing() as connection:
            return connection.execute(held).rowcount == 1

    def release_orphans(self) -> int:
        """Free the leases that dead processes left, if no other worker process lives; how many.

        Call once before working. A lock on a file beside the database says who lives: the kernel
        drops it however a process ends, so a restart need not wait for leases to run out.
        """
        if self._presence is not None:
            return 0
        presence = self._presence = _open_lock(Path(f"{self.path}.workers"))
        try:
            fcntl.flock(presence, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            fcntl.flock(presence, fcntl.LOCK_SH)
            return 0
        try:
            with self._writing() as connection:
                orphans = update(work).where(work.c.token.is_not(None))
                free = orphans.values(state="queued", token=None, lease_until=None)
                return int(connection.execute(free).rowcount)
        finally:
            fcntl.flock(presence, fcntl.LOCK_SH)

    # Waiting and looking

    def ring(self) -> None:
        """Wake a waiting thread of this process."""
        with self._bell:
            self._rings += 1
            self._bell.notify()

    def rings(self) -> int:
        """How often it rang: read before looking for work, to miss nothing in between."""
        with self._bell:
            return self._rings

    def wait(self, rings: int, seconds: float) -> None:
        """Return once it rang after `rings` was read, or after `seconds`."""
        with self._bell:
            self._bell.wait_for(lambda: self._rings != rings, seconds)

    def next_due(self, *, events_only: bool = False) -> float | None:
        """Seconds until a key is due or a lease runs out; None where nothing is to come."""
        soonest = select(func.min(sql.due_at()) - now()).where(sql.dirty(events_only=events_only))
        with reading(self._engine) as connection:
            seconds = connection.execute(soonest).scalar_one_or_none()
        return None if seconds is None else max(0.0, float(seconds))

    def snapshot(self) -> tuple[Row, ...]:
        """Every key, by name."""
        over = (work.c.state == "running") & (work.c.lease_until <= now())
        state = case((over, "queued"), else_=work.c.state).label("state")
        names = [name for name in Row.__dataclass_fields__ if name != "state"]
        query = select(state, *(work.c[name] for name in names)).order_by(work.c.key)
        with reading(self._engine) as connection:
            return tuple(Row(**row) for row in connection.execute(query).mappings())

    def check(self) -> None:
        """Write to the disk. Raises QueueError where that fails."""
        row = upsert(probe).values(id=1, at=now())
        with self._answering() as connection:
            connection.execute(row.on_conflict_do_update(index_elements=["id"], set_={"at": now()}))


def _open_lock(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise QueueError(
            f"the lock beside the queue cannot be opened: {error.strerror}",
            where=str(path),
            hint="let this user write to the state directory",
        ) from error


def _lease(row: RowMapping, token: str) -> Lease:
    return Lease(
        key=row["key"],
        token=token,
        gen=row["gen"],
        attempt=row["attempts"],
        reason=row["reason"],
        detail=row["detail"],
        found=bool(row["found"]) and row["attempts"] == 1,
    )
