"""What another server says, made fit for an error of ours: one line, printable, short. PURE."""

from __future__ import annotations

__all__ = ["one_line"]

SHOWN = 400  # characters


def one_line(text: str) -> str:
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= SHOWN else f"{line[:SHOWN]}…"
