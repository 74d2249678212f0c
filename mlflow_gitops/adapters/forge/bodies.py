"""A pull request's text where the forge takes no text that long. PURE."""

from __future__ import annotations

import re

__all__ = ["shortened"]

START = re.compile(r"<!--\s*mlflow-gitops \{")
END = "-->"
CUT = "\n\n(cut here: the text was too long for the forge)\n\n"


def shortened(body: str, limit: int) -> str:
    """At most `limit` characters, with the last mark of `planning.marker` kept."""
    if len(body) <= limit:
        return body
    last = body.rfind(END)
    starts = [found.start() for found in START.finditer(body, 0, max(last, 0))]
    start = starts[-1] if starts else len(body)
    mark = body[start : body.find(END, start) + len(END)] if starts else ""
    return body[:start][: limit - len(CUT) - len(mark)] + CUT + mark
