"""A proxy for HTTPS: it opens a way to where it is asked for, and sees no byte of what passes."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.support.in_thread import in_thread


@dataclass(slots=True)
class Tunnel:
    """`asked` has where each way went to, with the login that was shown."""

    url: str = ""
    asked: list[tuple[str, str]] = field(default_factory=list)


@contextmanager
def tunnel() -> Iterator[Tunnel]:
    """Serve on a free loopback port until the block ends."""
    made = Tunnel()

    class Handler(BaseHTTPRequestHandler):
        def do_CONNECT(self) -> None:
            made.asked.append((self.path, self.headers.get("Proxy-Authorization", "")))
            host, _, port = self.path.rpartition(":")
            with socket.create_connection((host, int(port))) as upstream:
                self.send_response(200)
                self.end_headers()
                back = threading.Thread(target=_pass_on, args=(upstream, self.connection))
                back.start()
                _pass_on(self.connection, upstream)
                back.join()

        def log_message(self, *args: Any) -> None:
            pass

    with in_thread(ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as made.url:
        yield made


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while content := source.recv(65536):
            target.sendall(content)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)
