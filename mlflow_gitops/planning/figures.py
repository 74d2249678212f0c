"""Numbers as people read them, the same in a gate, a commit status and a pull request. PURE."""

from __future__ import annotations

from collections.abc import Sequence, Set
from decimal import Decimal

__all__ = ["change_text", "number_text", "number_texts", "share_text", "size_text"]

DIGITS, EXACT = 6, 17  # no two floats are the same in 17 digits
WHOLE = 10**15  # below it, a float holds every whole number


def size_text(size: float) -> str:
    """Bytes, in the unit that fits."""
    for unit in ("bytes", "KB", "MB"):
        if size < 1000:
            return f"{size:.0f} bytes" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"


def number_text(number: float, digits: int = DIGITS) -> str:
    """Return one number in so many digits. Digits before the decimal point are never rounded."""
    if abs(number) < WHOLE and (float(number).is_integer() or abs(number) >= 10**digits):
        return str(round(number))
    return f"{number:.{digits}g}"


def number_texts(numbers: Sequence[float | None]) -> tuple[str, ...]:
    """Return the texts of numbers that people compare, "" for None. All have as many digits as it
    takes to tell those that differ from each other, and at least `DIGITS`.
    """
    known = {number for number in numbers if number is not None}
    digits = next((n for n in range(DIGITS, EXACT) if _differ(known, n)), EXACT)
    return tuple("" if number is None else number_text(number, digits) for number in numbers)


def _differ(numbers: Set[float], digits: int) -> bool:
    return len({number_text(number, digits) for number in numbers}) == len(numbers)


def change_text(before: str, after: str) -> str:
    """Return the difference of two shown numbers; "" where there is none."""
    if not before or not after:
        return ""
    was, now = Decimal(before), Decimal(after)
    if was == now or not (was.is_finite() and now.is_finite()):
        return ""
    return f"{'+' if now > was else ''}{number_text(float(now - was))}"


def share_text(before: float, after: float) -> str:
    """By how much of what it was, in percent; "" where it was nothing, or is the same."""
    if not before or before == after:
        return ""
    return f"{(after - before) / before * 100:+.1f}%"
