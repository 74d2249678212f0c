"""The service while clients are slow, or another process keeps the queue's file locked."""

from __future__ import annotations

import socket
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path

import pytest

from tests.functional.test_service import EVENT, NOW, PATIENCE_SECONDS, SECRET, Canned, Client
from tests.functional.test_service import served as serve_app
from webhook.app import create_app
from webhook.connections import Limits
from webhook.queue import Queue

HEAD = b"POST /webhooks/mlflow HTTP/1.1\r\nHost: x\r\n"
ONE = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"

Served = Callable[..., AbstractContextManager[Client]]


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[Queue]:
    made = Queue(tmp_path / "queue.db")
    yield made
    made.close()


@pytest.fixture
def served(queue: Queue) -> Served:
    @contextmanager
    def start(**limits: float) -> Iterator[Client]:
        app = create_app(
            queue=queue, secrets=[SECRET], reconciler=Canned(), clock=lambda: float(NOW)
        )
        with serve_app(app, Limits(**limits)) as url:  # type: ignore[arg-type]
            yield Client(url)

    return start


def connect(client: Client, sent: bytes = b"") -> socket.socket:
    host, port = client.url.removeprefix("http://").split(":")
    made = socket.create_connection((host, int(port)), timeout=PATIENCE_SECONDS)
    made.sendall(sent)
    return made


def is_closed(connection: socket.socket) -> bool:
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


@pytest.mark.parametrize(
    "sent", [b"", HEAD, HEAD + b"Content-Length: 99\r\n\r\n{"], ids=["nothing", "head", "body"]
)
def test_three_hundred_slow_connections_hold_nobody_up(served: Served, sent: bytes) -> None:
    with served() as client, ExitStack() as slow:
        for _ in range(300):
            slow.enter_context(connect(client, sent))
        assert client.send(EVENT).status_code == 202
        assert client.get("/healthz").status_code == 200


@pytest.mark.parametrize("sent", [b"", HEAD, HEAD + b"Content-Length: 99\r\n\r\n{"])
def test_a_request_that_does_not_end_is_closed(served: Served, sent: bytes) -> None:
    with served(request=0.2) as client, connect(client, sent) as slow:
        assert is_closed(slow)
        assert client.send(EVENT).status_code == 202


def test_bytes_now_and_then_do_not_prolong_a_request(served: Served) -> None:
    with served(request=0.2) as client, connect(client, HEAD) as slow:
        while not is_readable(slow):  # until it is closed
            with suppress(OSError):
                slow.sendall(b"X-Slow: x\r\n")
        assert is_closed(slow)


def is_readable(connection: socket.socket) -> bool:
    connection.settimeout(0.05)
    try:
        connection.recv(1, socket.MSG_PEEK)
    except TimeoutError:
        return False
    except ConnectionResetError:
        return True
    else:
        return True
    finally:
        connection.settimeout(PATIENCE_SECONDS)


def test_a_connection_between_two_requests_is_kept(served: Served) -> None:
    with (
        served(request=2) as client,
        connect(client, ONE) as patient,
        connect(client, HEAD) as slow,
    ):
        assert patient.recv(10_000).startswith(b"HTTP/1.1 200")
        assert is_closed(slow)  # the deadline was looked at
        patient.sendall(ONE)
        assert patient.recv(10_000).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("bound", ["by_source", "connections"])
def test_the_one_that_waits_for_longest_makes_room(served: Served, bound: str) -> None:
    with served(request=60, **{bound: 2}) as client, ExitStack() as stack:
        first, second = (stack.enter_context(connect(client, HEAD)) for _ in range(2))
        assert client.get("/healthz").status_code == 200
        assert is_closed(first)
        assert not is_readable(second)


def test_a_locked_queue_refuses_at_once_and_stops_no_probe(
    served: Served, queue: Queue, tmp_path: Path
) -> None:
    other = sqlite3.connect(tmp_path / "queue.db", isolation_level=None)
    with served() as client, ThreadPoolExecutor(40) as pool:
        other.execute("BEGIN IMMEDIATE")
        sent = [pool.submit(partial(client.send, EVENT, f"d{n}")) for n in range(40)]
        assert client.get("/healthz").status_code == 200
        assert client.get("/metrics").status_code == 200
        answers = [each.result() for each in sent]
        assert {answer.status_code for answer in answers} == {503}
        assert all("locked" in answer.json()["error"] for answer in answers)
        assert all(answer.headers["Retry-After"] for answer in answers)
        assert client.get("/readyz").status_code == 503
        other.execute("ROLLBACK")
        other.close()
        while (answer := client.send(EVENT)).status_code == 503:
            assert answer.headers["Retry-After"]
        assert answer.json()["status"] == "queued"


def test_many_events_at_once_are_all_taken(served: Served, queue: Queue) -> None:
    def send(number: int) -> int:
        data = {**EVENT["data"], "name": f"model-{number}"}  # type: ignore[dict-item]
        return client.send({**EVENT, "data": data}, f"d{number}").status_code

    with served() as client, ThreadPoolExecutor(20) as pool:
        assert set(pool.map(send, range(200))) == {202}
    assert len(queue.snapshot()) == 200


def test_only_its_user_may_read_the_queue(tmp_path: Path) -> None:
    made = Queue(tmp_path / "state/queue.db")
    made.mark("fraud", "event")
    modes = {each.name: each.stat().st_mode & 0o777 for each in (tmp_path / "state").iterdir()}
    made.close()
    assert modes["queue.db"] == 0o600
    assert set(modes.values()) == {0o600}
    assert (tmp_path / "state").stat().st_mode & 0o777 == 0o700
