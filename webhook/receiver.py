"""POST /webhooks/mlflow: verify, understand, mark durably, answer. Nothing else happens here.

The answer is 202 once the mark is on the disk; the work is done by whoever works on the queue.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from flask import Blueprint, Response, jsonify, request

from webhook import events, signature
from webhook.counters import Counters
from webhook.queue import Queue, Seen

__all__ = ["Receiver", "blueprint"]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Receiver:
    """Accepts deliveries. No `secrets` means that none are signed.

    `window` is in seconds, `clock` gives seconds since the epoch.
    """

    queue: Queue
    secrets: Sequence[str]
    counters: Counters
    clock: Callable[[], float]
    window: float

    def accept(self, claim: signature.Unverified) -> dict[str, str]:
        """What was done. Raises SignatureError, EventError or QueueError."""
        seen = self._seen(claim)
        event = events.parse(claim.body)
        if isinstance(event, events.Ignored):
            self.counters.add("ignored")
            log.info("%s", event.why, extra={"action": "webhook.ignored"})
            return {"status": "ignored", "why": event.why}
        if not self.queue.mark(event.model, "event", detail=event.reason, delivery=seen):
            self.counters.add("replays")
            log.info("%r again", claim.id, extra={"action": "webhook.duplicate"})
            return {"status": "duplicate", "model": event.model}
        self.counters.add("events")
        log.info("%r: %r", event.model, event.reason, extra={"action": "webhook.queued"})
        return {"status": "queued", "model": event.model, "reason": event.reason}

    def _seen(self, claim: signature.Unverified) -> Seen | None:
        """What to remember the delivery by, for longer than its timestamp will be accepted."""
        now = self.clock()
        if self.secrets:
            verified = signature.verify(claim, self.secrets, now=now, window=self.window)
            return Seen(verified.id, verified.timestamp + 2 * self.window, now)
        return Seen(claim.id, now + 2 * self.window, now) if claim.id else None


def blueprint(receiver: Receiver) -> Blueprint:
    routes = Blueprint("receiver", __name__)

    @routes.post("/webhooks/mlflow")
    def mlflow() -> tuple[Response, int]:
        claim = signature.Unverified(
            id=request.headers.get(signature.DELIVERY_ID, ""),
            timestamp=request.headers.get(signature.TIMESTAMP, ""),
            signature=request.headers.get(signature.SIGNATURE, ""),
            body=request.get_data(cache=False),
        )
        return jsonify(receiver.accept(claim)), 202

    return routes
