"""The plan as a truth table over rule 3: desired, committed and delivered decide together.

Each row says what the registry, Git and the record hold, and what follows. Version 2 was asked for
in second 20 and delivered, unless a row says another. `-` is no service in Git.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import pytest

from mlflow_gitops.planning.desired import desired_service
from mlflow_gitops.planning.plan import Kind, Place, Plan, make_plan, next_delivered, reports
from mlflow_gitops.state import (
    Delivered,
    Hold,
    ModelVersion,
    Request,
    ServiceKey,
    ServiceSpec,
    Settings,
    State,
)
from tests.support.planning import (
    KEY,
    PRODUCTION,
    REPOSITORY,
    SETTINGS,
    asked,
    at,
    delivery_of,
    row,
    snapshot,
    spec,
)

NOW = 90
ASKED_1, ASKED_2, ASKED_3 = asked("1", 10), asked("2", 20), asked("3", 30)
AGAIN_2 = asked("2", 40)
RETIRE_2 = asked("2", 40, "retire")
BACK_TO_1 = asked("1", 40, "rollback")
TWO = delivery_of(ASKED_2, {"1": "r10", "2": "r20"})
RETIRED = delivery_of(asked("2", 20, "retire"), {"2": "r20"})
ONE, ONLY_TWO, BOTH = [row("1")], [row("2")], [row("1"), row("2")]
CANARY = spec("2", '{"canaryTrafficPercent":10}')
BY_HAND = ServiceSpec("s3://elsewhere/by-hand", "")
ADOPTED = replace(
    TWO, spec=spec("2", '{"canaryTrafficPercent":10}'), commit="", adopted=True, matched={"2": ""}
)
MOVED = replace(SETTINGS, prefix="elsewhere")
RENAMED = ServiceKey("production", "fraud-new")
MAPPED = replace(SETTINGS, services={"fraud-new": "fraud"})
BY_COMMENT = Hold("until the audit", "overlays/production/fraud.yaml", 9)


@dataclass(frozen=True, slots=True)
class Row:
    says: str
    versions: Sequence[ModelVersion]
    requests: Sequence[Request]
    committed: ServiceSpec | None
    delivered: Delivered | None
    kind: Kind
    state: State
    after: str = ""  # the version that Git has then, "-" for none, "" for no change
    refused: tuple[str, ...] = ()
    because: str = ""
    settings: Settings = SETTINGS
    key: ServiceKey = KEY
    branch: str = "main"
    hold: Hold | None = None


def plan_of(line: Row) -> Plan:
    place = Place(REPOSITORY, line.branch, line.settings.service(line.key.model, PRODUCTION))
    look = snapshot(*line.versions, model=line.key.model)
    requests = {r.version: r for r in line.requests}
    desired = desired_service(look, PRODUCTION, line.delivered, requests, line.settings, at(NOW))
    return make_plan(line.key, place, desired, line.committed, line.delivered, line.hold)


PROMOTE, RETIRE, RECORD, NONE = Kind.PROMOTE, Kind.RETIRE, Kind.RECORD, Kind.NONE
COMMITTED, HELD = State.COMMITTED, State.HELD

IN_SYNC = [
    Row("Git has the delivered version", BOTH, [ASKED_2], spec("2"), TWO, NONE, COMMITTED),
    Row("Git has what is asked for anew", BOTH, [BACK_TO_1], spec("1"), TWO, RECORD, COMMITTED,
        refused=("2",), because="a rollback"),
    Row("Git has it already, and nothing is recorded", ONE, [], spec("1"), None, RECORD, COMMITTED),
    Row("Git has the version that is asked for again", BOTH, [AGAIN_2], spec("2"), TWO, RECORD,
        COMMITTED),
    Row("Git has the version that people turned down once", BOTH, [], spec("2"),
        replace(TWO, refused=("1", "2")), NONE, COMMITTED, refused=("1",)),
    Row("a person wrote what the changed settings would write", BOTH, [],
        spec("2", prefix="elsewhere"), TWO, RECORD, COMMITTED, settings=MOVED),
    Row("another branch has it, too", BOTH, [], spec("2"), TWO, RECORD, COMMITTED, branch="next"),
    Row("retired, and Git has no service", ONLY_TWO, [], None, RETIRED, NONE, State.RETIRED),
    Row("asked to retire what is not there", ONLY_TWO, [RETIRE_2], None, TWO, RECORD,
        State.RETIRED),
    Row("adopted without a service, and there is none", ONLY_TWO, [], None,
        replace(RETIRED, adopted=True), NONE, State.ADOPTED),
]  # fmt: skip

ANSWERED = [
    Row("a person reverted it", BOTH, [ASKED_2], spec("1"), TWO, NONE, HELD, refused=("2",),
        because="a person decided otherwise in Git: version 1 at s3://models/fraud/v1/ stands"),
    Row("a person pinned another place", BOTH, [ASKED_2], BY_HAND, TWO, NONE, HELD, refused=("2",),
        because="version (no label) at s3://elsewhere/by-hand stands"),
    Row("a person retired it", BOTH, [ASKED_2], None, TWO, NONE, HELD, refused=("2",),
        because="no service stands"),
    Row("a person brought a retired service back", ONLY_TWO, [], spec("2"), RETIRED, NONE, HELD,
        because="the service was retired"),
    Row("a person began a canary beside it", BOTH, [ASKED_2], CANARY, TWO, NONE, HELD,
        because="with rollout"),
    Row("a person changed what was adopted", ONLY_TWO, [], BY_HAND, ADOPTED, NONE, HELD,
        refused=("2",), because="was adopted, and a person decided otherwise"),
    Row("the prefix changed in the settings", BOTH, [], spec("2"), TWO, NONE, COMMITTED,
        because="settings drift: Git has version 2 at s3://models/fraud/v2/", settings=MOVED),
    Row("the prefix changed, and a person reverted", BOTH, [], spec("1"), TWO, NONE, HELD,
        refused=("2",), settings=MOVED),
    Row("the branch changed in the settings", BOTH, [], None, TWO, NONE, COMMITTED,
        because="settings drift", branch="next"),
    Row("the service's name changed in the settings", BOTH, [], None, TWO, NONE, COMMITTED,
        because="settings drift", settings=replace(SETTINGS, services={"fraud": "fraud-b"})),
    Row("adopted as it stood, where another place would be written", ONLY_TWO, [], BY_HAND,
        replace(ADOPTED, spec=BY_HAND), NONE, State.ADOPTED, because="adopted as it stood"),
]  # fmt: skip

UNSELECTED = [
    Row("nothing is registered", [], [], None, None, NONE, State.UNSELECTED),
    Row("nothing is selected, and Git has a service by hand", [row("1", "None")], [], BY_HAND, None,
        NONE, State.UNSELECTED),
    Row("the delivered version was archived", [row("2", "Archived")], [ASKED_2], spec("2"), TWO,
        NONE, State.UNSELECTED, because="nothing is removed"),
    Row("the registry answers with nothing", [], [], spec("2"), TWO, NONE, State.UNSELECTED),
    Row("several, and nothing says which", [row("2"), row("3"), row("4")], [], spec("2"), TWO, NONE,
        State.AMBIGUOUS, because="versions 3, 4"),
]  # fmt: skip

NEW = [
    Row("the first version, and Git has no service", ONE, [ASKED_1], None, None, PROMOTE, COMMITTED,
        "1"),
    Row("the first version, and Git has a service by hand", ONE, [], BY_HAND, None, PROMOTE,
        COMMITTED, "1"),
    Row("another version", [*BOTH, row("3")], [ASKED_3], spec("2"), TWO, PROMOTE, COMMITTED, "3"),
    Row("another version ends the hold", [*BOTH, row("3")], [ASKED_3], spec("1"),
        replace(TWO, refused=("2",)), PROMOTE, COMMITTED, "3", ("2",)),
    Row("the reverted version again", BOTH, [AGAIN_2], spec("1"), replace(TWO, refused=("2",)),
        PROMOTE, COMMITTED, "2"),
    Row("the version that a person retired by hand", BOTH, [AGAIN_2], None,
        replace(TWO, refused=("2",)), PROMOTE, COMMITTED, "2"),
    Row("the same version under changed settings", BOTH, [AGAIN_2], spec("2"), TWO, PROMOTE,
        COMMITTED, "2", settings=MOVED),
    Row("a rollback refuses the version that it leaves", BOTH, [BACK_TO_1], spec("2"), TWO, PROMOTE,
        COMMITTED, "1", ("2",)),
    Row("a rollback to the version itself refuses nothing", BOTH, [asked("2", 40, "rollback")],
        spec("1"), TWO, PROMOTE, COMMITTED, "2"),
    Row("to retire it", ONLY_TWO, [RETIRE_2], spec("2"), TWO, RETIRE, State.RETIRED, "-"),
    Row("to retire it, while a person holds another", ONLY_TWO, [RETIRE_2], spec("1"), TWO, RETIRE,
        State.RETIRED, "-", ()),
    Row("a version after it was retired", [*ONLY_TWO, row("3")], [asked("3", 50)], None, RETIRED,
        PROMOTE, COMMITTED, "3"),
    Row("another version, and a canary by hand stands", [*BOTH, row("3")], [ASKED_3], CANARY, TWO,
        NONE, HELD, because="has a canary"),
    Row("a first version, and a canary by hand stands", ONE, [], CANARY, None, NONE, HELD,
        because="has a canary"),
    Row("another version, and the adopted canary stands", [row("2"), row("3")], [ASKED_3], CANARY,
        ADOPTED, NONE, HELD, because="has a canary"),
    Row("another version, and the rollout is ours", [*BOTH, row("3")], [ASKED_3], CANARY,
        replace(TWO, spec=CANARY), PROMOTE, COMMITTED, "3"),
]  # fmt: skip

RENAME = [
    Row("the renamed model was not asked for anew", BOTH, [], None, TWO, NONE, HELD,
        because="add `services: {fraud-new: fraud}`", key=RENAMED),
    Row("the renamed model was asked for anew", BOTH, [AGAIN_2], None, TWO, NONE, HELD,
        because="the model was called fraud", key=RENAMED),
    Row("the settings map the renamed model", BOTH, [], spec("2"), TWO, RECORD, COMMITTED,
        key=RENAMED, settings=MAPPED),
    Row("the settings map the renamed model, and a person reverted", BOTH, [], spec("1"), TWO, NONE,
        HELD, refused=("2",), key=RENAMED, settings=MAPPED),
    Row("the settings map it, and another version is asked for", [*BOTH, row("3")], [ASKED_3],
        spec("2"), TWO, PROMOTE, COMMITTED, "3", key=RENAMED, settings=MAPPED),
]  # fmt: skip

HOLDS = [
    Row("another version", [*BOTH, row("3")], [ASKED_3], spec("2"), TWO, NONE, HELD,
        because="`mlflow-gitops: hold` at overlays/production/fraud.yaml:9 (until the audit); "
        "version 2 at s3://models/fraud/v2/ stands"),
    Row("a first version", ONE, [], BY_HAND, None, NONE, HELD,
        because="stands until the comment is removed"),
    Row("the same version again, reverted", BOTH, [AGAIN_2], spec("1"), TWO, NONE, HELD),
    Row("a rollback", BOTH, [BACK_TO_1], spec("2"), TWO, NONE, HELD),
    Row("to retire it", ONLY_TWO, [RETIRE_2], spec("2"), TWO, NONE, HELD),
    Row("under changed settings", BOTH, [], spec("2"), TWO, NONE, HELD, settings=MOVED),
    Row("a person pinned another place too", BOTH, [ASKED_2], BY_HAND, TWO, NONE, HELD),
    Row("nothing, since Git has it", BOTH, [ASKED_2], spec("2"), TWO, NONE, COMMITTED),
    Row("what Git has, asked anew", BOTH, [BACK_TO_1], spec("1"), TWO, RECORD, COMMITTED,
        refused=("2",)),
    Row("nothing is selected", [row("2", "Archived")], [ASKED_2], spec("2"), TWO, NONE,
        State.UNSELECTED),
]  # fmt: skip

TABLE = [
    pytest.param(line, id=f"{part}: {line.says}")
    for part, lines in {
        "in sync": IN_SYNC,
        "answered before": ANSWERED,
        "nothing to want": UNSELECTED,
        "asked for": NEW,
        "rename": RENAME,
        "held by a comment": [replace(line, hold=BY_COMMENT) for line in HOLDS],
    }.items()
    for line in lines
]


@pytest.mark.parametrize("line", TABLE)
def test_what_to_do(line: Row) -> None:
    plan = plan_of(line)
    assert (plan.kind, plan.state) == (line.kind, line.state), plan.reason
    assert line.because in plan.reason
    assert plan.refused == line.refused
    assert plan.before == line.committed
    assert plan.changes_git == bool(line.after)
    if line.after:
        assert (plan.after.version if plan.after else "-") == line.after
        assert plan.after != plan.before
        assert plan.request is not None
    else:
        assert plan.after == line.committed


def recorded(line: Row, commit: str = "") -> Delivered | None:
    head = commit or "h9"
    return next_delivered(
        plan_of(line), line.delivered, head=head, commit=commit, digest="sha256:9"
    )


@pytest.mark.parametrize("line", TABLE)
def test_what_is_recorded_answers_the_plan(line: Row) -> None:
    """After the effects a second look wants nothing more, whatever the row."""
    plan, record = plan_of(line), recorded(line, "c9" if plan_of(line).changes_git else "")
    if record is None:
        assert line.delivered is None
        assert plan.kind is Kind.NONE
        return
    again = plan_of(replace(line, delivered=record, committed=plan.after))
    assert again.kind is Kind.NONE
    assert next_delivered(again, record, head="h10") == record


@pytest.mark.parametrize("line", HOLDS[:5], ids=lambda line: line.says)
def test_what_waits_goes_out_once_the_comment_is_removed(line: Row) -> None:
    record = recorded(replace(line, hold=BY_COMMENT))
    after = plan_of(replace(line, delivered=record))
    assert after == plan_of(line)
    assert after.changes_git


def line_of(says: str) -> Row:
    parts = (IN_SYNC, ANSWERED, UNSELECTED, NEW, RENAME)
    return next(line for lines in parts for line in lines if line.says == says)


def test_a_promotion_is_recorded_whole() -> None:
    record = recorded(line_of("another version"), "c9")
    assert record == Delivered(
        request=ASKED_3,
        identity=row("3").identity,
        model="fraud",
        service="fraud",
        repository=REPOSITORY,
        branch="main",
        head="c9",
        spec=spec("3"),
        commit="c9",
        digest="sha256:9",
        matched={"1": "", "2": "", "3": "r30"},
    )


def test_a_retirement_is_recorded_as_a_request_and_never_as_nothing() -> None:
    record = recorded(line_of("to retire it"), "c9")
    assert record is not None
    assert record.spec is None
    assert record.request == RETIRE_2


def test_what_was_found_and_not_made_is_recorded_as_such() -> None:
    record = recorded(line_of("Git has it already, and nothing is recorded"))
    assert record is not None
    assert (record.adopted, record.commit, record.head) == (True, "", "h9")


def test_the_commit_stays_known_while_its_version_stands() -> None:
    record = recorded(line_of("Git has the version that is asked for again"))
    assert record is not None
    assert (record.commit, record.request) == ("c1", AGAIN_2)


def test_nothing_is_written_where_nothing_but_the_head_moved() -> None:
    assert recorded(replace(line_of("Git has the delivered version"), requests=[])) == TWO


def test_how_the_version_left_is_recorded() -> None:
    line = replace(line_of("nothing is registered"), versions=[row("2", "Staging")], delivered=TWO)
    record = recorded(line)
    assert record is not None
    assert (record.left, record.matched) == ("moved on", {})


@pytest.mark.parametrize("found", [CANARY, None], ids=["canary", "renamed"])
def test_a_hold_remembers_how_the_version_left_and_what_stayed(found: ServiceSpec | None) -> None:
    """While it waits, a version seen outside the selector leaves the set as at any other time."""
    versions = [row("2", "Staging"), row("3")]
    key = KEY if found else RENAMED
    line = Row("", versions, [ASKED_3], found, TWO, NONE, HELD, key=key)
    assert plan_of(line).state is HELD
    record = recorded(line)
    assert record is not None
    assert (record.left, record.matched) == ("moved on", {})


def told(line: Row, commit: str = "") -> Mapping[str, tuple[State, str]]:
    found = reports(plan_of(line), line.delivered, commit=commit, digest="", time=at(NOW))
    return {number: (status.state, status.commit) for number, status in found.items()}


def test_a_promotion_is_told_to_both_versions() -> None:
    assert told(line_of("another version"), "c9") == {
        "3": (State.COMMITTED, "c9"),
        "2": (State.SUPERSEDED, "c9"),
    }


def test_a_hold_is_told_to_the_version_that_waits() -> None:
    assert told(line_of("a person reverted it")) == {"2": (State.HELD, "c1")}


def test_an_ambiguity_is_told_to_its_candidates() -> None:
    states = told(line_of("several, and nothing says which"))
    assert states == {"3": (State.AMBIGUOUS, ""), "4": (State.AMBIGUOUS, "")}


def test_a_deleted_version_is_told_of_by_its_number() -> None:
    assert told(line_of("the registry answers with nothing")) == {"2": (State.UNSELECTED, "c1")}


def test_another_versions_commit_is_never_told_as_this_ones() -> None:
    """Git has version 1 by a revert, and then it is asked for: no commit of ours made it."""
    assert told(line_of("Git has what is asked for anew"))["1"] == (State.COMMITTED, "")


def test_an_adopted_label_that_is_no_version_is_told_to_nobody() -> None:
    by_hand = Request("adopted::9", "", time=at(9))
    record = replace(TWO, request=by_hand, spec=BY_HAND, adopted=True, left="adopted")
    line = Row("", ONE, [], BY_HAND, record, NONE, State.UNSELECTED)
    assert told(replace(line, versions=[])) == {}
    labelled = replace(record, request=replace(by_hand, version="blue"))
    assert told(replace(line, versions=[], delivered=labelled)) == {}


def test_notes_are_told_with_the_reason() -> None:
    versions = [row("1", updated=9), row("2", updated=1)]
    plan = plan_of(replace(line_of("Git has the delivered version"), versions=versions))
    assert "version 1 is selected too" in reports(plan, TWO)["2"].message
