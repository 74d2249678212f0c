"""plan, reconcile, adopt and status over parts in memory: what they show, and what they write."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from mlflow_gitops.errors import TransientError
from mlflow_gitops.state import ObjectLock, Snapshot, WriteOnce
from tests.support.memory_registry import MemoryRegistry
from tests.support.memory_session import Parts


@pytest.fixture
def parts() -> Parts:
    """fraud 1 is asked for in staging and production, churn 1 in production; spam by nobody."""
    made = Parts()
    for model in ("churn", "fraud", "spam"):
        made.register(model)
        made.register(model)
    made.registry.transition("fraud", "1", "Production")
    made.registry.transition("fraud", "2", "Staging")
    made.registry.transition("churn", "1", "Production")
    return made


def services(text: str) -> Mapping[str, Any]:
    found = json.loads(text)["services"]
    return {f"{each['environment']}/{each['model']}": each for each in found}


def test_plan_shows_what_would_change_and_writes_nothing(parts: Parts) -> None:
    before = parts.written()
    result = parts.cli("plan")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0].split() == ["SERVICE", "PLAN", "GIT", "WHY"]
    assert lines[-1] == "3 of 6 services would change."
    assert any(
        x.split()[:2] == ["production/fraud", "promote"] and "(no service) -> 1" in x for x in lines
    )
    assert any("production/spam" in x and "unselected" in x for x in lines)
    assert "diff --git" not in result.stdout
    assert parts.written() == before


def test_plan_can_show_diffs_of_one_model_in_one_environment(parts: Parts) -> None:
    result = parts.cli("plan", "-e", "staging", "fraud", "--diff")
    assert "1 of 1 services would change." in result.stdout
    assert "+    model-version:" in result.stdout
    assert "production" not in result.stdout


def test_plan_leaves_out_what_stands_unless_asked(parts: Parts) -> None:
    parts.cli("reconcile")
    short = parts.cli("plan", "-e", "production")
    assert "production/fraud" not in short.stdout
    whole = parts.cli("plan", "-e", "production", "--all")
    assert "production/fraud" in whole.stdout
    assert "0 of 3 services would change." in whole.stdout


def test_what_the_settings_say_of_writing_once_reaches_the_store_and_is_warned_of(
    parts: Parts, caplog: pytest.LogCaptureFixture
) -> None:
    text = parts.repository.files()["mlflow-gitops.yaml"]
    lock = "  write-once: checked\n  object-lock: {mode: compliance, days: 7}\n"
    text = text.replace("artifacts:\n", f"artifacts:\n{lock}")
    parts.repository.person_commits({"mlflow-gitops.yaml": text})
    assert "Warning: `artifacts.write-once: checked`" in parts.cli("plan").stderr
    assert parts.store.asked == []
    parts.cli("reconcile", "fraud", "-e", "staging")
    [asked] = parts.store.asked
    assert asked.write_once == WriteOnce("checked", ObjectLock("compliance", 7))
    [warning] = caplog.records
    assert "s3://models/fraud/v2/: `artifacts.write-once: checked`" in warning.message


def test_plan_in_json_is_for_scripts(parts: Parts) -> None:
    result = parts.cli("plan", "--json")
    found = services(result.stdout)
    assert found["staging/fraud"]["action"] == "promote"
    assert found["staging/fraud"]["before"] is None
    assert found["staging/fraud"]["after"]["uri"] == "s3://models/fraud/v2/"
    assert "+    model-version:" in found["staging/fraud"]["diff"]
    assert json.loads(result.stdout)["blocked"] == {}


def test_a_service_that_cannot_be_planned_is_1_and_the_others_are_shown(parts: Parts) -> None:
    parts.registry.create_version("spam", source="s3://somebody-elses/x")
    parts.registry.transition("spam", "3", "Staging")
    result = parts.cli("plan")
    assert result.exit_code == 1
    assert "somebody-elses" in result.stdout
    assert "production/fraud" in result.stdout
    error = services(parts.cli("plan", "--json").stdout)["staging/spam"]["error"]
    assert set(error) == {"what", "where", "hint"}


def test_reconcile_commits_once_and_says_so(parts: Parts) -> None:
    result = parts.cli("reconcile")
    assert result.exit_code == 0, result.output
    assert "3 of 3 services changed in Git." in result.stdout
    assert parts.repository.remote["main"] in result.stdout
    assert parts.version("production", "fraud") == "1"
    before = parts.written()
    again = parts.cli("reconcile")
    assert (again.exit_code, again.stdout) == (0, "Nothing to do.\n")
    assert parts.written() == before


def test_reconcile_of_one_model_and_environment_leaves_the_others(parts: Parts) -> None:
    result = parts.cli("reconcile", "fraud", "-e", "staging", "--json")
    assert list(services(result.stdout)) == ["staging/fraud"]
    assert parts.version("staging", "fraud") == "2"
    assert parts.version("production", "fraud") == ""


def test_a_dry_run_writes_nothing(parts: Parts) -> None:
    before = parts.written()
    result = parts.cli("reconcile", "--dry-run")
    assert "3 of 6 services would change; nothing was written." in result.stdout
    assert "+    model-version:" in result.stdout
    assert parts.written() == before


def test_a_failure_is_1_and_stops_nothing_else(parts: Parts) -> None:
    parts.repository.refused = {"models/overlays/staging/fraud/model-version.yaml"}
    result = parts.cli("reconcile")
    assert result.exit_code == 1
    assert "refused" in result.stdout
    assert "2 of 3 services changed in Git." in result.stdout


class Flaky(MemoryRegistry):
    """Its listing answers, one model does not."""

    def snapshot(self, model: str) -> Snapshot:
        if model == "churn":
            raise TransientError("no answer")
        return MemoryRegistry.snapshot(self, model)


def test_a_model_that_cannot_be_read_stops_no_other(parts: Parts) -> None:
    parts.registry = Flaky(models=parts.registry.models)
    result = parts.cli("reconcile")
    assert result.exit_code == 1
    assert "no answer" in result.stdout
    assert parts.version("production", "fraud") == "1"


def limit(parts: Parts, most: int) -> None:
    text = parts.repository.files()["mlflow-gitops.yaml"]
    assert "max-changes: 20" in text
    text = text.replace("max-changes: 20", f"max-changes: {most}")
    parts.repository.person_commits({"mlflow-gitops.yaml": text})


def test_too_many_changes_are_blocked_until_approved(parts: Parts) -> None:
    limit(parts, 1)
    assert "without --yes" in parts.cli("plan").stderr
    result = parts.cli("reconcile")
    assert result.exit_code == 1
    assert "Blocked: production: 2 services" in result.stderr
    assert parts.version("production", "fraud") == ""
    assert parts.version("staging", "fraud") == "2", "the other environment goes on"
    assert parts.cli("reconcile", "-e", "staging").exit_code == 0
    assert parts.cli("reconcile", "-e", "production", "--yes").exit_code == 0
    assert parts.version("production", "fraud") == "1"


def test_a_named_model_is_never_blocked(parts: Parts) -> None:
    limit(parts, 1)
    assert parts.cli("reconcile", "fraud", "churn").exit_code == 0
    assert parts.version("production", "churn") == "1"


def test_adopt_takes_what_stands_and_changes_no_git(parts: Parts) -> None:
    head = parts.repository.remote["main"]
    result = parts.cli("adopt", "-e", "production")
    assert result.exit_code == 0, result.output
    assert "3 services of production adopted." in result.stdout
    assert "->" not in result.stdout, "nothing changes in Git"
    assert parts.repository.remote["main"] == head
    after = parts.cli("reconcile", "-e", "production")
    assert after.exit_code == 0
    assert parts.version("production", "fraud") == "", "what stood stays, until it is asked for"


def test_status_says_what_git_says(parts: Parts) -> None:
    assert parts.cli("status").stdout == "Git has no service yet.\n"
    parts.cli("reconcile")
    result = parts.cli("status")
    lines = result.stdout.splitlines()
    assert lines[0].split() == ["SERVICE", "VERSION", "URI", "STATE", "COMMIT", "WHY"]
    assert [line.split()[:4] for line in lines[1:]] == [
        ["staging/fraud", "2", "s3://models/fraud/v2/", "committed"],
        ["production/churn", "1", "s3://models/churn/v1/", "committed"],
        ["production/fraud", "1", "s3://models/fraud/v1/", "committed"],
    ]
    only = services(parts.cli("status", "-e", "staging", "--json").stdout)
    assert list(only) == ["staging/fraud"]
    assert only["staging/fraud"]["head"] == parts.repository.remote["main"]


class Silent(MemoryRegistry):
    def snapshots(self) -> Any:
        raise TransientError("no answer", where="http://mlflow", hint="check that it runs")


def test_status_needs_no_registry(parts: Parts) -> None:
    parts.cli("reconcile")
    parts.registry = Silent()
    result = parts.cli("status")
    assert result.exit_code == 0
    assert "production/fraud" in result.stdout
    assert "http://mlflow: no states, the registry does not answer: no answer" in result.stderr


def test_status_warns_of_manifests_that_cannot_be_read(parts: Parts) -> None:
    parts.cli("reconcile")
    path = "models/overlays/production/fraud/model-version.yaml"
    parts.repository.person_commits({path: "spec: [\n"})
    result = parts.cli("status")
    assert result.exit_code == 0
    assert path in result.stderr
    assert "staging/fraud" in result.stdout


@pytest.mark.parametrize(
    ("args", "what"),
    [
        (["plan", "-e", "prodution"], "did you mean `production`"),
        (["reconcile", "-e", "x"], "there is no environment `x`"),
        (["adopt", "-e", "x"], "there is no environment `x`"),
        (["status", "-e", "x"], "there is no environment `x`"),
        (["plan", "nobody"], "no registered model `nobody`"),
        (["reconcile", "fraud", "nobody"], "no registered model `nobody`"),
    ],
)
def test_wrong_names_are_told_before_anything_is_written(
    parts: Parts, args: list[str], what: str
) -> None:
    before = parts.written()
    result = parts.cli(*args)
    assert result.exit_code == 1
    assert what in result.stderr
    assert "next: " in result.stderr
    assert parts.written() == before


def test_a_model_that_no_environment_takes_is_told(parts: Parts) -> None:
    text = parts.repository.files()["mlflow-gitops.yaml"].replace('["*"]', '["fraud"]')
    parts.repository.person_commits({"mlflow-gitops.yaml": text})
    for verb in ("plan", "reconcile"):
        result = parts.cli(verb, "spam")
        assert result.exit_code == 1
        assert "no environment takes the model `spam`" in result.stderr
        assert "staging takes fraud" in result.stderr


def test_init_pushes_to_an_empty_repository_only(parts: Parts) -> None:
    result = parts.cli("init", "--push", "--bucket", "models")
    assert result.exit_code == 1
    assert "the repository is not empty" in result.stderr
    parts.repository.force("main", "")
    result = parts.cli("init", "--push", "--bucket", "models")
    assert result.exit_code == 0, result.output
    assert "mlflow-gitops.yaml" in parts.repository.files()


def test_adopt_takes_several_environments(parts: Parts) -> None:
    result = parts.cli("adopt", "-e", "staging", "-e", "production", "--json")
    assert result.exit_code == 0, result.output
    assert set(services(result.stdout)) == {
        f"{environment}/{model}"
        for environment in ("staging", "production")
        for model in ("churn", "fraud", "spam")
    }
    fraud = services(result.stdout)["production/fraud"]
    assert (fraud["action"], fraud["state"]) == ("record", "adopted")
    assert fraud["before"] == fraud["after"]
    again = parts.cli("adopt", "-e", "staging", "-e", "production", "--json")
    assert json.loads(again.stdout) == {"services": []}


def test_init_in_json_names_the_commit(parts: Parts) -> None:
    parts.repository.force("main", "")
    result = parts.cli("init", "--push", "--bucket", "models", "--json")
    made = json.loads(result.stdout)
    assert made["commit"] == parts.repository.remote["main"]
    assert made["directory"] == ""
    assert set(made["files"]) == set(parts.repository.files())


def test_what_is_blocked_is_told_in_json_by_plan_and_by_a_dry_run(parts: Parts) -> None:
    limit(parts, 1)
    for verb, code in ((["plan"], 0), (["reconcile", "--dry-run"], 1), (["reconcile"], 1)):
        result = parts.cli(*verb, "--json")
        assert result.exit_code == code
        assert list(json.loads(result.stdout)["blocked"]) == ["production"]
        assert "Blocked: production: 2 services" in result.stderr
    for args in (["plan", "fraud", "churn"], ["reconcile", "--dry-run", "--yes"]):
        assert parts.cli(*args, "--json").exit_code == 0
        assert json.loads(parts.cli(*args, "--json").stdout)["blocked"] == {}


@pytest.mark.parametrize("verb", ["plan", "reconcile", "status"])
def test_nothing_found_is_an_empty_list(verb: str) -> None:
    result = Parts().cli(verb, "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    assert json.loads(result.stdout)["services"] == []


def test_failures_are_counted_and_named_on_stderr(parts: Parts) -> None:
    for model in ("churn", "fraud"):
        parts.registry.create_version(model, source="s3://somebody-elses/x")
        parts.registry.transition(model, "3", "Staging")
    parts.registry.transition("fraud", "2", "None")
    result = parts.cli("reconcile")
    assert result.exit_code == 1
    assert result.stderr.endswith("Failed: 2 of 4 services: staging/churn, staging/fraud\n")
    assert parts.version("production", "fraud") == "1"


@pytest.mark.parametrize(
    ("args", "code"), [(["plan", "-e", "prodution"], 1), (["plan", "--dif"], 2)]
)
def test_errors_are_json_where_json_was_asked_for(parts: Parts, args: list[str], code: int) -> None:
    assert parts.cli(*args).stdout == ""
    result = parts.cli(*args, "--json")
    assert result.exit_code == code
    assert set(json.loads(result.stdout)["error"]) == {"what", "where", "hint"}
    named_so = parts.cli("plan", "--", "--json")
    assert "no registered model `--json`" in named_so.stderr
    assert named_so.stdout == ""
