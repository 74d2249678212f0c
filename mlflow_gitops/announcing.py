"""Sends a record to the service as MLflow would, for an MLflow without webhooks (before 3.3).

The body, the headers and the signature are those of MLflow's own deliveries. A delivery is made in
the background and tried once: no request waits for it, and what does not arrive is found by the
service's resync.
"""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from queue import Full, Queue
from threading import Lock, Thread

import requests

from mlflow_gitops.config import Secret
from webhook.signature import DELIVERY_ID, SIGNATURE, TIMESTAMP, sign

__all__ = ["Announcer", "delivery"]

THREADS = 2
WAITING = 100  # deliveries; with a service that does not answer, more are not kept
TIMEOUT = (5, 10)  # seconds to connect, and to wait for the answer

_log = logging.getLogger(__name__)


def delivery(
    data: Mapping[str, str], *, secret: str, delivery_id: str, now: datetime
) -> tuple[bytes, Mapping[str, str]]:
    """Body and headers of the event that a version's tag was set. Pure."""
    event = {
        "entity": "model_version_tag",
        "action": "set",
        "timestamp": now.isoformat(),
        "data": dict(data),
    }
    body, timestamp = json.dumps(event).encode(), str(int(now.timestamp()))
    return body, {
        "Content-Type": "application/json",
        DELIVERY_ID: delivery_id,
        TIMESTAMP: timestamp,
        SIGNATURE: sign(secret, delivery_id, timestamp, body),
    }


@dataclass(slots=True)
class Announcer:
    """Its threads start with the first delivery, since servers fork before, and never hold one up
    that ends.
    """

    url: str
    secret: Secret = field(repr=False)
    _waiting: Queue[Mapping[str, str]] = field(default_factory=lambda: Queue(WAITING))
    _starting: Lock = field(default_factory=Lock)
    _threads: list[Thread] = field(default_factory=list)

    def announce(self, data: Mapping[str, str]) -> None:
        """Returns at once. `data` are name, version, key and value."""
        self._start()
        try:
            self._waiting.put_nowait(dict(data))
        except Full:
            _log.warning("action=announcement_dropped: %d are waiting already", WAITING)

    def _start(self) -> None:
        with self._starting:
            while len(self._threads) < THREADS:
                thread = Thread(target=self._work, name="mlflow-gitops", daemon=True)
                thread.start()
                self._threads.append(thread)

    def _work(self) -> None:
        while True:
            data = self._waiting.get()
            try:
                self._send(data)
            except Exception as error:  # its text can hold the address
                _log.warning("action=announcement_failed: %s", type(error).__name__)

    def _send(self, data: Mapping[str, str]) -> None:
        body, headers = delivery(
            data, secret=self.secret.line(), delivery_id=str(uuid.uuid4()), now=datetime.now(UTC)
        )
        answer = requests.post(
            self.url, data=body, headers=headers, timeout=TIMEOUT, allow_redirects=False
        )
        if answer.status_code >= 300:
            _log.warning("action=announcement_refused: HTTP %d", answer.status_code)
