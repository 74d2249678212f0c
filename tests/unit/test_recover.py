"""What a commit of ours delivered, where the record of it is lost or stale; and what is adopted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest

from mlflow_gitops.planning.recover import CLOCKS_DIFFER, adopted, recovered
from mlflow_gitops.state import (
    Delivered,
    Delivery,
    Identity,
    ModelVersion,
    Request,
    ServiceSpec,
    Settings,
)
from tests.support.planning import (
    PLACE,
    SETTINGS,
    START,
    asked,
    at,
    delivery_of,
    row,
    snapshot,
    spec,
)

TRAILERS = {
    "Gitops-Service": "production/fraud",
    "Gitops-Request": "r20",
    "Model-Version": "2",
    "Run-Id": "run2",
    "Artifact-Digest": "sha256:2",
    "Claimed-By": "ada",
    "Requested-At": at(20),
}
COMMIT = Delivery("c2", "c1", at(25), TRAILERS)
V2 = spec("2")
BOTH = [row("1"), row("2")]
ONE = delivery_of(asked("1", 10), {"1": "r10"})
NAMED = replace(SETTINGS, version_tag="semver")
LATE = (START + 25) * 1000 + CLOCKS_DIFFER + 1


def recover(
    *,
    commit: Delivery = COMMIT,
    found: ServiceSpec | None = V2,
    versions: Sequence[ModelVersion] = BOTH,
    requests: Sequence[Request] = (),
    delivered: Delivered | None = None,
    settings: Settings = SETTINGS,
) -> Delivered:
    return recovered(
        commit,
        found,
        place=PLACE,
        snapshot=snapshot(*versions),
        selected=[v for v in versions if v.stage == "Production"],
        requests={r.version: r for r in requests},
        delivered=delivered,
        settings=settings,
    )


def without(*keys: str, **others: str) -> Delivery:
    trailers = {k: v for k, v in TRAILERS.items() if k not in keys}
    return replace(COMMIT, trailers={**trailers, **others})


def test_a_record_is_recovered_whole() -> None:
    assert recover(delivered=ONE) == Delivered(
        request=Request("r20", "2", time=at(20), by="ada"),
        identity=row("2").identity,
        model="fraud",
        service="fraud",
        repository=PLACE.repository,
        branch="main",
        head="c2",
        spec=spec("2"),
        commit="c2",
        digest="sha256:2",
        matched={"1": "r10", "2": "r20"},
    )


def test_the_registrys_record_tells_more_than_the_commit() -> None:
    record = replace(asked("2", 20, "rollback", by="ada"), signed=True, reason="v1 is broken")
    found = recover(delivered=ONE, requests=[record])
    assert found.request == record
    assert found.refused == ("1",), "the version that a rollback left"


@pytest.mark.parametrize(
    ("trailers", "request_"),
    [
        (without("Requested-At"), Request("r20", "2", time=at(25), by="ada")),
        (without("Gitops-Request"), Request("seen:2:c2", "2", time=at(20), by="ada")),
        (without("Claimed-By"), Request("r20", "2", time=at(20))),
        (
            without("Claimed-By", **{"Requested-By": "eve"}),
            Request("r20", "2", time=at(20), by="eve", signed=True),
        ),
        (without(Undoes="c1"), Request("r20", "2", "rollback", time=at(20), by="ada")),
        (replace(COMMIT, trailers={}), Request("seen:2:c2", "2", time=at(25))),
    ],
    ids=["no time", "no request", "nobody", "signed", "rollback", "no trailers at all"],
)
def test_what_the_trailers_say(trailers: Delivery, request_: Request) -> None:
    assert recover(commit=trailers).request == request_


def test_a_rollback_without_its_record_still_refuses_what_it_left() -> None:
    found = recover(commit=without(Undoes="c0"), delivered=delivery_of(asked("3", 15)))
    assert found.refused == ("3",)


def test_the_diff_wins_over_the_trailers() -> None:
    """A trailer can be edited; what the commit changed cannot."""
    found = recover(commit=without(**{"Model-Version": "1"}))
    assert found.request.version == "2"
    assert found.spec == spec("2")


@pytest.mark.parametrize(
    ("claimed", "label", "number"),
    [
        ("7", "1.4.0", "7"),
        ("", "1.4.0", "7"),
        ("9", "1.4.0", "7"),
        ("9", "2.0.0", "9"),
        ("", "2.0.0", "2.0.0"),
    ],
    ids=["agrees", "no claim", "claims another", "label of no version", "neither"],
)
def test_a_label_is_traced_to_its_version(claimed: str, label: str, number: str) -> None:
    versions = [row("7", tags={"semver": "v1.4.0"}), row("8", tags={"semver": "a/b"}), row("6")]
    commit = without(**{"Model-Version": claimed})
    found = recover(commit=commit, found=spec(label), versions=versions, settings=NAMED)
    assert found.request.version == number


def test_a_retirement_is_recovered_as_one() -> None:
    found = recover(found=None, delivered=ONE)
    assert (found.spec, found.request.action, found.request.version) == (None, "retire", "2")


@pytest.mark.parametrize(
    ("identity", "commit", "is_same"),
    [
        (Identity(1, "run2"), COMMIT, True),
        (Identity(1, "other"), COMMIT, False),
        (Identity(1, ""), COMMIT, False),
        (Identity(1, ""), without("Run-Id"), True),
        (Identity(LATE, ""), without("Run-Id"), False),
        (Identity(LATE, "run2"), COMMIT, True),
        (Identity(LATE - 2, ""), without("Run-Id"), True),
        (Identity(LATE, ""), replace(without("Run-Id"), time="yesterday"), True),
    ],
    ids=[
        "its run",
        "another run",
        "no run, and the commit names one",
        "no run at all",
        "no run, registered after the commit",
        "its run, by a clock that is far ahead",
        "no run, by a clock that is ahead",
        "no run, and the commit has no time",
    ],
)
def test_a_number_that_was_used_again_is_another_version(
    identity: Identity, commit: Delivery, is_same: bool
) -> None:
    found = recover(commit=commit, versions=[row("2", identity=identity)])
    assert (found.identity == identity) == is_same


def test_a_run_id_is_compared_as_the_commit_shows_it() -> None:
    odd = row("2", identity=Identity(1, "run#2"))
    found = recover(commit=without(**{"Run-Id": "run# 2"}), versions=[odd])
    assert found.identity == odd.identity


MATCHED: Mapping[str, tuple[Sequence[Request], Sequence[ModelVersion], Mapping[str, str]]] = {
    "nobody asked since": ([asked("1", 10), asked("2", 20)], BOTH, {"1": "r10", "2": "r20"}),
    "it was asked for again": ([asked("2", 30)], BOTH, {"1": "r10", "2": "r20"}),
    "another was asked for since": ([asked("1", 30)], BOTH, {"1": "r10", "2": "r20"}),
    "another lost against it": (
        [asked("1", 15), asked("2", 20)],
        BOTH,
        {"1": "r15", "2": "r20"},
    ),
    "one that is not in the stale set lost against it": (
        [asked("2", 20), asked("3", 18)],
        [*BOTH, row("3")],
        {"1": "r10", "2": "r20", "3": "r18"},
    ),
    "one came since without a record": ([], [*BOTH, row("3")], {"1": "r10", "2": "r20"}),
    "one came since with a record": (
        [asked("3", 30)],
        [*BOTH, row("3")],
        {"1": "r10", "2": "r20"},
    ),
}


@pytest.mark.parametrize("name", MATCHED)
def test_what_the_stale_record_and_the_commit_saw(name: str) -> None:
    requests, versions, matched = MATCHED[name]
    assert recover(requests=requests, versions=versions, delivered=ONE).matched == matched


ASSUMED: Mapping[
    str, tuple[Sequence[Request], Sequence[ModelVersion], Mapping[str, str], tuple[str, ...]]
] = {
    "nothing beside it": ([], [row("2")], {"2": "r20"}, ()),
    "one beside it counts as seen and refused": ([], BOTH, {"1": "", "2": "r20"}, ("1",)),
    "one beside it that lost": ([asked("1", 10)], BOTH, {"1": "r10", "2": "r20"}, ("1",)),
    "one beside it that was asked for since": (
        [asked("1", 30)],
        BOTH,
        {"1": "", "2": "r20"},
        ("1",),
    ),
    "one beside it that was registered since": (
        [],
        [row("2"), row("3", identity=Identity(LATE))],
        {"2": "r20"},
        (),
    ),
    "it left, and another remains": (
        [],
        [row("1"), row("2", "Archived")],
        {"1": "", "2": "r20"},
        ("1",),
    ),
}


@pytest.mark.parametrize("name", ASSUMED)
def test_what_is_assumed_without_any_record(name: str) -> None:
    requests, versions, matched, refused = ASSUMED[name]
    found = recover(requests=requests, versions=versions)
    assert (found.matched, found.refused) == (matched, refused)


def test_what_people_turned_down_stays_refused_until_it_is_delivered() -> None:
    stale = replace(ONE, refused=("2", "3"))
    assert recover(delivered=stale).refused == ("3",)


def adopt(
    found: ServiceSpec | None,
    versions: Sequence[ModelVersion] = BOTH,
    requests: Sequence[Request] = (),
    settings: Settings = SETTINGS,
) -> Delivered:
    return adopted(
        found,
        place=PLACE,
        snapshot=snapshot(*versions),
        selected=[v for v in versions if v.stage == "Production"],
        requests={r.version: r for r in requests},
        head="h1",
        settings=settings,
        now=at(50),
    )


def test_adopting_records_what_stands_and_answers_every_request() -> None:
    by_hand = ServiceSpec("s3://elsewhere/x", "2")
    found = adopt(by_hand, requests=[asked("1", 40)])
    assert found.spec == by_hand
    assert found.request == Request(f"adopted:2:{at(50)}", "2", time=at(50))
    assert found.identity == row("2").identity
    assert found.matched == {"1": "r40", "2": ""}
    assert (found.adopted, found.commit, found.head, found.left) == (True, "", "h1", "")


@pytest.mark.parametrize(
    ("found", "version", "left"),
    [
        (None, "", "adopted"),
        (ServiceSpec("s3://x/", ""), "", "adopted"),
        (ServiceSpec("s3://x/", "blue"), "", "adopted"),
        (ServiceSpec("s3://x/", "3"), "3", "adopted"),
        (ServiceSpec("s3://x/", "1"), "1", ""),
    ],
    ids=["no service", "no label", "a label of no version", "not selected", "selected"],
)
def test_what_is_adopted_may_be_no_version(
    found: ServiceSpec | None, version: str, left: str
) -> None:
    record = adopt(found, [*BOTH, row("3", "Archived")])
    assert (record.request.version, record.left) == (version, left)


def test_a_label_that_looks_like_another_versions_number_is_not_it() -> None:
    """Versions are named by a tag, and a service that was written by hand is labelled `2`."""
    versions = [row("2", tags={"semver": "1.4.0"})]
    assert adopt(ServiceSpec("s3://x/", "2"), versions, settings=NAMED).request.version == ""
    assert adopt(ServiceSpec("s3://x/", "1.4.0"), versions, settings=NAMED).request.version == "2"
