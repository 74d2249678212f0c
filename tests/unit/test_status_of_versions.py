"""What the tag `gitops.status.<environment>` says of a version: its own files, its own failure."""

from __future__ import annotations

import pytest

from mlflow_gitops.errors import TransientError
from mlflow_gitops.planning.records import status_of
from mlflow_gitops.state import Request, State, Status
from tests.support.memory_session import FILES, Parts

MODEL = "fraud-detector"
AWAY = TransientError("the forge cannot be reached", where="https://git.example.com/api/v1")
BROKEN = {"model.pkl": b"weights"}
LEAF = f"models/overlays/production/{MODEL}/model-version.yaml"


@pytest.fixture(params=["commit", "pull-request"])
def parts(request: pytest.FixtureRequest) -> Parts:
    made = Parts()
    made.register(MODEL)
    if request.param == "pull-request":
        made.by_pull_requests()
    return made


@pytest.fixture
def proposing() -> Parts:
    """Version 1 runs."""
    made = Parts()
    made.by_pull_requests()
    for _ in range(3):
        made.register(MODEL)
    move(made, "1")
    made.forge.merge(1)
    look(made)
    look(made)
    return made


def look(parts: Parts) -> None:
    parts.cli("reconcile", MODEL)


def move(parts: Parts, number: str) -> None:
    for version in parts.registry.snapshot(MODEL).versions:
        if version.stage == "Production":
            parts.registry.transition(MODEL, version.number, "Archived")
    parts.registry.transition(MODEL, number, "Production")
    look(parts)


def status(parts: Parts, number: str) -> Status:
    version = parts.registry.snapshot(MODEL).version(number)
    found = status_of(version, "production") if version else None
    assert found is not None
    return found


def digest(parts: Parts, number: str) -> str:
    return parts.registry.snapshot(MODEL).delivered["production"].digest or f"none of {number}"


def deliver(parts: Parts, number: str) -> None:
    move(parts, number)
    for pull in parts.forge.opened():
        parts.forge.merge(pull.number)
        look(parts)
    assert status(parts, number).state is State.COMMITTED


def test_a_rejected_version_is_told_its_own_files(proposing: Parts) -> None:
    move(proposing, "2")
    second = digest(proposing, "2")
    proposing.forge.close(2)
    look(proposing)
    told = status(proposing, "2")
    assert told.state is State.REJECTED
    assert (told.uri, told.digest) == (f"s3://models/{MODEL}/v2/", second)
    assert second.startswith("sha256:")


def test_a_held_version_is_told_its_own_files(parts: Parts) -> None:
    deliver(parts, "1")
    parts.register(MODEL)
    deliver(parts, "2")
    second = digest(parts, "2")
    before = parts.repository.files()[LEAF].replace("/v2/", "/v1/").replace('"2"', '"1"')
    parts.repository.person_commits({LEAF: before}, "by hand")
    look(parts)
    told = status(parts, "2")
    assert told.state is State.HELD
    assert (told.uri, told.digest) == (f"s3://models/{MODEL}/v2/", second)
    assert not status(parts, "1").digest or status(parts, "1").digest != second


def test_a_version_that_a_comment_holds_is_told_nothing_of_another(parts: Parts) -> None:
    deliver(parts, "1")
    text = parts.repository.files()[LEAF]
    held = text.replace("/v1/", "/v1/ # mlflow-gitops: hold")
    parts.repository.person_commits({LEAF: held})
    parts.register(MODEL)
    move(parts, "2")
    told = status(parts, "2")
    assert (told.state, told.uri, told.digest, told.commit) == (State.HELD, "", "", "")


def test_a_failure_ends_when_another_version_is_delivered(parts: Parts) -> None:
    deliver(parts, "1")
    parts.register(MODEL, files=BROKEN)
    move(parts, "2")
    assert status(parts, "2").state is State.FAILED
    parts.register(MODEL)
    move(parts, "3")
    assert status(parts, "2").state is State.SUPERSEDED
    assert "version 3" in status(parts, "2").message


def test_a_failure_ends_when_the_version_before_it_is_asked_for_again(parts: Parts) -> None:
    deliver(parts, "1")
    parts.register(MODEL, files=BROKEN)
    move(parts, "2")
    move(parts, "1")
    assert status(parts, "2").state is State.SUPERSEDED


def test_a_failure_ends_though_the_run_that_delivered_did_not_live_to_say_so(parts: Parts) -> None:
    deliver(parts, "1")
    parts.register(MODEL, files=BROKEN)
    move(parts, "2")
    failed = dict(parts.registry.models[MODEL].versions["2"].tags)
    parts.time = "2026-11-23T11:00:00.000Z"
    parts.register(MODEL)
    move(parts, "3")
    parts.registry.models[MODEL].versions["2"].tags = failed
    look(parts)
    assert status(parts, "2").state is State.SUPERSEDED


def test_what_a_later_request_was_answered_stays(parts: Parts) -> None:
    """It was refused, so nothing was delivered for it, and who asked may still wait."""
    deliver(parts, "1")
    parts.register(MODEL)
    later = "2026-11-23T12:00:00.000Z"
    refused = Request("r2", "2", "deploy", later, by="rita", closed=True)
    version = parts.registry.snapshot(MODEL).version("2")
    assert version is not None
    parts.registry.ask(version, "production", refused)
    late = Status(State.FAILED, "refused", time=later, request="r2")
    parts.registry.report(MODEL, "2", "production", late)
    look(parts)
    assert status(parts, "2") == late


def test_the_registry_says_that_it_waits_for_the_forge(proposing: Parts) -> None:
    proposing.forge.failure = AWAY
    move(proposing, "2")
    told = status(proposing, "2")
    assert told.state is State.REQUESTED
    assert told.message == "waits, and is tried again: the forge cannot be reached"
    writes = list(proposing.registry.writes)
    look(proposing)
    assert proposing.registry.writes == writes
    proposing.forge.failure = None
    look(proposing)
    assert status(proposing, "2").state is State.PROPOSED
    assert "waits" not in status(proposing, "2").message


def test_a_proposed_version_stays_proposed_while_the_forge_is_away(proposing: Parts) -> None:
    move(proposing, "2")
    before = status(proposing, "2")
    proposing.forge.failure = AWAY
    for _ in range(2):
        look(proposing)
        told = status(proposing, "2")
        assert (told.state, told.pull) == (State.PROPOSED, before.pull)
        assert told.message == f"{before.message}; waits: the forge cannot be reached"
    proposing.forge.failure = None
    look(proposing)
    assert status(proposing, "2").message == before.message


def test_what_waited_ends_when_another_version_is_delivered(proposing: Parts) -> None:
    proposing.forge.failure = AWAY
    move(proposing, "2")
    proposing.forge.failure = None
    deliver(proposing, "3")
    assert status(proposing, "2").state is State.SUPERSEDED


def test_what_is_delivered_is_told_nothing_of_an_outage(proposing: Parts) -> None:
    before = status(proposing, "1")
    proposing.forge.failure = AWAY
    look(proposing)
    assert status(proposing, "1") == before


@pytest.mark.parametrize("is_first", [True, False])
def test_the_registry_says_that_it_waits_for_git(parts: Parts, is_first: bool) -> None:
    if not is_first:
        deliver(parts, "1")
    number = parts.register(MODEL, files=FILES)
    parts.registry.transition(MODEL, number, "Production", archive_existing=True)
    session = parts.session()
    parts.repository.fetch()
    parts.repository.fail_next_fetch = TransientError("the Git server does not answer")
    with pytest.raises(TransientError):
        session.reconciler.reconcile(MODEL)
    told = status(parts, number)
    assert (told.state, told.message) == (
        State.REQUESTED,
        "waits, and is tried again: the Git server does not answer",
    )
    look(parts)
    assert status(parts, number).state is not State.REQUESTED
