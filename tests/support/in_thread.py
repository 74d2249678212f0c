"""An HTTP server of a test, which answers in a thread of its own until the block ends."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import HTTPServer

LOOK_EVERY = 0.02  # seconds: whether it has to end, which by itself it asks twice a second


@contextmanager
def in_thread(server: HTTPServer) -> Iterator[str]:
    """Gives the server's address."""
    thread = threading.Thread(target=server.serve_forever, args=(LOOK_EVERY,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        with suppress(OSError):
            server.server_close()
        thread.join(5)
