"""A pull request's text where the forge takes no text that long. PURE."""

from __future__ import annotations

import re

__all__ = ["shortened"]

MARK = re.compile(r"<!--\s*mlflow-gitops \{.*?-->", re.DOTALL)
CUT = "\n\n(cut here: the text was too long for the forge)\n\n"


def shortened(body: str, limit: int) -> str:
    """At most `limit` characters, with the last mark of `planning.marker` kept."""
    if len(body) <= limit:
        return body
    marks = list(MARK.finditer(body))
    start, mark = (marks[-1].start(), marks[-1][0]) if marks else (len(body), "")
    return body[:start][: limit - len(CUT) - len(mark)] + CUT + mark
