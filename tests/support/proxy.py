"""An HTTP proxy in front of a real server, which calls back around chosen requests.

Crash tests use it to kill a process from outside exactly before or after one effect: the product
has no switches for that. The Host header goes through untouched, so signed requests stay valid.
"""

from __future__ import annotations

import http.client
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from tests.support.in_thread import in_thread

HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "te", "trailer", "upgrade"}


@dataclass(slots=True)
class Seen:
    """One request as it passes, whole: what a watcher makes of it goes on.

    With a `reply`, a status and a body of XML, the upstream is not asked.
    """

    method: str
    path: str
    body: bytes
    answer: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    reply: tuple[int, bytes] | None = None


Watcher = Callable[[Seen], None]


@dataclass(slots=True)
class Proxy:
    """`before` is called when a request has come in and not yet been forwarded, `after` when the
    upstream has answered and the client has not yet been told."""

    url: str
    before: list[Watcher] = field(default_factory=list)
    after: list[Watcher] = field(default_factory=list)


@contextmanager
def proxy(upstream: str) -> Iterator[Proxy]:
    """Serve on a free loopback port until the block ends."""
    target = urlsplit(upstream)
    made = Proxy(url="")

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def forward(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(length) if length else self._chunks()
            seen = Seen(self.command, self.path, body, headers=dict(self.headers))
            for watch in list(made.before):
                watch(seen)
            if seen.reply is not None:
                self._reply(*seen.reply)
                return
            answer, seen.answer = self._ask(seen)
            for watch in list(made.after):
                watch(seen)
            payload = seen.answer
            self.send_response(answer.status, answer.reason)
            for name, value in answer.getheaders():
                if name.lower() not in HOP_BY_HOP | {"content-length"}:
                    self.send_header(name, value)
            # HEAD tells the size of what it does not send
            size = answer.getheader("Content-Length") if self.command == "HEAD" else len(payload)
            if size is not None:
                self.send_header("Content-Length", str(size))
            if self.close_connection:  # unsaid, the client may ask again on it
                self.send_header("Connection", "close")
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(payload)

        def _reply(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/xml")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def _chunks(self) -> bytes:
            if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
                return b""
            parts = []
            while size := int(self.rfile.readline().split(b";")[0], 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)

        def _ask(self, seen: Seen) -> tuple[http.client.HTTPResponse, bytes]:
            body = seen.body
            connection = http.client.HTTPConnection(target.hostname or "", target.port, timeout=60)
            try:
                connection.putrequest(
                    self.command, self.path, skip_host=True, skip_accept_encoding=True
                )
                for name, value in seen.headers.items():
                    if name.lower() not in HOP_BY_HOP | {"content-length", "expect"}:
                        connection.putheader(name, value)
                if body or self.command in ("POST", "PUT"):
                    connection.putheader("Content-Length", str(len(body)))
                connection.endheaders(body or None)
                answer = connection.getresponse()
                return answer, answer.read()
            finally:
                connection.close()

        def log_message(self, *args: Any) -> None:
            pass

        do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = do_PATCH = forward  # noqa: N815

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: Any, client_address: Any) -> None:
            """A client that was killed mid-request is what these tests are for."""

    with in_thread(Server(("127.0.0.1", 0), Handler)) as made.url:
        yield made
