"""Commit messages after templates of the settings: nothing of the registry acts in them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlflow_gitops.config import check_settings, parse_settings
from mlflow_gitops.planning.commit_style import FIELDS, fill
from mlflow_gitops.planning.messages import CLOSING, MARKS, TICKET
from mlflow_gitops.planning.trailers import trailer_lines
from mlflow_gitops.state import CommitStyle
from tests.support.memory_session import Parts

REST = """artifacts: {bucket: models}
environments:
  staging: {select: {stage: Staging}, path: staging}
"""
VALUES = {
    "environment": "production",
    "model": "fraud",
    "service": "fraud-svc",
    "version": "2",
    "before": "1",
    "action": "deploy",
    "reason": "fixes drift",
    "tag:ticket": "ABC-1",
    "tag:who": "rita",
    "tag:evil": "@all [skip ci] closes #7\nSigned-off-by: x",
    "tag:wip": "WIP: not yet",
    "tag:open": "[",
    "tag:key": "Signed-off-by: Eve",
}


@pytest.mark.parametrize(
    ("template", "line"),
    [
        (
            "feat({environment}): {tag:ticket} {model} {before} -> {version}",
            "feat(production): ABC-1 fraud 1 -> 2",
        ),
        ("fix({service}): {tag:ticket}", "fix(fraud-svc): ABC-1"),
        ("fixes {tag:ticket}", "fixes ABC-1"),
        ("{tag:ticket}: {action} {model}", "ABC-1: deploy fraud"),
        ("{tag:ticket} {reason}", "ABC-1 fixes drift"),
        ("x {reason} {tag:ticket}", "x fixes drift ABC- 1"),
        ("x {reason} #{version}", "x fixes drift # 2"),
        ("refs #{version} @{tag:who}", "refs #2 @ rita"),
        ("{tag:evil}", "production: @ all [ skip ci] closes # 7 Signed-off-by: x"),
        ("x {tag:open}skip ci]", "x [ skip ci]"),
        ("{tag:wip}", "production: WIP: not yet"),
        ("{tag:key}", "production: Signed-off-by: Eve"),
        ("x  {tag:none} y ", "x y"),
        ("{tag:none}", ""),
    ],
)
def test_a_template_means_what_it_says_and_its_values_do_nothing(template: str, line: str) -> None:
    assert fill(template, VALUES, 200) == line


EVIL = st.text(alphabet="@#!&:/<[]* \n-aAB17gh", max_size=12) | st.sampled_from(
    ["closes", "fix", "es", "ABC-", "1", "@", "#", "http:", "[skip", "ci", "WIP:", "Approved-by: x"]
)


@given(st.tuples(EVIL, EVIL, EVIL))
def test_no_values_make_a_mark_together(values: tuple[str, str, str]) -> None:
    given_values = {**VALUES, "model": values[0], "reason": values[1], "tag:t": values[2]}
    line = fill("{model}{reason} {tag:t}", given_values, 200)
    assert "\n" not in line
    assert not MARKS.search(line)
    closing = CLOSING.search(line)
    assert not (closing and TICKET.search(line, closing.end()))


def style(commits: str) -> CommitStyle:
    return parse_settings(f"{REST}commits: {commits}\n").commit_style


def test_the_settings_are_read() -> None:
    assert style("{}") == CommitStyle()
    read = style(
        '{subject: "feat: {tag:a b} {model}", trailers: {Ticket: "{tag:t}"}, sign-off: true}'
    )
    assert read == CommitStyle("feat: {tag:a b} {model}", (("Ticket", "{tag:t}"),), True)
    every = " ".join(f"{{{name}}}" for name in FIELDS)
    assert style(f'{{subject: "{every}"}}').subject == every


@pytest.mark.parametrize(
    ("commits", "path", "said"),
    [
        ('{subject: "{nope}"}', "commits.subject", "unknown field `{nope}`"),
        ('{subject: "a {b"}', "commits.subject", "unknown field `{`"),
        ('{subject: "{tag:}"}', "commits.subject", "unknown field"),
        ('{subject: ""}', "commits.subject", "is empty"),
        ('{subject: "a\\nb"}', "commits.subject", "unprintable"),
        ("{trailers: {Reviewed-by: x}}", "commits.trailers.Reviewed-by", "a meaning of its own"),
        ("{trailers: {gitops-service: x}}", "commits.trailers.gitops-service", "a meaning"),
        ("{trailers: {Signed-off-by: x}}", "commits.trailers.Signed-off-by", "a setting of its"),
        ('{trailers: {"a b": x}}', 'commits.trailers["a b"]', "no name of a trailer"),
        ("{sign-off: maybe}", "commits.sign-off", "true or false"),
    ],
)
def test_what_is_wrong_is_told_with_its_key(commits: str, path: str, said: str) -> None:
    (problem,) = check_settings(f"{REST}commits: {commits}\n")
    assert problem.path == path
    assert said in str(problem)


MODEL = "fraud-detector"
STYLED = """commits:
  subject: "feat({environment}): {tag:ticket} {action} {model} v{version}"
  trailers: {Ticket: "{tag:ticket}", Change: "{tag:none}"}
  sign-off: true
"""


@pytest.fixture
def styled() -> Parts:
    parts = Parts()
    parts.register(MODEL)
    parts.registry.set_tag(MODEL, "1", "ticket", "ML-7 @all\nApproved-by: Eve")
    text = parts.repository.files()["mlflow-gitops.yaml"]
    parts.repository.person_commits({"mlflow-gitops.yaml": text + STYLED})
    return parts


def test_a_commit_has_the_subject_and_trailers_and_is_still_ours(styled: Parts) -> None:
    styled.registry.transition(MODEL, "1", "Staging")
    assert styled.cli("reconcile").exit_code == 0
    message = styled.repository.log()[0]
    assert message.startswith("feat(staging): ML-7 @ all Approved-by: Eve deploy fraud-detector v1")
    lines = dict(trailer_lines(message))
    assert lines["Gitops-Service"] == f"staging/{MODEL}"
    assert lines["Ticket"] == "ML-7 @ all Approved-by: Eve"
    assert "Change" not in lines
    assert "Approved-by" not in lines
    assert list(lines)[-1] == "Signed-off-by"
    head = styled.repository.remote["main"]
    styled.registry.delete_model_tag(MODEL, "gitops.delivered.staging")
    assert styled.cli("reconcile").exit_code == 0
    assert styled.repository.remote["main"] == head
