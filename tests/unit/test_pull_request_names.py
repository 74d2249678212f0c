"""The title and branch of pull requests and a commit's body, after templates of the settings."""

from __future__ import annotations

import pytest

from mlflow_gitops.config import check_settings, parse_settings
from mlflow_gitops.planning.naming import branch_of, service_of
from mlflow_gitops.planning.trailers import parse_trailers, trailer_lines
from mlflow_gitops.service import ServiceReconciler
from mlflow_gitops.state import State
from tests.support.memory_session import Parts

MODEL = "fraud-detector"
TITLE = 'title: "feat({environment}): {tag:ticket} {model} v{version} [skip ci]"'
NAMED = 'branch: "feature/ML-1-{environment}-{service}"'
EVIL = (
    "x\n\nSigned-off-by: Eve <e@x>",
    "x\u2028Signed-off-by: Eve <e@x>\u2029y\x85z",
    "Signed-off-by: Eve <e@x>",
    "Gitops-Service: production/other",
    "This reverts commit 0123456789012345678901234567890123456789.",
    "[skip ci] @all fixes #7 \x1b[31m",
    "long " * 2000,
)


def settings(pull_request: str = "", more: str = "", commits: str = "") -> str:
    return f"""artifacts: {{bucket: models}}
environments:
  production:
    select: {{stage: Production}}
    path: production
    delivery: pull-request
    pull-request: {{{pull_request}}}
{more}{commits}"""


def configured(pull_request: str, commits: str = "") -> Parts:
    parts = Parts()
    for number in ("1", "2"):
        parts.register(MODEL)
        parts.registry.set_tag(MODEL, number, "ticket", f"ABC-{number}")
    parts.by_pull_requests()
    text = parts.repository.files()["mlflow-gitops.yaml"]
    text = text.replace("labels: [ml]", f"labels: [ml], {pull_request}")
    parts.repository.person_commits({"mlflow-gitops.yaml": text + commits})
    return parts


def promote(parts: Parts, number: str) -> None:
    for version in parts.registry.snapshot(MODEL).versions:
        if version.stage == "Production":
            parts.registry.transition(MODEL, version.number, "Archived")
    parts.registry.transition(MODEL, number, "Production")
    done = parts.cli("reconcile")
    assert done.exit_code == 0, done.output


def test_title_and_branch_are_as_the_settings_name_them() -> None:
    parts = configured(f"{TITLE}, {NAMED}")
    promote(parts, "1")
    (pull,) = parts.forge.opened()
    assert pull.title == "feat(production): ABC-1 fraud-detector v1 [skip ci]"
    assert pull.branch == f"feature/ML-1-production-{MODEL}"
    message = parts.repository.commits[pull.head].message
    assert message.startswith("production: deploy fraud-detector v1")
    assert ServiceReconciler(parts.session().reconciler).model_of(pull.branch) == MODEL
    assert ServiceReconciler(parts.session().reconciler).proposed("main") == {MODEL}
    promote(parts, "2")
    (same,) = parts.forge.opened()
    assert (same.number, same.branch) == (pull.number, pull.branch)
    assert same.title == "feat(production): ABC-2 fraud-detector v2 [skip ci]"
    parts.registry.delete_model_tag(MODEL, "gitops.delivered.production")
    assert parts.cli("reconcile").exit_code == 0
    assert [each.number for each in parts.forge.opened()] == [pull.number]


def test_an_open_pull_request_keeps_its_branch_when_the_settings_change() -> None:
    parts = configured(TITLE)
    promote(parts, "1")
    text = parts.repository.files()["mlflow-gitops.yaml"]
    parts.repository.person_commits({"mlflow-gitops.yaml": text.replace(TITLE, NAMED)})
    promote(parts, "2")
    (pull,) = parts.forge.opened()
    assert (pull.number, pull.branch) == (1, f"mlflow-gitops/production/{MODEL}")
    assert "v2" in pull.title
    parts.forge.approve(1)
    parts.register(MODEL)
    promote(parts, "3")
    (new,) = parts.forge.opened()
    assert (new.number, new.branch) == (2, f"feature/ML-1-production-{MODEL}")


def test_a_body_has_its_paragraphs_and_lines_without_a_value_go() -> None:
    body = "commits:\n  body: |\n    Refs {tag:ticket}\n    {tag:none}\n\n    [skip ci]\n"
    parts = configured(TITLE, body)
    promote(parts, "1")
    (pull,) = parts.forge.opened()
    message = parts.repository.commits[pull.head].message
    assert "\n\nRefs ABC-1\n\n[skip ci]\n\nGitops-Service: production/" in message


@pytest.mark.parametrize("evil", EVIL)
def test_no_value_becomes_a_trailer_or_a_line(evil: str) -> None:
    commits = (
        'commits:\n  subject: "{tag:evil}"\n  body: |\n    {tag:evil}\n    x: {tag:evil}\n'
        '  trailers: {Ticket: "{tag:evil}"}\n'
    )
    parts = configured('title: "{tag:evil}"', commits)
    parts.registry.set_tag(MODEL, "1", "evil", evil)
    promote(parts, "1")
    (pull,) = parts.forge.opened()
    message = parts.repository.commits[pull.head].message
    lines = message.splitlines()
    starts = ("Signed-off-by", "Gitops-Service: production/other", "This reverts", "[skip ci]")
    assert not [line for line in lines if line.startswith(starts)]
    assert not pull.title.startswith(starts)
    assert pull.title.splitlines() == [pull.title]
    assert len(pull.title) <= 200
    assert max(map(len, lines)) < 600
    keys = [key for key, _ in trailer_lines(message)]
    assert "Signed-off-by" not in keys
    assert keys.count("Gitops-Service") == keys.count("Ticket") == 1
    assert parse_trailers(message)["Gitops-Service"] == f"production/{MODEL}"
    parts.forge.merge(1)
    assert parts.cli("reconcile").exit_code == 0
    status = parts.cli("status", "--json").output
    assert State.COMMITTED.value in status


@pytest.mark.parametrize(
    ("pull_request", "said"),
    [
        ('title: "{nope}"', "unknown field `{nope}`"),
        ('title: "a\\nb"', "unprintable"),
        ('branch: "x/{tag:ticket}/{service}"', "one branch for all its versions"),
        ('branch: "x/{version}-{service}"', "one branch for all its versions"),
        ('branch: "{service}"', "ends in one `{service}`"),
        ("branch: feature", "ends in one `{service}`"),
        ('branch: "{service}/x"', "ends in one `{service}`"),
        ('branch: "a b/{service}"', "is no name for a branch"),
        ('branch: "a{/{service}"', "is no name for a branch"),
        ('branch: "a//{service}"', "is no name for a branch"),
        ('branch: "-a/{service}"', "is no name for a branch"),
        ('branch: "mlflow-gitops/{service}"', "keeps its own branches"),
    ],
)
def test_what_is_wrong_is_told(pull_request: str, said: str) -> None:
    (problem,) = check_settings(settings(pull_request))
    assert problem.path.startswith("environments.production.pull-request.")
    assert said in str(problem)


@pytest.mark.parametrize(
    ("one", "two", "branch", "clashes"),
    [
        ("a/{environment}/{service}", "a/{environment}/{service}", "", False),
        ("a/{service}", "a/{service}", "", True),
        ("a-{service}", "a-eu-{service}", "", True),
        ("a/{service}", "a/{environment}/{service}", "", True),
        ("a/{service}", "b/{service}", "", False),
        ("release-{service}", "a/{service}", "release-eu", True),
        ("live/{service}", "a/{service}", "live", True),
        ("live/{service}", "a/{service}", "live-eu", False),
        ("m{service}", "a/{service}", "", True),  # main
    ],
)
def test_names_that_could_be_another_branch_are_refused(
    one: str, two: str, branch: str, clashes: bool
) -> None:
    more = f"""  staging:
    select: {{stage: Staging}}
    path: staging
    delivery: pull-request
    branch: {branch or '""'}
    pull-request: {{branch: "{two}"}}
"""
    more = more.replace('    branch: ""\n', "")
    found = check_settings(settings(f'branch: "{one}"', more), default_branch="main")
    assert bool(found) == clashes
    assert all("may name" in str(each) for each in found)


@pytest.mark.parametrize(
    ("key", "text", "said"),
    [
        ("body", '"Signed-off-by: x"', "taken for the trailer `signed-off-by`"),
        ("body", '"a\\nGitops-Service: x"', "taken for the trailer `gitops-service`"),
        ("body", '"a\\n{nope}"', "unknown field `{nope}`"),
        ("body", '" "', "is empty"),
        ("body", '"a\\u2028b"', "unprintable"),
    ],
)
def test_a_wrong_body_is_told(key: str, text: str, said: str) -> None:
    (problem,) = check_settings(settings(commits=f"commits: {{{key}: {text}}}\n"))
    assert problem.path == f"commits.{key}"
    assert said in str(problem)


def test_a_branch_leads_back_to_its_service() -> None:
    text = settings('branch: "x-{environment}-{service}"')
    environment = parse_settings(text).environments["production"]
    assert branch_of(environment, "fraud") == "x-production-fraud"
    assert service_of(environment, "x-production-fraud") == "fraud"
    assert service_of(environment, "x-production-fraud/kept") == ""
    assert service_of(environment, "x-staging-fraud") == ""
