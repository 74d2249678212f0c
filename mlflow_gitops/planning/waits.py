"""What the registry says while a delivery waits for a server that does not answer. PURE."""

from __future__ import annotations

from dataclasses import replace

from mlflow_gitops.planning.desired import Desired
from mlflow_gitops.state import State, Status

__all__ = ["waiting_status"]

AFTER = "; waits: "
UNANSWERED = frozenset({State.REQUESTED, State.PUBLISHING, State.FAILED})


def waiting_status(desired: Desired, told: Status | None, what: str, time: str) -> Status | None:
    """Return the status of the desired version; None where nothing of it waits.

    `what` is what the server's failure was, `told` what the version was told before. A proposed
    version stays proposed.
    """
    if desired.new or told is None or told.state in UNANSWERED:
        request = desired.request
        answers = request.id if request and request.recorded else ""
        message = f"waits, and is tried again: {what}"
        return Status(State.REQUESTED, message, time=time, request=answers)
    if told.state is State.PROPOSED:
        message = f"{told.message.partition(AFTER)[0]}{AFTER}{what}"
        return replace(told, message=message, time=time)
    return None
