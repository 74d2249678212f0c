"""The local clone: a bare repository in the state folder that several processes share.

It holds nothing that the remote does not have: what is damaged is made again. A file lock, which
the system lets go of when a process dies, guards its refs; objects are only ever added.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from mlflow_gitops.adapters.git_process import GitProcess
from mlflow_gitops.errors import ConfigError, GitOpsError, TransientError

__all__ = ["HEADS", "Cache"]

LOCK_POLL = 0.02  # seconds
HEADS = "refs/heads/"
DAMAGED = "mlflow-gitops-damaged"


@dataclass(slots=True)
class Cache:
    """`git` runs in the cache's folder, which need not be there yet."""

    git: GitProcess

    @property
    def folder(self) -> Path:
        return self.git.git_dir

    @contextmanager
    def locked(self, timeout: float) -> Iterator[None]:
        """Held by one thread of one process. Raises TransientError after `timeout` seconds."""
        with self._lock_file() as lock:
            until = time.monotonic() + timeout
            while not _try_lock(lock):
                if time.monotonic() > until:
                    raise TransientError(
                        "another process is using the clone of the repository",
                        where=str(self.folder),
                        hint="it is tried again",
                    )
                time.sleep(LOCK_POLL)
            yield

    @contextmanager
    def _lock_file(self) -> Iterator[int]:
        with _as_our_error(self.folder):
            os.makedirs(self.folder.parent, mode=0o700, exist_ok=True)
            lock = os.open(self.folder.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            yield lock
        finally:
            os.close(lock)  # and unlocked with it

    @property
    def made(self) -> tuple[int, int] | None:
        """Which making of the folder this is: another process may make it again."""
        with suppress(OSError):
            found = os.stat(self.folder)
            return found.st_dev, found.st_ino
        return None

    def mark_damaged(self, made: tuple[int, int] | None) -> None:
        """Whoever opens it next makes it again, unless that was done since."""
        if made == self.made:
            with suppress(OSError):
                (self.folder / DAMAGED).touch()

    # With the lock held

    def make_ready(self, object_format: str) -> None:
        """Make it if it is missing, damaged or of another format."""
        with _as_our_error(self.folder):
            if self._is_sound(object_format):
                self._remove_stale_locks()
            else:
                self._make(object_format)

    def heads(self) -> Mapping[str, str]:
        """Branch to commit."""
        answer = self.git.run("for-each-ref", "--format=%(objectname) %(refname)", HEADS)
        lines = (line.split(" ", 1) for line in answer.out.decode().split("\n") if line)
        return {name.removeprefix(HEADS): commit for commit, name in lines}

    def set_heads(self, old: Mapping[str, str], new: Mapping[str, str]) -> str | None:
        """Why the refs are not `new` now (an object is missing, a ref is broken), else None."""
        gone = [f"delete {HEADS}{name}" for name in old if name not in new]
        moved = [f"update {HEADS}{name} {c}" for name, c in new.items() if old.get(name) != c]
        # What is gone goes first: a branch `a` is in the way of a new branch `a/b`.
        return self._update_refs(gone) or self._update_refs(moved)

    def move_heads(self, moves: Iterable[tuple[str, str, str]]) -> None:
        """Keep what was pushed, unless another process knows of something newer.

        Branch, commit before and after; "" for no commit.
        """
        for branch, old, new in moves:
            none = "0" * len(old or new)
            self._update_refs([f"update {HEADS}{branch} {new or none} {old or none}"])

    def _update_refs(self, lines: list[str]) -> str | None:
        if not lines:
            return None
        text = "".join(f"{line}\n" for line in lines)
        answer = self.git.run("update-ref", "--stdin", stdin=text.encode())
        return None if answer.code == 0 else answer.words or "unknown"

    def tidy(self) -> None:
        """Pack loose objects where there are many. A failure is Git's to tell the next time."""
        with suppress(GitOpsError):
            self.git.run("-c", "gc.auto=6700", "gc", "--auto", "--quiet")

    def _is_sound(self, object_format: str) -> bool:
        if (self.folder / DAMAGED).exists() or not (self.folder / "HEAD").is_file():
            return False
        answer = self.git.run("rev-parse", "--show-object-format", "--is-bare-repository")
        return answer.code == 0 and answer.out.decode().split() == [object_format, "true"]

    def _make(self, object_format: str) -> None:
        """In another place and then moved, so that a killed process leaves no half of it."""
        for left in self.folder.parent.glob(f"{self.folder.name}.*-[0-9]*"):
            shutil.rmtree(left, ignore_errors=True)
        made = self.folder.with_name(f"{self.folder.name}.new-{os.getpid()}")
        answer = replace(self.git, git_dir=made).run(
            "init", "--bare", "--quiet", "--template=", f"--object-format={object_format}"
        )
        if answer.code != 0:
            raise TransientError(
                f"the clone cannot be made ({answer.words.strip()})",
                where=str(self.folder),
                hint="check the state folder and its disk",
            )
        if self.folder.exists():
            old = self.folder.with_name(f"{self.folder.name}.old-{os.getpid()}")
            os.rename(self.folder, old)
            shutil.rmtree(old, ignore_errors=True)
        os.rename(made, self.folder)

    def _remove_stale_locks(self) -> None:
        """Left by a git that was killed: whoever writes refs holds our lock."""
        for name in ("packed-refs", "HEAD", "config", "shallow"):
            (self.folder / f"{name}.lock").unlink(missing_ok=True)
        for stale in (self.folder / "refs").rglob("*.lock"):
            stale.unlink(missing_ok=True)


def _try_lock(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def _as_our_error(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        what = f"the state folder cannot be used: {error.strerror}"
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise TransientError(what, where=str(folder), hint="make room on its disk") from error
        raise ConfigError(
            what,
            where=str(folder.parent),
            hint="let this process write there, or name another folder (MLFLOW_GITOPS_STATE_DIR)",
        ) from error
