"""Remembers whom not to ask for a review again, so that no look at a pull request repeats it.

Forges refuse users who may not read the repository, some keep one reviewer only, and the review of
one member ends what was asked of a team.
"""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["NotAgain"]


@dataclass(frozen=True, slots=True)
class NotAgain:
    """Lives as long as the process: another one tries once more."""

    _names: dict[int, set[str]] = field(default_factory=dict)

    def add(self, number: int, reviewer: str) -> None:
        self._names.setdefault(number, set()).add(reviewer)

    def of(self, number: int) -> tuple[str, ...]:
        return tuple(sorted(self._names.get(number, ())))
