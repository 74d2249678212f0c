"""What a registry is, for the reconciler: the same tests for the fake and for a real server."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest

from mlflow_gitops.adapters.registry import MlflowRegistry
from mlflow_gitops.errors import RequestError
from mlflow_gitops.planning.records import is_moving, request_for, status_of
from mlflow_gitops.ports import Registry as Port
from mlflow_gitops.state import (
    Delivered,
    Environment,
    Identity,
    ModelVersion,
    Request,
    Selector,
    ServiceSpec,
    Snapshot,
    State,
    Status,
)
from tests.support.memory_registry import MemoryRegistry
from tests.support.mlflow import Registry

Names = Callable[[str], str]
PRODUCTION = Environment("production", Selector("stage", "Production"), "overlays/production")
REQUEST = Request(
    "r-1", "1", "rollback", "2026-11-23T02:31:00.123Z", by="ann", reason="it was better"
)
HOSTILE = ["it's", 'say "x"', "both ' and \"", "x' OR '1'='1", "naïve 模型 😀", "100%_a", "a\\"]


@dataclass(frozen=True)
class Sides:
    """The registry as the reconciler sees it, and as a user does."""

    port: Port
    user: Registry | MemoryRegistry

    def only(self, model: str) -> ModelVersion:
        (version,) = self.port.snapshot(model).versions
        return version


@pytest.fixture(params=["memory", "plain_mlflow", "gitops_mlflow"])
def sides(request: pytest.FixtureRequest) -> Sides:
    if request.param == "memory":
        memory = MemoryRegistry()
        return Sides(memory, memory)
    server = request.getfixturevalue(request.param)
    return Sides(MlflowRegistry(server.url), Registry(server.url))


@pytest.fixture
def model(sides: Sides, names: Names) -> str:
    """A model without versions."""
    name = names("fraud")
    sides.user.create_model(name)
    return name


def delivered(**changes: object) -> Delivered:
    whole = Delivered(
        request=REQUEST,
        identity=Identity(5, "run", "m-1"),
        model="fraud",
        service="fraud",
        repository="git.example/manifests",
        branch="main",
        head="a" * 40,
        spec=ServiceSpec("s3://b/fraud/v1/", "1"),
        matched={"1": "r-1"},
        refused=("2",),
    )
    return replace(whole, **changes)  # type: ignore[arg-type]


# Reading


def test_every_model_is_listed_by_name(sides: Sides, model: str, names: Names) -> None:
    sides.user.create_model(names("another"))
    assert sides.port.names() >= {model, names("another")}


def test_a_model_without_versions(sides: Sides, model: str) -> None:
    assert sides.port.snapshot(model) == Snapshot(model, ())


def test_a_fresh_version(sides: Sides, model: str) -> None:
    number = sides.user.create_version(model, source="s3://bucket/path", tags={"team": "x"})
    version = sides.only(model)
    assert version.identity.created > 1_700_000_000_000
    assert version == ModelVersion(
        model,
        number,
        Identity(version.identity.created),
        stage="None",
        status="READY",
        source="s3://bucket/path",
        updated=version.updated,
        tags={"team": "x"},
    )


def test_versions_are_ordered_by_number(sides: Sides, model: str) -> None:
    numbers = [sides.user.create_version(model) for _ in range(11)]
    assert [v.number for v in sides.port.snapshot(model).versions] == numbers
    assert numbers[1:3] == ["2", "3"]


def test_every_version_of_a_stage_is_seen(sides: Sides, model: str) -> None:
    for _ in range(3):
        sides.user.create_version(model)
    sides.user.transition(model, "3", "Production")
    sides.user.transition(model, "1", "production")
    stages = {v.number: v.stage for v in sides.port.snapshot(model).versions}
    assert stages == {"1": "Production", "2": "None", "3": "Production"}


def test_archiving_the_others(sides: Sides, model: str) -> None:
    for _ in range(3):
        sides.user.create_version(model)
    sides.user.transition(model, "1", "Production")
    sides.user.transition(model, "2", "Staging")
    sides.user.transition(model, "3", "Production", archive_existing=True)
    stages = [v.stage for v in sides.port.snapshot(model).versions]
    assert stages == ["Archived", "Staging", "Production"]


def test_aliases_are_on_the_model_and_on_the_versions(sides: Sides, model: str) -> None:
    for _ in range(2):
        sides.user.create_version(model)
    for alias, number in (("champion", "1"), ("best", "1"), ("Champion", "2")):
        sides.user.set_alias(model, alias, number)
    snapshot = sides.port.snapshot(model)
    assert snapshot.aliases == {"champion": "1", "best": "1", "Champion": "2"}
    assert [v.aliases for v in snapshot.versions] == [("best", "champion"), ("Champion",)]
    sides.user.set_alias(model, "champion", "2")
    sides.user.delete_alias(model, "best")
    snapshot = sides.port.snapshot(model)
    assert [v.aliases for v in snapshot.versions] == [(), ("Champion", "champion")]


def test_tags_of_the_model_and_of_the_version(sides: Sides, model: str) -> None:
    sides.user.create_version(model)
    sides.user.set_tag(model, "1", "deploy", "yes")
    sides.user.set_tag(model, "1", "gone", "x")
    sides.user.delete_tag(model, "1", "gone")
    sides.user.set_model_tag(model, "owner", "team")
    snapshot = sides.port.snapshot(model)
    assert snapshot.tags == {"owner": "team"}
    assert snapshot.versions[0].tags == {"deploy": "yes"}


def test_a_description_bumps_the_time_and_a_tag_does_not(sides: Sides, model: str) -> None:
    sides.user.create_version(model)
    before = sides.only(model).updated
    sides.user.set_tag(model, "1", "a", "b")
    assert sides.only(model).updated == before
    sides.user.describe(model, "1", "text")
    assert sides.only(model).updated > before


def test_a_deleted_version_takes_its_alias_along(sides: Sides, model: str) -> None:
    for _ in range(2):
        sides.user.create_version(model)
    sides.user.set_alias(model, "champion", "2")
    sides.user.delete_version(model, "2")
    snapshot = sides.port.snapshot(model)
    assert [v.number for v in snapshot.versions] == ["1"]
    assert snapshot.aliases == {}
    assert sides.user.create_version(model) == "3"


def test_a_model_made_again_is_told_from_the_first(sides: Sides, model: str) -> None:
    sides.user.create_version(model)
    first = sides.only(model)
    sides.user.delete_model(model)
    sides.user.create_model(model)
    sides.user.create_version(model)
    again = sides.only(model)
    assert again.number == first.number
    assert again.identity != first.identity


def test_a_renamed_model(sides: Sides, model: str, names: Names) -> None:
    sides.user.create_version(model)
    sides.port.record(model, "production", delivered(model=model))
    before = sides.only(model)
    other = names("renamed")
    sides.user.rename(model, other)
    snapshot = sides.port.snapshot(other)
    assert snapshot.versions[0].identity == before.identity
    assert snapshot.versions[0].model == other
    assert snapshot.delivered["production"].model == model
    with pytest.raises(RequestError):
        sides.port.snapshot(model)


def test_an_unknown_model(sides: Sides, model: str) -> None:
    with pytest.raises(RequestError, match="no registered model") as failure:
        sides.port.snapshot(f"{model}-x")
    assert failure.value.hint
    assert failure.value.where


@pytest.mark.parametrize("part", HOSTILE)
def test_a_name_is_a_name_whatever_is_in_it(sides: Sides, names: Names, part: str) -> None:
    name = names(part)
    twin = name.replace("'", "x").replace('"', "x") + "-twin"
    for each in (name, twin):
        sides.user.create_model(each)
        sides.user.create_version(each)
    sides.port.record(name, "production", delivered(model=name))
    assert sides.only(name).model == name
    assert sides.port.snapshot(name).delivered["production"].model == name
    assert {name, twin} <= {snapshot.model for snapshot in sides.port.snapshots()}


def test_the_listing_tells_what_a_snapshot_tells(sides: Sides, names: Names) -> None:
    empty, full, other = names("a-empty"), names("b-full"), names("c-other")
    for name in (other, empty, full):
        sides.user.create_model(name, {"owner": name})
    for name in (full, full, full, other):
        sides.user.create_version(name, tags={"of": name})
    sides.user.set_alias(full, "champion", "2")
    sides.user.transition(full, "3", "Staging")
    sides.port.record(full, "staging", delivered())
    sides.user.set_model_tag(other, "gitops.delivered.staging", "forged")
    wanted = {name: sides.port.snapshot(name) for name in (empty, full, other)}
    assert wanted[other].unreadable.keys() == {"staging"}
    listed = [s for s in sides.port.snapshots() if s.model in wanted]
    assert {s.model: s for s in listed} == wanted
    assert [s.model for s in listed] == [full, other, empty]


# Writing


def test_a_request_reads_back(sides: Sides, model: str) -> None:
    sides.user.create_version(model)
    sides.port.ask(sides.only(model), "production", REQUEST)
    assert request_for(sides.only(model), PRODUCTION, None) == REQUEST


def test_a_request_is_for_the_version_that_it_is_written_on(sides: Sides, model: str) -> None:
    for _ in range(2):
        sides.user.create_version(model)
    second = sides.port.snapshot(model).versions[1]
    sides.port.ask(second, "production", REQUEST)
    found = request_for(sides.port.snapshot(model).versions[1], PRODUCTION, None)
    assert found == replace(REQUEST, version="2")


def test_nothing_that_is_asked_here_counts_as_proven(sides: Sides, model: str) -> None:
    sides.user.create_version(model)
    sides.port.ask(sides.only(model), "production", replace(REQUEST, signed=True))
    found = request_for(sides.only(model), PRODUCTION, b"key")
    assert found is not None
    assert not found.signed


@pytest.mark.parametrize(
    "selector",
    [
        Selector("stage", "Production"),
        Selector("stage", "staging"),
        Selector("alias", "champion"),
        Selector("tag", "deploy", "production"),
    ],
    ids=str,
)
def test_moving_a_selector(sides: Sides, model: str, selector: Selector) -> None:
    for _ in range(2):
        sides.user.create_version(model)
    first, second = sides.port.snapshot(model).versions
    sides.port.select(first, selector)
    sides.port.select(second, selector)
    selected = [v.number for v in sides.port.snapshot(model).versions if selector.matches(v)]
    assert selected == (["2"] if selector.kind == "alias" else ["1", "2"])


@pytest.mark.parametrize(
    "selector",
    [Selector("stage", "production"), Selector("alias", "live"), Selector("tag", "at", "live")],
    ids=str,
)
def test_a_move_for_a_request_is_no_other_request(
    sides: Sides, model: str, selector: Selector
) -> None:
    environment = replace(PRODUCTION, select=selector)
    sides.user.create_version(model)
    version = sides.only(model)
    sides.port.ask(version, "production", REQUEST)
    sides.port.select(version, selector, REQUEST)
    found = request_for(sides.only(model), environment, None)
    assert found is not None
    assert replace(found, time=REQUEST.time) == REQUEST


def test_asking_for_a_version_that_is_gone(sides: Sides, model: str) -> None:
    sides.user.create_version(model)
    version = sides.only(model)
    sides.user.delete_version(model, "1")
    for act in (
        lambda: sides.port.ask(version, "production", REQUEST),
        lambda: sides.port.select(version, Selector("stage", "Production")),
        lambda: sides.port.select(version, Selector("alias", "champion")),
        lambda: sides.port.select(version, Selector("tag", "deploy", "yes")),
        lambda: sides.port.artifact_location(version),
    ):
        with pytest.raises(RequestError):
            act()


@pytest.mark.parametrize("spec", [ServiceSpec("s3://b/fraud/v1/", "1"), None])
def test_what_was_delivered_reads_back(sides: Sides, model: str, spec: ServiceSpec | None) -> None:
    staging, production = delivered(spec=spec), delivered(adopted=True)
    sides.port.record(model, "staging", staging)
    sides.port.record(model, "production", delivered(left="gone"))
    sides.port.record(model, "production", production)
    snapshot = sides.port.snapshot(model)
    assert snapshot.delivered == {"staging": staging, "production": production}
    assert snapshot.unreadable == {}


@pytest.mark.parametrize("text", ["", "{", '{"format":1}', "x" * 100_000])
def test_a_broken_delivery_is_told_apart_from_none(sides: Sides, model: str, text: str) -> None:
    sides.port.record(model, "staging", delivered())
    sides.user.set_model_tag(model, "gitops.delivered.production", text)
    snapshot = sides.port.snapshot(model)
    assert snapshot.delivered == {"staging": delivered()}
    assert snapshot.unreadable.keys() == {"production"}


def test_recording_for_a_model_that_is_gone(sides: Sides, model: str) -> None:
    sides.user.delete_model(model)
    with pytest.raises(RequestError):
        sides.port.record(model, "production", delivered())


def test_a_status_is_written_when_it_says_something_new(sides: Sides, model: str) -> None:
    sides.user.create_version(model)
    status = Status(State.COMMITTED, "done ünïcode", commit="c", time=REQUEST.time)
    later = replace(status, time="2027-01-01T00:00:00.000Z")
    told = []
    for each in (status, later, replace(later, message="more")):
        sides.port.report(model, "1", "production", each)
        told.append(status_of(sides.only(model), "production"))
    assert told == [status, status, replace(later, message="more")]


def test_a_broken_status_is_replaced(sides: Sides, model: str) -> None:
    sides.user.create_version(model, tags={"gitops.status.production": "{"})
    status = Status(State.HELD, "wait")
    sides.port.report(model, "1", "production", status)
    assert status_of(sides.only(model), "production") == status


def test_a_status_for_what_is_gone_is_passed_over(sides: Sides, model: str) -> None:
    sides.user.create_version(model)
    sides.user.delete_version(model, "1")
    sides.port.report(model, "1", "production", Status(State.LIVE, "x"))
    sides.user.delete_model(model)
    sides.port.report(model, "1", "production", Status(State.LIVE, "x"))
    with pytest.raises(RequestError):
        sides.port.snapshot(model)


def test_no_record_says_moving_after_the_move(names: Names, gitops_mlflow: object) -> None:
    """Only a server with the plugin ends the announcement; elsewhere it harms nobody."""
    url = gitops_mlflow.url  # type: ignore[attr-defined]
    user, port, model = Registry(url), MlflowRegistry(url), names("moved")
    user.create_model(model)
    user.create_version(model)
    port.select(port.snapshot(model).versions[0], PRODUCTION.select, REQUEST)
    assert not is_moving(user.tags(model, "1")["gitops.request.stage.Production"])
