"""Which head an approval was given to, on forges that say only when it was given. PURE."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

__all__ = ["head_at", "utc"]


def head_at(versions: Iterable[tuple[str, str]], time: str) -> str:
    """Return the head at that time, "" before the first; `versions` are times and heads, oldest
    first, each time as `utc` gives it.
    """
    before = [head for at, head in versions if at <= time]
    return before[-1] if before else ""


def utc(text: object) -> str:
    """Return a forge's ISO 8601 time in UTC with milliseconds; "" for none."""
    if not text:
        return ""
    moment = datetime.fromisoformat(str(text)).astimezone(UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
