"""Reads Git's objects: one long-lived `git cat-file --batch`, and the texts that were read last."""

from __future__ import annotations

import subprocess
import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import IO

from mlflow_gitops.adapters.git_process import GitProcess
from mlflow_gitops.errors import TransientError

__all__ = ["Objects"]

CHUNK = 500  # objects asked for at once: their names fit into a pipe, so nothing can block
LARGEST = 8 * 2**20  # bytes: what is larger is no manifest
KEPT = 16 * 2**20  # characters of text


class Objects:
    """The contents of objects by their full hash. Safe for threads; ends with `close`."""

    def __init__(self, git: GitProcess, mark_damaged: Callable[[], None]) -> None:
        self._git = git
        self._mark_damaged = mark_damaged
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._texts: OrderedDict[str, str | None] = OrderedDict()
        self._size = 0
        self.damaged = False
        """What must be there is not: the clone has to be made again."""
        self.expected: Collection[str] = ()
        """Commits that must be there."""

    def texts(self, ids: Iterable[str]) -> Mapping[str, str | None]:
        """Blob to text, or to None where it is no UTF-8 text, or too large for one."""
        with self._lock:
            wanted = list(dict.fromkeys(ids))
            found = {i: self._texts[i] for i in wanted if i in self._texts}
            for blob in found:
                self._texts.move_to_end(blob)
            missing = [i for i in wanted if i not in found]
            for blob, data in zip(missing, self._contents(missing), strict=True):
                found[blob] = _text(data)
                self._keep(blob, found[blob])
            return found

    def raw(self, ids: Sequence[str]) -> list[bytes]:
        """The bytes of each, as Git stores them (of a commit: headers, a blank line, text)."""
        with self._lock:
            return [data or b"" for data in self._contents(ids)]

    def known(self, commit: str) -> bool:
        """Whether the commit was fetched. Raises TransientError where the clone is damaged."""
        if self.has(commit):
            return True
        sound = next(iter(self.expected), "")
        if commit in self.expected or (sound and not self.has(sound)):
            raise self.damage("a branch's commit is missing")
        return False

    def damage(self, words: str) -> TransientError:
        """Remember it, until the next fetch makes the clone again. Returns the error to raise."""
        self.damaged = True
        self._mark_damaged()
        return TransientError(
            f"the clone of the repository is damaged ({words.strip()[-300:]})",
            where=str(self._git.git_dir),
            hint="it is made again at the next fetch",
        )

    def has(self, commit: str) -> bool:
        """Whether the commit is in the clone, be it sound or not."""
        return self._git.run("cat-file", "-e", f"{commit}^{{commit}}").code == 0

    def close(self) -> None:
        with self._lock:
            self._stop()

    def forget(self) -> None:
        """The clone was made again: nothing of it is known."""
        with self._lock:
            self._stop()
            self.damaged = False

    def _keep(self, blob: str, text: str | None) -> None:
        size = len(text or "")
        if size > KEPT // 16:
            return
        self._texts[blob] = text
        self._size += size
        while self._size > KEPT:
            _, dropped = self._texts.popitem(last=False)
            self._size -= len(dropped or "")

    def _contents(self, ids: Sequence[str]) -> list[bytes | None]:
        found: list[bytes | None] = []
        for start in range(0, len(ids), CHUNK):
            chunk = ids[start : start + CHUNK]
            try:
                found += self._ask(chunk)
            except (OSError, ValueError, EOFError):  # it died, or the clone is another one by now
                self._stop()
                found += self._ask_again(chunk)
        return found

    def _ask_again(self, ids: Sequence[str]) -> list[bytes | None]:
        try:
            return self._ask(ids)
        except (OSError, ValueError, EOFError) as error:
            self._stop()
            raise self.damage(str(error)) from None

    def _ask(self, ids: Sequence[str]) -> list[bytes | None]:
        if self._process is None or self._process.poll() is not None:
            self._stop()
            self._process = self._git.start("cat-file", "--batch")
        stdin, stdout = self._process.stdin, self._process.stdout
        if stdin is None or stdout is None:  # it is started with pipes
            raise EOFError("git cat-file has no pipes")
        stdin.write("".join(f"{i}\n" for i in ids).encode())
        stdin.flush()
        found: list[bytes | None] = []
        for each in ids:
            words = stdout.readline().split()
            if len(words) != 3:
                raise EOFError(f"the object {each} is missing")
            found.append(_read(stdout, int(words[2])))
        return found

    def _stop(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        with suppress(OSError, ValueError):
            process.kill()
        with suppress(OSError, ValueError):
            process.communicate()

    def __del__(self) -> None:
        self._stop()


def _read(pipe: IO[bytes], size: int) -> bytes | None:
    """The content and the line end after it; None for what is too large to be of use."""
    if size <= LARGEST:
        data = pipe.read(size + 1)
        if len(data) != size + 1:
            raise EOFError("git cat-file ended early")
        return data[:-1]
    left = size + 1
    while left:
        part = pipe.read(min(left, LARGEST))
        if not part:
            raise EOFError("git cat-file ended early")
        left -= len(part)
    return None


def _text(data: bytes | None) -> str | None:
    if data is None:
        return None
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return None
