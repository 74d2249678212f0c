"""How a setting and an environment variable are described, and the tables of docs/settings.md.

The rows are in `reference_settings` and `reference_variables`: the one place for both. The parsers
take their keys, bounds and defaults from there, and a test compares the document with them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

__all__ = ["Setting", "Variable", "settings_table", "variables_table"]


@dataclass(frozen=True, slots=True)
class Setting:
    """A key of `mlflow-gitops.yaml`; `<…>` stands for a name that people choose.

    `default` is None for a key that has to be there.
    """

    key: str
    form: str
    default: str | None
    meaning: str
    why: str = ""

    @property
    def required(self) -> bool:
        return self.default is None


@dataclass(frozen=True, slots=True)
class Variable:
    """An environment variable. `bounds` are those of a whole number, both allowed."""

    name: str
    form: str
    default: str
    meaning: str
    why: str = ""
    bounds: tuple[int, int] = (0, 0)

    @property
    def allowed(self) -> str:
        low, high = self.bounds
        return f"{self.form}, {low} to {high}" if high else self.form


def settings_table(rows: Iterable[Setting]) -> str:
    return _table(
        ("key", "allowed", "default", "meaning", "why this default"),
        ((f"`{r.key}`", r.form, _default(r.default), r.meaning, r.why) for r in rows),
    )


def variables_table(rows: Iterable[Variable]) -> str:
    return _table(
        ("variable", "allowed", "default", "meaning", "why this default"),
        ((f"`{r.name}`", r.allowed, _default(r.default), r.meaning, r.why) for r in rows),
    )


def _default(text: str | None) -> str:
    if text is None:
        return "required"
    return text if "`" in text or " " in text else f"`{text}`" if text else "none"


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines) + "\n"
