"""A server on loopback that takes webhooks, for tests of what is sent."""

from __future__ import annotations

import json
import queue
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.support.in_thread import in_thread

WAIT = 30  # seconds for a delivery, which is made in the background


@dataclass(slots=True)
class Receiver:
    """Every request's headers and raw body. `status` is what it answers."""

    url: str
    status: int = 202
    got: queue.Queue[tuple[Mapping[str, str], bytes]] = field(default_factory=queue.Queue)

    def next_for(self, model: str) -> tuple[Mapping[str, str], bytes, dict[str, Any]]:
        while True:
            headers, body = self.got.get(timeout=WAIT)
            data = json.loads(body)
            if data["data"]["name"] == model:
                return headers, body, data


@contextmanager
def listening() -> Iterator[Receiver]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            receiver.got.put((dict(self.headers), body))
            self.send_response(receiver.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    receiver = Receiver(f"http://127.0.0.1:{server.server_port}/hook")
    with in_thread(server):
        yield receiver
