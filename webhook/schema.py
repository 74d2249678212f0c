"""The queue's tables and its SQLite file: what is stored, and how it is made durable.

Every transaction that writes takes SQLite's write lock first, so that the clock which a statement
reads is that of a moment when nobody else writes.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from sqlalchemy import (
    URL,
    Column,
    Connection,
    Double,
    Engine,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    create_engine,
    event,
    func,
)
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.sql.elements import ColumnElement

from mlflow_gitops import TerminalError, TransientError

__all__ = ["QueueError", "deliveries", "now", "open_engine", "probe", "reading", "work", "writing"]

VERSION: Final = 1
BUSY_SECONDS: Final = 30.0

metadata = MetaData()

# One row for each key. `due_at` NULL means clean. `gen` counts marks, so that a mark during a run
# is told from the one that started it. Times are seconds since the epoch, by the database's clock.
work = Table(
    "work",
    metadata,
    Column("key", Text, primary_key=True),
    Column("state", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("detail", Text, nullable=False, default=""),
    Column("gen", Integer, nullable=False, default=1),
    Column("attempts", Integer, nullable=False, default=0),
    Column("found", Integer, nullable=False, default=0),
    Column("due_at", Double),
    Column("token", Text),
    Column("lease_until", Double),
    Column("last_error", Text, nullable=False, default=""),
    Column("marked_at", Double),
    Column("started_at", Double),
    Column("settled_at", Double),
)
Index("work_due", work.c.due_at)

# Ids of deliveries that were accepted, kept for as long as their timestamp would be.
deliveries = Table(
    "deliveries",
    metadata,
    Column("id", Text, primary_key=True),
    Column("expires_at", Double, nullable=False, index=True),
)

# A row that readiness checks write to.
probe = Table("probe", metadata, Column("id", Integer, primary_key=True), Column("at", Double))


class QueueError(TransientError):
    """The queue's file cannot be read or written at the moment."""


def now() -> ColumnElement[float]:
    """The database's clock, inside the statement: seconds since the epoch."""
    return (func.julianday("now", type_=Double) - 2440587.5) * 86400.0


def open_engine(path: Path, busy: float = BUSY_SECONDS) -> Engine:
    """The database at `path`, made where it is missing; `busy` is how many seconds a transaction
    waits for another's lock. Raises QueueError or TerminalError.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not path.exists():
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise TerminalError(
            f"the file of the queue cannot be made: {error.strerror}",
            where=str(path),
            hint="choose a state directory that this user may write to",
        ) from error
    engine = create_engine(
        URL.create("sqlite", database=str(path)),
        connect_args={"timeout": busy},
        pool_size=16,
        max_overflow=-1,
    )
    event.listen(engine, "connect", _configure)
    event.listen(engine, "begin", _begin)
    try:
        with writing(engine) as connection:
            _migrate(connection, path)
    except BaseException:
        engine.dispose()
        raise
    return engine


def _configure(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # transactions begin where _begin says, not by themselves
    for pragma in ("journal_mode=WAL", "synchronous=FULL"):
        connection.execute(f"PRAGMA {pragma}").close()


def _begin(connection: Connection) -> None:
    read_only = connection.get_execution_options().get("read_only", False)
    connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")


def _migrate(connection: Connection, path: Path) -> None:
    found = int(connection.exec_driver_sql("PRAGMA user_version").scalar_one())
    if found > VERSION:
        raise TerminalError(
            f"the queue has format {found}, this release reads up to {VERSION}",
            where=str(path),
            hint="run the release that wrote it, or move the file away: a resync fills a new one",
        )
    metadata.create_all(connection)
    connection.exec_driver_sql(f"PRAGMA user_version = {VERSION}")


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """A durable transaction that holds the write lock from its begin on."""
    with _failures(engine), engine.begin() as connection:
        yield connection


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """A consistent view that waits for no writer."""
    with _failures(engine), engine.connect() as plain:
        connection = plain.execution_options(read_only=True)
        with connection.begin():
            yield connection


@contextmanager
def _failures(engine: Engine) -> Iterator[None]:
    try:
        yield
    except (SQLAlchemyError, sqlite3.Error) as error:
        cause = getattr(error, "orig", None) or error
        raise QueueError(
            f"the queue cannot be read or written: {cause}",
            where=str(engine.url.database),
            hint="look at the disk: its space, its permissions, whether the file is damaged",
        ) from error
