"""Selectors and patterns that match nothing, compared as MLflow compares them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mlflow_gitops.planning.misses import misses, near_miss
from mlflow_gitops.state import (
    Environment,
    Identity,
    ModelVersion,
    Selector,
    Settings,
    Snapshot,
)

ENVIRONMENT = Environment("production", Selector("alias", "Champion"), "production")


def snapshot(
    model: str = "fraud",
    aliases: dict[str, str] | None = None,
    tags: dict[str, str] | None = None,
    stage: str = "None",
) -> Snapshot:
    named = aliases or {}
    own = tuple(alias for alias, number in named.items() if number == "1")
    version = ModelVersion(model, "1", Identity(1), stage, aliases=own, tags=tags or {})
    return Snapshot(model, (version,), named)


def warnings(environment: Environment, *snapshots: Snapshot) -> list[str]:
    return misses(Settings({environment.name: environment}, "b"), [environment.name], snapshots)


@pytest.mark.parametrize(
    ("aliases", "said"),
    [
        ({"champion": "1"}, "the alias `champion` is on version 1 of fraud"),
        ({"CHAMPION": "1"}, "the alias `CHAMPION` is on version 1"),
        ({"Champion": "7"}, "is on version 7, which does not exist any more"),
        ({"champion": "7"}, ""),
        ({"Champion": "1", "champion": "1"}, ""),
        ({"challenger": "1"}, ""),
        ({}, ""),
    ],
)
def test_an_alias(aliases: dict[str, str], said: str) -> None:
    found = near_miss(ENVIRONMENT.select, snapshot(aliases=aliases))
    assert said in found if said else found == ""


@pytest.mark.parametrize(
    ("tags", "said"),
    [
        ({"serve": "Yes"}, "has the tag `serve` with the value 'Yes'"),
        ({"serve": "yes "}, "with the value 'yes '"),
        ({"Serve": "yes"}, "has the tag `Serve`"),
        ({"serve": "no"}, ""),
        ({"serve": "yes"}, ""),
    ],
)
def test_a_tag(tags: dict[str, str], said: str) -> None:
    found = near_miss(Selector("tag", "serve", "yes"), snapshot(tags=tags))
    assert said in found if said else found == ""


def test_a_stage_has_no_letter_case() -> None:
    assert near_miss(Selector("stage", "Production"), snapshot(stage="Archived")) == ""


@pytest.mark.parametrize(
    ("models", "said"),
    [
        (("*",), []),
        (("fraud",), []),
        (("Fraud-*",), ["no registered model matches `Fraud-*`: correct"]),
        (("FRAUD*",), ["matches `FRAUD*`, but `fraud` would"]),
        (("fraud", "churn"), ["matches `churn`: correct `environments.production.models`"]),
    ],
)
def test_a_pattern(models: tuple[str, ...], said: list[str]) -> None:
    found = warnings(replace(ENVIRONMENT, models=models), snapshot())
    assert len(found) == len(said)
    assert all(text in line for text, line in zip(said, found, strict=True))


def test_many_are_counted() -> None:
    many = [snapshot(f"m{n}", {"champion": "1"}) for n in range(5)]
    found = warnings(ENVIRONMENT, *many)
    assert len(found) == 4
    assert "2 more models" in found[-1]


def test_a_model_that_is_not_taken_is_passed_over() -> None:
    only = replace(ENVIRONMENT, models=("fraud",))
    other = snapshot("churn", {"champion": "1"})
    assert warnings(only, snapshot(), other) == []


def test_what_the_registry_says_is_shown_harmlessly() -> None:
    (line,) = warnings(ENVIRONMENT, snapshot("a\x1b[31m @you", {"champion": "1"}))
    assert "\x1b" not in line
    assert "@you" not in line
