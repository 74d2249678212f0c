"""The reference of the command line is complete: every verb and option is in docs/cli.md."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from mlflow_gitops.cli import main
from mlflow_gitops.deployment_options import HELP, KEYS

DOCS = (Path(__file__).parents[2] / "docs" / "cli.md").read_text(encoding="utf-8")


def verbs(group: click.Group, prefix: str = "") -> Iterator[tuple[str, click.Command]]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from verbs(command, f"{prefix}{name} ")
        else:
            yield f"{prefix}{name}", command


VERBS = list(verbs(main))


def section(name: str) -> str:
    """What the reference says under the heading `name`."""
    _, heading, rest = DOCS.partition(f"\n## {name}\n")
    assert heading, f"docs/cli.md has no section {name}"
    return rest.partition("\n## ")[0]


def options(command: click.Command) -> list[str]:
    found = [p for p in command.params if isinstance(p, click.Option) and not p.hidden]
    return [spelling for option in found for spelling in (*option.opts, *option.secondary_opts)]


@pytest.mark.parametrize(("name", "command"), VERBS)
def test_every_verb_and_option_is_documented(name: str, command: click.Command) -> None:
    text = section(name)
    assert f"mlflow-gitops {name}" in text
    missing = [option for option in options(command) if f"`{option}" not in text]
    assert not missing
    assert command.help, "the help says what it does"


@pytest.mark.parametrize(("name", "command"), VERBS)
def test_no_option_is_documented_that_is_not_there(name: str, command: click.Command) -> None:
    rows = [line for line in section(name).splitlines() if line.startswith("| `-")]
    cells = " ".join(row.split("|")[1] for row in rows)
    documented = [word.strip("`,") for word in cells.split() if word.startswith("`-")]
    assert sorted(documented) == sorted(options(command))


def test_the_global_options_are_documented() -> None:
    intro = DOCS.partition("\n## ")[0]
    assert not [option for option in options(main) if f"`{option}" not in intro]


def test_the_plugins_options_are_documented() -> None:
    text = section("MLflow's own command line")
    for key in KEYS:
        assert f"-C {key}=" in text
        assert f"-C {key}=" in HELP
