"""When to look again: what a run's end means for the queue, as a pure value.

The one retry layer of the tool. Chance is a parameter.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Literal

from mlflow_gitops import GitOpsError, TerminalError, TransientError

__all__ = ["UNFORESEEN", "Outcome", "Policy", "done", "released"]

LONGEST_WAIT: Final = 86_400.0
LONGEST_ASKED: Final = 3_600.0
LONGEST_ERROR: Final = 4_000
UNFORESEEN: Final = "unexpected "
"""What the error of an exception begins with that is none of ours."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What to do with a key after a run. `after` is in seconds, where there is a next run.

    `counts` says whether it was an attempt of those after which a key is given up.
    """

    state: Literal["idle", "waiting", "retrying", "failed", "dead", "released"]
    after: float | None = None
    error: str = ""
    counts: bool = True


@dataclass(frozen=True, slots=True)
class Policy:
    """How failures are retried: full jitter from `base` to a bound that doubles up to `cap`.

    `base` and `cap` are seconds. After `attempts` runs that failed in a row, a key is dead until
    somebody asks again: with these values after an hour or two.
    """

    base: float = 2.0
    cap: float = 600.0
    attempts: int = 20

    def delay(self, attempt: int, chance: float) -> float:
        """Seconds to wait after the `attempt`-th failure in a row; `chance` is in [0, 1)."""
        bound = min(self.cap, self.base * 2.0 ** min(attempt, 32))
        return self.base + chance * max(0.0, bound - self.base)

    def failed(self, error: BaseException, attempt: int, chance: float) -> Outcome:
        """What an exception means: terminal ones wait for a person, all others are retried."""
        text = describe(error)
        if isinstance(error, TerminalError):
            return Outcome("failed", error=text)
        if isinstance(error, TransientError) and error.retry_after is not None:
            return Outcome("retrying", self.asked(error.retry_after, chance), text, counts=False)
        return self.interrupted(text, attempt, chance)

    def asked(self, seconds: float, chance: float) -> float:
        """Seconds to wait where the other side says how long: never less, but for its errors."""
        wait = self.base if math.isnan(seconds) else min(max(seconds, self.base), LONGEST_ASKED)
        return wait + chance * self.base

    def interrupted(self, text: str, attempt: int, chance: float) -> Outcome:
        if attempt >= self.attempts:
            return Outcome("dead", error=text)
        return Outcome("retrying", self.delay(attempt, chance), text)

    def exhausted(self, attempt: int) -> bool:
        """Whether a run is not even worth starting: those before it took the process down."""
        return attempt > self.attempts


def done(wait: float | None) -> Outcome:
    """What a run that ended well means; `wait` is what it returned."""
    if wait is None:
        return Outcome("idle")
    if math.isnan(wait):
        return Outcome("waiting", 30.0)
    return Outcome("waiting", min(max(wait, 1.0), LONGEST_WAIT))


def released(after: float = 0.0) -> Outcome:
    """The run was given up through no fault of its own: it counts as not started."""
    return Outcome("released", after)


def describe(error: BaseException) -> str:
    """The text for people. Of an unforeseen exception only its type: it may quote a secret."""
    if isinstance(error, GitOpsError):
        return str(error)[:LONGEST_ERROR]
    name = type(error).__name__
    return f"{UNFORESEEN}{name}\n  next: look for its traceback in the log of this service"
