"""Asking through the registry alone: what is written, and what the service answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from mlflow_gitops.ask import Answer, Asker
from mlflow_gitops.errors import RegistryError, RequestError, TransientError
from mlflow_gitops.planning.records import (
    is_relayed,
    pending_for,
    request_for,
    request_text,
    status_of,
)
from mlflow_gitops.relay import Relay
from mlflow_gitops.state import Environment, Selector, State, Status
from mlflow_gitops.wish import Wish
from tests.support.memory_registry import MemoryRegistry
from tests.support.memory_session import Parts

MODEL = "fraud-detector"
NAME = f"production/{MODEL}"
LEAF = f"models/overlays/production/{MODEL}/model-version.yaml"
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


def send(parts: Parts, number: str, *, name: str = NAME, at: int = 0) -> Answer:
    """Asked, and nobody waits. `at` is seconds after ten."""
    parts.time = f"2026-11-23T10:00:{at:02}.000Z"
    return relay(parts, pytest.fail).ask(Wish(name, f"models:/{MODEL}/{number}"), wait=0)


def send_retirement(parts: Parts, *, at: int = 0) -> Answer:
    parts.time = f"2026-11-23T10:00:{at:02}.000Z"
    return relay(parts, pytest.fail).retire(Wish(NAME), wait=0)


def look(parts: Parts, times: int = 1) -> None:
    for _ in range(times):
        parts.session().reconciler.reconcile(MODEL)


def write_by_hand(parts: Parts, old: str, new: str, path: str = LEAF) -> None:
    text = parts.repository.files()[path]
    assert old in text
    parts.repository.person_commits({path: text.replace(old, new)})


def test_a_refused_request_stays_refused_when_what_was_in_its_way_goes(parts: Parts) -> None:
    ask(parts, "1")
    write_by_hand(parts, "/v1/", "/v1/ # mlflow-gitops: hold audit")
    with pytest.raises(RequestError, match="a comment holds it"):
        relay(parts, served(parts)).retire(Wish(NAME), wait=60)
    with pytest.raises(RequestError, match="a comment holds it"):
        ask(parts, "2")
    write_by_hand(parts, " # mlflow-gitops: hold audit", "")
    look(parts, 2)
    assert parts.version("production", MODEL) == "1", "both were answered with a refusal"
    assert ask(parts, "2").state is State.COMMITTED, "asked again"


def test_an_overtaken_retirement_never_comes_back(parts: Parts) -> None:
    ask(parts, "1")
    send_retirement(parts, at=1)
    broken = parts.register(MODEL, files={"weights.bin": b"1"})
    send(parts, broken, at=2)
    look(parts, 3)
    assert parts.version("production", MODEL) == "1"
    assert status(parts, broken)[0] is State.FAILED


def test_a_registry_that_refuses_the_move_is_told_once_to_who_asked(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask(parts, "1")

    def refuse(*_args: object, **_more: object) -> None:
        raise RegistryError("permission denied", where="memory", hint="grant it")

    monkeypatch.setattr(type(parts.registry), "select", refuse)
    with pytest.raises(RequestError, match="permission denied"):
        ask(parts, "2")
    before = parts.written()
    look(parts, 2)
    assert parts.written() == before
    assert status(parts, "1")[0] is State.COMMITTED


def test_what_is_asked_for_during_the_check_is_not_lost(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the same tag: a version asked for, and its retirement while that is looked at."""
    ask(parts, "1")
    parts.repository.revert(ask(parts, "2").commit)
    look(parts)
    send(parts, "2", at=5)
    sealed, sent = type(parts.store).sealed, []

    def meanwhile(store: object, publication: object) -> object:
        if not sent:
            sent.append(send_retirement(parts, at=6))
        return sealed(store, publication)  # type: ignore[arg-type]

    monkeypatch.setattr(type(parts.store), "sealed", meanwhile)
    look(parts)
    assert parts.version("production", MODEL) == "1"
    look(parts)
    assert parts.version("production", MODEL) == ""
    assert status(parts, "2")[0] is State.RETIRED


def test_a_move_that_the_server_recorded_before_a_crash_does_not_overtake_its_request(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask(parts, "1")
    asked = send(parts, "2", at=1).request
    assert asked is not None
    select = type(parts.registry).select

    def crash(registry: MemoryRegistry, *args: Any, **more: Any) -> None:
        select(registry, *args, **more)
        tag = "gitops.request.stage.Production"
        later = replace(asked, pending=False, time="2026-11-23T10:00:03.000Z")
        registry.set_tag(MODEL, "2", tag, request_text(later, model=MODEL, tag=tag))
        raise TransientError("the answer was lost")

    with monkeypatch.context() as patch:
        patch.setattr(type(parts.registry), "select", crash)
        look(parts)
    told: list[State] = []
    report = type(parts.registry).report

    def listen(registry: MemoryRegistry, m: str, n: str, e: str, status: Status) -> None:
        told.extend([status.state] if (n, e) == ("2", "production") else [])
        report(registry, m, n, e, status)

    monkeypatch.setattr(type(parts.registry), "report", listen)
    look(parts)
    assert told == [State.PUBLISHING, State.COMMITTED]


def test_an_alias_that_a_person_moved_meanwhile_is_left_where_it_is(parts: Parts) -> None:
    settings = "mlflow-gitops.yaml"
    write_by_hand(parts, "select: {stage: Production}", "select: {alias: champion}", settings)
    ask(parts, "1")
    send(parts, "2", at=1)
    parts.registry.set_alias(MODEL, "champion", "3")
    look(parts)
    assert parts.registry.snapshot(MODEL).aliases == {"champion": "3"}
    assert status(parts, "2")[0] is State.FAILED
    assert "version 3 has the alias champion" in status(parts, "2")[1]


def test_what_was_asked_of_an_unknown_environment_stays_answered(parts: Parts) -> None:
    settings = "mlflow-gitops.yaml"
    write_by_hand(parts, "  production:", "  produktion:", settings)
    send(parts, "1")
    look(parts)
    parts.registry.transition(MODEL, "2", "Production")
    write_by_hand(parts, "  produktion:", "  production:", settings)
    look(parts)
    assert parts.version("production", MODEL) == "2"
    assert stage(parts, "1") == "None"


def test_who_was_overtaken_in_the_same_record_does_not_wait_in_vain(parts: Parts) -> None:
    ask(parts, "1")

    def a_colleague_is_faster() -> None:
        send(parts, "2", at=9)
        look(parts)

    waiting = relay(parts, a_colleague_is_faster)
    with pytest.raises(RequestError, match="asked for again before the service looked"):
        waiting.ask(Wish(NAME, f"models:/{MODEL}/2"), wait=60)
    assert parts.version("production", MODEL) == "2"


def test_a_model_without_versions_has_nothing_to_record_a_retirement_on(parts: Parts) -> None:
    ask(parts, "1")
    for number in ("1", "2", "3"):
        parts.registry.delete_version(MODEL, number)
    with pytest.raises(RequestError, match="the model has no version"):
        send_retirement(parts)
