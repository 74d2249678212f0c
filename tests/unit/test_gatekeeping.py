"""Gates hold a commit back before anything is published, and cost nothing where none is set."""

from __future__ import annotations

import json

import pytest

from mlflow_gitops.ask import Asker
from mlflow_gitops.errors import GateError
from mlflow_gitops.planning.records import parse_status
from mlflow_gitops.runs import RunFacts
from mlflow_gitops.state import State
from mlflow_gitops.wish import Wish
from tests.support.memory_session import FILES, MLMODEL, Parts

MODEL = "fraud"
GATES = "    gates: {metrics: {accuracy: {min: 0.9, worse-by: 0.01}}}\n"


def with_gates(parts: Parts, gates: str) -> None:
    text = parts.repository.files()["mlflow-gitops.yaml"]
    head = "  production:\n"
    assert head in text
    parts.repository.person_commits({"mlflow-gitops.yaml": text.replace(head, head + gates)})


@pytest.fixture
def parts() -> Parts:
    made = Parts()
    with_gates(made, GATES)
    return made


def promote(parts: Parts, accuracy: float | None) -> str:
    """A version whose run logged that, in Production as the only one; returns its number."""
    run = f"run-{len(parts.registry.runs)}"
    parts.registry.runs[run] = RunFacts(metrics={} if accuracy is None else {"accuracy": accuracy})
    number = parts.register(MODEL, run_id=run)
    parts.registry.transition(MODEL, number, "Production", archive_existing=True)
    return number


def reconcile(parts: Parts) -> State:
    outcomes = parts.session().reconciler.reconcile(MODEL, only=["production"])
    return outcomes[0].state


def told(parts: Parts, number: str) -> str:
    status = parse_status(parts.registry.tags(MODEL, number)["gitops.status.production"])
    assert status
    assert status.state is State.FAILED
    return status.message


def test_a_good_version_passes_and_a_worse_one_is_held_back(parts: Parts) -> None:
    promote(parts, 0.95)
    assert reconcile(parts) is State.COMMITTED
    stands = parts.repository.files(), dict(parts.store.objects)
    number = promote(parts, 0.93)
    assert reconcile(parts) is State.FAILED
    assert (parts.repository.files(), dict(parts.store.objects)) == stands
    message = told(parts, number)
    assert "metrics: accuracy is 0.93 (committed: 0.95), and may be worse by 0.01" in message
    assert "next: " in message
    assert "environments.production.gates" in message


def test_it_is_told_once_however_often_it_is_looked_at(parts: Parts) -> None:
    promote(parts, 0.5)
    reconcile(parts)
    writes = list(parts.registry.writes)
    assert reconcile(parts) is State.FAILED
    assert parts.registry.writes == writes


def test_a_metric_that_is_logged_later_is_seen_by_the_next_look(parts: Parts) -> None:
    number = promote(parts, None)
    assert reconcile(parts) is State.FAILED
    assert "accuracy is missing" in told(parts, number)
    parts.registry.runs["run-0"] = RunFacts(metrics={"accuracy": 0.9})
    survey = parts.session().reconciler.survey()
    assert survey.work == {MODEL: {"production"}}
    assert reconcile(parts) is State.COMMITTED


def test_a_changed_threshold_is_seen_too(parts: Parts) -> None:
    promote(parts, 0.8)
    assert reconcile(parts) is State.FAILED
    text = parts.repository.files()["mlflow-gitops.yaml"]
    parts.repository.person_commits({"mlflow-gitops.yaml": text.replace("0.9,", "0.8,")})
    assert reconcile(parts) is State.COMMITTED


def test_a_gate_that_is_not_required_only_tells(parts: Parts) -> None:
    text = parts.repository.files()["mlflow-gitops.yaml"]
    open_ = text.replace("0.01}}}", "0.01}}, required: []}")
    parts.repository.person_commits({"mlflow-gitops.yaml": open_})
    promote(parts, 0.5)
    planned = parts.cli("plan", "-e", "production", MODEL)
    assert "metrics failed: accuracy is 0.5, and has to be at least 0.9" in planned.stdout
    assert reconcile(parts) is State.COMMITTED


def test_going_back_is_never_held_back(parts: Parts) -> None:
    for accuracy in (0.95, 0.96):
        promote(parts, accuracy)
        assert reconcile(parts) is State.COMMITTED
    parts.registry.runs["run-0"] = RunFacts(missing="the run was deleted")
    parts.time = "2026-11-23T11:00:00.000Z"
    wish = Wish(f"production/{MODEL}", f"models:/{MODEL}/1", action="rollback")
    Asker(parts.session().reconciler).ask(wish)
    assert parts.version("production", MODEL) == "1"


def test_asking_for_a_version_that_is_not_good_enough_moves_nothing(parts: Parts) -> None:
    number = promote(parts, 0.5)
    parts.registry.transition(MODEL, number, "None")
    before = parts.written()
    with pytest.raises(GateError, match=r"accuracy is 0\.5"):
        Asker(parts.session().reconciler).ask(
            Wish(f"production/{MODEL}", f"models:/{MODEL}/{number}")
        )
    assert parts.written() == before


def test_plan_shows_the_verdicts_and_blocks_nothing_else(parts: Parts) -> None:
    promote(parts, 0.95)
    fine = parts.cli("plan", "-e", "production", MODEL)
    assert "metrics passed: accuracy is 0.95" in fine.stdout
    promote(parts, 0.1)
    bad = parts.cli("plan", "-e", "production", MODEL, "--json")
    assert bad.exit_code == 1
    (service,) = json.loads(bad.stdout)["services"]
    assert [(g["name"], g["verdict"], g["required"]) for g in service["gates"]] == [
        ("artifact", "not known", True),  # nothing is published yet
        ("runtime", "passed", True),
        ("signature", "skipped", False),
        ("metrics", "failed", True),
    ]
    assert "held back by a gate" in service["error"]["what"]


BREAKING = """signature:
  inputs: '[{"type": "double", "name": "x", "required": true}]'
"""


@pytest.mark.parametrize("is_required", [True, False])
def test_a_breaking_signature_blocks_where_it_is_required(is_required: bool) -> None:
    parts = Parts()
    with_gates(parts, "    gates: {required: [signature]}\n" if is_required else "")
    for state, signature in (
        (State.COMMITTED, BREAKING),
        (State.COMMITTED, BREAKING),
        (State.FAILED if is_required else State.COMMITTED, BREAKING.replace("double", "string")),
    ):
        files = {**FILES, "MLmodel": (MLMODEL + signature).encode()}
        number = parts.register(MODEL, files=files)
        parts.registry.transition(MODEL, number, "Production", archive_existing=True)
        assert reconcile(parts) is state
    if is_required:
        assert "a breaking change: input x was double and is string" in told(parts, number)
    assert parts.registry.reads == []


def test_what_was_never_published_here_is_compared_by_its_source() -> None:
    parts = Parts()
    with_gates(parts, "    gates: {required: [signature]}\n")
    number = parts.register(MODEL, files={**FILES, "MLmodel": (MLMODEL + BREAKING).encode()})
    parts.registry.transition(MODEL, number, "Production")
    assert reconcile(parts) is State.COMMITTED
    path = f"models/overlays/production/{MODEL}/model-version.yaml"
    text = parts.repository.files()[path]
    assert "s3://models/fraud/v1/" in text
    parts.repository.person_commits({path: text.replace("s3://models/fraud/v1/", "gs://by/hand/")})
    number = promote(parts, None)
    assert reconcile(parts) is State.FAILED
    assert "signature: the new version has no signature" in told(parts, number)


def test_where_people_decide_a_gate_blocks_nothing_and_is_a_status(parts: Parts) -> None:
    parts.by_pull_requests()
    promote(parts, 0.5)
    assert reconcile(parts) is State.PROPOSED
    (pull,) = parts.forge.pulls.values()
    statuses = {each.name: (each.verdict, each.text) for each in parts.forge.statuses[pull.head]}
    assert statuses["mlflow-gitops/artifact"][0] == "success"
    assert "sha256:" in statuses["mlflow-gitops/artifact"][1]
    assert statuses["mlflow-gitops/runtime"] == ("success", "the files load")
    assert statuses["mlflow-gitops/signature"][0] == "success"
    assert "nothing is committed" in statuses["mlflow-gitops/signature"][1]
    assert statuses["mlflow-gitops/metrics"] == (
        "failure",
        "accuracy is 0.5, and has to be at least 0.9",
    )

    parts.registry.runs["run-0"] = RunFacts(metrics={"accuracy": 0.9})
    parts.time = "2026-11-23T11:00:00.000Z"
    Asker(parts.session().reconciler).ask(Wish(f"production/{MODEL}", f"models:/{MODEL}/1"))
    (again,) = parts.forge.pulls.values()
    verdicts = [each.verdict for each in parts.forge.statuses[again.head]]
    assert verdicts == ["success"] * 4, "asked for again, it is judged anew"


def test_without_rules_no_run_is_read() -> None:
    parts = Parts()
    with_gates(parts, "    gates: {required: []}\n")
    for _ in range(2):
        promote(parts, 0.1)
        assert reconcile(parts) is State.COMMITTED
    assert parts.registry.reads == []
