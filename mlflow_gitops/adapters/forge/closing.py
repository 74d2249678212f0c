"""What was said when a pull request was closed: the same question on every forge. PURE."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

__all__ = ["Comment", "closing_comment", "said_since", "was_said"]

NEAR = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Comment:
    """`time` is ISO 8601, as the forge gives it."""

    by: str
    time: str
    text: str


def closing_comment(comments: Iterable[Comment], by: str, time: str) -> str:
    """The last words of whoever closed it, where they were said near the closing; else ""."""
    if not (by and time):
        return ""
    closed = datetime.fromisoformat(time)
    near = [
        comment.text
        for comment in sorted(comments, key=lambda each: datetime.fromisoformat(each.time))
        if comment.by == by and abs(datetime.fromisoformat(comment.time) - closed) <= NEAR
    ]
    return near[-1] if near else ""


def said_since(time: str) -> str:
    """From when on what was said counts as said at a closing then; ISO 8601 in UTC."""
    return (datetime.fromisoformat(time) - NEAR).isoformat().replace("+00:00", "Z")


def was_said(comment: str, texts: Iterable[str]) -> bool:
    """Return whether a comment is there already: its answer may have been lost."""
    return "".join(comment.split()) in {"".join(text.split()) for text in texts}
