"""Histories in memory: what people do, and what must follow, on the pure planning code alone.

The same stories run end to end over real parts in `tests/e2e`; here they are cheap enough to be
told in every variation, and to be made up at random.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from mlflow_gitops.errors import GitOpsError
from mlflow_gitops.planning.deliveries import delivered_text
from mlflow_gitops.planning.messages import parse_trailers
from mlflow_gitops.planning.plan import Kind, Plan
from mlflow_gitops.state import ServiceSpec, State
from tests.support.planning import BY_ALIAS, BY_TAG, SETTINGS, STAGING, World, spec

BY_HAND = ServiceSpec("s3://elsewhere/by-hand", "", "")
CANARY = '{"canaryTrafficPercent":10}'
Damage = Callable[[World], None]


def world(*numbers: str, staging: bool = False) -> World:
    found = World(environment=STAGING) if staging else World()
    found.register(*numbers or ("1", "2", "3"))
    return found


def promote(w: World, number: str, *, record: bool = True, archive: bool = False) -> None:
    w.move(number, w.environment.select.name, record=record, archive=archive)
    plan = w.settle()
    assert (w.version, plan.state) == (number, State.COMMITTED), plan.reason


def assert_stands(w: World, times: int = 10) -> Plan:
    """However often the resync comes, nothing is written: Git, the tag, the statuses."""
    w.settle()
    state = w.state
    plans = [w.tick() for _ in range(times)]
    assert w.state == state
    assert {plan.kind for plan in plans} == {Kind.NONE}
    return plans[-1]


def lose(w: World) -> None:
    w.tag = ""


def forge_head(w: World) -> None:
    assert w.delivered is not None
    w.tag = delivered_text(replace(w.delivered, head="f" * 40))


DAMAGES: dict[str, Damage] = {"lost": lose, "forged": forge_head}
damaged = pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
either = pytest.mark.parametrize("record", [True, False], ids=["recorded", "by sight"])


# Back and forth


@either
def test_v1_then_v2_then_back_to_v1_with_archiving(record: bool) -> None:
    w = world()
    for number in ("1", "2", "1", "2", "1"):
        promote(w, number, record=record, archive=True)
    assert w.ours == 5


def test_v1_then_v2_then_back_to_v1_without_archiving() -> None:
    w = world()
    for number in ("1", "2", "1"):
        promote(w, number)
    assert w.ours == 3


def test_without_a_record_a_version_that_never_left_is_not_taken_again() -> None:
    w = world()
    promote(w, "1", record=False)
    promote(w, "2", record=False)
    w.move("1", record=False)
    plan = assert_stands(w)
    assert w.version == "2"
    assert "version 1 is selected too" in plan.notes[0]
    w.move("1", "None", record=False)
    w.tick()
    promote(w, "1", record=False)


def test_two_came_at_once_without_a_record_and_one_goes_again() -> None:
    w = world()
    promote(w, "1", record=False)
    w.move("2", record=False)
    w.move("3", record=False)
    assert assert_stands(w).state is State.AMBIGUOUS
    assert w.version == "1"
    w.move("2", "None")
    w.settle()
    assert w.version == "3"


@either
def test_archiving_the_newest_goes_back_to_the_one_that_remains(record: bool) -> None:
    w = world()
    promote(w, "1", record=record)
    promote(w, "2", record=record)
    w.move("2", "Archived")
    w.settle()
    assert w.version == "1"
    assert_stands(w)
    w.move("1", "Archived")
    assert assert_stands(w).state is State.UNSELECTED
    assert w.version == "1", "nothing is removed by absence"


@either
def test_what_moved_on_to_production_stays_in_staging(record: bool) -> None:
    w = world(staging=True)
    promote(w, "1", record=record)
    promote(w, "2", record=record)
    w.move("2", "Production")
    assert assert_stands(w).state is State.UNSELECTED
    w.move("2", "Archived")
    assert_stands(w)
    assert w.version == "2", "it moved on first: no way back by itself"


@damaged
def test_what_moved_on_stays_though_the_record_is_damaged(damage: Damage) -> None:
    w = world(staging=True)
    promote(w, "1")
    promote(w, "2")
    w.move("2", "Production")
    w.settle()
    w.move("2", "Archived")
    damage(w)
    assert_stands(w)
    assert w.version == "2"


def test_an_ambiguity_in_between_forgets_not_that_it_moved_on() -> None:
    w = world("1", "2", "3", "4", staging=True)
    promote(w, "1", record=False)
    promote(w, "2", record=False)
    w.move("2", "Production")
    w.move("3", "Staging", record=False)
    w.move("4", "Staging", record=False)
    assert assert_stands(w).state is State.AMBIGUOUS
    for number in ("2", "3", "4"):
        w.move(number, "Archived")
    assert_stands(w)
    assert w.version == "2"


# People decide in Git


@either
def test_a_revert_stands_until_something_else_is_asked_for(record: bool) -> None:
    w = world()
    promote(w, "1", record=record, archive=True)
    promote(w, "2", record=record, archive=True)
    w.revert()
    assert assert_stands(w).state is State.HELD
    assert w.version == "1"
    promote(w, "3", record=record, archive=True)
    promote(w, "2", record=record, archive=True)


def test_the_reverted_version_is_asked_for_again() -> None:
    w = world()
    promote(w, "1")
    promote(w, "2")
    w.revert()
    assert assert_stands(w).state is State.HELD
    promote(w, "2")
    assert w.delivered is not None
    assert w.delivered.refused == ()


def test_a_revert_of_the_revert_needs_no_request() -> None:
    w = world()
    promote(w, "1")
    promote(w, "2")
    w.revert()
    w.settle()
    w.revert()
    plan = assert_stands(w)
    assert (w.version, plan.state, plan.refused) == ("2", State.COMMITTED, ())


def test_a_refused_version_is_not_what_remains() -> None:
    w = world()
    promote(w, "1")
    promote(w, "2")
    w.revert()
    w.settle()
    promote(w, "3")
    w.move("1", "Archived")
    w.settle()
    w.move("3", "Archived")
    assert assert_stands(w).state is State.UNSELECTED
    assert w.version == "3"


def test_a_refused_version_is_not_what_remains_though_the_record_is_lost() -> None:
    w = world()
    promote(w, "1")
    promote(w, "2")
    w.revert()
    w.settle()
    promote(w, "3")
    lose(w)
    w.settle()
    for number in ("1", "3"):
        w.move(number, "Archived")
        assert_stands(w)
    assert w.version == "3"
    promote(w, "2")


def test_a_rollback_refuses_the_version_that_it_leaves() -> None:
    w = world()
    promote(w, "1")
    promote(w, "2")
    w.ask("1", "rollback")
    w.settle()
    assert w.version == "1"
    assert w.delivered is not None
    assert w.delivered.refused == ("2",)
    w.move("1", "Archived")
    assert assert_stands(w).state is State.UNSELECTED
    assert w.version == "1", "2 remains, and was left for a reason"
    promote(w, "2")


def test_a_rollback_that_died_before_its_record_refuses_all_the_same() -> None:
    w = world()
    promote(w, "1")
    promote(w, "2")
    before = w.tag
    w.ask("1", "rollback")
    w.settle()
    w.tag = before
    w.write(spec("3"), "Pin")
    assert assert_stands(w).state is State.HELD
    assert w.delivered is not None
    assert w.delivered.refused == ("1", "2")


@either
def test_pinned_by_hand_and_then_asked_for(record: bool) -> None:
    w = world()
    promote(w, "1", record=record, archive=True)
    promote(w, "2", record=record, archive=True)
    w.write(spec("1"), "Pin")
    assert assert_stands(w).state is State.HELD
    ours = w.ours
    promote(w, "1", record=record, archive=True)
    assert w.ours == ours, "Git says it already"
    promote(w, "3", record=record, archive=True)


def test_retired_by_hand() -> None:
    w = world()
    promote(w, "1")
    w.write(None, "Retire")
    assert assert_stands(w).state is State.HELD
    assert w.committed is None
    promote(w, "2")


def test_retired_by_request_and_brought_back() -> None:
    w = world()
    promote(w, "1")
    w.ask("1", "retire")
    w.settle()
    assert w.committed is None
    assert assert_stands(w).state is State.RETIRED
    w.revert()
    assert assert_stands(w).state is State.HELD
    assert w.version == "1"
    w.move("1", "None")
    w.settle()
    promote(w, "1")


def test_an_old_retirement_is_not_asked_for_when_its_version_comes_back() -> None:
    w = world()
    promote(w, "1")
    w.ask("1", "retire")
    w.settle()
    promote(w, "2", archive=True)
    promote(w, "1", record=False, archive=True)
    assert_stands(w)
    assert "retire" not in w.commits[-1].message


def test_a_canary_by_hand_waits_and_then_the_request_goes_out() -> None:
    w = world()
    promote(w, "1")
    w.write(spec("1", CANARY), "Try")
    assert assert_stands(w).state is State.HELD
    w.move("2")
    assert assert_stands(w).state is State.HELD
    assert w.committed == spec("1", CANARY)
    w.revert()
    w.settle()
    assert w.version == "2"


def test_a_version_that_left_during_a_hold_and_came_back_is_a_request() -> None:
    w = world()
    promote(w, "1")
    promote(w, "2")
    w.write(spec("2", CANARY), "Try")
    w.move("3")
    assert assert_stands(w).state is State.HELD
    w.move("1", "None")
    w.settle()
    w.move("3", "None")
    w.settle()
    w.move("1", record=False)
    w.write(spec("2"), "Stop the try")
    w.settle()
    assert w.version == "1"


# Damage


@damaged
@either
def test_a_damaged_record_undoes_no_revert(damage: Damage, record: bool) -> None:
    w = world()
    promote(w, "1", record=record)
    promote(w, "2", record=record)
    w.revert()
    w.settle()
    damage(w)
    assert assert_stands(w).state is State.HELD
    assert w.version == "1"


def test_a_stale_record_undoes_no_revert() -> None:
    w = world()
    promote(w, "1")
    stale = w.tag
    promote(w, "2")
    promote(w, "3")
    w.revert()
    w.settle()
    w.tag = stale
    assert assert_stands(w).state is State.HELD
    assert w.version == "2"


@either
@pytest.mark.parametrize("first", [True, False], ids=["first", "second"])
def test_a_crash_between_push_and_record_and_then_a_revert(first: bool, record: bool) -> None:
    w = world()
    if not first:
        promote(w, "1", record=record)
    w.move("2", record=record)
    w.tick(record=False)
    assert w.version == "2"
    w.revert()
    assert assert_stands(w).state is State.HELD
    assert w.version == ("" if first else "1")


def test_after_a_crash_the_one_that_lost_is_not_taken_instead() -> None:
    """Both were asked for, the later one was pushed, and nothing recorded that the other lost."""
    w = world()
    promote(w, "1")
    w.move("2")
    w.move("3")
    w.tick(record=False)
    w.revert()
    assert assert_stands(w).state is State.HELD
    assert w.version == "1"


def test_after_a_crash_a_request_since_then_is_answered() -> None:
    w = world()
    promote(w, "1")
    w.move("2")
    w.tick(record=False)
    w.move("1")
    w.settle()
    assert w.version == "1"
    w.move("3", record=False)
    w.settle()
    assert w.version == "3"


def test_a_record_that_is_deleted_or_late_brings_nothing_back() -> None:
    w = world()
    promote(w, "1")
    old = w.records["1"]
    promote(w, "2")
    promote(w, "1")
    promote(w, "2")
    w.records["1"] = old
    assert_stands(w)
    w.records["1"] = replace(old, id="written-late")
    assert_stands(w)
    assert w.version == "2"


# The registry is turned over


def test_a_renamed_model_waits_for_the_settings() -> None:
    w = world()
    promote(w, "1")
    w.rename("fraud-new")
    w.move("2")
    assert assert_stands(w).state is State.HELD
    w.settings = replace(SETTINGS, services={"fraud-new": "fraud"})
    plan = w.settle()
    assert (w.version, plan.state) == ("2", State.COMMITTED)
    assert list(w.commits[-1].spec) == ["fraud"]
    assert_stands(w)


@either
def test_a_model_that_was_made_again_is_another_one(record: bool) -> None:
    w = world()
    promote(w, "1")
    ours = w.ours
    w.recreate("1", "2")
    w.move("1", record=record)
    plan = w.tick()
    assert plan.kind is Kind.RECORD, "the publisher then compares the identities"
    assert plan.version == w.rows["1"]
    assert w.ours == ours
    promote(w, "2", record=record)


def test_a_model_without_runs_that_was_made_again_is_another_one() -> None:
    w = world()
    w.rows = {n: replace(v, identity=replace(v.identity, run_id="")) for n, v in w.rows.items()}
    promote(w, "1")
    w.recreate("1")
    w.rows["1"] = replace(w.rows["1"], identity=replace(w.rows["1"].identity, run_id=""))
    w.move("1", record=False)
    assert w.tick().kind is Kind.RECORD


def test_the_delivered_version_is_deleted() -> None:
    w = world()
    promote(w, "1")
    promote(w, "2")
    del w.rows["2"]
    assert assert_stands(w).state is State.UNSELECTED
    assert w.version == "2"
    w.register("4")
    promote(w, "4")


def test_a_changed_prefix_goes_out_with_the_next_promotion() -> None:
    w = world()
    promote(w, "1")
    w.settings = replace(SETTINGS, prefix="elsewhere")
    plan = assert_stands(w)
    assert "settings drift" in plan.reason
    assert w.committed == spec("1")
    promote(w, "2")
    assert w.committed == spec("2", prefix="elsewhere")


def test_a_changed_prefix_goes_out_when_the_version_is_asked_for_again() -> None:
    w = world()
    promote(w, "1")
    w.settings = replace(SETTINGS, prefix="elsewhere")
    w.settle()
    promote(w, "1")
    assert w.committed == spec("1", prefix="elsewhere")


# Adopting


def test_what_was_adopted_stands_until_something_is_asked_for() -> None:
    w = world()
    w.write(BY_HAND)
    w.move("1", record=False)
    w.move("2")
    w.adopt()
    assert assert_stands(w).state is State.ADOPTED
    assert w.ours == 0
    promote(w, "3")


def test_what_was_adopted_is_asked_for() -> None:
    w = world()
    w.write(replace(BY_HAND, version="2"))
    w.move("2")
    w.adopt()
    assert assert_stands(w).state is State.ADOPTED
    promote(w, "2")
    assert w.committed == spec("2")


def test_no_service_is_adopted_as_none() -> None:
    w = world()
    w.move("1")
    w.adopt()
    assert assert_stands(w).state is State.ADOPTED
    assert w.committed is None
    promote(w, "2")


# Other selectors


def test_an_alias_moves_and_returns() -> None:
    w = World(environment=BY_ALIAS, settings=replace(SETTINGS, environments={"p": BY_ALIAS}))
    w.register("1", "2")
    for number in ("1", "2", "1"):
        w.rows = {
            n: replace(v, aliases=("champion",) if n == number else ()) for n, v in w.rows.items()
        }
        w.settle()
        assert w.version == number
    w.rows = {n: replace(v, aliases=()) for n, v in w.rows.items()}
    assert assert_stands(w).state is State.UNSELECTED
    assert w.ours == 3


def test_a_tag_is_set_on_one_and_another_and_taken_away() -> None:
    w = World(environment=BY_TAG, settings=replace(SETTINGS, environments={"p": BY_TAG}))
    w.register("1", "2")
    for number in ("1", "2"):
        w.rows[number] = replace(w.rows[number], tags={"serve": "yes"})
        w.settle()
        assert w.version == number
    w.rows["2"] = replace(w.rows["2"], tags={"serve": "no"})
    w.settle()
    assert w.version == "1"


# At random

NUMBERS = ("1", "2", "3")
STAGES = ("None", "Staging", "Production", "Archived")
number = st.sampled_from(NUMBERS)
ACTS = st.one_of(
    st.tuples(st.just("move"), number, st.sampled_from(STAGES), st.booleans(), st.booleans()),
    st.tuples(st.just("ask"), number, st.sampled_from(["deploy", "rollback", "retire"])),
    st.tuples(st.just("unask"), number),
    st.tuples(st.just("delete"), number),
    st.tuples(st.just("register"), number),
    st.tuples(st.just("revert")),
    st.tuples(st.just("pin"), st.sampled_from([*NUMBERS, "", "blue"]), st.booleans()),
    st.tuples(st.just("tick")),
    st.tuples(st.just("crash")),
    st.tuples(st.just("lose")),
    st.tuples(st.just("forge")),
    st.tuples(st.just("stale")),
    st.tuples(st.just("adopt")),
    st.tuples(st.just("prefix"), st.sampled_from(["", "elsewhere"])),
    st.tuples(st.just("rename"), st.sampled_from(["fraud", "fraud-new"])),
    st.tuples(st.just("status"), number, st.sampled_from(["READY", "FAILED_REGISTRATION"])),
)
IDLE = st.one_of(
    st.tuples(st.just("unask"), number),
    st.tuples(st.just("describe"), number),
    st.tuples(st.just("prefix"), st.sampled_from(["", "elsewhere"])),
    st.tuples(st.just("status"), number, st.sampled_from(["READY", "FAILED_REGISTRATION"])),
)
PEOPLE = st.lists(ACTS, max_size=14)
at_random = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def act(w: World, what: tuple[object, ...], tags: list[str]) -> None:
    """One step of a random history; what cannot be done is not done."""
    tags.append(w.tag)
    match what:
        case ("move", str(n), str(stage), bool(record), bool(archive)) if n in w.rows:
            w.move(n, stage, record=record, archive=archive)
        case ("ask", str(n), ("deploy" | "rollback" | "retire") as action) if n in w.rows:
            w.ask(n, action)
        case ("unask", str(n)):
            w.records.pop(n, None)
        case ("delete", str(n)):
            w.rows.pop(n, None)
            w.records.pop(n, None)
        case ("register", str(n)) if n not in w.rows:
            w.register(n)
        case ("status", str(n), str(status)) if n in w.rows:
            w.rows[n] = replace(w.rows[n], status=status)
        case ("describe", str(n)) if n in w.rows:
            w.rows[n] = replace(w.rows[n], updated=w.clock)
        case ("revert",) if w.commits:
            w.revert()
        case ("pin", str(label), bool(canary)):
            w.write(spec(label, CANARY if canary else "") if label else None)
        case ("lose",):
            w.tag = ""
        case ("forge",) if w.delivered:
            forge_head(w)
        case ("stale",):
            w.tag = tags[len(tags) // 2]
        case ("adopt",) if not w.tag:
            w.adopt()
        case ("prefix", str(prefix)):
            w.settings = replace(w.settings, prefix=prefix)
        case ("rename", str(model)):
            w.rename(model)
        case ("tick",) | ("crash",):
            look(w, record=what == ("tick",))
        case _:
            pass


def look(w: World, *, record: bool = True) -> Plan | None:
    try:
        return w.tick(record=record)
    except GitOpsError:
        return None


def run(history: list[tuple[object, ...]]) -> World:
    w, tags = world(), [""]
    for what in history:
        act(w, what, tags)
    return w


def converge(w: World) -> None:
    for _ in range(4):
        look(w)


@at_random
@given(PEOPLE)
def test_whatever_happened_it_settles_and_then_stands(history: list[tuple[object, ...]]) -> None:
    w = run(history)
    converge(w)
    state = w.state
    for _ in range(10):
        look(w)
    assert w.state == state


DECISIONS = ("revert", "pin", "retire", "canary")
decision = st.sampled_from(DECISIONS)


def decide(w: World, what: str) -> None:
    """A person changes the service in Git."""
    match what:
        case "revert" if w.commits:
            w.revert()
        case "canary" if w.committed:
            w.write(replace(w.committed, rollout=CANARY))
        case "retire":
            w.write(None)
        case _:
            w.write(spec("blue"))


def assume_answered(w: World) -> Plan:
    """No request waits for anything: not for a canary to end, not for settings, not for a cure."""
    converge(w)
    plan = look(w)
    assume(plan is not None and "has a canary" not in plan.reason)
    assert plan is not None
    assume("the model was called" not in plan.reason)
    return plan


@at_random
@given(PEOPLE, st.lists(st.one_of(decision.map(lambda d: (d,)), IDLE), min_size=1, max_size=8))
def test_without_a_request_or_a_change_of_the_selection_nothing_is_committed(
    history: list[tuple[object, ...]], later: list[tuple[object, ...]]
) -> None:
    w = run(history)
    assume_answered(w)
    ours = w.ours
    for what in later:
        if what[0] in DECISIONS:
            decide(w, str(what[0]))
        act(w, what, [])
        found = w.committed
        look(w)
        assert (w.ours, w.committed) == (ours, found)


@at_random
@given(PEOPLE, decision, st.sampled_from(list(DAMAGES.values())))
def test_no_decision_of_a_person_is_undone_though_the_record_is_damaged(
    history: list[tuple[object, ...]], what: str, damage: Damage
) -> None:
    """Where Git has what the record says: a commit answered the request, and under this name."""
    w = run([*history, ("move", "1", "Production", True, True)])
    assume_answered(w)
    delivered = w.delivered
    assume(delivered is not None)
    assert delivered is not None
    answer = next((c for c in w.commits if c.name == delivered.commit), None)
    assume(answer is not None and delivered.head == answer.name)
    assert answer is not None
    assume(parse_trailers(answer.message)["Gitops-Request"] == delivered.request.id)
    assume(delivered.service == w.service)
    decide(w, what)
    damage(w)
    found, ours = w.committed, w.ours
    converge(w)
    assert (w.ours, w.committed) == (ours, found)


@at_random
@given(PEOPLE, number)
def test_whatever_happened_an_explicit_request_is_answered_or_says_why(
    history: list[tuple[object, ...]], wanted: str
) -> None:
    """The way out of every hold: ask, with a record. What still waits names what to do."""
    w = run(history)
    converge(w)
    if wanted not in w.rows:
        w.register(wanted)
    w.rows[wanted] = replace(w.rows[wanted], status="READY")
    for other in w.rows.values():
        w.rows[other.number] = replace(other, stage="Archived")
    w.move(wanted)
    plan = w.settle()
    if plan.state is State.HELD:
        assert "has a canary" in plan.reason or "the model was called" in plan.reason
    else:
        assert (plan.state, w.committed) == (State.COMMITTED, w.spec(wanted)), plan.reason


@at_random
@given(st.lists(st.tuples(number, st.booleans()), min_size=1, max_size=8))
def test_a_commit_answers_a_request_or_a_change_of_the_selection(
    moves: list[tuple[str, bool]],
) -> None:
    """One move, one look: at most one commit each, and none where nothing moved."""
    w = world()
    for wanted, archive in moves:
        ours = w.ours
        w.move(wanted, archive=archive)
        changed = w.version != wanted
        w.tick()
        assert (w.version, w.ours) == (wanted, ours + changed)
        assert_stands(w, times=2)
    assert {c.is_ours for c in w.commits} == {True}
