"""Whether two lists of patterns (`*`, `?`, `[…]`) can take the same model. PURE."""

from __future__ import annotations

import re
from collections.abc import Iterable
from fnmatch import fnmatchcase
from functools import cache

__all__ = ["meet"]

_TOKEN = re.compile(r"\[!?\]?[^\]]*\]|.", re.DOTALL)


def meet(one: Iterable[str], two: Iterable[str]) -> bool:
    """Whether some name matches a pattern of each list."""
    others = tuple(two)
    return any(_meet(a, b) for a in one for b in others)


def _meet(one: str, two: str) -> bool:
    left, right = _TOKEN.findall(one), _TOKEN.findall(two)

    @cache
    def from_(i: int, j: int) -> bool:
        if i < len(left) and left[i] == "*":
            return from_(i + 1, j) or (j < len(right) and from_(i, j + 1))
        if j < len(right) and right[j] == "*":
            return from_(i, j + 1) or (i < len(left) and from_(i + 1, j))
        if i == len(left) or j == len(right):
            return i == len(left) and j == len(right)
        return _is_shared(left[i], right[j]) and from_(i + 1, j + 1)

    return from_(0, 0)


def _is_shared(one: str, two: str) -> bool:
    """Whether one character matches both; of two sets that is taken for granted."""
    if len(one) == 1 and one != "?":
        return fnmatchcase(one, two)
    if len(two) == 1 and two != "?":
        return fnmatchcase(two, one)
    return True
