"""What Azure DevOps alone has: statuses of iterations, users and teams, its page for signing in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mlflow_gitops.errors import ForgeError
from mlflow_gitops.pull_requests import CommitStatus, Draft
from tests.support.azure_server import AzureServer, azure_server
from tests.support.forge_host import BRANCH, opened
from tests.support.git import git, make_bare

STATUS = CommitStatus("mlflow-gitops/metrics", "failure", "f1 0.8")
PASSED = CommitStatus("mlflow-gitops/metrics", "success", "f1 0.9")


@pytest.fixture
def host(tmp_path: Path) -> Iterator[AzureServer]:
    bare = make_bare(tmp_path / "manifests.git", {"a.yaml": "uri: 1\n"})
    git("update-ref", f"refs/heads/{BRANCH}", "refs/heads/main", cwd=bare)
    with azure_server(bare, tmp_path / "people") as server:
        server.person(BRANCH).commits({"a.yaml": "uri: 2\n"})
        yield server


def test_a_policy_sees_the_statuses_of_the_newest_iteration(host: AzureServer) -> None:
    forge = opened(host)
    first = host.head(BRANCH)
    forge.set_statuses(first, [STATUS])  # before there is a pull request
    number = forge.open(BRANCH, "main", Draft("t", "b")).number
    assert host.statuses_of(number) == []
    for _ in range(2):
        forge.set_statuses(first, [STATUS])
    assert host.statuses_of(number) == [STATUS]
    assert host.statuses(first) == [STATUS]
    head = host.person(BRANCH).commits({"a.yaml": "uri: 3\n"})
    assert forge.get(number).head == head
    assert host.statuses_of(number) == []
    forge.set_statuses(head, [STATUS])
    forge.set_statuses(head, [PASSED])
    assert host.statuses_of(number) == [STATUS, PASSED]


def test_teams_are_asked_too_and_their_vote_is_nobody_s(host: AzureServer) -> None:
    forge = opened(host)
    draft = Draft("t", "b", reviewers=("team:risk", "team:nobody", "rita"))
    pull = forge.open(BRANCH, "main", draft)
    assert host.reviewers(pull.number) == ["team:risk", "rita"]
    assert set(pull.asked) == {"team:risk", "team:nobody", "rita"}
    host.pulls[0].votes["risk"] = 10  # of one of its members
    assert forge.get(pull.number).approvals == ()


def test_a_vote_whose_time_nobody_tells_counts_for_the_head(host: AzureServer) -> None:
    forge = opened(host)
    number = forge.open(BRANCH, "main", Draft("t", "b")).number
    host.pulls[0].votes["rita"] = 5  # approved with suggestions
    assert forge.get(number).is_approved
    host.pulls[0].votes["rita"] = -5  # waits for the author
    assert forge.get(number).approvals == ()


@pytest.mark.parametrize(
    ("status", "headers"),
    [(203, {}), (302, {"Location": "https://spsprodeus.example.com/_signin?realm=dev.azure.com"})],
)
def test_its_page_for_signing_in_is_a_refused_token(
    host: AzureServer, status: int, headers: dict[str, str]
) -> None:
    host.answers.append((status, headers, "<html>Sign in</html>"))
    with pytest.raises(ForgeError, match="refuses the token"):
        opened(host).newest(BRANCH)


def test_a_token_of_entra_id_is_no_password(host: AzureServer) -> None:
    host.token = "eyJhbGciOi.eyJhdWQiOi.c2lnbmF0dXJl"
    with pytest.raises(ForgeError, match="refuses the token"):  # the server here wants passwords
        opened(host).newest(BRANCH)


def test_a_text_of_4_000_characters_keeps_what_people_read_first(host: AzureServer) -> None:
    forge = opened(host)
    pull = forge.open(BRANCH, "main", Draft("t", "first line\n" + "x" * 8_000))
    assert pull.body.startswith("first line\n")
    assert len(pull.body) <= 4_000
    assert "cut here" in pull.body


def test_who_may_pass_policies_may_commit(host: AzureServer) -> None:
    host.takes_pushes, host.required = False, ("mlflow-gitops/metrics",)
    forge = opened(host)
    assert "Minimum reviewers" in forge.protection("main").refuses
    host.is_exempt = True
    found = forge.protection("main")
    assert (found.refuses, found.required) == ("", ("mlflow-gitops/metrics",))
