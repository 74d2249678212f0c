"""The server plugin's own deliveries: nobody waits for them, and no failure tells a secret."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Callable

import pytest

from mlflow_gitops.announcing import WAITING, Announcer
from mlflow_gitops.config import Secret
from tests.support.receiver import listening

SECRET = Secret("MLFLOW_GITOPS_WEBHOOK_SECRET", "hunter2")
DATA = {"name": "fraud", "version": "1", "key": "gitops.request.tag.at", "value": "{}"}
WITHIN = 30  # seconds


def eventually(said: Callable[[], str], words: str) -> None:
    deadline = time.monotonic() + WITHIN
    while words not in said():
        assert time.monotonic() < deadline, said()
        time.sleep(0.02)


def test_a_refusal_is_logged_and_the_next_one_is_tried(caplog: pytest.LogCaptureFixture) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        announcer = Announcer(f"http://127.0.0.1:{closed.getsockname()[1]}/hook", SECRET)
        announcer.announce(DATA)
        eventually(lambda: caplog.text, "action=announcement_failed: ConnectionError")
    with listening() as receiver:
        announcer.url = receiver.url
        announcer.announce(DATA)
        assert receiver.next_for("fraud")[2]["data"] == DATA
        receiver.status = 401
        announcer.announce(DATA)
        eventually(lambda: caplog.text, "action=announcement_refused: HTTP 401")
    assert "hunter2" not in caplog.text + repr(announcer)
    assert "127.0.0.1" not in "".join(r.getMessage() for r in caplog.records if "gitops" in r.name)


def test_nobody_waits_for_a_service_that_does_not_answer(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        announcer = Announcer(f"http://127.0.0.1:{silent.getsockname()[1]}/hook", SECRET)
        for _ in range(WAITING + 3):
            announcer.announce(DATA)
    assert f"action=announcement_dropped: {WAITING} are waiting already" in caplog.text
