"""Which names services get, who else has one, and what people are told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from mlflow_gitops.errors import ConfigError
from mlflow_gitops.planning.naming import spec_of
from mlflow_gitops.planning.service_names import check_service, line_to_add, long_host, owner
from mlflow_gitops.slugs import MOST, is_name, slug
from mlflow_gitops.state import Environment, Identity, ModelVersion, Names, Selector, Settings

CHAMPION = Environment("champion", Selector("alias", "champion"), "prod/champion", namespace="ml")
CHALLENGER = replace(CHAMPION, name="challenger", path="prod/challenger")
TEMPLATE = replace(CHALLENGER, service_name="{service}-challenger")


def settings(*environments: Environment, **more: object) -> Settings:
    return Settings({e.name: e for e in environments}, bucket="b", **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Fraud Detector", "fraud-detector"),
        ("fraud_detector.v2", "fraud-detector-v2"),
        ("team/fraud", "team-fraud"),
        ("Prüfung", "prufung"),
        ("--x--", "x"),
        ("1st", "m-1st"),
        ("モデル", "model-945917"),
        ("x" * 54, f"{'x' * 46}-45f316"),
    ],
)
def test_a_slug_is_a_readable_name(text: str, expected: str) -> None:
    assert slug(text) == expected


@given(st.text(), st.integers(8, MOST))
def test_a_slug_is_a_name_that_kserve_can_serve(text: str, most: int) -> None:
    assert is_name(slug(text, most))
    assert len(slug(text, most)) <= most
    assert slug(slug(text)) == slug(text)


@pytest.mark.parametrize(
    ("environment", "services", "expected"),
    [
        (CHAMPION, {}, "Fraud"),
        (CHAMPION, {"Fraud": "fraud"}, "fraud"),
        (TEMPLATE, {"Fraud": "fraud"}, "fraud-challenger"),
        (replace(TEMPLATE, services={"Fraud": "other"}), {"Fraud": "fraud"}, "other"),
    ],
)
def test_an_environment_s_own_name_wins(
    environment: Environment, services: Mapping[str, str], expected: str
) -> None:
    names = Names(services)
    assert names.service("Fraud", environment) == expected
    assert names.model(expected, environment) == "Fraud"


def test_a_service_that_fits_no_name_stands_for_itself() -> None:
    assert Names({"Fraud": "fraud"}).model("stray", TEMPLATE) == "stray"


@pytest.mark.parametrize(
    ("environment", "services", "by_slug", "folder"),
    [
        (CHAMPION, {}, False, "fraud"),
        (TEMPLATE, {}, False, "fraud"),
        (replace(CHALLENGER, services={"fraud": "x"}), {}, False, "fraud"),
        (TEMPLATE, {"fraud": "scores"}, False, "scores"),
        (TEMPLATE, {}, True, "fraud"),
    ],
)
def test_a_version_is_published_once_for_all_services(
    environment: Environment, services: Mapping[str, str], by_slug: bool, folder: str
) -> None:
    version = ModelVersion("fraud", "2", Identity(1))
    found = spec_of(settings(environment, services=services, by_slug=by_slug), version, environment)
    assert found.uri == f"s3://b/{folder}/v2/"


def test_only_a_model_whose_name_is_none_takes_its_service_s_folder() -> None:
    own = replace(CHAMPION, services={"Fraud Detector": "fraud"})
    version = ModelVersion("Fraud Detector", "2", Identity(1))
    assert spec_of(settings(own), version, own).uri == "s3://b/fraud/v2/"


def refused(
    model: str, environment: Environment, given: Settings, *, is_new: bool = True, **more: object
) -> str:
    try:
        check_service(
            model,
            environment,
            given,
            is_new=is_new,
            beside=given.environments.values(),
            **more,  # type: ignore[arg-type]
        )
    except ConfigError as error:
        return str(error)
    return ""


def test_one_name_in_one_namespace_is_refused_in_both_environments() -> None:
    both = settings(CHAMPION, CHALLENGER)
    for one, two in ((CHAMPION, CHALLENGER), (CHALLENGER, CHAMPION)):
        text = refused("fraud", one, both)
        assert f"`{one.name}` and `{two.name}` both write the InferenceService `fraud`" in text
        assert f"environments.{two.name}.services" in text
        assert 'service-name: "{service}-' in text


@pytest.mark.parametrize(
    "other",
    [
        TEMPLATE,
        replace(CHALLENGER, services={"fraud": "fraud-b"}),
        replace(CHALLENGER, namespace="other"),
        replace(CHALLENGER, namespace=""),
        replace(CHALLENGER, cluster="eu"),
        replace(CHALLENGER, models=("churn-*",)),
    ],
)
def test_what_keeps_them_apart(other: Environment) -> None:
    given = settings(CHAMPION, other)
    assert refused("fraud", CHAMPION, given) == ""
    if other.takes("fraud"):
        assert refused("fraud", other, given) == ""


def test_another_model_s_service_in_another_environment_counts_too() -> None:
    given = settings(CHAMPION, replace(CHALLENGER, services={"churn": "fraud"}, models=("churn",)))
    assert "`champion` and `challenger` both write" in refused(
        "fraud", CHAMPION, replace(given, services={"fraud": "fraud"})
    )


def test_a_service_that_git_has_in_the_other_environment_counts_too() -> None:
    class Git:
        def has(self, environment: str, service: str) -> bool:
            return (environment, service) == ("challenger", "fraud")

        def together(self, one: str, two: str) -> bool:
            raise AssertionError(f"{one} and {two} have a namespace")

    given = settings(CHAMPION, TEMPLATE)
    assert "remove it from one of them" in refused("fraud", CHAMPION, given, git=Git())
    assert refused("churn", CHAMPION, given, git=Git()) == ""


def test_two_models_cannot_have_one_service() -> None:
    given = settings(CHAMPION, services={"churn": "fraud"})
    assert owner("fraud", CHAMPION, given) == "churn"
    assert owner("churn", CHAMPION, given) == ""
    text = refused("fraud", CHAMPION, given)
    assert "of the model `fraud` is that of the model `churn` too" in text
    assert 'services: {"fraud": fraud-2}' in text


def test_one_folder_in_the_bucket_is_one_model_s() -> None:
    own = replace(CHAMPION, services={"Fraud Detector": "fraud"}, models=("Fraud Detector",))
    assert owner("fraud", TEMPLATE, settings(own, TEMPLATE)) == "Fraud Detector"


def test_two_models_with_one_slug_are_refused_and_named() -> None:
    given = settings(CHAMPION, by_slug=True)
    models = {"Fraud Detector", "fraud_detector", "churn"}
    assert "is that of the model `fraud_detector`" in refused(
        "Fraud Detector", CHAMPION, given, models=models
    )
    assert refused("Fraud Detector", CHAMPION, given, models={"Fraud Detector", "churn"}) == ""
    exact = {"Fraud Detector", "fraud-detector"}
    assert "the model `fraud-detector` too" in refused(
        "Fraud Detector", CHAMPION, given, models=exact
    )
    assert refused("fraud-detector", CHAMPION, given, models=exact) == "", "it is called so itself"


@pytest.mark.parametrize(
    ("model", "line"),
    [
        ("Fraud Detector", '`services: {"Fraud Detector": fraud-detector}`'),
        ('a "b": {c}', '`services: {"a \\"b\\": {c}": a-b-c}`'),
        ("churn_x", '`services: {"churn_x": churn-x-2}`'),
    ],
)
def test_a_name_that_kubernetes_does_not_take_is_refused_with_a_free_one(
    model: str, line: str
) -> None:
    given = settings(CHAMPION, services={"other": "churn-x"})
    text = refused(model, CHAMPION, given)
    assert "cannot be the name of an InferenceService" in text
    assert line in text
    mapped = yaml.safe_load(line.strip("`"))["services"]
    fixed = replace(given, services={**given.services, **mapped})
    assert refused(model, CHAMPION, fixed) == ""


def test_names_in_git_are_not_free() -> None:
    given = settings(CHAMPION)
    assert "a-b-2}" in line_to_add("a b", CHAMPION, given, {"a-b"})


def test_only_a_new_service_is_refused_for_its_length() -> None:
    given, name = settings(CHAMPION), "x" * (MOST + 1)
    assert "has 54 characters" in refused(name, CHAMPION, given)
    assert refused(name, CHAMPION, given, is_new=False) == ""
    assert refused("x" * MOST, CHAMPION, given) == ""
    assert "has 54 characters" in refused("x" * 43, TEMPLATE, settings(TEMPLATE))


def test_a_host_name_that_dns_does_not_take_is_named() -> None:
    assert long_host("x" * 50, "") == ""
    assert long_host("x" * 50, "ml") == ""
    assert "`" + "x" * 50 + "-predictor-ml2` has 64" in long_host("x" * 50, "ml2")
