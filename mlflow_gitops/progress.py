"""How far long work is: bars on a terminal, lines elsewhere; on stderr, stdout is for results."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from typing import IO, TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TransferSpeedColumn,
)

from mlflow_gitops.planning.figures import size_text
from mlflow_gitops.render import clean

__all__ = ["BarProgress", "LineProgress", "counted", "make_progress", "tracked"]

LINE_EVERY = 100  # items

Item = TypeVar("Item")


def make_progress(out: IO[str] | None = None) -> BarProgress | LineProgress:
    """A bar on a terminal, lines elsewhere: on stderr, so that stdout stays for results."""
    stream = sys.stderr if out is None else out
    console = Console(file=stream, highlight=False, markup=False)
    return BarProgress(console) if console.is_terminal else LineProgress(stream)


def tracked(items: Sequence[Item], what: str, out: IO[str] | None = None) -> Iterator[Item]:
    """The items, one after the other, with what `counted` shows."""
    with counted(len(items), what, out) as one_more:
        for item in items:
            yield item
            one_more()


@contextmanager
def counted(total: int, what: str, out: IO[str] | None = None) -> Iterator[Callable[[], None]]:
    """A bar on a terminal, and a line for each hundred elsewhere, on stderr.

    What it gives is called for each that is done, from any thread.
    """
    stream = sys.stderr if out is None else out
    console = Console(file=stream, highlight=False, markup=False)
    if console.is_terminal:
        with Progress(console=console, transient=True) as bar:
            task = bar.add_task(what, total=total)
            yield lambda: bar.advance(task)
        return
    numbers = count(1)

    def one_more() -> None:
        number = next(numbers)
        if number % LINE_EVERY == 0 and number < total:
            stream.write(f"{what}: {number} of {total}\n")
            stream.flush()

    yield one_more


@dataclass(slots=True)
class LineProgress:
    """A line when publishing starts and one when it ends."""

    out: IO[str]
    what: str = ""
    size: int = 0
    done: int = 0

    def start(self, what: str, files: int, size: int) -> None:
        self.what, self.size, self.done = clean(what), size, 0
        plural = "" if files == 1 else "s"
        self.out.write(f"{self.what}: {files} file{plural}, {size_text(size)}\n")
        self.out.flush()

    def advance(self, size: int, *, file: str = "") -> None:
        del file
        self.done += size

    def finish(self) -> None:
        how = "done" if self.done >= self.size else "stopped"
        self.out.write(f"{self.what}: {how}, {size_text(self.done)}\n")
        self.out.flush()


class BarProgress:
    """Bytes done of all, and the speed."""

    def __init__(self, console: Console) -> None:
        self._bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            console=console,
        )
        self._task: TaskID | None = None

    def start(self, what: str, files: int, size: int) -> None:
        del files
        self._task = self._bar.add_task(clean(what), total=size)
        self._bar.start()

    def advance(self, size: int, *, file: str = "") -> None:
        del file
        if self._task is not None:
            self._bar.advance(self._task, size)

    def finish(self) -> None:
        self._bar.stop()
        if self._task is not None:
            self._bar.remove_task(self._task)
            self._task = None
