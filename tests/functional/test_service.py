"""The service over HTTP: a real waitress server, the real queue and worker, a canned reconciler."""

from __future__ import annotations

import http.client
import json
import socket
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import requests
from flask import Flask
from waitress import wasyncore

from mlflow_gitops import TerminalError, TransientError
from tests.support.reconcilers import OneByOne
from webhook.app import create_app
from webhook.connections import Limits
from webhook.queue import Queue
from webhook.serve import DEFAULT_LIMITS, address, bind
from webhook.signature import DELIVERY_ID, SIGNATURE, TIMESTAMP, sign
from webhook.worker import Worker

DELIVERIES = Path(__file__).with_name("deliveries")
SECRET = "s3cr3t-32-bytes-long-aaaaaaaaaaaa"
NOW = 1795390400
PATIENCE_SECONDS = 60.0
EVENT = {
    "entity": "model_version_tag",
    "action": "set",
    "data": {"name": "fraud", "version": "1", "key": "gitops.request.staging", "value": "{}"},
}


class Canned(OneByOne):
    """A reconciler that remembers what it was asked; a test may make it fail or hang."""

    def __init__(self) -> None:
        self.runs: list[str] = []
        self.on_run: Callable[[], float | None] = lambda: None
        self.on_ready: Callable[[], Mapping[str, str]] = lambda: {"registry": "", "repository": ""}
        self.blocked: Mapping[str, str] = {}

    def reconcile(self, model: str, *, reason: str) -> float | None:
        self.runs.append(model)
        return self.on_run()

    def resync(self) -> Iterable[str]:
        return ()

    def ready(self) -> Mapping[str, str]:
        return self.on_ready()


class Client:
    """Sends deliveries as MLflow does."""

    def __init__(self, url: str) -> None:
        self.url = url

    def get(self, path: str) -> requests.Response:
        return requests.get(self.url + path, timeout=PATIENCE_SECONDS)

    def post(self, body: bytes, headers: Mapping[str, str]) -> requests.Response:
        url = f"{self.url}/webhooks/mlflow"
        return requests.post(url, data=body, headers=dict(headers), timeout=PATIENCE_SECONDS)

    def send(
        self, event: Any, delivery: str = "d1", *, at: int = NOW, secret: str = SECRET
    ) -> requests.Response:
        body = event if isinstance(event, bytes) else json.dumps(event).encode()
        return self.post(body, signed(body, delivery, at=at, secret=secret))


def signed(body: bytes, delivery: str, *, at: int = NOW, secret: str = SECRET) -> dict[str, str]:
    return {
        "Content-Type": "application/json",
        DELIVERY_ID: delivery,
        TIMESTAMP: str(at),
        SIGNATURE: sign(secret, delivery, str(at), body),
    }


@contextmanager
def served(app: Flask, limits: Limits = DEFAULT_LIMITS) -> Iterator[str]:
    server = bind(app, "127.0.0.1", 0, threads=8, limits=limits)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        yield address(server)
    finally:
        with suppress(OSError):  # woken by an answer, the loop may have closed the trigger already
            server.trigger.pull_trigger(lambda: wasyncore.close_all(server._map))
        thread.join(PATIENCE_SECONDS)
        server.shutdown()


@pytest.fixture
def canned() -> Canned:
    return Canned()


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[Queue]:
    made = Queue(tmp_path / "queue.db")
    yield made
    made.close()


@pytest.fixture
def worker(queue: Queue, canned: Canned) -> Iterator[Worker]:
    made = Worker(queue, canned)
    made.start()
    yield made
    made.stop()


@pytest.fixture
def client(queue: Queue, canned: Canned, worker: Worker) -> Iterator[Client]:
    app = create_app(
        queue=queue,
        secrets=["rotated-out", SECRET],
        reconciler=canned,
        worker=worker,
        clock=lambda: float(NOW),
        max_body=4096,
    )
    with served(app) as url:
        yield Client(url)


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.01)


def until_idle(queue: Queue) -> None:
    until(lambda: all(row.state == "idle" for row in queue.snapshot()))


def problem(answer: requests.Response) -> dict[str, str]:
    assert answer.headers["Content-Type"] == "application/json"
    said: dict[str, str] = answer.json()
    assert set(said) == {"error", "next"}
    assert said["error"]
    assert "Traceback" not in answer.text
    return said


class TestRealDeliveries:
    """What MLflow 3.17.2 sent, byte for byte."""

    @pytest.mark.parametrize(
        ("name", "status"),
        [
            ("model_version.created", "queued"),
            ("model_version_tag.set", "queued"),
            ("model_version_tag.deleted", "queued"),
            ("model_version_alias.created", "queued"),
            ("model_version_alias.deleted", "queued"),
            ("plugin_stage", "queued"),
            ("registered_model.created", "ignored"),
        ],
    )
    def test_it_is_accepted_and_worked_on(
        self, tmp_path: Path, queue: Queue, canned: Canned, worker: Worker, name: str, status: str
    ) -> None:
        sent = json.loads((DELIVERIES / f"{name}.json").read_text())
        app = create_app(
            queue=queue,
            secrets=[sent["secret"]],
            reconciler=canned,
            worker=worker,
            clock=lambda: float(sent["headers"][TIMESTAMP]) + 200,
        )
        skipped = {"Host", "Content-Length", "Connection"}
        headers = {k: v for k, v in sent["headers"].items() if k not in skipped}
        with served(app) as url:
            answer = Client(url).post(sent["body_raw"].encode(), headers)
        assert answer.status_code == 202
        assert answer.json()["status"] == status
        until_idle(queue)
        assert canned.runs == ([sent["body"]["data"]["name"]] if status == "queued" else [])

    def test_every_sample_is_tested(self) -> None:
        assert len(list(DELIVERIES.glob("*.json"))) == 7


class TestReplays:
    def test_a_replay_is_answered_and_not_run(
        self, client: Client, queue: Queue, canned: Canned, worker: Worker
    ) -> None:
        assert client.send(EVENT).json()["status"] == "queued"
        until_idle(queue)
        again = client.send(EVENT)
        assert again.status_code == 202
        assert again.json() == {"status": "duplicate", "model": "fraud"}
        assert client.send(EVENT, "d2").json()["status"] == "queued"
        until(lambda: len(canned.runs) == 2)
        until_idle(queue)
        assert worker.counters.read()["events"] == 2
        assert worker.counters.read()["replays"] == 1

    def test_fifty_copies_at_once_are_one_run(
        self, client: Client, queue: Queue, canned: Canned
    ) -> None:
        ready = threading.Barrier(50)

        def send(_number: int) -> tuple[int, str]:
            ready.wait()
            answer = client.send(EVENT)
            return answer.status_code, answer.json()["status"]

        with ThreadPoolExecutor(50) as pool:
            answers = list(pool.map(send, range(50)))
        assert {code for code, _ in answers} == {202}
        assert sorted({status for _, status in answers}) == ["duplicate", "queued"]
        assert [status for _, status in answers].count("queued") == 1
        until_idle(queue)
        assert canned.runs == ["fraud"]

    def test_many_events_of_many_models_are_all_seen(
        self, client: Client, queue: Queue, canned: Canned
    ) -> None:
        def send(number: int) -> int:
            data = {"name": f"m{number % 10}", "version": "1"}
            event = {"entity": "model_version", "action": "created", "data": data}
            return client.send(event, f"d{number}").status_code

        with ThreadPoolExecutor(10) as pool:
            assert set(pool.map(send, range(60))) == {202}
        until_idle(queue)
        assert set(canned.runs) == {f"m{n}" for n in range(10)}


class TestRefusals:
    @pytest.mark.parametrize("header", [SIGNATURE, TIMESTAMP, DELIVERY_ID])
    def test_a_missing_header(self, client: Client, canned: Canned, header: str) -> None:
        headers = signed(b"{}", "d1")
        del headers[header]
        answer = client.post(b"{}", headers)
        assert answer.status_code == 401
        assert header in problem(answer)["error"]

    def test_a_wrong_secret(self, client: Client, queue: Queue) -> None:
        answer = client.send(EVENT, secret="guess")
        assert answer.status_code == 401
        assert "does not match" in problem(answer)["error"]
        assert queue.snapshot() == ()

    def test_tampered_bytes(self, client: Client, queue: Queue) -> None:
        body = json.dumps(EVENT).encode()
        answer = client.post(body.replace(b"fraud", b"other"), signed(body, "d1"))
        assert answer.status_code == 401
        assert queue.snapshot() == ()

    def test_the_signature_comes_before_the_parser(self, client: Client) -> None:
        assert client.send(b"not json", secret="guess").status_code == 401

    @pytest.mark.parametrize("off", [-301, 301, -10_000_000])
    def test_a_stale_timestamp(self, client: Client, off: int) -> None:
        answer = client.send(EVENT, at=NOW + off)
        assert answer.status_code == 401
        assert "300 s are allowed" in problem(answer)["error"]

    @pytest.mark.parametrize("off", [-300, 300])
    def test_a_timestamp_at_the_edge(self, client: Client, off: int) -> None:
        assert client.send(EVENT, at=NOW + off).status_code == 202

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"{",
            b"[]",
            b"\xff\xfe",
            b"NaN",
            b"[" * 4000,
            b"1" * 4000,
            b'{"entity": "model_version", "action": "created", "data": {"name": 1}}',
            b'{"entity": "model_version", "action": "created", "data": {"name": "a\\u0000"}}',
            b'{"entity": "model_version", "action": "created", "data": {"name": "\\ud800"}}',
            b'{"entity": "a", "entity": "b"}',
        ],
        ids=lambda body: body[:20].decode("latin-1") + f"-{len(body)}",
    )
    def test_a_body_that_is_no_event(self, client: Client, queue: Queue, body: bytes) -> None:
        answer = client.send(body)
        assert answer.status_code == 400
        problem(answer)
        assert queue.snapshot() == ()

    def test_an_unknown_event_is_accepted_and_ignored(self, client: Client, queue: Queue) -> None:
        answer = client.send({"entity": "prompt", "action": "created", "data": {}})
        assert answer.status_code == 202
        assert answer.json()["status"] == "ignored"
        assert "prompt.created" in answer.json()["why"]
        assert queue.snapshot() == ()

    def test_our_own_tag_is_ignored(self, client: Client, queue: Queue) -> None:
        event = {**EVENT, "data": {"name": "m", "version": "1", "key": "gitops.status.staging"}}
        assert client.send(event).json()["status"] == "ignored"
        assert queue.snapshot() == ()

    def test_any_content_type_will_do(self, client: Client) -> None:
        body = json.dumps(EVENT).encode()
        headers = {**signed(body, "d1"), "Content-Type": "text/plain; charset=klingon"}
        assert client.post(body, headers).status_code == 202


class TestSizes:
    @pytest.mark.parametrize("size", [4097, 20_000, 4_000_000])
    def test_a_large_body(self, client: Client, size: int) -> None:
        host, port = client.url.removeprefix("http://").split(":")
        connection = http.client.HTTPConnection(host, int(port), timeout=PATIENCE_SECONDS)
        connection.putrequest("POST", "/webhooks/mlflow")
        connection.putheader("Content-Length", str(size))
        connection.endheaders(b"x" * min(size, 20_000))
        answer = connection.getresponse()
        said = json.loads(answer.read())
        connection.close()
        assert answer.status == 413
        assert set(said) == {"error", "next"}

    def test_a_large_body_without_a_length(self, client: Client) -> None:
        url = f"{client.url}/webhooks/mlflow"
        chunks = iter([b"x" * 1000] * 10)
        answer = requests.post(url, data=chunks, timeout=PATIENCE_SECONDS)
        assert answer.status_code == 413
        problem(answer)

    def test_chunks_of_a_good_delivery(self, client: Client) -> None:
        body = json.dumps(EVENT).encode()
        url = f"{client.url}/webhooks/mlflow"
        chunks = iter([body[:10], body[10:]])
        headers = signed(body, "d1")
        answer = requests.post(url, data=chunks, headers=headers, timeout=PATIENCE_SECONDS)
        assert answer.status_code == 202

    def test_what_is_no_http(self, client: Client) -> None:
        host, port = client.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=PATIENCE_SECONDS) as raw:
            raw.sendall(b"POST / HTTP/1.1\r\nContent-Length: -5\r\n\r\n")
            answer = raw.makefile("rb").read()
        head, _, body = answer.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 400")
        assert set(json.loads(body)) == {"error", "next"}


class TestOtherRequests:
    def test_no_such_page(self, client: Client) -> None:
        answer = client.get("/nothing")
        assert answer.status_code == 404
        problem(answer)

    def test_no_such_method(self, client: Client) -> None:
        answer = client.get("/webhooks/mlflow")
        assert answer.status_code == 405
        assert "POST" in answer.headers["Allow"]
        problem(answer)

    def test_a_broken_queue_is_503(self, client: Client, tmp_path: Path, worker: Worker) -> None:
        worker.stop()
        with sqlite3.connect(tmp_path / "queue.db") as connection:
            connection.execute("DROP TABLE work")
        connection.close()
        for answer in (client.send(EVENT), client.get("/status"), client.get("/")):
            assert answer.status_code == 503
            assert "no such table" in problem(answer)["error"]
            assert answer.headers["Retry-After"]

    def test_a_delivery_that_could_not_be_kept_is_taken_when_it_comes_again(
        self, client: Client, tmp_path: Path, queue: Queue
    ) -> None:
        with sqlite3.connect(tmp_path / "queue.db") as connection:
            connection.execute("ALTER TABLE work RENAME TO gone")
        connection.close()
        assert client.send(EVENT).status_code == 503
        with sqlite3.connect(tmp_path / "queue.db") as connection:
            connection.execute("ALTER TABLE gone RENAME TO work")
        connection.close()
        assert client.send(EVENT).json()["status"] == "queued"


class TestHealth:
    def test_it_lives(self, client: Client) -> None:
        assert client.get("/healthz").json() == {"status": "alive"}

    def test_it_is_ready(self, client: Client) -> None:
        answer = client.get("/readyz")
        assert answer.status_code == 200
        checks = {"queue": "ok", "worker": "ok", "registry": "ok", "repository": "ok"}
        assert answer.json() == {"status": "ready", "checks": checks}

    def test_what_is_missing_and_not_needed_is_shown(self, tmp_path: Path, canned: Canned) -> None:
        notes = {"renderer": "neither `kustomize` nor `kubectl` is found"}
        app = create_app(
            queue=Queue(tmp_path / "other.db"),
            secrets=[SECRET],
            reconciler=canned,
            notes=lambda: notes,
        )
        answer = app.test_client().get("/readyz")
        assert answer.status_code == 200
        assert answer.get_json()["status"] == "ready"
        assert answer.get_json()["warnings"] == notes

    def test_what_is_wrong_is_named(self, client: Client, canned: Canned) -> None:
        canned.on_ready = lambda: {"registry": "refused", "repository": ""}
        answer = client.get("/readyz")
        assert answer.status_code == 503
        assert answer.json()["checks"]["registry"] == "refused"
        assert answer.json()["checks"]["repository"] == "ok"

    @pytest.mark.parametrize(
        ("error", "told"),
        [(TransientError("busy"), "busy"), (ValueError("hunter2"), "unexpected ValueError")],
    )
    def test_a_check_that_fails_itself(
        self, client: Client, canned: Canned, error: Exception, told: str
    ) -> None:
        def fail() -> Mapping[str, str]:
            raise error

        canned.on_ready = fail
        answer = client.get("/readyz")
        assert answer.status_code == 503
        assert answer.json()["checks"]["reconciler"].startswith(told)
        assert "hunter2" not in answer.text

    def test_a_hanging_check_holds_up_one_request_only(
        self, client: Client, canned: Canned
    ) -> None:
        go_on, begun = threading.Event(), threading.Event()

        def hang() -> Mapping[str, str]:
            begun.set()
            assert go_on.wait(PATIENCE_SECONDS)
            return {}

        canned.on_ready = hang
        with ThreadPoolExecutor(1) as pool:
            first = pool.submit(client.get, "/readyz")
            assert begun.wait(PATIENCE_SECONDS)
            others = [client.get("/readyz").status_code for _ in range(12)]
            assert client.get("/healthz").status_code == 200
            go_on.set()
            assert first.result().status_code == 200
        assert set(others) == {503}

    def test_a_stopped_worker_is_not_ready(self, client: Client, worker: Worker) -> None:
        worker.stop()
        answer = client.get("/readyz")
        assert answer.status_code == 503
        assert "has ended" in answer.json()["checks"]["worker"]


class TestPages:
    def test_status_shows_what_failed_first(
        self, client: Client, queue: Queue, canned: Canned
    ) -> None:
        def fail() -> None:
            raise TerminalError("no such bucket", where="s3://models", hint="make it")

        client.send({**EVENT, "data": {**EVENT["data"], "name": "a-good-one"}}, "d0")  # type: ignore[dict-item]
        until(lambda: canned.runs == ["a-good-one"])
        until_idle(queue)
        canned.on_run = fail
        client.send(EVENT)
        until(lambda: client.get("/status").json()["states"]["failed"] == 1)
        status = client.get("/status").json()
        assert [row["key"] for row in status["queue"]] == ["fraud", "a-good-one"]
        row = status["queue"][0]
        assert row["last_error"] == "s3://models: no such bucket\n  next: make it"
        assert row["detail"] == "model_version_tag.set gitops.request.staging on version 1"
        assert row["settled_at"].endswith("Z")
        assert status["counters"]["failures"] == 1

    def test_the_page_shows_it_and_nothing_can_be_injected(
        self, client: Client, canned: Canned
    ) -> None:
        nasty = "<script>alert(1)</script>"

        def fail() -> None:
            raise TerminalError(nasty)

        canned.on_run = fail
        canned.blocked = {"production": "25 services would change"}
        client.send({**EVENT, "data": {"name": nasty, "version": "1", "key": nasty}})
        until(lambda: client.get("/status").json()["states"]["failed"] == 1)
        page = client.get("/")
        assert page.headers["Content-Type"].startswith("text/html")
        assert "<script" not in page.text
        assert page.text.count("&lt;script&gt;") >= 3
        assert "25 services would change" in page.text
        policy = page.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert page.headers["X-Content-Type-Options"] == "nosniff"

    def test_an_empty_page(self, client: Client) -> None:
        assert "No model has been looked at yet" in client.get("/").text
        assert client.get("/static/style.css").status_code == 200

    def test_metrics(self, client: Client, queue: Queue) -> None:
        client.send(EVENT)
        until_idle(queue)
        client.send(EVENT)
        client.send(EVENT, secret="guess")
        answer = client.get("/metrics")
        assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        lines = answer.text.splitlines()
        assert "mlflow_gitops_events_total 1" in lines
        assert "mlflow_gitops_replays_total 1" in lines
        assert "mlflow_gitops_refused_total 1" in lines
        assert 'mlflow_gitops_models{state="idle"} 1' in lines


class TestSecrets:
    @pytest.mark.parametrize("secrets", [[], [""], ["good", "  "], "text"])
    def test_there_is_no_application_without_any(
        self, queue: Queue, canned: Canned, secrets: list[str]
    ) -> None:
        with pytest.raises(TerminalError, match="secret") as caught:
            create_app(queue=queue, secrets=secrets, reconciler=canned)
        assert caught.value.hint

    def test_unsigned_deliveries_can_be_allowed(self, queue: Queue, canned: Canned) -> None:
        app = create_app(queue=queue, secrets=[], reconciler=canned, allow_unsigned=True)
        with served(app) as url:
            body = json.dumps(EVENT).encode()
            assert Client(url).post(body, {}).json()["status"] == "queued"
            assert Client(url).post(body, {DELIVERY_ID: "d1"}).json()["status"] == "queued"
            assert Client(url).post(body, {DELIVERY_ID: "d1"}).json()["status"] == "duplicate"

    def test_allowing_unsigned_ones_does_not_turn_a_secret_off(
        self, queue: Queue, canned: Canned
    ) -> None:
        app = create_app(queue=queue, secrets=[SECRET], reconciler=canned, allow_unsigned=True)
        with served(app) as url:
            assert Client(url).post(b"{}", {}).status_code == 401

    def test_no_secret_and_no_signature_is_logged(
        self, client: Client, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level("DEBUG")
        client.send(EVENT)
        client.send(EVENT, "d2", secret="guess")
        logged = "\n".join(record.getMessage() for record in caplog.records)
        assert "fraud" in logged
        body = json.dumps(EVENT).encode()
        for hidden in (SECRET, "rotated-out", "guess", sign(SECRET, "d1", str(NOW), body)):
            assert hidden not in logged
