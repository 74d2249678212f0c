"""`environments.<name>.values`: what is taken, and what two rules may not share."""

from __future__ import annotations

import pytest

from mlflow_gitops.config import check_settings, parse_settings
from mlflow_gitops.state import ValueRule

HEAD = "artifacts: {bucket: prod-ml-models}\nenvironments:\n"


def settings(*rules: str, other: str = "", branch: str = "") -> str:
    lines = "".join(f"      - {rule}\n" for rule in rules)
    more = f"    branch: {branch}\n" if branch else ""
    second = (
        f"  other:\n    select: {{stage: Production}}\n    path: other\n{more}"
        f"    values:\n      - {other}\n"
        if other
        else ""
    )
    return (
        f"{HEAD}  env:\n    select: {{stage: Staging}}\n    path: env\n    values:\n{lines}{second}"
    )


def said(text: str) -> str:
    (problem,) = check_settings(text)
    return str(problem)


def test_a_rule_has_defaults() -> None:
    text = settings("{file: 'charts/{service}.yaml', path: model.uri}")
    assert parse_settings(text).environments["env"].values == (
        ValueRule("charts/{service}.yaml", "model.uri"),
    )


def test_a_whole_rule() -> None:
    text = settings(
        "{models: [fraud], file: a.yaml, path: a.uri, version-path: a.v, format: sklearn,"
        " protocol: v1, runtime: mine}"
    )
    assert parse_settings(text).environments["env"].values == (
        ValueRule("a.yaml", "a.uri", ("fraud",), "a.v", "sklearn", "v1", "mine"),
    )


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        ("{path: a}", "values[0].file: is missing"),
        ("{file: '{service}'}", "values[0].path: is missing"),
        ("{file: '../{service}', path: a}", "has a part that is `.` or `..`"),
        ("{file: '/{service}', path: a}", "begins with `/`"),
        ("{file: '.git/{service}', path: a}", "Git's own"),
        ("{file: '{name}.yaml', path: a}", "something else in braces"),
        ("{file: '{service.__class__}', path: a}", "something else in braces"),
        ("{file: '{service', path: a}", "something else in braces"),
        ("{file: mlflow-gitops.yaml, path: '{service}'}", "is the file of these settings"),
        ("{file: '{service}', path: 'a[0]'}", "has to end with a key"),
        ("{file: '{service}', path: 'a.{model}'}", "something else in braces"),
        ("{file: '{service}', path: a, version-path: a}", "same path for the URI and the version"),
        ("{file: a.yaml, path: a}", "leads every model to the same value, `a`"),
        ("{file: a.yaml, path: '{service}', version-path: v}", "to the same value, `v`"),
        ("{file: a.yaml, path: a, models: ['fraud-*']}", "leads every model to the same value"),
        ("{file: '{service}', path: a, protocol: v3}", "is no protocol"),
        ("{file: '{service}', path: a, format: 'x y'}", "is no name of a format"),
        ("{file: '{service}', path: a, runtime: X}", "is no DNS label"),
        ("{file: '{service}', path: a, key: b}", "is no known key"),
        ("a.yaml", "has to be a mapping"),
    ],
)
def test_a_wrong_rule_is_told(rule: str, says: str) -> None:
    assert says in said(settings(rule))


def test_values_are_a_list() -> None:
    assert "has to be a list" in said(
        f"{HEAD}  env: {{select: {{stage: Staging}}, path: env, values: {{file: a}}}}\n"
    )


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("{file: '{service}.yaml', path: a}", "{file: '{service}.yaml', path: a}"),
        ("{file: '{service}.yaml', path: a}", "{file: '{service}.yaml', path: a, models: [b]}"),
        ("{file: a.yaml, path: a, models: [b]}", "{file: a.yaml, path: a, models: [c]}"),
        ("{file: '{service}', path: a}", "{file: '{service}', path: b, version-path: a}"),
        (
            "{file: v-other, path: a, models: [b]}",
            "{file: 'v-{environment}', path: a, models: [b]}",
        ),
    ],
)
def test_two_environments_never_lead_to_one_value(one: str, two: str) -> None:
    problem = said(settings(one, other=two))
    assert "environments.other: has a value that the environment `env` has too: `a` in" in problem
    assert check_settings(settings(one, other=two, branch="next")) == []


def test_two_models_never_lead_to_one_value() -> None:
    rules = [f"{{file: a.yaml, path: a, models: [{name}]}}" for name in "bc"]
    assert "has a value that another rule has too" in said(settings(*rules))


@pytest.mark.parametrize(
    ("one", "two"),
    [
        (
            "{file: '{service}/{environment}', path: a}",
            "{file: '{service}/{environment}', path: a}",
        ),
        ("{file: '{service}', path: a}", "{file: '{service}', path: b}"),
        ("{file: '{service}', path: a, models: [b]}", "{file: '{service}', path: a, models: [c]}"),
    ],
)
def test_places_of_their_own_are_fine(one: str, two: str) -> None:
    assert check_settings(settings(one, other=two)) == []
    assert check_settings(settings(one, two)) == []
