"""How the demo speaks: diffs in colour and tables on a terminal, plain lines elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from rich.console import Console
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

__all__ = ["Narrator"]


@dataclass(slots=True)
class Narrator:
    console: Console = field(default_factory=Console)

    def chapter(self, title: str) -> None:
        self.console.print()
        self.console.rule(f"[bold]{title}", align="left")

    def step(self, text: str) -> None:
        self.console.print(f"→ {text}", markup=False, highlight=False)

    def done(self, text: str) -> None:
        self.console.print(f"✓ {text}", markup=False, highlight=False, style="green")

    def failed(self, text: str) -> None:
        self.console.print(f"✗ {text}", markup=False, highlight=False, style="bold red")

    def diff(self, text: str) -> None:
        if self.console.is_terminal:
            self.console.print(Syntax(text.rstrip(), "diff", background_color="default"))
        else:
            self.console.out(text.rstrip(), highlight=False)

    def fields(self, values: Mapping[str, str]) -> None:
        self.table(("tag", "value"), list(values.items()))

    def table(self, columns: Iterable[str], rows: Iterable[tuple[str, ...]]) -> None:
        table = Table(*columns, show_edge=False)
        for row in rows:
            table.add_row(*(Text(cell) for cell in row))
        self.console.print(table)
