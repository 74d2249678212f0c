"""A pull request's text where the forge takes no text that long. PURE."""

from __future__ import annotations

import re

__all__ = ["plain", "shortened"]

START = re.compile(r"<!--\s*mlflow-gitops \{")
END = "-->"
FOLDS = "\n\n</details>"
LONGEST_LINE = 1_000  # characters; a longer one is cut
CUT = "\n\n(cut here: the text was too long for the forge)\n\n"


def plain(text: str) -> str:
    """Return it as forges keep it: people's browsers write other line ends."""
    return text.replace("\r\n", "\n").strip()


def shortened(body: str, limit: int) -> str:
    """At most `limit` characters, with the last mark of `planning.marker` kept."""
    if len(body) <= limit:
        return body
    last = body.rfind(END)
    starts = [found.start() for found in START.finditer(body, 0, max(last, 0))]
    start = starts[-1] if starts else len(body)
    mark = body[start : body.find(END, start) + len(END)] if starts else ""
    room = limit - len(CUT) - len(mark)
    text = body[:start]
    return (text if len(text) <= room else _whole_lines(text, room)) + CUT + mark


def _whole_lines(text: str, room: int) -> str:
    """At most `room` characters; no folded part stays open, or it would hide what follows."""
    text = text[: room - len(FOLDS)]
    lines, newline, _ = text.rpartition("\n")
    text = lines if newline and len(text) - len(lines) < LONGEST_LINE else text
    is_open = text.rfind("<details") > text.rfind("</details>")
    return f"{text}{FOLDS}" if is_open else text
