"""Foreign text in Markdown: the one place that makes names and texts of others safe to show. PURE.

Whatever the registry, Git or a forge says is shown as code, in which no forge looks for mentions,
links, references, emoji or HTML. Words that a forge acts on even there ("closes #1" in a merge
request, or once the text has become the message of a squashed commit) have a space in them, as
`messages.clean` puts it. No line of it begins with what is foreign: a bot reads commands there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from mlflow_gitops.planning.messages import clean, defused, exact

__all__ = ["block", "code", "exact_block", "folded", "link", "quote", "short_code", "table"]

LONGEST = 200
MOST = 10_000
SHOWN_HEX = 12
HEX = re.compile(r"(?<![0-9A-Za-z])[0-9a-f]{32,}(?![0-9A-Za-z])")
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


def short_code(text: str, limit: int, word: int) -> str:
    """Return code for a table's cell, which is as wide as its longest word.

    Of a digest or an id it shows the first digits, and of any other word with more than `word`
    characters both ends.
    """
    line = HEX.sub(lambda found: found[0][:SHOWN_HEX], clean(text, MOST))
    return code(" ".join(_ends(each, word) for each in line.split(" ")), limit)


def _ends(word: str, most: int) -> str:
    if len(word) <= most:
        return word
    end = (most - 3) // 2
    return f"{word[: most - 3 - end]}...{word[-end:]}"


def link(shown: str, url: str) -> str:
    """Let Markdown lead to an address of ours; it stays as it is where that is no web address."""
    return f"[{shown}](<{url}>)" if shown and WEB.fullmatch(url) else shown


def quote(text: str, limit: int) -> str:
    """Somebody's words as a quotation, which wraps on a narrow screen; nothing for nothing."""
    said = code(text, limit)
    return f"> {said}" if said else ""


def block(lines: Iterable[str], language: str) -> str:
    """Whole lines that each begin with a mark of ours, as a diff's do."""
    return _fenced([defused(line) for line in lines], language)


def exact_block(rows: Iterable[tuple[str, str]]) -> str:
    """Digests and addresses of ours, in which nothing is changed, each behind its name; nothing for
    nothing.
    """
    named = list(rows)
    if not named:
        return ""
    width = max(len(name) for name, _ in named)
    return _fenced([f"{name:{width}}  {exact(text)}" for name, text in named], "text")


def folded(name: str, text: str) -> str:
    """Markdown that is shown once somebody asks for it; `name` is plain text of ours."""
    return f"<details><summary>{name}</summary>\n\n{text}\n\n</details>"


def _fenced(lines: Sequence[str], language: str) -> str:
    fence = "`" * _more_than("\n".join(lines), 3)
    return "\n".join([f"{fence}{language}", *lines, fence])


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
