"""What was read of a branch's history, in one SQLite file. Implements `past.HistoryIndex`.

A cache: a file that is damaged or of another form is made again; one that cannot be written is
kept in memory. Every change is one transaction: a process that is killed leaves the last whole
state.
"""

from __future__ import annotations

import hashlib
import json
import logging
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import astuple
from pathlib import Path
from typing import Any, TypeVar

from mlflow_gitops.errors import TransientError
from mlflow_gitops.past import Merge, Standing, Touched
from mlflow_gitops.state import ServiceSpec

__all__ = ["SqliteIndex", "index_file"]

log = logging.getLogger(__name__)

FORM = 3
WAIT = 30.0  # seconds for another process that writes
TABLES = """
CREATE TABLE IF NOT EXISTS commits (position INTEGER PRIMARY KEY, hash TEXT NOT NULL,
  time INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS paths (id INTEGER PRIMARY KEY, path TEXT NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS touched (path INTEGER, position INTEGER, listed TEXT,
  PRIMARY KEY (path, position)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS touched_by ON touched (position);
CREATE TABLE IF NOT EXISTS standings (scope TEXT, service TEXT, position INTEGER, hash TEXT,
  said TEXT, PRIMARY KEY (scope, service, position)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS merges (hash TEXT PRIMARY KEY, said TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS marks (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
"""
LOW, ALL = "low", "all of "
"""Marks: where the known paths begin, and of which scopes every service was read."""

T = TypeVar("T")


def index_file(state_dir: Path, repository: str, branch: str) -> Path:
    """One for each branch; `repository` is its identity."""
    name = hashlib.sha256(f"{repository}\0{branch}".encode()).hexdigest()[:32]
    return state_dir / "history" / f"{name}.db"


class SqliteIndex:
    """For one thread."""

    def __init__(self, file: Path) -> None:
        self._file = file
        try:
            self._open()
        except (sqlite3.Error, OSError) as error:
            self._make_again(error)

    def __del__(self) -> None:
        with suppress(AttributeError, sqlite3.Error):
            self._base.close()

    def _open(self) -> None:
        self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._base = sqlite3.connect(self._file, timeout=WAIT, isolation_level=None)
        self._prepare()

    def _prepare(self) -> None:
        (form,) = self._base.execute("PRAGMA user_version").fetchone()
        if form not in (0, FORM):
            raise sqlite3.DatabaseError(f"the index has form {form}")
        self._base.execute("PRAGMA synchronous=NORMAL")
        if form == 0:
            self._base.execute("PRAGMA journal_mode=WAL")
            self._base.executescript(f"BEGIN IMMEDIATE;{TABLES};PRAGMA user_version={FORM};COMMIT;")
        self._base.execute("SELECT max(position) FROM commits").fetchone()

    def _make_again(self, error: Exception) -> None:
        log.info("the index of the history is made again: %s", error)
        with suppress(AttributeError, sqlite3.Error):
            self._base.close()
        try:
            if isinstance(error, sqlite3.DatabaseError) and not _is_busy(error):
                for suffix in ("", "-wal", "-shm"):
                    self._file.with_name(self._file.name + suffix).unlink(missing_ok=True)
            self._open()
        except (sqlite3.Error, OSError) as again:
            log.warning("the index of the history cannot be kept: %s", again)
            self._base = sqlite3.connect(":memory:", isolation_level=None)
            self._prepare()

    def _ask(self, question: Callable[[], T]) -> T:
        """Raises TransientError where the file proves damaged: half an index would tell half."""
        try:
            return question()
        except sqlite3.DatabaseError as error:
            self._make_again(error)
            raise TransientError(
                f"the index of the history cannot be read ({error})",
                where=str(self._file),
                hint="it is made again: run the command again",
            ) from None

    def _rows(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        return self._ask(lambda: self._base.execute(statement, values).fetchall())

    # The branch

    def end(self) -> tuple[int, str]:
        rows = self._rows("SELECT position, hash FROM commits ORDER BY position DESC LIMIT 1")
        return rows[0] if rows else (-1, "")

    def extend(self, commits: Iterable[Touched], keep: int) -> None:
        known = list(commits)
        self._ask(lambda: self._extend(known, keep))

    def _extend(self, commits: Sequence[Touched], keep: int) -> None:
        with self._change():
            self._forget_from(keep)
            self._set(LOW, min(self._low(), keep))
            if keep and not (commits and self._hash(keep - 1) == commits[0].parent):
                return  # another process was here: what it found is looked at again
            self._add_line([(each.commit, each.time) for each in commits], keep)
            self._add_paths(commits, keep)

    def restart(self, line: Sequence[tuple[str, int]], keep: int, last: str) -> None:
        self._ask(lambda: self._restart(line, keep, last))

    def _restart(self, line: Sequence[tuple[str, int]], keep: int, last: str) -> None:
        with self._change():
            newest = self._base.execute("SELECT hash FROM commits ORDER BY position DESC LIMIT 1")
            if (newest.fetchone() or ("",))[0] != last:
                return
            self._forget_from(keep)
            self._base.execute("DELETE FROM touched")
            self._add_line(line[keep:], keep)
            self._set(LOW, len(line))

    def deepen(self, commits: Sequence[Touched], first: int) -> None:
        self._ask(lambda: self._deepen(commits, first))

    def _deepen(self, commits: Sequence[Touched], first: int) -> None:
        with self._change():
            is_next = self._low() == first + len(commits)
            if is_next and commits and self._hash(first) == commits[0].commit:
                self._add_paths(commits, first)
                self._set(LOW, first)

    @contextmanager
    def _change(self) -> Iterator[None]:
        """One transaction."""
        self._base.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._base.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):
                self._base.execute("ROLLBACK")
            raise

    def _forget_from(self, position: int) -> None:
        for table in ("commits", "touched", "standings"):
            self._base.execute(f"DELETE FROM {table} WHERE position >= ?", (position,))  # noqa: S608

    def _hash(self, position: int) -> str:
        found = self._base.execute("SELECT hash FROM commits WHERE position = ?", (position,))
        return str((found.fetchone() or ("",))[0])

    def _add_line(self, commits: Sequence[tuple[str, int]], first: int) -> None:
        self._base.executemany(
            "INSERT INTO commits VALUES (?, ?, ?)",
            ((first + n, commit, time) for n, (commit, time) in enumerate(commits)),
        )

    def _add_paths(self, commits: Sequence[Touched], first: int) -> None:
        base = self._base
        ids = dict(base.execute("SELECT path, id FROM paths"))
        new = {path for each in commits for path in each.paths if path not in ids}
        base.executemany("INSERT INTO paths (path) VALUES (?)", ((p,) for p in sorted(new)))
        ids = dict(base.execute("SELECT path, id FROM paths"))
        base.executemany(
            "INSERT OR IGNORE INTO touched VALUES (?, ?, ?)",
            (
                (ids[path], first + n, _listed(each, path))
                for n, each in enumerate(commits)
                for path in each.paths
            ),
        )

    def _set(self, name: str, value: int) -> None:
        self._base.execute("INSERT OR REPLACE INTO marks VALUES (?, ?)", (name, value))

    def low(self) -> int:
        return self._ask(self._low)

    def _low(self) -> int:
        found = self._base.execute("SELECT value FROM marks WHERE name = ?", (LOW,)).fetchone()
        return int(found[0]) if found else 0

    def commits(self) -> Sequence[str]:
        return [row[0] for row in self._rows("SELECT hash FROM commits ORDER BY position")]

    def commit(self, position: int) -> str:
        rows = self._rows("SELECT hash FROM commits WHERE position = ?", position)
        return rows[0][0] if rows else ""

    def at_time(self, seconds: int) -> int:
        statement = "SELECT coalesce(max(position), -1) FROM commits WHERE time <= ?"
        return int(self._rows(statement, seconds)[0][0])

    def last_touch(self, paths: Iterable[str], until: int) -> int:
        wanted = tuple(paths)
        return self._ask(lambda: max((self._last(p, until, wanted) for p in wanted), default=-1))

    def _last(self, path: str, until: int, wanted: Sequence[str]) -> int:
        rows = self._base.execute(
            "SELECT position, listed FROM touched WHERE position <= ? "
            "AND path = (SELECT id FROM paths WHERE path = ?) ORDER BY position DESC",
            (until, path),
        )
        for position, listed in rows:
            if listed is None or _concerns(listed.split("\n"), wanted):
                return int(position)
        return -1

    def paths_at(self, position: int) -> Sequence[str]:
        statement = (
            "SELECT paths.path FROM touched JOIN paths ON paths.id = touched.path "
            "WHERE position = ? ORDER BY paths.path"
        )
        return [row[0] for row in self._rows(statement, position)]

    def paths_named(self, word: str) -> frozenset[str]:
        rows = self._rows("SELECT path FROM paths WHERE instr(path, ?)", word)
        return frozenset(row[0] for row in rows if _is_named(row[0], word))

    # What was read of services

    def standing(self, scope: str, service: str, until: int) -> tuple[int, Standing] | None:
        statement = (
            "SELECT position, said FROM standings JOIN commits USING (position, hash) "
            "WHERE scope = ? AND service = ? AND position <= ? ORDER BY position DESC LIMIT 1"
        )
        rows = self._rows(statement, scope, service, until)
        return (rows[0][0], _standing(rows[0][1])) if rows else None

    def keep(self, scope: str, position: int, commit: str, found: Mapping[str, Standing]) -> None:
        rows = [(scope, name, position, commit, _text(each)) for name, each in found.items()]
        self._keep("INSERT OR REPLACE INTO standings VALUES (?, ?, ?, ?, ?)", rows)

    def _keep(self, statement: str, rows: Sequence[tuple[object, ...]]) -> None:
        try:
            self._base.execute("BEGIN IMMEDIATE")
            self._base.executemany(statement, rows)
            self._base.execute("COMMIT")
        except sqlite3.Error as error:
            with suppress(sqlite3.Error):
                self._base.execute("ROLLBACK")
            log.warning("the index of the history cannot be written: %s", error)

    def services(self, scope: str) -> Iterator[str]:
        statement = (
            "SELECT DISTINCT service FROM standings WHERE scope = ? AND said NOT LIKE '[null%'"
        )
        return (row[0] for row in self._rows(statement, scope))

    def has_all(self, scope: str) -> bool:
        return bool(self._rows("SELECT 1 FROM marks WHERE name = ?", f"{ALL}{scope}"))

    def keep_all(self, scope: str) -> None:
        self._keep("INSERT OR REPLACE INTO marks VALUES (?, ?)", [(f"{ALL}{scope}", 1)])

    # What the forge said

    def merge(self, commit: str) -> Merge | None:
        rows = self._rows("SELECT said FROM merges WHERE hash = ?", commit)
        if not rows:
            return None
        reference, url, merger, approvers, earlier, *more = json.loads(rows[0][0])
        return Merge(reference, url, merger, tuple(approvers), tuple(earlier), *more)

    def keep_merge(self, commit: str, merge: Merge) -> None:
        said = json.dumps(astuple(merge))
        self._keep("INSERT OR REPLACE INTO merges VALUES (?, ?)", [(commit, said)])


def _listed(touched: Touched, path: str) -> str | None:
    listed = touched.listed.get(path)
    return None if listed is None else "\n".join(listed)


def _concerns(listed: Sequence[str], wanted: Sequence[str]) -> bool:
    return any(path == each or path.startswith(f"{each}/") for each in listed for path in wanted)


def _is_busy(error: sqlite3.DatabaseError) -> bool:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in (
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_READONLY,
    )


def _is_named(path: str, word: str) -> bool:
    parts = path.split("/")
    return word in parts or parts[-1].rpartition(".")[0] == word


def _text(standing: Standing) -> str:
    spec = standing.spec
    said = [spec.uri, spec.version, spec.rollout] if spec else None
    return json.dumps([said, standing.problem, sorted(standing.sources)])


def _standing(text: str) -> Standing:
    said, problem, sources = json.loads(text)
    return Standing(ServiceSpec(*said) if said else None, problem, frozenset(sources))
