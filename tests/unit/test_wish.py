"""Names and model URIs: what each text means, and the error where it means nothing."""

from __future__ import annotations

import pytest

from mlflow_gitops.errors import RequestError
from mlflow_gitops.state import (
    Environment,
    Identity,
    ModelVersion,
    Selector,
    Settings,
    Snapshot,
)
from mlflow_gitops.wish import (
    ModelRef,
    choose,
    later_than,
    locate,
    model_of,
    one_line,
    parse_model_uri,
)


def environment(name: str, *models: str) -> Environment:
    selector = Selector("stage", name.capitalize())
    return Environment(name, selector, f"overlays/{name}", models=models or ("*",))


SETTINGS = Settings(
    environments={
        "staging": environment("staging"),
        "production": environment("production", "fraud-*", "scores_v2"),
    },
    bucket="models",
    services={"scores_v2": "scores"},
)


def version(number: str, stage: str = "None", status: str = "READY") -> ModelVersion:
    return ModelVersion("fraud-detector", number, Identity(int(number)), stage, status)


SNAPSHOT = Snapshot(
    "fraud-detector",
    (
        version("1", "Archived"),
        version("2", "Staging"),
        version("3", "Production"),
        version("4", "Production"),
        version("5", status="PENDING_REGISTRATION"),
        version("6", status="FAILED_REGISTRATION"),
    ),
    aliases={"champion": "2"},
)


@pytest.mark.parametrize(
    ("uri", "meant"),
    [
        ("models:/fraud/3", ModelRef("fraud", number="3")),
        ("models:/fraud@champion", ModelRef("fraud", alias="champion")),
        ("models:/a@b/3", ModelRef("a@b", number="3")),
        ("models:/a@b@champion", ModelRef("a@b", alias="champion")),
        ("models:/fraud/Production", ModelRef("fraud", stage="Production")),
        ("models:/fraud detector/3", ModelRef("fraud detector", number="3")),
        ("models:///fraud/3", ModelRef("fraud", number="3")),
    ],
)
def test_a_model_uri_names_one_version(uri: str, meant: ModelRef) -> None:
    assert parse_model_uri(uri) == meant


@pytest.mark.parametrize(
    ("uri", "what"),
    [
        ("", "registered version"),
        ("runs:/abc/model", "registered version"),
        ("s3://bucket/model", "registered version"),
        ("/tmp/model", "registered version"),
        ("models:fraud/3", "registered version"),
        ("models:/fraud", "names no version"),
        ("models:/", "names no version"),
        ("models:/fraud/", "names no version"),
        ("models:/fraud@", "names no version"),
        ("models:/@champion", "names no version"),
        ("models:/a/b/3", "names no version"),
        ("models:/fraud/../../etc/3", "names no version"),
        ("models:/m-0123456789abcdef", "logged model"),
        ("models:/fraud/latest", "no fixed version"),
        ("models:/fraud/Latest", "no fixed version"),
    ],
)
def test_what_names_no_registered_version_is_refused(uri: str, what: str) -> None:
    with pytest.raises(RequestError, match=what) as caught:
        parse_model_uri(uri)
    assert "models:/<model>/<version>" in caught.value.hint


def test_a_users_text_is_printable_in_an_error() -> None:
    with pytest.raises(RequestError) as caught:
        parse_model_uri("runs:/\x1b[31mred\n" + "x" * 1000)
    assert caught.value.where.isprintable()
    assert len(caught.value.where) < 250


@pytest.mark.parametrize(
    ("ref", "number"),
    [
        (ModelRef("fraud-detector", number="3"), "3"),
        (ModelRef("fraud-detector", alias="champion"), "2"),
        (ModelRef("fraud-detector", stage="staging"), "2"),
    ],
)
def test_the_reference_chooses_a_version(ref: ModelRef, number: str) -> None:
    assert choose(SNAPSHOT, ref).number == number


@pytest.mark.parametrize(
    ("ref", "what", "hint"),
    [
        (ModelRef("", number="9"), "no version 9", "6, 5, 4"),
        (ModelRef("", number="03"), "no version 03", "6, 5, 4"),
        (ModelRef("", alias="winner"), "no version has the alias `winner`", "champion"),
        (ModelRef("", stage="Production"), "versions 3, 4 are in the stage", "models:/"),
        (ModelRef("", stage="Canary"), "no version is in the stage `Canary`", "models:/"),
        (ModelRef("", number="5"), "not READY but PENDING_REGISTRATION", "wait"),
        (ModelRef("", number="6"), "not READY but FAILED_REGISTRATION", "register"),
    ],
)
def test_a_version_that_cannot_be_taken_is_told(ref: ModelRef, what: str, hint: str) -> None:
    with pytest.raises(RequestError, match=what) as caught:
        choose(SNAPSHOT, ref)
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    ("name", "model", "where"),
    [
        ("production/fraud-detector", "", ("production", "fraud-detector")),
        ("staging/fraud-detector", "fraud-detector", ("staging", "fraud-detector")),
        ("churn", "", ("staging", "churn")),
        ("production/scores_v2", "", ("production", "scores_v2")),
        ("production/scores", "", ("production", "scores_v2")),
        ("production/scores", "scores_v2", ("production", "scores_v2")),
        ("staging/scores_v2", "scores_v2", ("staging", "scores_v2")),
    ],
)
def test_a_name_is_one_service(name: str, model: str, where: tuple[str, str]) -> None:
    found, found_model = locate(name, SETTINGS, model)
    assert (found.name, found_model) == where


@pytest.mark.parametrize(
    ("name", "model", "what"),
    [
        ("", "", "a deployment's name is"),
        ("/fraud", "", "a deployment's name is"),
        ("staging/", "", "a deployment's name is"),
        ("staging/a/b", "", "a deployment's name is"),
        ("../fraud", "", "no environment `..`"),
        ("prodution/fraud-detector", "", "did you mean `production`"),
        ("production/churn", "churn", "does not take the model `churn`"),
        ("fraud-detector", "fraud-detector", "2 environments take the model"),
        ("staging/churn", "fraud-detector", "the name says `churn`"),
        ("staging/scores", "fraud-detector", "the name says `scores`"),
        ("staging/scores", "scores", "belongs to the model `scores_v2`"),
    ],
)
def test_a_name_that_fits_nothing_is_refused(name: str, model: str, what: str) -> None:
    with pytest.raises(RequestError, match=what):
        locate(name, SETTINGS, model)


def test_an_ambiguous_bare_name_lists_what_would_fit() -> None:
    with pytest.raises(RequestError) as caught:
        locate("fraud-detector", SETTINGS)
    assert "staging/fraud-detector, production/fraud-detector" in caught.value.hint


def test_a_model_that_no_environment_takes_is_told_where_to_add_it() -> None:
    only = Settings({"production": environment("production", "fraud-*")}, bucket="models")
    with pytest.raises(RequestError, match="no environment takes the model `churn`") as caught:
        locate("churn", only)
    assert "production takes fraud-*" in caught.value.hint


def test_a_services_name_leads_to_its_model() -> None:
    assert model_of("scores", SETTINGS) == "scores_v2"
    assert model_of("churn", SETTINGS) == "churn"


@pytest.mark.parametrize(
    ("latest", "time"),
    [
        ([], "2026-11-23T10:00:00.000Z"),
        (["2026-11-23T09:59:59.999Z"], "2026-11-23T10:00:00.000Z"),
        (["2026-11-23T10:00:00.000Z"], "2026-11-23T10:00:00.001Z"),
        (["2026-11-23T10:00:00.000Z", "2026-11-23T10:00:59.999Z"], "2026-11-23T10:01:00.000Z"),
        (["9999-12-31T23:59:59.999Z"], "2026-11-23T10:00:00.000Z"),
        (["tomorrow"], "2026-11-23T10:00:00.000Z"),
    ],
)
def test_a_new_request_sorts_after_all_known_ones(latest: list[str], time: str) -> None:
    assert later_than("2026-11-23T10:00:00.000Z", latest) == time


def test_free_text_becomes_one_line() -> None:
    assert (
        one_line("fix\n\nRequested-By: root\u2028x ", "reason", 100) == "fix Requested-By: root x"
    )


@pytest.mark.parametrize("text", ["a\x1b[31m", "a\x00", "x" * 11])
def test_free_text_that_cannot_be_shown_is_refused(text: str) -> None:
    with pytest.raises(RequestError):
        one_line(text, "reason", 10)
