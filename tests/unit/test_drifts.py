"""`drift`: every way in which the registry and Git can differ, over parts in memory."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.memory_session import Parts

LEAF = "models/overlays/production/fraud/model-version.yaml"


@pytest.fixture
def parts() -> Parts:
    """fraud 1 stands in production as it was asked for."""
    made = Parts()
    for _ in range(2):
        made.register("fraud")
    made.registry.transition("fraud", "1", "Production")
    assert made.cli("reconcile").exit_code == 0
    return made


def drift(parts: Parts, code: int) -> Any:
    before = parts.written()
    result = parts.cli("drift", "--json")
    assert result.exit_code == code, result.output
    assert parts.written() == before
    found = json.loads(result.stdout)
    return [(f"{each['environment']}/{each['model']}", each["drift"]) for each in found["services"]]


def test_none_is_0(parts: Parts) -> None:
    assert drift(parts, 0) == []
    assert parts.cli("drift").stdout == "0 of 2 services differ.\n"


def test_selected_and_not_committed_is_2(parts: Parts) -> None:
    parts.registry.transition("fraud", "2", "Staging")
    assert drift(parts, 2) == [("staging/fraud", "selected, not committed")]
    table = parts.cli("drift")
    assert table.stdout.splitlines()[-1] == "1 of 2 services differ."


def test_committed_and_not_selected_is_2(parts: Parts) -> None:
    parts.registry.transition("fraud", "1", "Archived")
    assert drift(parts, 2) == [("production/fraud", "committed, not selected")]


def test_a_service_of_no_model_is_2(parts: Parts) -> None:
    del parts.registry.models["fraud"]
    assert drift(parts, 2) == [("production/fraud", "committed, not selected")]


def test_a_persons_pin_is_a_hold(parts: Parts) -> None:
    text = parts.repository.files()[LEAF]
    pinned = text.replace('"1"', '"0"').replace("/v1/", "/v0/")
    parts.repository.person_commits({LEAF: pinned})
    assert drift(parts, 2) == [("production/fraud", "held")]


def test_a_setting_that_changed_is_settings_drift(parts: Parts) -> None:
    text = parts.repository.files()["mlflow-gitops.yaml"]
    moved = text.replace("bucket: models", "bucket: others")
    assert moved != text
    parts.repository.person_commits({"mlflow-gitops.yaml": moved})
    assert drift(parts, 2) == [("production/fraud", "settings drift")]


def test_what_cannot_be_compared_is_1(parts: Parts) -> None:
    parts.repository.person_commits({LEAF: "a: [\n"})
    assert drift(parts, 1) == [("production/fraud", "error")]


def test_an_environment_can_be_named(parts: Parts) -> None:
    parts.registry.transition("fraud", "2", "Staging")
    assert parts.cli("drift", "-e", "production").exit_code == 0
    assert "did you mean `staging`?" in parts.cli("drift", "-e", "stagin").stderr
