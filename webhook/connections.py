"""A waitress server that slow clients cannot fill.

waitress reads requests without a thread, but it stops accepting connections at a limit, and a
request that never ends keeps its connection. So a request has a deadline here. Where one source, or
all of them, have too many connections open, the one that has kept the server waiting for longest is
closed: an honest client sends its request at once. A few paths have threads of their own, so that
probes are answered while all others wait for the queue's lock.
"""

from __future__ import annotations

import json
import logging
import socket
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from flask import Flask
from waitress.channel import HTTPChannel
from waitress.server import TcpWSGIServer
from waitress.task import ErrorTask, ThreadedTaskDispatcher

__all__ = ["CHECK_SECONDS", "Limits", "Server"]

log = logging.getLogger(__name__)

PROBES: Final = frozenset({"/healthz", "/metrics"})
PROBE_THREADS: Final = 2
CHECK_SECONDS: Final = 1  # between looks at deadlines


@dataclass(frozen=True, slots=True)
class Limits:
    """`request` is in seconds, from a connection or the first byte to the last one of a request."""

    request: float = 20.0
    connections: int = 500
    by_source: int = 200


class JsonErrorTask(ErrorTask):  # type: ignore[misc]
    """Answers what waitress itself refuses (bad HTTP, far too large a body) like the rest."""

    def execute(self) -> None:
        error = self.request.error
        body = json.dumps({"error": error.reason.lower(), "next": str(error.body)}).encode()
        self.status = f"{error.code} {error.reason}"
        self.response_headers.append(("Content-Type", "application/json"))
        self.set_close_on_finish()
        self.content_length = len(body)
        self.write(body)


class Channel(HTTPChannel):  # type: ignore[misc]
    """A connection. `waiting_since` is when its client began to owe the rest of a request; None
    while it is between two requests. Seconds of a clock that only grows.
    """

    error_task_class = JsonErrorTask
    waiting_since: float | None

    def __init__(self, server: Server, *args: Any, **options: Any) -> None:
        self.waiting_since = time.monotonic()
        super().__init__(server, *args, **options)
        server.make_room(self)

    @property
    def source(self) -> str:
        return str(self.addr[0])

    @property
    def is_waiting(self) -> bool:
        """Whether it is open, and no request of it is being answered."""
        return not (self.requests or self.will_close)

    def received(self, data: bytes) -> bool:
        before = self.request
        result = bool(super().received(data))
        if self.request is None:
            self.waiting_since = None
        elif self.waiting_since is None or before not in (None, self.request):
            self.waiting_since = time.monotonic()  # the first bytes of another request
        return result


class Server(TcpWSGIServer):  # type: ignore[misc]
    channel_class = Channel

    def __init__(self, app: Flask, listener: socket.socket, limits: Limits, **options: Any) -> None:
        self.limits = limits
        self.probes = ThreadedTaskDispatcher()
        self.probes.set_thread_count(PROBE_THREADS)
        info = (listener.family, listener.type, listener.proto, listener.getsockname())
        super().__init__(app, _sock=listener, sockinfo=info, bind_socket=False, **options)

    def add_task(self, task: Channel) -> None:
        is_probe = task.requests[0].path in PROBES
        (self.probes if is_probe else self.task_dispatcher).add_task(task)

    def maintenance(self, now: float) -> None:
        """Close what is idle for too long, and requests that do not end."""
        super().maintenance(now)
        since = time.monotonic() - self.limits.request
        late = [each for each in self._waiting() if (each.waiting_since or since) < since]
        for channel in late:
            channel.will_close = True
        if late:
            log.warning(
                "%d connections closed: no whole request within %g seconds",
                len(late),
                self.limits.request,
                extra={"action": "http.slow"},
            )

    def make_room(self, new: Channel) -> None:
        """Close the connection that keeps the server waiting for longest, if there are too many."""
        waiting = [channel for channel in self._waiting() if channel is not new]
        same = [channel for channel in waiting if channel.source == new.source]
        if len(same) >= self.limits.by_source:
            _close_oldest(same)
        elif len(waiting) >= self.limits.connections:
            _close_oldest(waiting)

    def _waiting(self) -> list[Channel]:
        return [channel for channel in self.active_channels.values() if channel.is_waiting]

    def shutdown(self) -> None:
        """End the threads, once their requests are answered: they wake the loop, so before it."""
        self.probes.shutdown()
        self.task_dispatcher.shutdown()


def _close_oldest(channels: Iterable[Channel]) -> None:
    """One that sends nothing of a request, or not all of it; else one that is idle."""

    def since(channel: Channel) -> tuple[bool, float]:
        waits = channel.waiting_since
        return waits is None, channel.last_activity if waits is None else waits

    min(channels, key=since).will_close = True
