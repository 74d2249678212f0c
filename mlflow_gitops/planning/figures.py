"""Numbers as people read them. PURE."""

from __future__ import annotations

import math
from decimal import Decimal

__all__ = ["change_text", "number_text", "share_text", "size_text"]


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


def change_text(before: float, after: float) -> str:
    """The difference, in decimals as people write them; "" where there is none to tell."""
    if not (math.isfinite(before) and math.isfinite(after)) or before == after:
        return ""
    change = Decimal(repr(float(after))) - Decimal(repr(float(before)))
    return f"{'+' if change > 0 else ''}{number_text(float(change))}"


def share_text(before: float, after: float) -> str:
    """By how much of what it was, in percent; "" where it was nothing, or is the same."""
    if not before or before == after:
        return ""
    return f"{(after - before) / before * 100:+.1f}%"
