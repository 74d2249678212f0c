"""POST /webhooks/forge: verify, find whose branch it is, mark durably, answer.

The answer is 202 once the mark is on the disk. What a push to an environment's branch touched is
looked for only among the models that the queue knows; the resync finds the rest.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from flask import Blueprint, Response, jsonify, request

from mlflow_gitops import TerminalError
from webhook import forge_events, forge_signature
from webhook.counters import Counters
from webhook.events import Ignored
from webhook.payload import EventError
from webhook.queue import Queue, Seen
from webhook.signature import SignatureError
from webhook.worker import Reconcile

__all__ = ["ForgeReceiver", "blueprint"]

log = logging.getLogger(__name__)

REMEMBERED: Final = 86_400.0  # seconds: these deliveries have no timestamp that could run out
MOST_MODELS: Final = 100
FORM: Final = "application/x-www-form-urlencoded"


@dataclass(frozen=True, slots=True)
class ForgeReceiver:
    """Accepts deliveries. No `secrets` means that none is taken, or with `allow_unsigned` any."""

    queue: Queue
    reconciler: Reconcile
    secrets: Sequence[str]
    counters: Counters
    clock: Callable[[], float]
    window: float
    allow_unsigned: bool = False

    def accept(
        self, headers: Mapping[str, str], body: bytes, media_type: str
    ) -> tuple[dict[str, Any], int]:
        """What was done, and the status. Raises SignatureError, EventError or QueueError.

        The names of `headers` are in lower case.
        """
        sender = forge_signature.sender(headers)
        self._verify(sender, headers, body)
        if media_type == FORM:
            raise EventError(
                "the payload is a form",
                where="Content-Type",
                hint="set the webhook's content type to application/json in the forge",
            )
        event = forge_events.parse(sender, body)
        if isinstance(event, forge_events.Ping):
            return {"status": "pong"}, 200
        if isinstance(event, Ignored):
            return self._ignored(event.why)
        if not self.reconciler.is_own(event.urls):
            return self._ignored("it is about another repository than that of the manifests")
        try:
            models = self._models(event)
        except TerminalError as error:  # as settings that are wrong: nobody here can answer for it
            return self._ignored(f"{event.reason}: {error.what}")
        if not models:
            return self._ignored(f"{event.reason}: it tells of no model")
        return self._mark(models, event.reason, sender)

    def _verify(
        self, sender: forge_signature.Sender, headers: Mapping[str, str], body: bytes
    ) -> None:
        if self.secrets:
            forge_signature.verify(
                sender.kind, headers, body, self.secrets, now=self.clock(), window=self.window
            )
        elif not self.allow_unsigned:
            raise SignatureError(
                "this service has no secret of a forge",
                where="MLFLOW_GITOPS_FORGE_WEBHOOK_SECRET",
                hint="set it to the secret that the webhook has in the forge",
            )

    def _models(self, event: forge_events.Changed | forge_events.Queued) -> Sequence[str]:
        if isinstance(event, forge_events.Queued):
            proposed = sorted(self.reconciler.proposed(event.base))
            return proposed if len(proposed) <= MOST_MODELS else ()
        own = self.reconciler.model_of(event.branch)
        if own is not None:
            return [own]
        touched = self.reconciler.touched(event.branch, event.paths)
        known = self.queue.known(touched) if touched else ()
        return known if len(known) <= MOST_MODELS else ()

    def _mark(
        self, models: Sequence[str], reason: str, sender: forge_signature.Sender
    ) -> tuple[dict[str, Any], int]:
        now = self.clock()
        seen = Seen(f"{sender.kind}:{sender.delivery}", now + REMEMBERED, now)
        *others, last = models
        for model in others:
            self.queue.mark(model, "event", detail=reason)
        # It counts as seen once all are marked.
        remembered = seen if sender.delivery else None
        if not self.queue.mark(last, "event", detail=reason, delivery=remembered):
            self.counters.add("replays")
            log.info("%r again", sender.delivery, extra={"action": "webhook.duplicate"})
            return {"status": "duplicate", "models": list(models)}, 202
        self.counters.add("events")
        log.info("%r: %r", models, reason, extra={"action": "webhook.queued"})
        return {"status": "queued", "models": list(models), "reason": reason}, 202

    def _ignored(self, why: str) -> tuple[dict[str, Any], int]:
        self.counters.add("ignored")
        log.info("%r", why, extra={"action": "webhook.ignored"})
        return {"status": "ignored", "why": why}, 202


def blueprint(receiver: ForgeReceiver) -> Blueprint:
    routes = Blueprint("forge_receiver", __name__)

    @routes.post("/webhooks/forge")
    def forge() -> tuple[Response, int]:
        body = request.get_data(cache=False, parse_form_data=False)
        headers = {name.lower(): value for name, value in request.headers.items()}
        answer, status = receiver.accept(headers, body, request.mimetype)
        return jsonify(answer), status

    return routes
