"""How much a copy holds in memory at once."""

from __future__ import annotations

import threading

import pytest

from mlflow_gitops.adapters.budget import Budget
from mlflow_gitops.errors import TransientError


def test_who_does_not_fit_waits_until_there_is_room() -> None:
    budget, order = Budget(10), list[str]()
    budget.take(8)
    waiting = threading.Thread(target=lambda: (budget.take(5), order.append("five")))
    waiting.start()
    budget.take(2)
    order.append("two")
    budget.give(8)
    waiting.join()
    assert order == ["two", "five"]


def test_a_piece_larger_than_all_goes_alone() -> None:
    budget = Budget(10)
    with budget.held(50):
        pass
    budget.take(10)


def test_whoever_waits_is_told_when_the_copy_stops() -> None:
    budget, told = Budget(10), list[str]()
    budget.take(10)

    def wait() -> None:
        try:
            budget.take(1)
        except TransientError as error:
            told.append(error.what)

    waiting = threading.Thread(target=wait)
    waiting.start()
    budget.stop()
    waiting.join()
    assert told == ["the copy was stopped"]
    with pytest.raises(TransientError):
        budget.check()
