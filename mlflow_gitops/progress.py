"""How far long work is: bars on a terminal, lines elsewhere; on stderr, stdout is for results."""

from __future__ import annotations

import sys
import time
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
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from mlflow_gitops.planning.figures import size_text
from mlflow_gitops.render import clean

__all__ = [
    "BarProgress",
    "LineProgress",
    "counted",
    "make_progress",
    "told_now_and_then",
    "tracked",
]

LINE_EVERY = 100  # items
TELL_EVERY = 10.0  # seconds
SHOW_EVERY = 3.0  # seconds

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


def told_now_and_then(
    what: str, out: IO[str] | None = None, clock: Callable[[], float] = time.monotonic
) -> Callable[[int, int], None]:
    """Return a function of how much is done, of how much; it writes a line every few seconds."""
    told = clock()

    def tell(done: int, total: int) -> None:
        nonlocal told
        if clock() - told >= SHOW_EVERY and done < total:
            told = clock()
            stream = sys.stderr if out is None else out
            stream.write(f"{what}: {done} of {total}\n")
            stream.flush()

    return tell


@dataclass(slots=True)
class LineProgress:
    """A line when publishing starts, one every ten seconds, and one when it ends."""

    out: IO[str]
    clock: Callable[[], float] = time.monotonic
    what: str = ""
    size: int = 0
    files: int = 0
    done_size: int = 0
    done_files: int = 0
    started: float = 0.0
    told: float = 0.0

    def start(self, what: str, files: int, size: int) -> None:
        self.what, self.files, self.size = clean(what), files, size
        self.done_size = self.done_files = 0
        self.started = self.told = self.clock()
        self._say(f"{_count(files)}, {size_text(size)}")

    def advance(self, size: int, *, file: str = "") -> None:
        del file
        self.done_size += size
        now = self.clock()
        if now - self.told >= TELL_EVERY:
            self.told = now
            rate = self.done_size / (now - self.started)
            left = max(self.size - self.done_size, 0) / rate if rate else 0.0
            self._say(
                f"{self.done_files} of {_count(self.files)}, {size_text(self.done_size)} of "
                f"{size_text(self.size)}, {size_text(int(rate))}/s, {left:.0f} s left"
            )

    def done(self, file: str) -> None:
        del file
        self.done_files += 1

    def finish(self) -> None:
        how = "done" if self.done_size >= self.size else "stopped"
        self._say(f"{how}, {size_text(self.done_size)}")

    def _say(self, text: str) -> None:
        self.out.write(f"{self.what}: {text}\n")
        self.out.flush()


def _count(files: int) -> str:
    return f"{files} file{'' if files == 1 else 's'}"


class BarProgress:
    """Files and bytes done of all, the speed, and the time that is left."""

    def __init__(self, console: Console) -> None:
        self._bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.fields[done]} of {task.fields[files]} files"),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            console=console,
        )
        self._task: TaskID | None = None
        self._done = 0

    def start(self, what: str, files: int, size: int) -> None:
        self._done = 0
        self._task = self._bar.add_task(clean(what), total=size, files=files, done=0)
        self._bar.start()

    def advance(self, size: int, *, file: str = "") -> None:
        del file
        if self._task is not None:
            self._bar.advance(self._task, size)

    def done(self, file: str) -> None:
        del file
        self._done += 1
        if self._task is not None:
            self._bar.update(self._task, done=self._done)

    def finish(self) -> None:
        self._bar.stop()
        if self._task is not None:
            self._bar.remove_task(self._task)
            self._task = None
