"""Git's trailers, read the way Git reads them. PURE.

Follows git-interpret-trailers(1): the last paragraph of a message that has more than one, if its
lines are `Key: value`; a Git-made line in it (`Signed-off-by`) lets other lines be among them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

__all__ = ["parse_trailers", "trailer_lines"]

TRAILER = re.compile(r"([A-Za-z0-9-]+)[ \t]*:(.*)", re.DOTALL)
GIT_MADE = ("Signed-off-by: ", "(cherry picked from commit ")
SPACES = " \t\n\r"


def parse_trailers(message: str) -> Mapping[str, str]:
    """The trailers of a commit message; the first value of a key wins."""
    found: dict[str, str] = {}
    for key, value in trailer_lines(message):
        found.setdefault(key, value)
    return found


def trailer_lines(message: str) -> Sequence[tuple[str, str]]:
    """Every trailer in order, as (key, value); a folded value is joined by its line ends."""
    block = _block(message.split("\n"))
    found: list[tuple[str, str]] = []
    for line in _unfolded(block):
        match = TRAILER.match(line)
        if match and not line.startswith("#"):
            found.append((match[1], match[2].strip(SPACES)))
    return found


def _unfolded(block: Sequence[str]) -> list[str]:
    lines: list[list[str]] = []
    for line in block:
        if lines and line[:1] and line[0] in SPACES:
            lines[-1].append(line)
        else:
            lines.append([line])
    return ["\n".join(parts) for parts in lines]


def _block(lines: Sequence[str]) -> Sequence[str]:
    """The lines of the last paragraph, if they are trailers; never those of the title."""
    end = len(lines)
    while end and (_blank(lines[end - 1]) or lines[end - 1].startswith("#")):
        end -= 1
    start = end
    while start and not _blank(lines[start - 1]):
        start -= 1
    if start <= _title_end(lines) or not _are_trailers(lines[start:end]):
        return ()
    return lines[start:end]


def _title_end(lines: Sequence[str]) -> int:
    """The index of the blank line that ends the first paragraph."""
    return next((i for i, line in enumerate(lines) if _blank(line)), len(lines))


def _are_trailers(block: Sequence[str]) -> bool:
    """All of them, or a quarter of them where one was made by Git."""
    trailers = others = folded = 0
    git_made = False
    for line in reversed(block):
        if line.startswith("#"):
            others, folded = others + folded, 0
        elif line.startswith(GIT_MADE):
            git_made = True
            trailers, folded = trailers + 1, 0
        elif line[0] in SPACES:
            folded += 1
        elif TRAILER.match(line):
            trailers, folded = trailers + 1, 0
        else:
            others, folded = others + folded + 1, 0
    others += folded
    return trailers * 3 >= others if git_made else bool(trailers) and not others


def _blank(line: str) -> bool:
    return not line.strip(SPACES)
