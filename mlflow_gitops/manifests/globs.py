"""Matches paths against the globs of an Argo CD directory source, `include` and `exclude`.

The rules are those of gobwas/glob without separators, which Argo CD uses: `*` and `**` also match
`/`. Matching keeps a set of positions instead of backtracking, so no pattern takes long.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

__all__ = ["matches"]

MOST_DEPTH = 20


@dataclass(frozen=True, slots=True)
class _Any:
    """Any text, also none."""


@dataclass(frozen=True, slots=True)
class _One:
    """One character: any, one of `chars`, or none of them."""

    chars: frozenset[str] | None = None
    negated: bool = False
    low: str = ""
    high: str = ""

    def takes(self, char: str) -> bool:
        if self.low:
            return (self.low <= char <= self.high) != self.negated
        return self.chars is None or (char in self.chars) != self.negated


@dataclass(frozen=True, slots=True)
class _Either:
    options: tuple[tuple[_Token, ...], ...]


_Token = _Any | _One | _Either


class _BrokenError(Exception):
    """The pattern has no meaning, and matches nothing."""


def matches(pattern: str, path: str) -> bool:
    """Whether the whole path matches. A broken pattern matches nothing, as in Argo CD."""
    tokens = _compiled(pattern)
    return tokens is not None and len(path) in _ends(tokens, path, {0})


@lru_cache(maxsize=1024)
def _compiled(pattern: str) -> tuple[_Token, ...] | None:
    try:
        options, end = _options(pattern, 0, 0)
    except _BrokenError:
        return None
    return options[0] if end == len(pattern) else None


def _options(pattern: str, at: int, depth: int) -> tuple[list[tuple[_Token, ...]], int]:
    """The alternatives up to the closing brace, or the one of the whole pattern."""
    if depth > MOST_DEPTH:
        raise _BrokenError
    options: list[tuple[_Token, ...]] = []
    tokens: list[_Token] = []
    while at < len(pattern):
        char = pattern[at]
        at += 1
        if char == "*":
            tokens.append(_Any())
        elif char == "?":
            tokens.append(_One())
        elif char == "[":
            token, at = _class(pattern, at)
            tokens.append(token)
        elif char == "{":
            inner, at = _options(pattern, at, depth + 1)
            tokens.append(_Either(tuple(inner)))
        elif char == "," and depth:
            options.append(tuple(tokens))
            tokens = []
        elif char == "}" and depth:
            return [*options, tuple(tokens)], at
        else:
            if char == "\\" and at < len(pattern):
                char, at = pattern[at], at + 1
            tokens.append(_One(frozenset(char)))
    if depth:
        raise _BrokenError
    return [tuple(tokens)], at


def _class(pattern: str, at: int) -> tuple[_One, int]:
    """`[abc]`, `[a-z]`, and the same after `!`."""
    end = pattern.find("]", at)
    if end < 0:
        raise _BrokenError
    inner = pattern[at:end]
    negated = inner.startswith("!")
    inner = inner[negated:]
    if not inner:
        raise _BrokenError
    if len(inner) == 3 and inner[1] == "-":
        return _One(negated=negated, low=inner[0], high=inner[2]), end + 1
    return _One(frozenset(inner), negated), end + 1


def _ends(tokens: Iterable[_Token], text: str, starts: set[int]) -> set[int]:
    """Where a match that begins at one of the starts can end."""
    for token in tokens:
        if not starts:
            break
        if isinstance(token, _Any):
            starts = set(range(min(starts), len(text) + 1))
        elif isinstance(token, _One):
            starts = {i + 1 for i in starts if i < len(text) and token.takes(text[i])}
        else:
            starts = {end for option in token.options for end in _ends(option, text, starts)}
    return starts
