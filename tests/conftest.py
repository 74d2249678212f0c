"""Fixtures that every kind of test may ask for. A module here imports what it starts lazily."""

import gc
import signal

import pytest

pytest_plugins = [
    "tests.support.mlflow",
    "tests.support.old_venv",
    "tests.support.serving",
    "tests.support.stack",
    "tests.e2e.worlds",
]

# A shell that starts the tests in the background ignores SIGINT, and so would all that they start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# A fifth of the time that importing MLflow takes is looking for garbage, and there is none.
gc.set_threshold(100_000)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep each `xdist_group` on one worker, with what its fixtures start.

    pytest-xdist 3.8 writes the group where pytest 9.2 does not look for it any more.
    """
    if config.getoption("loadgroup", default=False):
        for item in items:
            for mark in item.iter_markers("xdist_group"):
                item._id = type(item.id).parse(f"{item.nodeid}@{mark.args[0]}")


def pytest_collection_finish() -> None:
    """What is there by now stays, and is not looked at again."""
    gc.freeze()
