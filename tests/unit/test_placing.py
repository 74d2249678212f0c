"""The settings of names and places: what is read, and what is wrong with them."""

from __future__ import annotations

from fnmatch import fnmatchcase
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlflow_gitops.config import check_settings, name_warnings, parse_settings
from mlflow_gitops.config.patterns import meet
from mlflow_gitops.state import Environment

TWO = """artifacts: {bucket: models}
environments:
  one: {select: {alias: one}, path: one, namespace: ml%s}
  two: {select: {alias: two}, path: two, namespace: ml%s}
"""


def environment(**more: str) -> str:
    keys = {"select": "{stage: Staging}", "path": "staging", **more}
    lines = "".join(f"    {key.replace('_', '-')}: {value}\n" for key, value in keys.items())
    return f"artifacts: {{bucket: models}}\nenvironments:\n  staging:\n{lines}"


def read(**more: str) -> Environment:
    return parse_settings(environment(**more)).environments["staging"]


@pytest.mark.parametrize(
    ("path", "folder"),
    [
        ("a", "a"),
        (".", "."),
        ("./", "."),
        ("./a/b/", "a/b"),
        ("a//b", "a/b"),
        ("a/./b/.", "a/b"),
    ],
)
def test_a_path_is_read_in_its_shortest_form(path: str, folder: str) -> None:
    assert read(path=path).path == folder


@pytest.mark.parametrize("path", ["/", "/a", "..", "./..", "a/../b", '""', "a/.git", '" a"'])
def test_a_path_outside_is_refused_with_the_next_step(path: str) -> None:
    (problem,) = check_settings(environment(path=path))
    assert problem.path == "environments.staging.path"
    assert "`.` for the root" in problem.hint


@pytest.mark.parametrize(
    ("one", "two", "said"),
    [
        ("./x", "x/", "has the same branch and path as the environment `one`"),
        (".", "x", "has a path inside that of `one`, `.`"),
        ("x", "./", "has a path inside that of `two`, `.`"),
        ("x", "x/y", "has a path inside that of `one`, `x`"),
        ("x", "xy", ""),
    ],
)
def test_two_paths_that_are_in_each_other_s_way(one: str, two: str, said: str) -> None:
    text = TWO.replace("ml%s", "%s").replace("path: one", f"path: {one}") % ("a", "b")
    problems = check_settings(text.replace("path: two", f"path: {two}"))
    assert [said in problem.what for problem in problems] == ([True] if said else [])


def test_the_root_may_be_the_folder_of_a_branch_each() -> None:
    text = TWO % (", branch: a", ", branch: b")
    assert (
        check_settings(text.replace("path: one", "path: .").replace("path: two", "path: .")) == []
    )


@pytest.mark.parametrize(
    ("label", "read_as"),
    [
        ("example.com/model-version", "example.com/model-version"),
        ("ml_version.x", "ml_version.x"),
        ("none", ""),
    ],
)
def test_a_label_is_for_all_or_for_one_environment(label: str, read_as: str) -> None:
    assert read().label == "model-version"
    assert read(label=label).label == read_as
    everywhere = parse_settings(f"label: {label}\n{environment()}")
    assert everywhere.environments["staging"].label == read_as
    own = parse_settings(f"label: {label}\n{environment(label='own')}")
    assert own.environments["staging"].label == "own"


@pytest.mark.parametrize(
    "label", ["a b", "-a", "a/b/c", "/a", "Example.com/a", f"a/{'x' * 64}", '"1."', "ü"]
)
def test_a_label_has_to_be_a_key_of_kubernetes(label: str) -> None:
    (problem,) = check_settings(environment(label=label))
    assert "is no key of a Kubernetes label" in problem.what


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("exclude", "[a/../b]", "is no pattern"),
        ("exclude", '["!a"]', "only leaves out"),
        ("exclude", '["**"]', "leaves out every file"),
        ("exclude", '[""]', "is no pattern"),
        ("exclude", "old", "has to be a list"),
        ("recurse", '"no"', "has to be true or false"),
        ("service_name", "x", "has to hold `{service}` once"),
        ("service_name", '"{service}-{service}"', "has to hold `{service}` once"),
        ("service_name", '"{service}_x"', "makes no name"),
        ("services", "{a: X}", "cannot be the name"),
        ("services", "{a: x, b: x}", "is the service of the model `a` already"),
        ("cluster", "A", "is no DNS label"),
    ],
)
def test_a_value_that_is_wrong_is_told(key: str, value: str, said: str) -> None:
    (problem,) = check_settings(environment(**{key: value}))
    assert said in problem.what


def test_every_value_arrives() -> None:
    found = read(
        services="{Fraud: fraud}",
        service_name='"{service}-b"',
        cluster="eu",
        exclude="[old, /a/**]",
        recurse="false",
    )
    assert found.services == {"Fraud": "fraud"}
    assert (found.service_name, found.cluster) == ("{service}-b", "eu")
    assert (found.exclude, found.recurse) == (("old", "/a/**"), False)
    assert (read().exclude, read().recurse) == ((), None)


@pytest.mark.parametrize(
    ("one", "two", "said"),
    [
        ("", "", "both write the InferenceService `<model>` in the namespace `ml`"),
        (", models: [a]", ', models: ["a*"]', "both write the InferenceService `a`"),
        (", services: {a: x}", ", services: {b: x}", "both write the InferenceService `x`"),
        (", services: {a: x}", "", ""),
        (', service-name: "{service}-one"', "", ""),
        (", cluster: eu", ", cluster: us", ""),
        (", branch: other", "", ""),
        (', models: ["a*"]', ', models: ["b*"]', ""),
    ],
)
def test_two_environments_that_write_one_object_are_told_and_can_be_parsed(
    one: str, two: str, said: str
) -> None:
    text = TWO % (one, two)
    assert [said in problem.what for problem in check_settings(text)] == ([True] if said else [])
    assert len(parse_settings(text).environments) == 2


@pytest.mark.parametrize(
    ("services", "models", "said"),
    [
        (f"{{a: {'x' * 54}}}", '["*"]', "has 54 characters"),
        ("{a: b}", "[a, b]", "the models `a` and `b` have the same service, `b`"),
        ("{}", "[Fraud Detector]", "`Fraud Detector` cannot be the name"),
        (f"{{a: {'x' * 54}}}", "[b]", ""),
    ],
)
def test_a_service_that_nobody_can_serve_is_told(services: str, models: str, said: str) -> None:
    problems = check_settings(f"services: {services}\n{environment(models=models)}")
    assert [said in problem.what for problem in problems] == ([True] if said else [])
    assert all("`services: {" in problem.hint for problem in problems)


def test_names_are_derived_where_the_settings_say_so() -> None:
    text = environment(models="[Fraud Detector]")
    assert len(check_settings(text)) == 1
    assert check_settings(f"service-names: slug\n{text}") == []
    assert "is no known way" in check_settings(f"service-names: any\n{text}")[0].what


def test_a_long_host_name_is_a_warning() -> None:
    text = f"services: {{a: {'x' * 50}}}\n{environment(namespace='ml-staging')}"
    assert check_settings(text) == []
    (warning,) = name_warnings(parse_settings(text))
    assert "-predictor-ml-staging` has 71 characters" in warning


PATTERNS = st.text("ab*?", min_size=1, max_size=4)


@given(PATTERNS, PATTERNS)
def test_patterns_meet_where_a_name_matches_both(one: str, two: str) -> None:
    names = ("".join(each) for size in range(9) for each in product("ab", repeat=size))
    assert meet([one], [two]) == any(fnmatchcase(n, one) and fnmatchcase(n, two) for n in names)


@pytest.mark.parametrize(
    ("one", "two", "expected"),
    [("[ab]x", "ax", True), ("[ab]x", "cx", False), ("[ab]", "[cd]", True), ("[!a]", "a", False)],
)
def test_sets_of_characters_meet_what_is_in_them(one: str, two: str, expected: bool) -> None:
    assert meet([one], [two]) is expected
    assert meet([two], [one]) is expected
