"""Numbers as people read them. PURE."""

from __future__ import annotations

import math
from decimal import Decimal

__all__ = ["change_text", "number_text", "pair_texts", "share_text", "size_text"]

DIGITS = 6


def size_text(size: float) -> str:
    """Bytes, in the unit that fits."""
    for unit in ("bytes", "KB", "MB"):
        if size < 1000:
            return f"{size:.0f} bytes" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"


def number_text(number: float) -> str:
    """Every digit that it takes to tell it from the next number."""
    return repr(float(number)).removesuffix(".0")


def pair_texts(before: float | None, after: float | None) -> tuple[str, str]:
    """Two numbers side by side, "" for none: short, unless two that differ would look the same."""
    short = [_short(number) for number in (before, after)]
    if before != after and short[0] == short[1]:
        short = ["" if number is None else number_text(number) for number in (before, after)]
    return short[0], short[1]


def _short(number: float | None) -> str:
    return "" if number is None else f"{number:.{DIGITS}g}"


def change_text(before: float | None, after: float | None) -> str:
    """The difference, in decimals as people write them; "" where there is none to tell."""
    if before is None or after is None or before == after:
        return ""
    if not (math.isfinite(before) and math.isfinite(after)):
        return ""
    change = Decimal(repr(float(after))) - Decimal(repr(float(before)))
    return f"{'+' if change > 0 else ''}{_short(float(change))}"


def share_text(before: float, after: float) -> str:
    """By how much of what it was, in percent; "" where it was nothing, or is the same."""
    if not before or before == after:
        return ""
    return f"{(after - before) / before * 100:+.1f}%"
