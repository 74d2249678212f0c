"""The queue under kill -9: worker processes are killed from outside in the middle of runs.

Each run reads its key's value when it starts and takes 400 ms. What happened is read from a log
that every process appends to, one line at a time: at the end each key's last run must have seen
the last value that was marked, and no two runs of a key may have overlapped.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.reconcilers import OneByOne
from webhook.policy import Policy
from webhook.queue import Queue
from webhook.worker import Worker

RUN_SECONDS = 0.4
LEASE_SECONDS = 6.0
PATIENCE_SECONDS = 120.0


class Diary:
    """Lines of events, appended by several processes."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "diary"

    def write(self, *words: object) -> None:
        line = " ".join(str(word) for word in words) + "\n"
        handle = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(handle, line.encode())
        os.close(handle)

    def read(self) -> list[list[str]]:
        return [line.split() for line in self.path.read_text().splitlines()]

    def running(self, pid: int) -> set[str]:
        """The keys that the process has begun and not ended."""
        keys: set[str] = set()
        for what, who, *rest in self.read():
            if who == str(pid) and what == "start":
                keys.add(rest[0])
            elif who == str(pid) and what == "end":
                keys.discard(rest[0])
        return keys


class Slow(OneByOne):
    """A reconciler whose registry is a folder, a file for each key."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.diary = folder, Diary(folder)

    def reconcile(self, model: str, *, reason: str) -> float | None:
        value = (self.folder / "values" / model).read_text()
        self.diary.write("start", os.getpid(), model, value)
        time.sleep(RUN_SECONDS)
        self.diary.write("end", os.getpid(), model, value)
        return None

    def resync(self) -> Iterable[str]:
        return ()

    def ready(self) -> Mapping[str, str]:
        return {}

    @property
    def blocked(self) -> Mapping[str, str]:
        return {}


def work(folder: Path) -> None:
    """The body of a worker process: works until it is killed."""
    queue = Queue(folder / "queue.db", lease=LEASE_SECONDS)
    worker = Worker(queue, Slow(folder), policy=Policy(base=0.05, cap=0.1))
    worker.start()
    Diary(folder).write("ready", os.getpid())
    while True:
        time.sleep(60)


class Stage:
    """The parent's side: marks keys, starts and kills workers, and reads the diary."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.diary = folder, Diary(folder)
        self.queue = Queue(folder / "queue.db", lease=LEASE_SECONDS)
        self.values: dict[str, int] = {}
        self.workers: list[subprocess.Popen[bytes]] = []
        self.landed = 0
        (folder / "values").mkdir()
        self.diary.path.touch()

    def hire(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "tests.integration.test_queue_crash", str(self.folder)]
        worker = subprocess.Popen(command, cwd=Path(__file__).parents[2])
        self.workers.append(worker)
        self.until(lambda: ["ready", str(worker.pid)] in self.diary.read())
        return worker

    def mark(self, keys: Iterable[str]) -> None:
        for key in keys:
            self.values[key] = self.values.get(key, 0) + 1
            fresh = self.folder / f"{key}.new"
            fresh.write_text(str(self.values[key]))
            fresh.replace(self.folder / "values" / key)
            self.queue.mark(key, "event")

    def kill(self, worker: subprocess.Popen[bytes]) -> None:
        """Kill it once it is in the middle of a run; counted only if it still was when it died."""
        self.until(lambda: self.busy(worker))
        worker.kill()
        worker.wait()
        self.workers.remove(worker)
        self.landed += bool(self.diary.running(worker.pid))
        self.diary.write("killed", worker.pid)

    def busy(self, worker: subprocess.Popen[bytes]) -> bool:
        """Whether it runs something; if all work was done by others, there is more."""
        if {row.state for row in self.queue.snapshot()} == {"idle"}:
            self.mark(tuple(self.values))
        return bool(self.diary.running(worker.pid))

    def until(self, condition: Callable[[], bool]) -> None:
        end = time.monotonic() + PATIENCE_SECONDS
        while not condition():
            assert time.monotonic() < end, self.diary.path.read_text()[-2000:]
            assert all(worker.poll() is None for worker in self.workers)
            time.sleep(0.02)

    def until_idle(self) -> None:
        self.until(lambda: {row.state for row in self.queue.snapshot()} == {"idle"})


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with _stage(tmp_path) as made:
        yield made


@contextmanager
def _stage(folder: Path) -> Iterator[Stage]:
    made = Stage(folder)
    try:
        yield made
    finally:
        for worker in made.workers:
            worker.kill()
            worker.wait()
        made.queue.close()


def overlaps(diary: Iterable[list[str]]) -> list[str]:
    """Runs that began while another run of their key was going on in a living process."""
    going: dict[str, str] = {}
    found = []
    for what, pid, *rest in diary:
        if what == "killed":
            going = {key: who for key, who in going.items() if who != pid}
        elif what == "start":
            if rest[0] in going:
                found.append(f"{rest[0]}: {pid} began while {going[rest[0]]} ran")
            going[rest[0]] = pid
        elif what == "end":
            going.pop(rest[0], None)
    return found


def last_seen(diary: Iterable[list[str]]) -> dict[str, int]:
    return {rest[0]: int(rest[1]) for what, _, *rest in diary if what == "end"}


def test_the_judge_sees_overlaps() -> None:
    """The checks of this file are able to fail."""
    begun = [["start", "1", "a", "1"], ["start", "2", "a", "1"]]
    assert overlaps(begun) == ["a: 2 began while 1 ran"]
    assert overlaps([begun[0], ["killed", "1"], begun[1]]) == []
    assert overlaps([begun[0], ["end", "1", "a", "1"], begun[1]]) == []


@pytest.mark.slow
def test_one_worker_killed_and_started_again(stage: Stage) -> None:
    keys = [f"model-{n}" for n in range(8)]
    while stage.landed < 5:
        worker = stage.hire()
        stage.mark(keys)
        stage.mark(keys[: stage.landed + 1])
        stage.kill(worker)
    stage.mark(keys[:3])
    stage.hire()
    stage.until_idle()
    assert last_seen(stage.diary.read()) == stage.values
    assert overlaps(stage.diary.read()) == []


@pytest.mark.slow
def test_two_workers_on_one_file_one_of_them_killed(stage: Stage) -> None:
    keys = [f"model-{n}" for n in range(24)]
    stays, leaves = stage.hire(), stage.hire()
    while stage.landed < 3:
        stage.mark(keys)
        stage.kill(leaves)
        leaves = stage.hire()
    stage.mark(keys)
    stage.until_idle()
    assert stays.poll() is None
    assert last_seen(stage.diary.read()) == stage.values
    assert overlaps(stage.diary.read()) == []


OPEN_AND_MARK = """
import sys
from pathlib import Path
from webhook.queue import Queue
queue = Queue(Path(sys.argv[1]))
for number in range(10):
    queue.mark(f"{sys.argv[2]}-{number}", "event")
    queue.mark("shared", "event")
queue.close()
"""


def test_processes_that_make_the_file_at_the_same_time(tmp_path: Path) -> None:
    path = tmp_path / "queue.db"
    started = [
        subprocess.Popen(
            [sys.executable, "-c", OPEN_AND_MARK, str(path), str(number)],
            cwd=Path(__file__).parents[2],
            stderr=subprocess.PIPE,
        )
        for number in range(6)
    ]
    errors = [process.communicate()[1].decode() for process in started]
    assert [process.returncode for process in started] == [0] * 6, errors
    queue = Queue(path)
    assert len(queue.snapshot()) == 6 * 10 + 1
    queue.close()


if __name__ == "__main__":
    work(Path(sys.argv[1]))
