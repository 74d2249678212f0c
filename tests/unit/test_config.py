"""The settings: what is taken, and for each mistake the line, the key and the way out."""

from __future__ import annotations

import json
from typing import Literal

import pytest

from mlflow_gitops.config import Problem, check_settings, parse_settings, settings_warnings
from mlflow_gitops.errors import ConfigError
from mlflow_gitops.state import (
    Endpoint,
    Environment,
    ObjectLock,
    Selector,
    Settings,
    WriteOnce,
)

SMALLEST = """\
artifacts:
  bucket: prod-ml-models
environments:
  staging:
    select: {stage: Staging}
    path: models/overlays/staging
"""

WHOLE = """\
artifacts:
  bucket: prod-ml-models
  prefix: team-a/models
  sources: [s3://lake/models, /mnt/models/, "gs://other"]
version-name: {tag: semver}
applications: [argocd/*, clusters/prod/ml.yaml]
services:
  Fraud Detector: fraud-detector
  churn: churn-v2
environments:
  staging: &base
    select: {stage: staging}
    path: models/overlays/staging
    namespace: ml-staging
    branch: ""
    delivery: commit
    models: ["fraud-*", churn]
    max-changes: 5
  production-eu:
    select: {alias: champion}
    path: models/overlays/eu
    branch: release/eu
  "1":
    select: {tag: {deploy: on}}
    path: models/overlays/staging
    branch: release/eu
"""


def environment(**changes: str) -> str:
    """The smallest settings with the lines of one environment changed."""
    lines = {"select": "{stage: Staging}", "path": "models/staging", **changes}
    body = "".join(f"    {k.replace('_', '-')}: {v}\n" for k, v in lines.items())
    return f"artifacts: {{bucket: prod-ml-models}}\nenvironments:\n  staging:\n{body}"


def top(**changes: str) -> str:
    return SMALLEST + "".join(f"{k.replace('_', '-')}: {v}\n" for k, v in changes.items())


def artifacts(**changes: str) -> str:
    keys = {"bucket": "prod-ml-models", **changes}
    inner = ", ".join(f"{k.replace('_', '-')}: {v}" for k, v in keys.items())
    return SMALLEST.replace("artifacts:\n  bucket: prod-ml-models", f"artifacts: {{{inner}}}")


def lock(mode: str) -> str:
    return artifacts(object_lock=f"{{mode: {mode}}}")


def only(text: str) -> Problem:
    problems = check_settings(text)
    assert len(problems) == 1, problems
    return problems[0]


def test_the_keys_of_an_environment_win_over_those_of_all() -> None:
    text = environment(storage_keys="{own: team-models, both: team-models}")
    text += "storage-keys: {both: prod-ml-models, all: prod-ml-models}\n"
    assert parse_settings(text).environments["staging"].storage_keys == {
        "own": "team-models",
        "both": "team-models",
        "all": "prod-ml-models",
    }


@pytest.mark.parametrize(
    "name",
    [
        "rita",
        "team:risk",
        "group/subgroup.x_y-z",
        "rita+ml@example.com",
        "EXAMPLE\\rita",
        "team:ML Platform Team",
        "{1f2e3d4c-0000-4000-8000-000000000001}",
        "557058:1f2e3d4c-0000-4000-8000-000000000001",
    ],
)
def test_a_reviewer_is_named_as_each_forge_does(name: str) -> None:
    text = environment(pull_request=json.dumps({"reviewers": [name]}))
    assert parse_settings(text).environments["staging"].reviewers == (name,)


def test_an_endpoint_is_a_template() -> None:
    text = environment(
        endpoint="{url: 'https://in/{namespace}/{service}/', host: '{model}.ml:8080', protocol: v1}"
    )
    found = parse_settings(text).environments["staging"].endpoint
    assert found == Endpoint("https://in/{namespace}/{service}", "{model}.ml:8080", "v1")
    assert parse_settings(environment()).environments["staging"].endpoint == Endpoint()


def test_a_password_in_an_endpoint_is_not_repeated() -> None:
    text = environment(endpoint="{url: 'https://me:hunter2@in/'}")
    with pytest.raises(ConfigError) as caught:
        parse_settings(text)
    assert "holds credentials" in caught.value.what
    assert "hunter2" not in str(caught.value)


def test_the_smallest_settings_take_every_default() -> None:
    staging = Environment("staging", Selector("stage", "Staging"), "models/overlays/staging")
    assert parse_settings(SMALLEST) == Settings({"staging": staging}, "prod-ml-models")


def test_every_key_arrives_where_it_belongs() -> None:
    settings = parse_settings(WHOLE)
    assert (settings.bucket, settings.prefix) == ("prod-ml-models", "team-a/models")
    assert settings.applications == ("argocd/*", "clusters/prod/ml.yaml")
    assert settings.sources == ("s3://lake/models/", "/mnt/models/", "gs://other/")
    assert settings.version_tag == "semver"
    assert settings.service("Fraud Detector", settings.environments["staging"]) == "fraud-detector"
    assert list(settings.environments) == ["staging", "production-eu", "1"]
    assert settings.environments["staging"] == Environment(
        name="staging",
        select=Selector("stage", "Staging"),
        path="models/overlays/staging",
        namespace="ml-staging",
        models=("fraud-*", "churn"),
        max_changes=5,
    )
    assert settings.environments["production-eu"].select == Selector("alias", "champion")
    assert settings.environments["1"].select == Selector("tag", "deploy", "on")


@pytest.mark.parametrize("mode", ["governance", "compliance"])
def test_the_storage_is_held_to_keep_what_is_published(mode: Literal["governance"]) -> None:
    text = artifacts(write_once="checked", object_lock=f"{{mode: {mode}, days: 36500}}")
    assert parse_settings(text).write_once == WriteOnce("checked", ObjectLock(mode, 36_500))
    assert parse_settings(artifacts(object_lock="{}")).write_once == WriteOnce()


def test_only_the_weaker_mode_is_warned_of() -> None:
    assert settings_warnings(parse_settings(artifacts(write_once="conditional"))) == ()
    [warning] = settings_warnings(parse_settings(artifacts(write_once="checked")))
    assert "only one process" in warning


@pytest.mark.parametrize("word", ["Production", "production", "PRODUCTION"])
def test_a_stage_is_known_in_any_case(word: str) -> None:
    settings = parse_settings(environment(select=f"{{stage: {word}}}"))
    assert settings.environments["staging"].select == Selector("stage", "Production")


def test_environments_may_select_the_same_and_share_an_anchor() -> None:
    text = environment(select="&s {stage: Production}") + (
        "  us:\n    select: *s\n    path: models/us\n"
    )
    assert parse_settings(text).environments["us"].select == Selector("stage", "Production")


def test_a_value_as_yaml_1_2_reads_it() -> None:
    for word in ("on", "no", "yes", "2024-01-01", "1_000", "1:30"):
        settings = parse_settings(environment(select=f"{{tag: {{deploy: {word}}}}}"))
        assert settings.environments["staging"].select.value == word


WRONG = [
    # text, key's path, line, part of what is said
    ("", "", 1, "is empty"),
    ("# nothing yet\n", "", 1, "is empty"),
    ("- a\n", "", 1, "has to be a mapping, and is a list"),
    ("text\n", "", 1, "has to be a mapping"),
    ("{}\n", "artifacts", 1, "is missing"),
    (SMALLEST + "---\na: 1\n", "", 7, "single document"),
    (SMALLEST + "\tx: 1\n", "", 7, "spaces"),
    (SMALLEST + "a: [1\n", "", 8, "column"),
    (SMALLEST + "a: \x00\n", "", 7, "U+0000"),
    (SMALLEST + "a: *b\n", "", 7, "undefined alias"),
    ("- " * 600, "", 1, "nested too deeply"),
    ("x" * (2 * 1024 * 1024 + 1), "", 1, "characters"),
    (top(extra="1"), "extra", 7, "is no known key"),
    (top(enviroments="{}"), "enviroments", 7, "did you mean `environments`?"),
    (top(environments="{}"), "environments", 7, "is there twice, first on line 3"),
    (SMALLEST + "7: a\n", "7", 7, "is no text"),
    (SMALLEST + "? [a]\n: b\n", '[""]', 7, "is no text"),
    (SMALLEST + "<<: {a: 1}\n", '["<<"]', 7, "merge keys"),
    # artifacts
    (artifacts(write_once="sometimes"), "artifacts.write-once", 1, "no way to write once"),
    (artifacts(write_once="on"), "artifacts.write-once", 1, "no way to write once"),
    (artifacts(object_lock="yes"), "artifacts.object-lock", 1, "has to be a mapping"),
    (artifacts(object_lock="{days: 30}"), "artifacts.object-lock", 1, "has no `mode`"),
    (artifacts(object_lock="{mode: governance}"), "artifacts.object-lock", 1, "has no `days`"),
    (lock("legal, days: 30"), "artifacts.object-lock.mode", 1, "no mode of Object Lock"),
    (lock("governance, days: 0"), "artifacts.object-lock.days", 1, "is 0"),
    (lock("governance, days: 36501"), "artifacts.object-lock.days", 1, "is 36501"),
    (lock("governance, days: 2.5"), "artifacts.object-lock.days", 1, "a whole number"),
    (lock("governance, days: 3, until: 2030"), "artifacts.object-lock.until", 1, "no known key"),
    (artifacts(bucket="null"), "artifacts.bucket", 1, "is empty"),
    (artifacts(bucket="123"), "artifacts.bucket", 1, 'put it in quotes: "123"'),
    (artifacts(bucket="true"), "artifacts.bucket", 1, "is true or false"),
    (artifacts(bucket="[a]"), "artifacts.bucket", 1, "is a list"),
    (artifacts(bucket="!!binary aaa"), "artifacts.bucket", 1, "YAML tag"),
    (artifacts(bucket="Prod"), "artifacts.bucket", 1, "`Prod` is no name for an S3 bucket"),
    (artifacts(bucket="ab"), "artifacts.bucket", 1, "no name"),
    (artifacts(bucket="a" * 64), "artifacts.bucket", 1, "no name"),
    (artifacts(bucket="a..b"), "artifacts.bucket", 1, "no name"),
    (artifacts(bucket="abc-"), "artifacts.bucket", 1, "no name"),
    (artifacts(bucket="10.0.0.1"), "artifacts.bucket", 1, "no name"),
    (artifacts(bucket="xn--abc"), "artifacts.bucket", 1, "S3 keeps for itself"),
    (artifacts(bucket="abc--ol-s3"), "artifacts.bucket", 1, "S3 keeps for itself"),
    (
        artifacts(bucket="arn:aws:s3:eu-west-1:111122223333:accesspoint/ml"),
        "artifacts.bucket",
        1,
        "by its alias, which ends in `-s3alias`",
    ),
    (artifacts(bucket="s3://abc/x"), "artifacts.bucket", 1, "artifacts.prefix"),
    (artifacts(prefix="/a"), "artifacts.prefix", 1, "begins with `/`"),
    (artifacts(prefix="a/"), "artifacts.prefix", 1, "ends with `/`"),
    (artifacts(prefix="a//b"), "artifacts.prefix", 1, "two `/`"),
    (artifacts(prefix="a/../b"), "artifacts.prefix", 1, "`..`"),
    (artifacts(prefix="a b"), "artifacts.prefix", 1, "not safe"),
    (artifacts(prefix='"a\\nb"'), "artifacts.prefix", 1, "unprintable"),
    (artifacts(sources="s3://a"), "artifacts.sources", 1, "has to be a list"),
    (f"applications: argocd\n{SMALLEST}", "applications", 1, "has to be a list"),
    (f"applications: [/argocd]\n{SMALLEST}", "applications[0]", 1, "is no path in"),
    (artifacts(sources="[/]"), "artifacts.sources[0]", 1, "everything"),
    (artifacts(sources="[/a, relative]"), "artifacts.sources[1]", 1, "neither"),
    (artifacts(sources="['s3://']"), "artifacts.sources[0]", 1, "names no bucket"),
    (artifacts(sources="['file:///']"), "artifacts.sources[0]", 1, "everything"),
    (artifacts(sources="['runs:/abc']"), "artifacts.sources[0]", 1, "names no place"),
    (artifacts(sources="['s3://a/%2e%2e/b']"), "artifacts.sources[0]", 1, "hides"),
    (artifacts(sources="['s3://a/*']"), "artifacts.sources[0]", 1, "patterns"),
    (artifacts(sources="['https://u:p4ss@h/a']"), "artifacts.sources[0]", 1, "credentials"),
    (artifacts(sources="['mlflow-artifacts:/']"), "artifacts.sources[0]", 1, "everything"),
    (artifacts(region="x"), "artifacts.region", 1, "is no known key"),
    # kserve, version-name, services
    (top(kserve="0.15"), "kserve", 7, 'put it in quotes: "0.15"'),
    (top(kserve='"0.13"'), "kserve", 7, "is not known here"),
    (top(kserve='"0.22.0"'), "kserve", 7, "is not known here"),
    (top(kserve='"1.0"'), "kserve", 7, "is no version of KServe"),
    (top(kserve="latest"), "kserve", 7, "is no version of KServe"),
    (top(version_name="tag"), "version-name", 7, "`tag` names no version"),
    (top(version_name="{}"), "version-name.tag", 7, "is missing"),
    (top(version_name="{tag: gitops.x}"), "version-name.tag", 7, "writes itself"),
    (top(version_name="[]"), "version-name", 7, "is a list"),
    (top(services="[]"), "services", 7, "has to be a mapping"),
    (top(services=""), "services", 7, "is empty"),
    (top(services="{a: Fraud}"), "services.a", 7, "InferenceService"),
    (top(services="{a: 1x}"), "services.a", 7, "InferenceService"),
    (top(services="{a: x.y}"), "services.a", 7, "InferenceService"),
    (top(services=f"{{a: {'x' * 64}}}"), "services.a", 7, "InferenceService"),
    (top(services="{a/b: x}"), 'services["a/b"]', 7, "registered model"),
    (top(services="{a: x, b: x}"), "services.b", 7, "the model `a` already"),
    (top(services="{a: x, a: y}"), "services.a", 7, "is there twice"),
    # environments
    ("artifacts: {bucket: abc}\nenvironments: {}\n", "environments", 2, "names no environment"),
    ("artifacts: {bucket: abc}\n", "environments", 1, "is missing"),
    (SMALLEST.replace("staging:", "eu.staging:"), 'environments["eu.staging"]', 4, "DNS label"),
    (SMALLEST.replace("staging:", "Staging:"), "environments.Staging", 4, "DNS label"),
    (SMALLEST + "  prod:\n", "environments.prod", 7, "is empty"),
    (environment(max_change="1"), "environments.staging.max-change", 6, "`max-changes`"),
    (environment(path="null"), "environments.staging.path", 5, "is empty"),
    (environment(path='""'), "environments.staging.path", 5, "is empty"),
    (environment(path="/a"), "environments.staging.path", 5, "begins with"),
    (environment(path="../a"), "environments.staging.path", 5, "`..`"),
    (environment(path="a\\b"), "environments.staging.path", 5, "one of the characters"),
    (environment(path="a/-b"), "environments.staging.path", 5, "begins with `-`"),
    (environment(path="a/.Git/b"), "environments.staging.path", 5, "Git's own"),
    (environment(path='":(glob)a"'), "environments.staging.path", 5, "characters"),
    (environment(path='"a\\ud800"'), "environments.staging.path", 5, "unprintable"),
    (environment(namespace="A_b"), "environments.staging.namespace", 6, "DNS label"),
    (environment(branch="a..b"), "environments.staging.branch", 6, "no name for a branch"),
    (environment(branch="refs/heads/a"), "environments.staging.branch", 6, "bare name"),
    (environment(branch="mlflow-gitops/a"), "environments.staging.branch", 6, "its own"),
    (environment(delivery="pull-requests"), "environments.staging.delivery", 6, "no way to"),
    (environment(delivery="push"), "environments.staging.delivery", 6, "no way to deliver"),
    (top(forge="{kind: svn}"), "forge.kind", 7, "no forge that is known"),
    (top(forge="{url: git.example.com}"), "forge.url", 7, "no URL of a server"),
    (top(forge='{url: "https://{service}.example.com"}'), "forge.url", 7, "no URL of a server"),
    (top(forge="{url: https://me:pw@git.example.com}"), "forge.url", 7, "holds credentials"),
    (top(forge="{token: x}"), "forge.token", 7, "no known key"),
    (
        environment(pull_request='{labels: ["a,b"]}'),
        "environments.staging.pull-request.labels[0]",
        6,
        "is no label",
    ),
    (
        environment(pull_request="{labels: [mlflow-gitops/withdrawn]}"),
        "environments.staging.pull-request.labels[0]",
        6,
        "only the tool",
    ),
    (
        environment(pull_request='{reviewers: ["rita "]}'),
        "environments.staging.pull-request.reviewers[0]",
        6,
        "no name of a user",
    ),
    (
        environment(pull_request='{reviewers: ["@rita"]}'),
        "environments.staging.pull-request.reviewers[0]",
        6,
        "no name of a user",
    ),
    (environment(models="[]"), "environments.staging.models", 6, "takes no model"),
    (environment(models='"*"'), "environments.staging.models", 6, "has to be a list"),
    (environment(models="[*]"), "", 6, "in quotes"),
    (environment(models="[a/b]"), "environments.staging.models[0]", 6, "matches no name"),
    (environment(models="[1]"), "environments.staging.models[0]", 6, "in quotes"),
    (environment(max_changes="0"), "environments.staging.max-changes", 6, "is 0"),
    (environment(max_changes="-1"), "environments.staging.max-changes", 6, "1 or more"),
    (environment(max_changes="true"), "environments.staging.max-changes", 6, "whole number"),
    (environment(max_changes="1.5"), "environments.staging.max-changes", 6, "whole number"),
    (environment(max_changes="'5'"), "environments.staging.max-changes", 6, "whole number"),
    (environment(max_changes="9" * 5000), "environments.staging.max-changes", 6, "1 or more"),
    # endpoint
    (environment(endpoint="[]"), "environments.staging.endpoint", 6, "has to be a mapping"),
    (
        environment(endpoint="{uri: x}"),
        "environments.staging.endpoint.uri",
        6,
        "did you mean `url`",
    ),
    (environment(endpoint="{url: 1}"), "environments.staging.endpoint.url", 6, "in quotes"),
    (
        environment(endpoint='{url: ""}'),
        "environments.staging.endpoint.url",
        6,
        "no URL of a server",
    ),
    (
        environment(endpoint="{url: x.y}"),
        "environments.staging.endpoint.url",
        6,
        "no URL of a server",
    ),
    (environment(endpoint="{url: 'http://a b'}"), "environments.staging.endpoint.url", 6, "no URL"),
    (environment(endpoint="{url: 'http://[x'}"), "environments.staging.endpoint.url", 6, "no URL"),
    (
        environment(endpoint="{url: 'http://x?y'}"),
        "environments.staging.endpoint.url",
        6,
        "a query",
    ),
    (
        environment(endpoint="{url: 'http://{x}'}"),
        "environments.staging.endpoint.url",
        6,
        "none of",
    ),
    (
        environment(endpoint="{host: 'a/b'}"),
        "environments.staging.endpoint.host",
        6,
        "no host name",
    ),
    (environment(endpoint="{host: '{a}'}"), "environments.staging.endpoint.host", 6, "none of"),
    (environment(endpoint="{protocol: v3}"), "environments.staging.endpoint.protocol", 6, "`v3`"),
    # select
    (environment(select="Staging"), "environments.staging.select", 4, "has to be a mapping"),
    (environment(select="{}"), "environments.staging.select", 4, "0 keys instead of one"),
    (environment(select="{stage: Staging, alias: a}"), "environments.staging.select", 4, "2 keys"),
    (environment(select="{stage: Archived}"), "environments.staging.select.stage", 4, "not depl"),
    (environment(select="{stage: None}"), "environments.staging.select.stage", 4, "not deployed"),
    (environment(select="{stage: null}"), "environments.staging.select.stage", 4, "is empty"),
    (environment(select="{stage: Live}"), "environments.staging.select.stage", 4, "is no stage"),
    (top(storage_keys="[aws]"), "storage-keys", 7, "a mapping"),
    (top(storage_keys="{aws: UPPER}"), "storage-keys.aws", 7, "no name for an S3 bucket"),
    (top(storage_keys="{a/b: models}"), 'storage-keys["a/b"]', 7, "cannot be one of a Secret"),
    (environment(select="{stages: a}"), "environments.staging.select.stages", 4, "`stage`"),
    (environment(select="{alias: latest}"), "environments.staging.select.alias", 4, "keeps for"),
    (environment(select="{alias: v3}"), "environments.staging.select.alias", 4, "keeps for"),
    (environment(select="{alias: a b}"), "environments.staging.select.alias", 4, "no alias"),
    (environment(select="{tag: deploy}"), "environments.staging.select.tag", 4, "a mapping"),
    (environment(select="{tag: {}}"), "environments.staging.select.tag", 4, "0 pairs"),
    (environment(select="{tag: {a: b, c: d}}"), "environments.staging.select.tag", 4, "2 pairs"),
    (environment(select="{tag: {a: ''}}"), "environments.staging.select.tag.a", 4, "is empty"),
    (environment(select="{tag: {a: true}}"), "environments.staging.select.tag.a", 4, "in quotes"),
    (
        environment(select="{tag: {gitops.a: b}}"),
        'environments.staging.select.tag["gitops.a"]',
        4,
        "writes itself",
    ),
]


@pytest.mark.parametrize(("text", "path", "line", "said"), WRONG)
def test_a_mistake_is_told_with_its_place(text: str, path: str, line: int, said: str) -> None:
    problem, *more = check_settings(text)
    assert (problem.path, problem.line) == (path, line)
    assert len(more) == (text == "{}\n"), "each mistake is told once; `{}` lacks two keys"
    assert said in str(problem)
    with pytest.raises(ConfigError):
        parse_settings(text)


def test_all_problems_are_told_at_once_in_the_order_of_the_lines() -> None:
    text = environment(path="/a", max_changes="0", delivery="x") + "extra: 1\n"
    with pytest.raises(ConfigError) as caught:
        parse_settings(text, where="manifests/mlflow-gitops.yaml")
    assert caught.value.where == "manifests/mlflow-gitops.yaml"
    assert caught.value.what.startswith("4 problems in the settings:\n  line 5: environments.")
    assert [p.line for p in check_settings(text)] == [5, 6, 7, 8]
    assert "config check" in caught.value.hint


def test_a_single_problem_is_an_error_at_its_line_and_key() -> None:
    with pytest.raises(ConfigError) as caught:
        parse_settings(environment(max_changes="0"))
    assert caught.value.where == "mlflow-gitops.yaml:6: environments.staging.max-changes"
    assert caught.value.what == "is 0 (allowed: whole number, 1 or more)"


def test_a_password_in_a_source_is_not_repeated() -> None:
    problem = only(artifacts(sources="['https://user:p4ssw0rd@host/a']"))
    assert "p4ssw0rd" not in str(problem)


def two(one: str, other: str) -> str:
    head = "artifacts: {bucket: abc}\nenvironments:\n"
    select = "select: {stage: Staging}"
    return f"{head}  a: {{{select}, {one}}}\n  b: {{{select}, {other}}}\n"


@pytest.mark.parametrize(
    ("one", "other", "told"),
    [
        ("path: m", "path: m", "b"),
        ("path: m, branch: x", "path: m, branch: x", "b"),
        ("path: m", 'path: m, branch: ""', "b"),
        ("path: m", "path: m/n", "b"),
        ("path: m/n/o", "path: m", "a"),
        ("path: m", "path: mn", ""),
        ("path: m, branch: x", "path: m, branch: y", ""),
        ("path: m, branch: x", "path: m", ""),  # nobody knows the default branch here
    ],
)
def test_two_environments_in_each_others_way(one: str, other: str, told: str) -> None:
    problems = check_settings(two(one, other))
    assert [p.path for p in problems] == ([f"environments.{told}"] if told else [])


def test_with_the_default_branch_known_naming_it_is_the_same_as_leaving_it_out() -> None:
    text = two("path: m, branch: main", "path: m")
    assert check_settings(text, default_branch="trunk") == []
    assert only_with(text, "main").path == "environments.b"
    with pytest.raises(ConfigError):
        parse_settings(text, default_branch="main")


def only_with(text: str, default_branch: str) -> Problem:
    (problem,) = check_settings(text, default_branch=default_branch)
    return problem
