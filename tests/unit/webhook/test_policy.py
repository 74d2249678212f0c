"""What a run's end means, as a table; and the delays, as values."""

from __future__ import annotations

import math

import pytest

from mlflow_gitops import ConfigError, GitOpsError, TerminalError, TransientError
from webhook.policy import Outcome, Policy, done, released

POLICY = Policy(base=2, cap=600, attempts=20)


@pytest.mark.parametrize(
    ("attempt", "least", "most"),
    [(1, 2, 4), (2, 2, 8), (3, 2, 16), (8, 2, 512), (9, 2, 600), (19, 2, 600), (10**9, 2, 600)],
)
def test_delays_are_spread_between_the_base_and_a_doubling_bound(
    attempt: int, least: float, most: float
) -> None:
    assert POLICY.delay(attempt, 0.0) == least
    assert POLICY.delay(attempt, 0.5) == (least + most) / 2
    assert POLICY.delay(attempt, 1.0) == most


@pytest.mark.parametrize(
    ("error", "attempt", "outcome"),
    [
        (TransientError("busy"), 1, Outcome("retrying", 3.0, "busy")),
        (TransientError("busy"), 19, Outcome("retrying", 301.0, "busy")),
        (TransientError("busy"), 20, Outcome("dead", None, "busy")),
        (TransientError("busy"), 21, Outcome("dead", None, "busy")),
        (TerminalError("no"), 1, Outcome("failed", None, "no")),
        (TerminalError("no"), 20, Outcome("failed", None, "no")),
        (
            ConfigError("no", where="a.b", hint="set it"),
            1,
            Outcome("failed", None, "a.b: no\n  next: set it"),
        ),
        (GitOpsError("unclear"), 1, Outcome("retrying", 3.0, "unclear")),
    ],
)
def test_terminal_errors_wait_for_a_person_and_others_are_retried(
    error: GitOpsError, attempt: int, outcome: Outcome
) -> None:
    assert POLICY.failed(error, attempt, 0.5) == outcome


@pytest.mark.parametrize(
    ("asked", "after"),
    [(90.0, 91.0), (0.0, 3.0), (-5.0, 3.0), (1e9, 3601.0), (math.inf, 3601.0), (math.nan, 3.0)],
)
@pytest.mark.parametrize("attempt", [1, 20])
def test_a_rate_limit_is_waited_out_and_counts_as_no_attempt(
    asked: float, after: float, attempt: int
) -> None:
    error = TransientError("slow down", retry_after=asked)
    expected = Outcome("retrying", after, "slow down", counts=False)
    assert POLICY.failed(error, attempt, 0.5) == expected


@pytest.mark.parametrize("error", [ValueError("token=hunter2"), SystemExit("hunter2"), KeyError()])
def test_an_unforeseen_error_is_retried_and_quoted_by_its_type_only(error: BaseException) -> None:
    outcome = POLICY.failed(error, 1, 0.0)
    assert outcome.state == "retrying"
    assert type(error).__name__ in outcome.error
    assert "hunter2" not in outcome.error


def test_an_endless_error_text_is_cut() -> None:
    assert len(POLICY.failed(TerminalError("x" * 10**6), 1, 0).error) == 4_000


@pytest.mark.parametrize(
    ("wait", "outcome"),
    [
        (None, Outcome("idle")),
        (30.0, Outcome("waiting", 30.0)),
        (0, Outcome("waiting", 1.0)),
        (-5.0, Outcome("waiting", 1.0)),
        (math.inf, Outcome("waiting", 86_400.0)),
        (math.nan, Outcome("waiting", 30.0)),
    ],
)
def test_a_wait_is_kept_within_reason(wait: float | None, outcome: Outcome) -> None:
    assert done(wait) == outcome


def test_a_key_that_took_the_process_down_too_often_is_not_run_again() -> None:
    assert not POLICY.exhausted(20)
    assert POLICY.exhausted(21)


def test_a_released_run_is_due_at_once() -> None:
    assert released() == Outcome("released", 0.0)
