"""A folder that only this user reads, and that lives as long as the process that made it.

What a process that was killed left behind is removed by the next one: a lock that the kernel drops
says who lives.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mlflow_gitops.errors import ConfigError

__all__ = ["PrivateFolder"]

LOCK = "lock"


class PrivateFolder:
    """Made below `parent`, with 0700, when it is made; `end` is called before it is removed."""

    def __init__(self, parent: Path, prefix: str, end: Callable[[Path], None]) -> None:
        try:
            parent.mkdir(parents=True, exist_ok=True)
            with _locked(parent / f"{prefix}.lock"):
                _sweep(parent, prefix)
                self.path = Path(tempfile.mkdtemp(prefix=f"{prefix}-", dir=parent))
                held = os.open(self.path / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
                fcntl.flock(held, fcntl.LOCK_EX)
        except OSError as error:
            raise ConfigError(
                f"a private folder cannot be made: {error.strerror}",
                where=str(parent),
                hint="let MLFLOW_GITOPS_STATE_DIR name a folder that this user may write to",
            ) from error
        self.close = weakref.finalize(self, _remove, self.path, held, end)
        """Remove it now; else at the end of the process. May be called again."""


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _sweep(parent: Path, prefix: str) -> None:
    for folder in parent.glob(f"{prefix}-*"):
        with suppress(OSError):
            lock = os.open(folder / LOCK, os.O_RDWR | os.O_CLOEXEC)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(lock)


def _remove(path: Path, held: int, end: Callable[[Path], None]) -> None:
    with suppress(OSError):
        end(path)
    shutil.rmtree(path, ignore_errors=True)
    os.close(held)
