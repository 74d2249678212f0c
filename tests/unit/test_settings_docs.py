"""docs/settings.md says what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mlflow_gitops.config import Process, parse_settings
from mlflow_gitops.config.reference import settings_table, variables_table
from mlflow_gitops.config.reference_settings import SETTINGS
from mlflow_gitops.config.reference_variables import PREFIX, VARIABLES

ROOT = Path(__file__).parents[2]
DOCUMENT = (ROOT / "docs/settings.md").read_text(encoding="utf-8")
NAME = re.compile(rf"{PREFIX}[A-Z0-9_]*[A-Z0-9]")
READ_BY_LIBRARIES = {"AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "MLFLOW_S3_ENDPOINT_URL"}


@pytest.mark.parametrize(
    ("name", "table"),
    [("settings", settings_table(SETTINGS)), ("variables", variables_table(VARIABLES))],
)
def test_the_tables_are_those_of_the_code(name: str, table: str) -> None:
    written = DOCUMENT.partition(f"<!-- {name} -->\n")[2].partition(f"<!-- /{name} -->")[0]
    assert written == table, f"put this between the marks in docs/settings.md:\n{table}"


def test_the_example_is_right() -> None:
    example = re.search(r"```yaml\n(.*?)```", DOCUMENT, re.DOTALL)
    assert example
    assert set(parse_settings(example[1]).environments) == {"staging", "production", "canary"}


def test_every_variable_that_the_code_names_is_in_the_table() -> None:
    files = [p for part in ("mlflow_gitops", "webhook") for p in (ROOT / part).rglob("*.py")]
    files += [ROOT / "Makefile", ROOT / "README.md"]
    named = {name for file in files for name in NAME.findall(file.read_text(encoding="utf-8"))}
    assert named <= {row.name for row in VARIABLES}
    assert all(name in DOCUMENT for name in READ_BY_LIBRARIES)


def test_every_row_tells_what_is_allowed_and_what_it_means() -> None:
    for row in (*SETTINGS, *VARIABLES):
        assert row.form
        assert row.meaning.endswith(".")
        assert "|" not in f"{row.form}{row.meaning}{row.why}{row.default}"


def test_keys_and_names_are_there_once() -> None:
    names = [row.key for row in SETTINGS] + [row.name for row in VARIABLES]
    assert len(names) == len(set(names))


def test_the_defaults_are_those_of_an_empty_environment() -> None:
    assert Process.from_environ({}) == Process()
