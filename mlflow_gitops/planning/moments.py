"""Times that people type: ISO 8601, a date alone, or `2 days ago`. PURE."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from mlflow_gitops.errors import RequestError

__all__ = ["moment"]

DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
TIME = re.compile(
    r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)?(Z|[+-]\d{2}:?\d{2})?",
    re.IGNORECASE | re.ASCII,
)
AGO = re.compile(r"(\d{1,5}) (minute|hour|day|week)s? ago", re.ASCII)


def moment(text: str, now: datetime, *, option: str, end_of_day: bool = False) -> datetime:
    """In UTC, which is meant where no zone is given. Raises RequestError.

    A date alone is its first moment, with `end_of_day` its last.
    """
    words = text.strip()
    ago = AGO.fullmatch(words)
    try:
        if ago:
            return now - timedelta(**{f"{ago[2]}s": int(ago[1])})
        if DATE.fullmatch(words):
            day = datetime.fromisoformat(words).replace(tzinfo=UTC)
            return day + timedelta(days=1, microseconds=-1) if end_of_day else day
        if TIME.fullmatch(words):
            found = datetime.fromisoformat(words.upper().replace(" ", "T"))
            return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    shown = "".join(c if c.isprintable() else "?" for c in text)[:60]
    raise RequestError(
        f"`{shown}` is no time",
        where=option,
        hint="write it as 2026-11-23, 2026-11-23T14:30 (UTC), 2026-11-23T14:30:00+01:00, or "
        "`2 days ago`",
    )
