"""Asking through the registry alone: what is written, and what the service answers."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mlflow_gitops.ask import Answer, Asker
from mlflow_gitops.errors import RequestError, TransientError
from mlflow_gitops.planning.records import is_relayed, pending_for, request_for, status_of
from mlflow_gitops.relay import Relay
from mlflow_gitops.state import Environment, Selector, State
from mlflow_gitops.wish import Wish
from tests.support.memory_session import Parts

MODEL = "fraud-detector"
NAME = f"production/{MODEL}"
PRODUCTION = Environment(
    "production", Selector("stage", "Production"), "models/overlays/production"
)


@pytest.fixture
def parts() -> Parts:
    made = Parts()
    for _ in range(3):
        made.register(MODEL)
    return made


def relay(parts: Parts, service: Callable[[], object], said: list[str] | None = None) -> Relay:
    """The service runs while the relay waits; a clock ticks a second at each look."""
    ticks = iter(range(10_000))
    return Relay(
        registry=parts.registry,
        clock=lambda: parts.time,
        inspect=parts.store.inspect,
        say=(said if said is not None else []).append,
        pause=lambda _: service(),
        monotonic=lambda: next(ticks),
    )


def served(parts: Parts) -> Callable[[], object]:
    return lambda: parts.session().reconciler.reconcile(MODEL)


def ask(parts: Parts, number: str, **more: str) -> Answer:
    wish = {"name": NAME, "model_uri": f"models:/{MODEL}/{number}", **more}
    return relay(parts, served(parts)).ask(Wish(**wish), wait=60)


def stage(parts: Parts, number: str) -> str:
    version = parts.registry.snapshot(MODEL).version(number)
    assert version is not None
    return version.stage


def status(parts: Parts, number: str, environment: str = "production") -> tuple[State, str]:
    version = parts.registry.snapshot(MODEL).version(number)
    assert version is not None
    found = status_of(version, environment)
    assert found is not None
    return found.state, found.message


def test_the_service_selects_publishes_commits_and_answers(parts: Parts) -> None:
    said: list[str] = []
    wish = Wish(NAME, f"models:/{MODEL}/2", by="alice", reason="better recall")
    answer = relay(parts, served(parts), said).ask(wish, wait=60)
    assert (answer.state, answer.relayed) == (State.COMMITTED, True)
    assert answer.commit == parts.repository.remote["main"]
    assert answer.after is not None
    assert answer.after.uri == "s3://models/fraud-detector/v2/"
    assert parts.version("production", MODEL) == "2"
    assert parts.version("staging", MODEL) == ""
    assert stage(parts, "2") == "Production"
    message = parts.repository.log()[0]
    assert "better recall" in message
    assert "Claimed-By: alice" in message
    assert "waiting up to 60 s" in said[0]


def test_nothing_but_the_record_is_written_by_who_asks(parts: Parts) -> None:
    answer = relay(parts, pytest.fail).ask(Wish(NAME, f"models:/{MODEL}/2"), wait=0)
    assert answer.state is State.REQUESTED
    assert parts.registry.writes == ["gitops.request.production"]
    assert stage(parts, "2") == "None"
    version = parts.registry.snapshot(MODEL).versions[1]
    waits = pending_for(version, "production")
    assert waits == answer.request


def test_the_mark_is_gone_once_it_was_taken_up_and_a_person_may_move_the_stage_again(
    parts: Parts,
) -> None:
    ask(parts, "2")
    version = parts.registry.snapshot(MODEL).versions[1]
    assert pending_for(version, "production") is None
    record = request_for(version, PRODUCTION, None)
    assert record is not None
    assert not record.pending
    parts.registry.transition(MODEL, "2", "Archived")
    for _ in range(2):
        parts.session().reconciler.reconcile(MODEL)
    assert stage(parts, "2") == "Archived"


def test_the_move_is_announced_as_somebody_elses(parts: Parts) -> None:
    """A server that records moves must not take the service for who asked."""
    ask(parts, "2")
    text = parts.registry.tags(MODEL, "2")["gitops.request.stage.Production"]
    assert is_relayed(text)


def test_every_version_in_turn(parts: Parts) -> None:
    for number in ("1", "2", "3", "1"):
        assert ask(parts, number).state is State.COMMITTED
        assert parts.version("production", MODEL) == number


def test_what_stands_is_answered_too(parts: Parts) -> None:
    ask(parts, "2")
    head = parts.repository.remote["main"]
    assert ask(parts, "2").state is State.COMMITTED
    assert parts.repository.remote["main"] == head


def test_the_resync_finds_it_and_counts_it_as_a_change(parts: Parts) -> None:
    relay(parts, pytest.fail).ask(Wish(NAME, f"models:/{MODEL}/2"), wait=0)
    survey = parts.session().reconciler.survey()
    assert survey.changes == {"production": (MODEL,)}
    assert survey.work == {MODEL: frozenset({"production"})}
    plan = parts.cli("plan")
    assert "(no service) -> 2" in plan.output
    assert stage(parts, "2") == "None", "a look moves nothing"


def test_a_model_that_would_not_load_moves_nothing_and_says_so(parts: Parts) -> None:
    ask(parts, "1")
    number = parts.register(MODEL, files={"weights.bin": b"1"})
    with pytest.raises(RequestError, match="answered `failed`"):
        ask(parts, number)
    assert stage(parts, number) == "None"
    assert parts.version("production", MODEL) == "1"
    assert status(parts, "1")[0] is State.COMMITTED, "another version's failure is not its own"
    assert not parts.session().reconciler.survey().work, "it was answered"


def test_an_unknown_environment_is_answered(parts: Parts) -> None:
    with pytest.raises(RequestError, match="no environment `prodution`") as caught:
        ask(parts, "1", name=f"prodution/{MODEL}")
    assert "staging, production" in str(caught.value)
    assert parts.version("production", MODEL) == ""


def test_a_service_that_is_down_leaves_the_request(parts: Parts) -> None:
    with pytest.raises(TransientError, match="the request stays") as caught:
        relay(parts, lambda: None).ask(Wish(NAME, f"models:/{MODEL}/1"), wait=5)
    assert "gitops.status.production" in str(caught.value)
    parts.session().reconciler.reconcile(MODEL)
    assert parts.version("production", MODEL) == "1"


def test_a_later_move_by_a_person_overtakes_it(parts: Parts) -> None:
    ask(parts, "1")
    relay(parts, pytest.fail).ask(Wish(NAME, f"models:/{MODEL}/2"), wait=0)
    parts.registry.transition(MODEL, "3", "Production")
    parts.time = "2026-11-23T10:00:09.000Z"
    ask_through_git(parts, "3")
    assert parts.version("production", MODEL) == "3"
    assert status(parts, "2")[0] is State.SUPERSEDED
    assert stage(parts, "2") == "None"


def ask_through_git(parts: Parts, number: str) -> None:
    Asker(parts.session().reconciler).ask(Wish(NAME, f"models:/{MODEL}/{number}"))


@pytest.mark.parametrize(
    ("wish", "says"),
    [
        ({"name": MODEL}, "<environment>/<model>"),
        ({"name": f"Prod uction/{MODEL}"}, "<environment>/<model>"),
        ({"name": "production/other"}, "the name says `other`"),
        ({"model_uri": "runs:/1/model"}, "registered version"),
        ({"model_uri": f"models:/{MODEL}/9"}, "no version 9"),
        ({"model_uri": "models:/other/1"}, "no registered model"),
        ({"by": "a\x00b"}, "control character"),
        ({"flavor": "pytorch"}, "no flavor `pytorch`"),
    ],
)
def test_wrong_input_writes_nothing(parts: Parts, wish: dict[str, str], says: str) -> None:
    before = parts.written()
    with pytest.raises(RequestError, match=says):
        ask(parts, "1", **wish)
    assert parts.written() == before


def test_a_service_is_retired(parts: Parts) -> None:
    ask(parts, "1")
    answer = relay(parts, served(parts)).retire(Wish(NAME), wait=60)
    assert answer.state is State.RETIRED
    assert parts.version("production", MODEL) == ""
    assert stage(parts, "1") == "Production", "the selector stays"
    with pytest.raises(RequestError, match="no service that was delivered"):
        relay(parts, served(parts)).retire(Wish(NAME), wait=60)
    assert ask(parts, "2").state is State.COMMITTED, "asked for again"


def test_an_unknown_environment_is_answered_by_the_resync_once(parts: Parts) -> None:
    relay(parts, pytest.fail).ask(Wish(f"lab/{MODEL}", f"models:/{MODEL}/1"), wait=0)
    assert parts.session().reconciler.survey().work == {MODEL: frozenset()}
    assert parts.cli("reconcile").exit_code == 0
    assert status(parts, "1", "lab")[0] is State.FAILED
    before = parts.written()
    assert not parts.session().reconciler.survey().work
    assert parts.cli("reconcile").exit_code == 0
    assert parts.written() == before
