"""What the registry asks for, as a truth table over rule 9: several versions match a selector.

The delivered request is that of second 20, unless a row says another. Records are named by their
second, so `asked("1", 10)` was asked before, and `asked("1", 30)` after.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import pytest

from mlflow_gitops.errors import GitOpsError, RegistryError, TransientError
from mlflow_gitops.planning.desired import Desired, desired_service
from mlflow_gitops.planning.naming import revision_uri, version_name
from mlflow_gitops.state import (
    Delivered,
    Environment,
    Identity,
    ModelVersion,
    Request,
    Settings,
    State,
)
from tests.support.planning import (
    BY_ALIAS,
    BY_TAG,
    PRODUCTION,
    SETTINGS,
    STAGING,
    asked,
    at,
    delivery_of,
    row,
    seen,
    snapshot,
    spec,
)

NOW = 90
TWO = delivery_of(asked("2", 20), {"1": "r10", "2": "r20"})
TWO_SEEN = delivery_of(seen("2", 20), {"1": "", "2": ""})
RETIRED = delivery_of(asked("2", 20, "retire"), {"2": "r20"})
ADOPTED = replace(TWO, request=Request("adopted::9", "", time=at(20)), left="adopted", adopted=True)


def records(*requests: Request) -> Mapping[str, Request]:
    return {request.version: request for request in requests}


def wish(
    versions: Sequence[ModelVersion],
    requests: Mapping[str, Request] | None = None,
    delivered: Delivered | None = None,
    *,
    environment: Environment = PRODUCTION,
    settings: Settings = SETTINGS,
) -> Desired:
    settings = replace(
        settings, environments={**settings.environments, environment.name: environment}
    )
    look = snapshot(*versions)
    return desired_service(look, environment, delivered, requests or {}, settings, at(NOW))


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table: what is stored, and the version, absence or state that follows."""

    says: str
    versions: Sequence[ModelVersion]
    delivered: Delivered | None
    wants: str  # a version, "absent", or a state
    requests: Mapping[str, Request] = field(default_factory=dict)
    new: bool = True
    matched: Mapping[str, str] | None = None
    left: str = ""
    environment: Environment = PRODUCTION
    settings: Settings = SETTINGS


def alias(number: str, *aliases: str) -> ModelVersion:
    return row(number, "None", aliases=aliases)


def tagged(number: str, value: str) -> ModelVersion:
    return row(number, "None", tags={"serve": value})


FIRST = [
    Row("nothing registered", [], None, "unselected", new=False),
    Row("nothing selected", [row("1", "Staging")], None, "unselected", new=False),
    Row("one version without a record is taken", [row("1")], None, "1", matched={"1": ""}),
    Row(
        "one version with a record is taken",
        [row("1")],
        None,
        "1",
        records(asked("1", 10)),
        matched={"1": "r10"},
    ),
    Row(
        "of several recorded ones the latest request wins, not the highest number",
        [row("1"), row("2"), row("3")],
        None,
        "2",
        records(asked("1", 10), asked("2", 30), asked("3", 20)),
        matched={"1": "r10", "2": "r30", "3": "r20"},
    ),
    Row(
        "of two requests in the same millisecond the order is that of their ids",
        [row("1"), row("2")],
        None,
        "2",
        {"1": Request("a", "1", time=at(5)), "2": Request("b", "2", time=at(5))},
    ),
    Row(
        "several that are not all recorded are ambiguous",
        [row("1"), row("2")],
        None,
        "ambiguous",
        records(asked("2", 30)),
        new=False,
        matched={},
    ),
    Row(
        "several without a record are ambiguous",
        [row("1"), row("2")],
        None,
        "ambiguous",
        new=False,
    ),
    Row(
        "a request to retire what nobody selects",
        [row("1", "Archived")],
        None,
        "absent",
        records(asked("1", 10, "retire")),
    ),
]

AFTER = [
    Row("nothing happened", [row("1"), row("2")], TWO, "2", records(asked("1", 10)), new=False),
    Row(
        "the request that was answered stands",
        [row("2")],
        TWO,
        "2",
        records(asked("2", 20)),
        new=False,
        matched={"2": "r20"},
    ),
    Row(
        "a later request for the same version is new",
        [row("2")],
        TWO,
        "2",
        records(asked("2", 30)),
        matched={"2": "r30"},
    ),
    Row(
        "a later request for one that was there before",
        [row("1"), row("2")],
        TWO,
        "1",
        records(asked("1", 30), asked("2", 20)),
        matched={"1": "r30", "2": "r20"},
    ),
    Row(
        "an earlier record that turned up late asks for nothing",
        [row("1"), row("2")],
        TWO,
        "2",
        records(asked("1", 15)),
        new=False,
    ),
    Row(
        "a record that was taken away asks for nothing",
        [row("1"), row("2")],
        TWO,
        "2",
        {},
        new=False,
    ),
    Row(
        "a version new in the selector, without a record",
        [row("2"), row("3")],
        TWO,
        "3",
        matched={"2": "", "3": ""},
    ),
    Row(
        "a version back in the selector, without a record",
        [row("1"), row("2")],
        delivery_of(asked("2", 20)),
        "1",
    ),
    Row(
        "a version back in the selector with its old record is taken by sight",
        [row("1"), row("2")],
        delivery_of(asked("2", 20)),
        "1",
        records(asked("1", 10)),
        matched={"1": "r10", "2": ""},
    ),
    Row(
        "a later request wins over one that is new in the selector, where both are recorded",
        [row("1"), row("2"), row("3")],
        TWO,
        "1",
        records(asked("1", 40), asked("3", 30)),
    ),
    Row(
        "two new ones, one without a record",
        [row("2"), row("3"), row("4")],
        TWO,
        "ambiguous",
        records(asked("3", 30)),
        new=False,
        matched={"2": "r20"},
    ),
    Row(
        "any record is later than a mere sight",
        [row("1"), row("2")],
        TWO_SEEN,
        "1",
        records(asked("1", 15)),
    ),
    Row(
        "the same number, but another version altogether",
        [row("2", identity=Identity(5, "other"))],
        TWO,
        "2",
    ),
    Row(
        "a description edited later decides nothing",
        [row("1", updated=99), row("2", updated=1)],
        TWO,
        "2",
        new=False,
    ),
]

LEFT = [
    Row(
        "archived, and nothing remains",
        [row("2", "Archived")],
        TWO,
        "unselected",
        new=False,
        matched={},
        left="dropped",
    ),
    Row(
        "archived, and one remains",
        [row("1"), row("2", "Archived")],
        TWO,
        "1",
        matched={"1": ""},
        left="dropped",
    ),
    Row("back to None, and one remains", [row("1"), row("2", "None")], TWO, "1", left="dropped"),
    Row(
        "archived, and two remain",
        [row("1"), row("2", "Archived"), row("3")],
        delivery_of(asked("2", 20), {"1": "", "2": "r20", "3": ""}),
        "unselected",
        new=False,
        matched={"1": "", "3": ""},
        left="dropped",
    ),
    Row(
        "archived, and the one that remains was refused",
        [row("1"), row("2", "Archived")],
        replace(TWO, refused=("1",)),
        "unselected",
        new=False,
        left="dropped",
    ),
    Row(
        "archived, and the refused one is asked for again",
        [row("1"), row("2", "Archived")],
        replace(TWO, refused=("1",)),
        "1",
        records(asked("1", 30)),
        left="dropped",
    ),
    Row(
        "moved on to another environment, and one remains",
        [row("1"), row("2", "Staging")],
        TWO,
        "unselected",
        new=False,
        matched={"1": "r10"},
        left="moved on",
    ),
    Row(
        "moved on first and archived there",
        [row("1"), row("2", "Archived")],
        replace(TWO, left="moved on"),
        "unselected",
        new=False,
        left="moved on",
    ),
    Row(
        "deleted, and one remains",
        [row("1")],
        TWO,
        "unselected",
        new=False,
        matched={"1": "r10"},
        left="gone",
    ),
    Row(
        "came back after it moved on",
        [row("1"), row("2")],
        replace(TWO, matched={"1": "r10"}, left="moved on"),
        "2",
        left="moved on",
    ),
    Row(
        "an ambiguity forgets not that it moved on",
        [row("1"), row("2", "Staging"), row("3"), row("4")],
        TWO,
        "ambiguous",
        new=False,
        matched={"1": "r10"},
        left="moved on",
    ),
    Row(
        "another environment's alias is a move on, whatever the stage",
        [row("1", "Staging"), row("2", "None", aliases=("champion",))],
        TWO,
        "unselected",
        new=False,
        left="moved on",
        environment=STAGING,
        settings=replace(SETTINGS, environments={"production": BY_ALIAS}),
    ),
]

RETIRING = [
    Row(
        "a request to retire",
        [row("2")],
        TWO,
        "absent",
        records(asked("2", 30, "retire")),
        matched={"2": "r30"},
    ),
    Row(
        "the request to retire was answered",
        [row("2")],
        RETIRED,
        "absent",
        records(asked("2", 20, "retire")),
        new=False,
    ),
    Row(
        "an old request to retire stays overtaken when its version returns",
        [row("1"), row("2")],
        delivery_of(asked("2", 20)),
        "1",
        records(asked("1", 10, "retire")),
    ),
    Row(
        "an old request to retire that turned up late asks for nothing",
        [row("1"), row("2")],
        TWO,
        "2",
        records(asked("1", 15, "retire")),
        new=False,
    ),
    Row(
        "an overtaken request to retire is none of the candidates' records",
        [row("1"), row("2"), row("3")],
        delivery_of(asked("2", 20)),
        "ambiguous",
        records(asked("1", 10, "retire"), asked("3", 30)),
        new=False,
    ),
    Row(
        "an overtaken request to retire one that is not selected stays so after a mere sight",
        [row("1", "Archived"), row("2")],
        TWO_SEEN,
        "2",
        records(asked("1", 10, "retire")),
        new=False,
    ),
    Row(
        "retired, then asked for a version",
        [row("2"), row("3")],
        RETIRED,
        "3",
        records(asked("2", 20, "retire"), asked("3", 30)),
    ),
    Row(
        "asked for and then to retire",
        [row("2"), row("3")],
        TWO,
        "absent",
        records(asked("3", 30), asked("2", 40, "retire")),
    ),
    Row(
        "asked to retire and then for another version",
        [row("2"), row("3")],
        TWO,
        "3",
        records(asked("2", 30, "retire"), asked("3", 40)),
    ),
    Row(
        "asked to retire one that was left, while another comes without a record",
        [row("2", "Archived"), row("3")],
        TWO,
        "ambiguous",
        records(asked("2", 30, "retire")),
        new=False,
        left="dropped",
    ),
    Row("retired, and nothing is selected", [], RETIRED, "absent", new=False),
]

SELECTORS = [
    Row("an alias", [alias("1", "champion"), alias("2")], None, "1", environment=BY_ALIAS),
    Row(
        "an alias that moved",
        [alias("1"), alias("2", "champion")],
        delivery_of(asked("1", 20)),
        "2",
        environment=BY_ALIAS,
        left="dropped",
    ),
    Row(
        "an alias that was taken away",
        [alias("1"), alias("2")],
        TWO,
        "unselected",
        new=False,
        environment=BY_ALIAS,
        left="dropped",
    ),
    Row("a tag", [tagged("1", "yes"), tagged("2", "no")], None, "1", environment=BY_TAG),
    Row(
        "a tag that two versions have",
        [tagged("1", "yes"), tagged("2", "yes")],
        None,
        "ambiguous",
        new=False,
        environment=BY_TAG,
    ),
    Row(
        "a tag that one lost and one keeps",
        [tagged("1", "yes"), tagged("2", "no")],
        TWO,
        "1",
        environment=BY_TAG,
        left="dropped",
    ),
    Row(
        "a tag that one lost for another environment's stage",
        [tagged("1", "yes"), row("2", "Staging", tags={"serve": "no"})],
        TWO,
        "unselected",
        new=False,
        environment=BY_TAG,
        left="moved on",
    ),
]

ADOPTING = [
    Row(
        "adopted, while another version was selected",
        [row("2")],
        ADOPTED,
        "adopted",
        records(asked("2", 20)),
        new=False,
        left="adopted",
    ),
    Row(
        "adopted, then asked for",
        [row("2")],
        ADOPTED,
        "2",
        records(asked("2", 30)),
        left="adopted",
    ),
    Row("adopted, and nothing is selected", [], ADOPTED, "unselected", new=False, left="adopted"),
    Row(
        "adopted without a service",
        [row("2")],
        replace(ADOPTED, spec=None, left=""),
        "absent",
        new=False,
    ),
]

TABLE = [
    pytest.param(line, id=f"{part}: {line.says}")
    for part, lines in {
        "first": FIRST,
        "after": AFTER,
        "the delivered one left": LEFT,
        "retire": RETIRING,
        "selector": SELECTORS,
        "adopt": ADOPTING,
    }.items()
    for line in lines
]


@pytest.mark.parametrize("line", TABLE)
def test_what_is_asked_for(line: Row) -> None:
    desired = wish(
        line.versions,
        line.requests,
        line.delivered,
        environment=line.environment,
        settings=line.settings,
    )
    if desired.state is not None:
        found = desired.state.value
    else:
        found = desired.spec.version if desired.spec else "absent"
    assert found == line.wants
    assert desired.left == line.left
    assert desired.reason
    assert desired.new == line.new
    if line.matched is not None:
        assert desired.matched == line.matched


def test_an_ambiguity_names_its_candidates_and_the_way_out() -> None:
    desired = wish([row("2"), row("3"), row("4")], {}, TWO)
    assert desired.candidates == ("3", "4")
    assert "versions 3, 4 match stage Production" in desired.reason
    assert "--name production/fraud" in desired.reason


def test_the_request_says_who_asked_and_whether_that_is_proven() -> None:
    claimed = wish([row("1")], records(asked("1", 10, by="ada")))
    assert claimed.reason == "version 1: asked for by ada (as claimed)"
    proven = replace(asked("1", 10, by="ada"), signed=True, reason="better")
    assert wish([row("1")], records(proven)).reason == "version 1: asked for by ada: better"
    back = wish([row("1")], records(asked("1", 10, "rollback")))
    assert back.reason == "version 1: a rollback to it was asked for"


def test_the_sight_of_a_version_is_a_request_with_the_time_of_the_look() -> None:
    desired = wish([row("1")])
    assert desired.request == seen("1", NOW)
    assert not desired.request.recorded


def test_an_old_record_is_not_blamed_for_a_return() -> None:
    desired = wish([row("1")], records(asked("1", 10, by="ada")), delivery_of(asked("2", 20)))
    assert desired.request == seen("1", NOW)
    assert "ada" not in desired.reason


def test_a_wish_reads_the_same_before_and_after_its_delivery() -> None:
    request = asked("2", 20, by="ada")
    before = wish([row("2")], records(request))
    after = wish([row("2")], records(request), delivery_of(request))
    assert before.new
    assert not after.new
    assert before.reason == after.reason


def test_a_newer_timestamp_is_told_and_not_obeyed() -> None:
    desired = wish([row("1", updated=99), row("2", updated=1)], {}, TWO)
    assert len(desired.notes) == 1
    assert "version 1 is selected too and was changed later than version 2" in desired.notes[0]
    assert wish([row("1", updated=1), row("2", updated=1)], {}, TWO).notes == ()


@pytest.mark.parametrize(
    ("status", "error"),
    [("PENDING_REGISTRATION", TransientError), ("FAILED_REGISTRATION", RegistryError)],
)
def test_a_version_that_is_not_ready_is_not_taken(status: str, error: type[GitOpsError]) -> None:
    with pytest.raises(error, match=r"being registered|not READY"):
        wish([row("1", status=status)])
    assert wish([row("1", status=status), row("2")], {}, TWO).version == row("2")


NAMED = replace(SETTINGS, version_tag="semver")


@pytest.mark.parametrize(
    ("tag", "name"),
    [("1.4.0", "1.4.0"), ("v1.4.0", "1.4.0"), ("V2", "2"), ("vision", "vision"), ("v", "v")],
)
def test_a_tag_names_the_published_version(tag: str, name: str) -> None:
    desired = wish([row("7", tags={"semver": tag})], settings=NAMED)
    assert desired.spec == spec(name)


@pytest.mark.parametrize("tag", ["", "a/b", "..", "-1", "1-", "a b", "é", "x" * 64, "1\n", "v1/"])
def test_a_tag_that_is_no_label_is_refused(tag: str) -> None:
    with pytest.raises(RegistryError) as caught:
        version_name(NAMED, row("7", tags={"semver": tag}))
    assert caught.value.where == "fraud version 7"
    assert "semver" in caught.value.hint + caught.value.what


def test_a_naming_tag_that_was_taken_away_changes_nothing() -> None:
    named = replace(delivery_of(asked("2", 20)), spec=spec("1.4.0"))
    desired = wish([row("2")], {}, named, settings=NAMED)
    assert (desired.spec, desired.new) == (spec("1.4.0"), False)


def test_a_naming_tag_that_was_changed_is_no_request() -> None:
    named = replace(delivery_of(asked("2", 20)), spec=spec("1.4.0"))
    desired = wish([row("2", tags={"semver": "2.0.0"})], {}, named, settings=NAMED)
    assert (desired.spec, desired.new) == (spec("2.0.0"), False)


@pytest.mark.parametrize(
    ("prefix", "uri"),
    [("", "s3://models/fraud/v3/"), ("team/prod", "s3://models/team/prod/fraud/v3/")],
)
def test_a_revisions_uri_ends_in_a_slash(prefix: str, uri: str) -> None:
    assert revision_uri(replace(SETTINGS, prefix=prefix), "fraud", "3") == uri


def test_a_stage_is_matched_in_any_case() -> None:
    assert wish([row("1", "production")]).version == row("1", "production")
    assert wish([row("1", "Production")]).state is not State.UNSELECTED
