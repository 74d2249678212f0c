"""A connection for each request to an MLflow server that is spoken to over plain HTTP.

MLflow's server with two workers or more sends the head and the body of an answer apart, without
TCP_NODELAY. On a kept connection Linux acknowledges the head late, and so each answer takes 40 ms
longer (50 instead of 10, measured with 3.17.2); a new connection on the same network takes less
than one. Behind HTTPS there is a proxy, and a handshake to be spared: there, nothing is changed.

Only requests made inside `own_connections` are concerned, whatever else the process does with
MLflow. A provider of request headers is MLflow's extension point for that.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from threading import Lock

from mlflow.tracking.request_header import registry
from mlflow.tracking.request_header.abstract_request_header_provider import RequestHeaderProvider

__all__ = ["own_connections"]

_wanted: ContextVar[bool] = ContextVar("own_connections", default=False)
_registering = Lock()


class _CloseAfterwards(RequestHeaderProvider):  # type: ignore[misc]  # MLflow has no types
    def in_context(self) -> bool:
        return _wanted.get()

    def request_headers(self) -> dict[str, str]:
        return {"Connection": "close"}


@contextmanager
def own_connections(uri: str) -> Iterator[None]:
    """For requests to this server, in this thread."""
    if not uri.startswith("http://"):
        yield
        return
    _register()
    token = _wanted.set(True)
    try:
        yield
    finally:
        _wanted.reset(token)


def _register() -> None:
    """Once for the process: headers of two providers would be joined."""
    with _registering:
        known = registry._request_header_provider_registry
        if not any(isinstance(provider, _CloseAfterwards) for provider in known):
            known.register(_CloseAfterwards)
