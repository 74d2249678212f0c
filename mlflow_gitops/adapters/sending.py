"""The parts of one upload on their way: several at once, and none any more when it ends badly."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, wait
from contextlib import contextmanager
from dataclasses import dataclass, field

from mlflow_gitops.adapters.s3_uploads import Part, Upload
from mlflow_gitops.planning.checksums import Checksum

__all__ = ["Sending", "sending"]

Ask = Callable[[Upload, int], Part]


@contextmanager
def sending(upload: Upload, pool: Executor | None) -> Iterator[Sending]:
    """An error inside aborts the upload. Without a pool each part is sent where it is added."""
    sent = Sending(upload, pool)
    try:
        yield sent
    except BaseException:
        sent.failed.set()
        wait(sent.futures)
        upload.abort()
        raise


@dataclass(slots=True)
class Sending:
    upload: Upload
    pool: Executor | None
    futures: list[Future[Part]] = field(default_factory=list)
    failed: threading.Event = field(default_factory=threading.Event)

    def add(self, ask: Ask) -> None:
        """Send one more part. Raises the error of an earlier one."""
        if self.failed.is_set():
            self._results()
        number = len(self.futures) + 1
        if self.pool is not None:
            self.futures.append(self.pool.submit(self._run, ask, number))
            return
        done: Future[Part] = Future()
        done.set_result(ask(self.upload, number))
        self.futures.append(done)

    def complete(self) -> tuple[bool, Checksum | None]:
        """As `Upload.complete`, once all have arrived."""
        return self.upload.complete(self._results())

    def _results(self) -> list[Part]:
        return [future.result() for future in self.futures]

    def _run(self, ask: Ask, number: int) -> Part:
        try:
            return ask(self.upload, number)
        except BaseException:
            self.failed.set()
            raise
