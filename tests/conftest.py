"""Fixtures that every kind of test may ask for. A module here imports what it starts lazily."""

pytest_plugins = [
    "tests.support.mlflow",
    "tests.support.old_venv",
    "tests.support.serving",
    "tests.support.stack",
    "tests.e2e.worlds",
]
