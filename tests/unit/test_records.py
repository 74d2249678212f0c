"""What is stored in the registry's tags: every value survives, and nothing else gets in."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from mlflow_gitops.planning.deliveries import delivered_text, deliveries, parse_delivered
from mlflow_gitops.planning.fields import UnreadableError
from mlflow_gitops.planning.records import (
    canonical_stage,
    is_moving,
    malformed,
    parse_request,
    parse_status,
    request_for,
    request_text,
    same_news,
    selector_key,
    status_of,
    status_text,
)
from mlflow_gitops.state import (
    Delivered,
    Environment,
    Identity,
    ModelVersion,
    Request,
    Selector,
    ServiceSpec,
    State,
    Status,
)

KEY = b"a secret of the server and the service"
PRODUCTION = Environment("production", Selector("stage", "Production"), "overlays/production")
BY_NAME = "gitops.request.production"
BY_STAGE = "gitops.request.stage.Production"
REQUEST = Request("a1", "3", "deploy", "2026-11-23T02:31:00.123Z", by="ann")
HOSTILE = 'x"}\n\\\u2028\u202e{"sig":1}, ünïcode 模型 😀'


def version(tags: Mapping[str, str], number: str = "3", model: str = "fraud") -> ModelVersion:
    return ModelVersion(model, number, Identity(1), tags=tags)


def asked(
    environment: Environment = PRODUCTION, key: bytes | None = None, **tags: str
) -> Request | None:
    return request_for(
        version({f"gitops.request.{k}": v for k, v in tags.items()}), environment, key
    )


def written(request: Request, tag: str = BY_NAME, key: bytes | None = None) -> str:
    return request_text(request, model="fraud", tag=tag, key=key)


def record(**changes: Any) -> str:
    values = {"id": "a1", "action": "deploy", "rollout": "", "time": REQUEST.time, "by": ""}
    return json.dumps({name: v for name, v in {**values, **changes}.items() if v is not ...})


# Requests


def test_the_record_is_what_was_agreed_on() -> None:
    assert json.loads(written(REQUEST)) == {
        "id": "a1",
        "action": "deploy",
        "rollout": "",
        "time": "2026-11-23T02:31:00.123Z",
        "by": "ann",
    }


def test_a_request_survives() -> None:
    full = replace(REQUEST, action="rollback", by=HOSTILE, reason=HOSTILE, rollout=HOSTILE)
    assert asked(production=written(full)) == full


def test_without_a_record_there_is_no_request() -> None:
    assert request_for(version({}), PRODUCTION, None) is None
    assert request_for(version({"gitops.request.staging": record()}), PRODUCTION, None) is None


def test_the_server_s_record_of_the_selector_counts_too() -> None:
    tags = {BY_STAGE: record(id="s")}
    assert request_for(version(tags), PRODUCTION, None) is not None


@pytest.mark.parametrize("stage", ["production", "PRODUCTION", "Production"])
def test_a_stage_is_one_however_it_is_spelled(stage: str) -> None:
    environment = replace(PRODUCTION, select=Selector("stage", stage))
    assert request_for(version({BY_STAGE: record()}), environment, None) is not None


def test_an_alias_is_another_one_when_spelled_otherwise() -> None:
    environment = replace(PRODUCTION, select=Selector("alias", "champion"))
    tags = {"gitops.request.alias.Champion": record()}
    assert request_for(version(tags), environment, None) is None
    assert request_for(version({"gitops.request.alias.champion": record()}), environment, None)


@pytest.mark.parametrize(
    ("selector", "key"),
    [
        (Selector("stage", "staging"), "stage.Staging"),
        (Selector("stage", "archived"), "stage.Archived"),
        (Selector("alias", "Champion"), "alias.Champion"),
        (Selector("tag", "deploy", "yes"), "tag.deploy"),
    ],
)
def test_selector_keys(selector: Selector, key: str) -> None:
    assert selector_key(selector) == key


def test_a_stage_unknown_to_us_stays_as_it_is() -> None:
    assert canonical_stage("Shadow") == "Shadow"


@pytest.mark.parametrize("first", ["name", "stage"])
def test_the_later_of_the_two_records_counts(first: str) -> None:
    early, late = "2026-11-23T02:31:00.123Z", "2026-11-23T02:31:00.124Z"
    by_name, by_stage = (early, late) if first == "name" else (late, early)
    tags = {BY_NAME: record(id="n", time=by_name), BY_STAGE: record(id="s", time=by_stage)}
    found = request_for(version(tags), PRODUCTION, None)
    assert found is not None
    assert found.id == ("s" if first == "name" else "n")


def test_at_the_same_time_the_ids_decide() -> None:
    tags = {BY_NAME: record(id="b"), BY_STAGE: record(id="a")}
    found = request_for(version(tags), PRODUCTION, None)
    assert found is not None
    assert found.id == "b"


def test_of_two_records_of_one_request_the_proven_one_counts() -> None:
    signed = written(replace(REQUEST, by="bob"), BY_STAGE, KEY)
    tags = {BY_NAME: written(REQUEST), BY_STAGE: signed}
    found = request_for(version(tags), PRODUCTION, KEY)
    assert found is not None
    assert (found.by, found.signed) == ("bob", True)


BROKEN = {
    "empty": "",
    "no JSON": "{",
    "a list": "[]",
    "a text": '"x"',
    "null": "null",
    "deeply nested": "[" * 9_000,
    "a number of many digits": "1" * 9_000,
    "huge": record(by="x" * 10_001),
    "no id": record(id=...),
    "an empty id": record(id=""),
    "an id of ours": record(id="seen:3:1"),
    "an id that is no text": record(id=1),
    "no action": record(action=...),
    "another action": record(action="destroy"),
    "an action that is a list": record(action=["deploy"]),
    "no time": record(time=...),
    "a local time": record(time="2026-11-23T02:31:00.123+01:00"),
    "a time without milliseconds": record(time="2026-11-23T02:31:00Z"),
    "a time that never was": record(time="2026-13-23T02:31:00.123Z"),
    "a time in other digits": record(time="٢٠٢٦-11-23T02:31:00.123Z"),
    "a time and more": record(time="2026-11-23T02:31:00.123Z\n"),
    "by a number": record(by=7),
    "a reason that is a map": record(reason={}),
    "a rollout that is null": record(rollout=None),
    "half a surrogate pair": record(by="\ud800"),
}


@pytest.mark.parametrize("text", BROKEN.values(), ids=BROKEN.keys())
def test_a_malformed_record_is_passed_over_and_reported(text: str) -> None:
    good = record(id="good", time="2001-01-01T00:00:00.000Z")
    both = version({BY_NAME: text, BY_STAGE: good})
    found = request_for(both, PRODUCTION, KEY)
    assert found is not None
    assert found.id == "good"
    problems = malformed(both, PRODUCTION)
    assert list(problems) == [BY_NAME]
    assert problems[BY_NAME]


def test_good_records_are_not_reported() -> None:
    assert malformed(version({BY_NAME: record(), "other": "{"}), PRODUCTION) == {}


def test_a_later_version_of_this_tool_may_add_fields() -> None:
    assert asked(production=record(priority={"high": True})) == replace(REQUEST, by="")


# Signatures


def test_a_signed_record_is_proven_with_the_key_only() -> None:
    text = written(REQUEST, key=KEY)
    assert asked(key=KEY, production=text) == replace(REQUEST, signed=True)
    assert asked(key=None, production=text) == REQUEST
    assert asked(key=b"", production=text) == REQUEST
    assert asked(key=b"another", production=text) == REQUEST


def test_without_a_key_nothing_is_signed() -> None:
    assert "sig" not in json.loads(written(REQUEST))
    assert "sig" not in json.loads(written(REQUEST, key=b""))


@pytest.mark.parametrize(
    "change",
    [
        {"by": "eve"},
        {"id": "a2"},
        {"action": "rollback"},
        {"time": "2026-11-23T02:31:00.124Z"},
        {"rollout": "10%"},
        {"reason": "because"},
        {"unknown": 1},
        {"sig": None},
        {"sig": 5},
        {"sig": "ü"},
        {"sig": ""},
        {"sig": "0" * 64},
    ],
    ids=str,
)
def test_a_tampered_record_is_an_unsigned_one(change: dict[str, Any]) -> None:
    values = json.loads(written(REQUEST, key=KEY))
    found = asked(key=KEY, production=json.dumps({**values, **change}))
    assert found is not None
    assert not found.signed


def test_a_signature_holds_for_its_place_only() -> None:
    text = written(REQUEST, key=KEY)
    place = {"model": "fraud", "version": "3", "tag": BY_NAME}
    assert parse_request(text, **place, key=KEY).signed
    for moved in ({"model": "other"}, {"version": "4"}, {"tag": BY_STAGE}):
        assert not parse_request(text, **{**place, **moved}, key=KEY).signed


def test_the_order_of_fields_and_spaces_do_not_matter() -> None:
    values = json.loads(written(replace(REQUEST, by=HOSTILE), key=KEY))
    text = json.dumps(dict(reversed(values.items())), indent=2, ensure_ascii=False)
    found = asked(key=KEY, production=text)
    assert found is not None
    assert found.signed


def test_an_announced_move_is_told_from_a_record_of_one() -> None:
    announced = request_text(REQUEST, model="fraud", tag=BY_STAGE, moving=True)
    assert is_moving(announced)
    assert parse_request(announced, model="fraud", version="3", tag=BY_STAGE) == REQUEST
    for text in (written(REQUEST), "{", record(moving="yes"), ""):
        assert not is_moving(text)


# What was delivered

DELIVERED = Delivered(
    request=replace(REQUEST, signed=True, reason=HOSTILE),
    identity=Identity(1_795_390_354_000, "run", "m-1"),
    model=HOSTILE,
    service="fraud",
    repository="git.example/team/manifests",
    branch="main",
    head="0" * 40,
    spec=ServiceSpec("s3://bucket/fraud/v3/", "3", "canary 10"),
    commit="1" * 40,
    digest="sha256:" + "2" * 64,
    matched={"2": "", "3": "a1"},
    refused=("1", "2"),
    left="moved on",
    adopted=True,
)


@pytest.mark.parametrize(
    "delivered",
    [
        DELIVERED,
        replace(DELIVERED, spec=None),
        replace(DELIVERED, request=Request("seen:3:1", "3", time=REQUEST.time)),
        Delivered(REQUEST, Identity(0), "m", "s", "r", "b", "", None),
    ],
    ids=["full", "retired", "seen", "bare"],
)
def test_what_was_delivered_survives(delivered: Delivered) -> None:
    assert parse_delivered(delivered_text(delivered)) == delivered


def changed(**changes: Any) -> str:
    values = {**json.loads(delivered_text(DELIVERED)), **changes}
    return json.dumps({name: v for name, v in values.items() if v is not ...})


UNREADABLE = {
    "empty": "",
    "no JSON": "not json",
    "a list": "[1]",
    "deeply nested": '{"a":' * 20_000,
    "huge": changed(digest="x" * 100_001),
    "no format": changed(format=...),
    "a later format": changed(format=2),
    "a format that is true": changed(format=True),
    "a text for the request": changed(request="a1"),
    "a request without id": changed(request={}),
    "another action": changed(request={**json.loads(record()), "version": "3", "action": "x"}),
    "no identity": changed(identity=...),
    "a time that is true": changed(identity={"created": True}),
    "a time that is a fraction": changed(identity={"created": 1.5}),
    "no spec at all": changed(spec=...),
    "a list for the spec": changed(spec=[]),
    "a spec without version": changed(spec={"uri": "s3://b/"}),
    "a map for the model": changed(model={}),
    "an option for a head": changed(head="--upload-pack=evil"),
    "a range for a head": changed(head="a..b"),
    "a line break in a commit": changed(commit="abc\n"),
    "a list for what matched": changed(matched=["3"]),
    "a number that matched": changed(matched={"3": 1}),
    "a text for the refused": changed(refused="1"),
    "a number refused": changed(refused=[1]),
    "an odd way to leave": changed(left="nowhere"),
    "a text for adopted": changed(adopted="yes"),
    "half a surrogate pair": changed(branch="\udfff"),
}


@pytest.mark.parametrize("text", UNREADABLE.values(), ids=UNREADABLE.keys())
def test_a_forged_delivery_is_unreadable_and_takes_no_other_along(text: str) -> None:
    tags = {
        "gitops.delivered.production": text,
        "gitops.delivered.staging": delivered_text(DELIVERED),
        "owner": "team",
    }
    delivered, unreadable = deliveries(tags)
    assert delivered == {"staging": DELIVERED}
    assert list(unreadable) == ["production"]
    assert "gitops.delivered.production" in unreadable["production"]
    assert len(unreadable["production"]) < 500


def test_parse_delivered_says_what_is_wrong() -> None:
    with pytest.raises(UnreadableError, match=r"`identity\.created` has to be a whole number"):
        parse_delivered(changed(identity={"created": "1"}))


# What people are told

STATUS = Status(
    State.COMMITTED, HOSTILE, commit="1" * 40, uri="s3://b/fraud/v3/", time=REQUEST.time
)


def test_a_status_survives() -> None:
    told = version({"gitops.status.production": status_text(STATUS)})
    assert status_of(told, "production") == STATUS
    assert status_of(told, "staging") is None


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"state":"odd","message":""}', "[" * 9000])
def test_an_unreadable_status_says_nothing(text: str) -> None:
    assert parse_status(text) is None


def test_only_the_time_is_no_news() -> None:
    assert same_news(STATUS, replace(STATUS, time="2027-01-01T00:00:00.000Z"))
    assert not same_news(None, STATUS)
    for change in ({"state": State.FAILED}, {"message": "m"}, {"commit": ""}, {"uri": ""}):
        assert not same_news(STATUS, replace(STATUS, **change))
    assert not same_news(STATUS, replace(STATUS, digest="sha256:0"))
