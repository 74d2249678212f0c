"""Serves the application with waitress until a signal comes, then ends cleanly."""

from __future__ import annotations

import logging
import signal
import socket
from types import FrameType
from typing import Final, NoReturn

from flask import Flask

from mlflow_gitops import TerminalError
from webhook.app import EXTENSION, Service
from webhook.connections import CHECK_SECONDS, Limits, Server

__all__ = ["DEFAULT_LIMITS", "address", "bind", "serve"]

log = logging.getLogger(__name__)

SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
DEFAULT_LIMITS: Final = Limits()


def bind(
    app: Flask, host: str, port: int, threads: int = 8, limits: Limits = DEFAULT_LIMITS
) -> Server:
    """A server that listens on the first address of `host`; port 0 picks a free one.

    Raises TerminalError where it cannot.
    """
    service: Service = app.extensions[EXTENSION]
    try:
        if not 0 <= port <= 65535:
            raise OverflowError("a port is from 0 to 65535")  # getaddrinfo would wrap it around
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, _, _, name = found[0]
        listener = socket.socket(family, kind)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(name)
        except BaseException:
            listener.close()
            raise
    except (OSError, OverflowError) as error:
        raise TerminalError(
            f"cannot listen there: {getattr(error, 'strerror', None) or error}",
            where=f"{host}:{port}",
            hint="choose another host or port, or stop what listens there now",
        ) from error
    return Server(
        app,
        listener,
        limits,
        threads=threads,
        ident="mlflow-gitops",
        # Larger bodies are cut off; what is between this and the service's limit is read to its
        # end and answered with 413, so that the client sees the answer.
        max_request_body_size=8 * service.max_body,
        connection_limit=2 * limits.connections + 100,  # never reached: see `Server.make_room`
        cleanup_interval=CHECK_SECONDS,
        asyncore_use_poll=True,
    )


def address(server: Server) -> str:
    """The URL that a server of `bind` listens on."""
    host, port = server.effective_host, server.effective_port
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def serve(app: Flask, host: str, port: int, threads: int = 8, grace: float = 25.0) -> int:
    """Serve until SIGTERM or SIGINT, then end within `grace` seconds; the exit code.

    Starts the application's worker, and prints the address once it listens. A second signal ends
    the process at once.
    """
    service: Service = app.extensions[EXTENSION]
    server = bind(app, host, port, threads)
    before = {number: signal.signal(number, _leave) for number in SIGNALS}
    try:
        if service.worker is not None:
            service.worker.start()
        print(f"listening on {address(server)}", flush=True)
        server.run()  # until a signal
    except SystemExit:
        log.debug("ended while it started")
    finally:
        server.shutdown()
        server.close()
        if service.worker is not None:
            service.worker.stop(grace)
        service.queue.close()
        for number, handler in before.items():
            signal.signal(number, handler)
    return 0


def _leave(_number: int, _frame: FrameType | None) -> NoReturn:
    for number in SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    raise SystemExit(0)
