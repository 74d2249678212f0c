"""What is asked of the forge before the first delivery, and where it is said."""

from __future__ import annotations

import json

import pytest

from mlflow_gitops.errors import ConfigError, ForgeError, TransientError
from mlflow_gitops.forge_check import ForgeCheck
from mlflow_gitops.planning.protecting import complaints
from mlflow_gitops.pull_requests import Protection
from mlflow_gitops.service import AGAIN, AGAIN_FAILED, ServiceReconciler
from mlflow_gitops.state import Environment, Selector
from tests.support.memory_session import Parts

TOKEN = {"MLFLOW_GITOPS_FORGE_TOKEN": "t0ken"}
REFUSED = ForgeError(
    "the token may not write to the repository",
    where="GET https://api.example.com/repos/ml/manifests",
    hint="give it more",
)


def told(delivery: str, protection: Protection) -> list[str]:
    environment = Environment(
        "production",
        Selector("stage", "Production"),
        "production",
        delivery=delivery,  # type: ignore[arg-type]
    )
    return list(complaints(environment, "main", protection))


@pytest.mark.parametrize(
    ("delivery", "protection", "said"),
    [
        ("commit", Protection(), []),
        ("commit", Protection("a rule"), ["direct commits to main are refused: a rule"]),
        ("commit", Protection(unknown="nobody knows"), ["takes commits: nobody knows"]),
        ("commit", Protection("a rule", ("ci/x",), ("ci/x",)), ["are refused"]),
        ("pull-request", Protection("a rule"), []),
        ("pull-request", Protection(required=("mlflow-gitops/metrics",)), []),
        ("pull-request", Protection(required=("mlflow-gitops/*", "*")), []),
        ("pull-request", Protection(required=("mlflow-gitops/metric",)), ["which nobody sets"]),
        ("pull-request", Protection(required=("mlflow-gitops/x*",)), ["which nobody sets"]),
        ("pull-request", Protection("", ("ci/x",), ("ci/x",)), ["the status ci/x, which nothing"]),
        ("pull-request", Protection(unknown="nobody knows"), ["requires: nobody knows"]),
        ("pull-request", Protection(required=("a",), unknown="nobody knows"), []),
    ],
)
def test_a_protection_is_compared_with_the_delivery(
    delivery: str, protection: Protection, said: list[str]
) -> None:
    found = told(delivery, protection)
    assert len(found) == len(said)
    assert all(text in each for each, text in zip(found, said, strict=True))
    assert all(each.startswith("production: ") for each in found)


@pytest.fixture
def parts() -> Parts:
    made = Parts()
    made.by_pull_requests()
    return made


def test_config_check_fails_where_the_forge_refuses(parts: Parts) -> None:
    parts.forge.failure = REFUSED
    result = parts.cli("config", "check", environ=TOKEN)
    assert result.exit_code == 1
    assert "may not write to the repository (GET https://api.example.com" in result.stdout
    assert "give it more" in result.stdout
    found = json.loads(parts.cli("config", "check", "--json", environ=TOKEN).stdout)
    assert [problem["path"] for problem in found["problems"]] == ["forge"]


def test_config_check_asks_the_forge_and_writes_nothing(parts: Parts) -> None:
    before = parts.written()
    parts.forge.protections["main"] = Protection(required=("mlflow-gitops/metric",))
    result = parts.cli("config", "check", environ=TOKEN)
    assert result.exit_code == 0
    assert "main requires the status mlflow-gitops/metric, which nobody sets" in result.stderr
    assert (parts.written(), parts.forge.pulls, parts.forge.statuses) == (before, {}, {})


def test_without_a_token_it_says_what_was_not_checked(parts: Parts) -> None:
    result = parts.cli("config", "check")
    assert result.exit_code == 0
    assert "the forge is not checked: there is no token" in result.stderr
    assert parts.forge.asked == 0


def test_commits_need_no_token_but_are_checked_with_one() -> None:
    parts = Parts()
    assert "forge" not in parts.cli("config", "check").stderr
    parts.forge.protections["main"] = Protection("a rule wants pull requests")
    found = parts.cli("config", "check", environ=TOKEN)
    assert found.exit_code == 0
    assert "staging: direct commits to main are refused: a rule" in found.stderr
    parts.forge.failure = REFUSED
    found = parts.cli("config", "check", environ=TOKEN)
    assert found.exit_code == 0
    assert "Warning: the forge is not checked: the token may not write" in found.stderr


def test_a_forge_that_is_away_is_a_warning(parts: Parts) -> None:
    parts.forge.failure = TransientError("the forge cannot be reached", where="GET https://x")
    result = parts.cli("config", "check", environ=TOKEN)
    assert result.exit_code == 0
    assert "not checked: the forge cannot be reached (GET https://x)" in result.stderr


def service(parts: Parts, seconds: list[float]) -> ServiceReconciler:
    session = parts.session()
    check = ForgeCheck(lambda _: parts.forge, has_token=True)
    return ServiceReconciler(session.reconciler, check, ticks=lambda: seconds[0])


def test_readiness_has_the_forge_and_asks_it_rarely(parts: Parts) -> None:
    seconds = [0.0]
    served = service(parts, seconds)
    parts.forge.failure = REFUSED
    for _ in range(3):
        assert "may not write" in served.ready()["forge"]
    assert parts.forge.asked == 1
    parts.forge.failure = None
    parts.forge.protections["main"] = Protection(required=("mlflow-gitops/metric",))
    seconds[0] += AGAIN_FAILED
    asked = parts.forge.asked
    for _ in range(3):
        assert served.ready()["forge"] == ""
        assert "which nobody sets" in served.warnings()["forge"]
    assert parts.forge.asked == asked + 2  # the token, and the one branch
    seconds[0] += AGAIN
    served.ready()
    assert parts.forge.asked == asked + 4


def test_a_forge_that_is_away_does_not_make_the_service_unready(parts: Parts) -> None:
    seconds = [0.0]
    served = service(parts, seconds)
    parts.forge.failure = TransientError("the forge cannot be reached", where="GET https://x")
    assert "forge" not in served.ready()
    assert "cannot be reached" in served.warnings()["forge"]
    parts.forge.failure = None
    seconds[0] += AGAIN_FAILED
    assert served.ready()["forge"] == ""
    assert "forge" not in served.warnings()


def test_readiness_says_nothing_of_a_forge_that_nobody_asks() -> None:
    session = Parts().session()
    unasked = ServiceReconciler(session.reconciler, ForgeCheck(lambda _: Parts().forge, False))
    assert "forge" not in unasked.ready()
    assert "forge" not in unasked.warnings()


def test_a_forge_that_nothing_tells_is_a_failure(parts: Parts) -> None:
    def opens(_: object) -> None:
        raise ConfigError("host x does not tell which forge it is", where="forge")

    check = ForgeCheck(opens, has_token=True)  # type: ignore[arg-type]
    settings = parts.session().observer.settings()
    assert "does not tell" in str(check.look(settings, "main").failure)
