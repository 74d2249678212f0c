"""The service as a process: its address, its signals, and what a kill leaves behind."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from mlflow_gitops import TerminalError
from tests.support.reconcilers import OneByOne
from webhook.app import create_app
from webhook.queue import Queue
from webhook.serve import bind, serve
from webhook.signature import DELIVERY_ID, SIGNATURE, TIMESTAMP, sign
from webhook.worker import Worker

SECRET = "s3cr3t"
PATIENCE_SECONDS = 60.0


class Patient(OneByOne):
    """A reconciler whose runs take as long as a file named `hold` is there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def reconcile(self, model: str, *, reason: str) -> float | None:
        self._write(f"start {model}")
        while (self.folder / "hold").exists():
            time.sleep(0.01)
        self._write(f"end {model}")
        return None

    def _write(self, line: str) -> None:
        with (self.folder / "diary").open("a") as diary:
            diary.write(line + "\n")

    def resync(self) -> Iterable[str]:
        return ()

    def ready(self) -> Mapping[str, str]:
        return {}

    @property
    def blocked(self) -> Mapping[str, str]:
        return {}


def main(folder: Path, grace: float) -> int:
    queue = Queue(folder / "queue.db")
    reconciler = Patient(folder)
    worker = Worker(queue, reconciler)
    app = create_app(queue=queue, secrets=[SECRET], reconciler=reconciler, worker=worker)
    return serve(app, "127.0.0.1", 0, threads=4, grace=grace)


class Process:
    """The service in a process of its own."""

    def __init__(self, folder: Path, grace: float) -> None:
        self.folder = folder
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "tests.functional.test_service_process",
                str(folder),
                str(grace),
            ],
            cwd=Path(__file__).parents[2],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line.startswith("listening on http://127.0.0.1:"), line
        self.url = line.removeprefix("listening on ").strip()

    def send(self, delivery: str) -> int:
        data = {"name": "fraud", "version": "1"}
        event = {"entity": "model_version", "action": "created", "data": data}
        body, at = json.dumps(event).encode(), str(int(time.time()))
        headers = {
            DELIVERY_ID: delivery,
            TIMESTAMP: at,
            SIGNATURE: sign(SECRET, delivery, at, body),
        }
        url = f"{self.url}/webhooks/mlflow"
        answer = requests.post(url, data=body, headers=headers, timeout=PATIENCE_SECONDS)
        return answer.status_code

    def end(self, number: int) -> int:
        self.process.send_signal(number)
        return self.process.wait(PATIENCE_SECONDS)


@contextmanager
def running(folder: Path, grace: float = 60.0) -> Iterator[Process]:
    started = Process(folder, grace)
    try:
        yield started
    finally:
        started.process.kill()
        started.process.wait()
        assert started.process.stdout is not None
        started.process.stdout.close()


def diary(folder: Path) -> list[str]:
    path = folder / "diary"
    return path.read_text().splitlines() if path.exists() else []


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.01)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly(tmp_path: Path, number: int) -> None:
    with running(tmp_path) as service:
        assert requests.get(f"{service.url}/readyz", timeout=PATIENCE_SECONDS).status_code == 200
        assert service.end(number) == 0
        with pytest.raises(requests.ConnectionError):
            requests.get(f"{service.url}/healthz", timeout=PATIENCE_SECONDS)


def test_a_run_may_end_before_it_stops(tmp_path: Path) -> None:
    (tmp_path / "hold").touch()
    with running(tmp_path) as service:
        assert service.send("d1") == 202
        until(lambda: diary(tmp_path) == ["start fraud"])
        service.process.terminate()
        (tmp_path / "hold").unlink()
        assert service.process.wait(PATIENCE_SECONDS) == 0
    assert diary(tmp_path) == ["start fraud", "end fraud"]
    with running(tmp_path) as service:
        rows = requests.get(f"{service.url}/status", timeout=PATIENCE_SECONDS).json()["queue"]
        assert [row["state"] for row in rows] == ["idle"]


def test_a_run_that_does_not_end_is_left_to_the_next_process(tmp_path: Path) -> None:
    (tmp_path / "hold").touch()
    with running(tmp_path, grace=0) as service:
        assert service.send("d1") == 202
        until(lambda: diary(tmp_path) == ["start fraud"])
        assert service.end(signal.SIGTERM) == 0
    (tmp_path / "hold").unlink()
    with running(tmp_path):
        until(lambda: diary(tmp_path) == ["start fraud", "start fraud", "end fraud"])


def test_what_a_kill_interrupted_is_run_again_and_its_delivery_stays_known(tmp_path: Path) -> None:
    (tmp_path / "hold").touch()
    with running(tmp_path) as service:
        assert service.send("d1") == 202
        until(lambda: diary(tmp_path) == ["start fraud"])
        service.process.kill()
        assert service.process.wait() == -signal.SIGKILL
    (tmp_path / "hold").unlink()
    with running(tmp_path) as service:
        until(lambda: diary(tmp_path) == ["start fraud", "start fraud", "end fraud"])
        assert service.send("d1") == 202
        status = requests.get(f"{service.url}/status", timeout=PATIENCE_SECONDS).json()
        assert status["counters"]["replays"] == 1
        assert status["counters"]["events"] == 0


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[Queue]:
    made = Queue(tmp_path / "queue.db")
    yield made
    made.close()


@pytest.mark.parametrize(
    ("host", "port"),
    [("127.0.0.1", 70_000), ("127.0.0.1", -1), ("192.0.2.1", 0), ("no.invalid", 0)],
)
def test_an_address_that_cannot_be_is_told(
    tmp_path: Path, queue: Queue, host: str, port: int
) -> None:
    app = create_app(queue=queue, secrets=[SECRET], reconciler=Patient(tmp_path))
    with pytest.raises(TerminalError, match="cannot listen there") as caught:
        bind(app, host, port)
    assert caught.value.where == f"{host}:{port}"


def test_a_port_that_is_taken_is_told(tmp_path: Path, queue: Queue) -> None:
    app = create_app(queue=queue, secrets=[SECRET], reconciler=Patient(tmp_path))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(TerminalError, match="in use"):
            bind(app, "127.0.0.1", taken.getsockname()[1])


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), float(sys.argv[2])))
