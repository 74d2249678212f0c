"""Foreign text in Markdown: the one place that makes names and texts of others safe to show. PURE.

Whatever the registry, Git or a forge says is shown as code, in which no forge looks for mentions,
links, references, emoji or HTML. Words that a forge acts on even there ("closes #1" in a merge
request, or once the text has become the message of a squashed commit) have a space in them, as
`messages.clean` puts it. No line of it begins with what is foreign: a bot reads commands there.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Sequence

from mlflow_gitops.planning.messages import clean, defused, exact

__all__ = ["block", "code", "exact_code", "link", "quote", "table"]

LONGEST = 200
WIDTH = 76
WEB = re.compile(r"https?://[A-Za-z0-9.:\[\]-]+(/[A-Za-z0-9_.~/#%=?-]*)?")
TICKS = re.compile(r"`+")


def code(text: str, limit: int = LONGEST) -> str:
    """One line of code, for a sentence or a table's cell; nothing for nothing."""
    return _ticked(clean(text, limit))


def _ticked(line: str) -> str:
    if not line:
        return ""
    ticks = "`" * _more_than(line, 1)
    pad = " " if line.startswith("`") or line.endswith("`") else ""
    return f"{ticks}{pad}{line}{pad}{ticks}"


def exact_code(text: str) -> str:
    """The same for a digest or an address of ours, in which nothing is changed."""
    return _ticked(exact(text))


def link(text: str, url: str) -> str:
    """Code that leads to an address of ours; only the code where that is no plain web address."""
    return f"[{code(text)}](<{url}>)" if WEB.fullmatch(url) else code(text)


def quote(text: str, limit: int) -> str:
    """Somebody's words, wrapped, in a quotation."""
    lines = textwrap.wrap(clean(text, limit), WIDTH, break_on_hyphens=False)
    fence = "`" * _more_than("\n".join(lines), 3)
    return "\n".join(f"> {line}" for line in [f"{fence}text", *lines, fence])


def block(lines: Iterable[str], language: str) -> str:
    """Whole lines that each begin with a mark of ours, as a diff's do."""
    shown = [defused(line) for line in lines]
    fence = "`" * _more_than("\n".join(shown), 3)
    return "\n".join([f"{fence}{language}", *shown, fence])


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Cells are Markdown already. A bar would end one, also inside of code."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(map(_cell, line))} |" for line in lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _more_than(text: str, least: int) -> int:
    """Longer than every run of backticks inside."""
    longest = max((len(run) for run in TICKS.findall(text)), default=0)
    return max(least, longest + 1)
