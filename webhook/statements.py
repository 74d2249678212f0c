"""The queue's statements: what a mark, a claim and the end of a run do to a row, as SQL values.

Nothing is executed here. Every time is the database's clock inside the statement: a time computed
before the write lock was granted would hand out leases that have run out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Double, and_, case, func, not_, or_, true, update
from sqlalchemy.dialects.sqlite import insert as upsert
from sqlalchemy.sql.elements import ColumnElement

from webhook.policy import UNFORESEEN, Outcome
from webhook.schema import now, work

__all__ = [
    "claim",
    "dirty",
    "due",
    "due_at",
    "event",
    "held",
    "in_turn",
    "not_leased",
    "resync",
    "settled",
    "sociable",
]

CLEAN: Final = ("idle", "failed", "dead")


def event(key: str, detail: str) -> Any:
    running = work.c.state == "running"
    sooner = func.min(func.coalesce(work.c.due_at, now()), now())
    return _marked(key, "event", detail).on_conflict_do_update(
        index_elements=["key"],
        set_={
            "gen": work.c.gen + 1,
            "state": case((running, work.c.state), else_="queued"),
            "due_at": case((running, work.c.due_at), else_=sooner),
            "reason": "event",
            "detail": detail,
            "attempts": 0,
            "found": 0,
            "marked_at": now(),
        },
    )


def resync(key: str, detail: str) -> Any:
    clean, waiting = work.c.state.in_(CLEAN), work.c.state == "waiting"
    anew = or_(clean, waiting)
    row = _marked(key, "resync", detail)
    return row.on_conflict_do_update(
        index_elements=["key"],
        set_={
            "gen": work.c.gen + 1,
            "state": case((anew, "queued"), else_=work.c.state),
            "due_at": case((anew, now()), else_=work.c.due_at),
            "reason": case((clean, "resync"), else_=work.c.reason),
            "detail": case((clean, detail), else_=work.c.detail),
            "attempts": case((anew, 0), else_=work.c.attempts),
            "found": case((work.c.state == "idle", 1), else_=work.c.found),
            "marked_at": now(),
        },
    )


def _marked(key: str, reason: str, detail: str) -> Any:
    return upsert(work).values(
        key=key,
        state="queued",
        reason=reason,
        detail=detail,
        found=int(reason == "resync"),
        due_at=now(),
        marked_at=now(),
    )


def settled(gen: int, outcome: Outcome) -> dict[str, Any]:
    again = work.c.gen != gen
    released = outcome.state == "released"
    due_at = None if outcome.after is None else now() + outcome.after
    state: str = outcome.state
    if released:
        state = "waiting" if outcome.after else "queued"
    uncounted = released or not outcome.counts
    attempts: Any = work.c.attempts - 1 if uncounted else work.c.attempts
    if outcome.state in ("idle", "waiting"):
        attempts = 0
    return {
        "state": case((again, "queued"), else_=state),
        "due_at": case((again, now()), else_=due_at),
        "attempts": case((again, 0), else_=attempts),
        "found": work.c.found if released else 0,
        "last_error": work.c.last_error if released else outcome.error,
        "token": None,
        "lease_until": None,
        "settled_at": now(),
    }


def not_leased() -> ColumnElement[bool]:
    return or_(work.c.lease_until.is_(None), work.c.lease_until <= now())


def dirty(*, events_only: bool = False) -> ColumnElement[bool]:
    asked = work.c.reason == "event" if events_only else true()
    return and_(work.c.due_at.is_not(None), asked)


def due_at() -> ColumnElement[float]:
    """When a dirty row may be taken. What is queued may be at once, even if the clock was set."""
    at = case((work.c.state.in_(("queued", "running")), 0.0), else_=work.c.due_at)
    return func.max(at, func.coalesce(work.c.lease_until, 0.0), type_=Double)


def due(*, events_only: bool = False) -> ColumnElement[bool]:
    return and_(dirty(events_only=events_only), due_at() <= now())


def in_turn() -> tuple[Any, ...]:
    """What an event asked for goes before what a resync found."""
    return (work.c.reason == "resync", work.c.due_at, work.c.key)


def sociable() -> ColumnElement[bool]:
    """Whether a row may be worked on together with others.

    Not one whose last run never ended, or ended in a surprise: it may be what took the others down.
    """
    foreseen = not_(work.c.last_error.startswith(UNFORESEEN))
    return or_(work.c.attempts == 0, and_(work.c.state == "retrying", foreseen))


def claim(keys: Sequence[str], token: str, lease: float) -> Any:
    return (
        update(work)
        .where(work.c.key.in_(keys))
        .values(
            state="running",
            token=token,
            lease_until=now() + lease,
            started_at=now(),
            attempts=work.c.attempts + 1,
        )
        .returning(work)
    )


def held(key: str, token: str) -> ColumnElement[bool]:
    return and_(work.c.key == key, work.c.token == token)
