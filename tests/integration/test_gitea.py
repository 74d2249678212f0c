"""What only Gitea and Forgejo do: labels by number, branches that moved on, a late verdict.

The scenarios that they share with the other forges are in test_forges.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mlflow_gitops.adapters.forge import open_forge
from mlflow_gitops.ports import Forge
from mlflow_gitops.pull_requests import CommitStatus, Draft
from tests.support.forge_host import BRANCH, opened
from tests.support.git import git, make_bare
from tests.support.gitea_server import TOKEN, GiteaServer, gitea_server

pytestmark = pytest.mark.xdist_group("gitea")  # it reads the API's description once

DRAFT = Draft("production: v1 -> v2", "why", ("ml", "risk"), ("rita", "team:risk"))


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[GiteaServer]:
    monkeypatch.setattr("mlflow_gitops.adapters.forge.gitea.BETWEEN", 0.0)
    bare = make_bare(tmp_path / "manifests.git", {"a.yaml": "uri: 1\n"})
    git("update-ref", f"refs/heads/{BRANCH}", "refs/heads/main", cwd=bare)
    with gitea_server(bare, tmp_path / "people") as server:
        yield server


@pytest.fixture
def forge(host: GiteaServer) -> Forge:
    return opened(host)


def test_labels_are_taken_from_the_organisation_and_else_made(
    forge: Forge, host: GiteaServer
) -> None:
    host.shared = {5: "risk"}
    pull = forge.open(BRANCH, "main", DRAFT)
    assert set(pull.labels) == {"ml", "risk"}
    assert host.labels == {100: "ml"}
    assert host.reviewers(pull.number) == ["rita", "team:risk"]
    host.close(pull.number)
    assert set(forge.open(BRANCH, "main", DRAFT).labels) == {"ml", "risk"}
    assert host.labels == {100: "ml"}


def test_a_label_of_the_fifty_first_place_is_found(forge: Forge, host: GiteaServer) -> None:
    host.labels = {number: f"label-{number}" for number in range(1, 60)} | {60: "ml", 61: "risk"}
    assert set(forge.open(BRANCH, "main", DRAFT).labels) == {"ml", "risk"}
    assert len(host.labels) == 61


@pytest.mark.parametrize(("lags", "mergeable"), [(0, True), (1, True), (2, True), (9, False)])
def test_a_verdict_that_comes_late_is_waited_for(
    forge: Forge, host: GiteaServer, lags: int, mergeable: bool
) -> None:
    host.person(BRANCH).commits({"a.yaml": "uri: 2\n"})
    number = forge.open(BRANCH, "main", DRAFT).number
    host.lags = lags
    assert forge.get(number).mergeable is mergeable


def test_a_closed_one_keeps_the_head_that_it_had(forge: Forge, host: GiteaServer) -> None:
    """Its branch serves the next one, and shows its head of then."""
    first = host.person(BRANCH).commits({"a.yaml": "uri: 2\n"})
    number = forge.open(BRANCH, "main", DRAFT).number
    host.approve(number)
    host.merge(number)
    host.person(BRANCH).commits({"a.yaml": "uri: 3\n"})
    pull = forge.get(number)
    assert (pull.head, pull.is_approved) == (first, True)
    git("update-ref", "-d", f"refs/heads/{BRANCH}", cwd=host.bare)
    found = forge.newest(BRANCH)
    assert found is not None
    assert (found.number, found.branch, found.head) == (number, BRANCH, first)


def test_a_token_may_not_know_whose_it_is(forge: Forge, host: GiteaServer) -> None:
    assert forge.check() == "mlflow-gitops"
    host.knows_user = False
    assert forge.check() == "a token"


@pytest.mark.parametrize(
    ("identity", "kind", "url", "where"),
    [
        ("codeberg.org/ml/manifests", "", "", "https://codeberg.org/api/v1"),
        ("forgejo.example.com/ml/manifests", "", "", "https://forgejo.example.com/api/v1"),
        ("example.com/git/ml/manifests", "gitea", "https://example.com/git", None),
        ("example.com/git/ml/manifests", "gitea", "https://example.com/git/api/v1/", None),
    ],
)
def test_where_the_api_is(identity: str, kind: str, url: str, where: str | None) -> None:
    found = open_forge(identity, kind, url, token=lambda: TOKEN)
    assert f"{where or 'https://example.com/git/api/v1'}/repos/ml/manifests" in repr(found)
    assert found.kind == (kind or "forgejo")
    assert TOKEN not in repr(found)


def test_pages_are_as_short_as_the_server_wants_them(forge: Forge, host: GiteaServer) -> None:
    host.most = 2
    head = host.person(BRANCH).commits({"a.yaml": "uri: 2\n"})
    many = [CommitStatus(f"mlflow-gitops/{n}", "success", "fine") for n in range(5)]
    for _ in range(2):
        forge.set_statuses(head, many)
    assert host.statuses(head) == many
    number = forge.open(BRANCH, "main", DRAFT).number
    for _ in range(3):
        host.propose_from_fork()
    found = forge.newest(BRANCH)
    assert found is not None
    assert found.number == number


def test_who_closed_it_is_found_behind_what_is_not_shown(forge: Forge, host: GiteaServer) -> None:
    """A page of the timeline leaves comments on the code out, and counts only itself."""
    host.person(BRANCH).commits({"a.yaml": "uri: 2\n"})
    number = forge.open(BRANCH, "main", DRAFT).number
    for _ in range(2):
        host.say(number, "a typo", kind="code")
        host.say(number, "hm")
    host.close(number, by="rita", comment="too slow")
    host.most = 2
    pull = forge.get(number)
    assert (pull.decided_by, pull.comment) == ("rita", "too slow")


def test_the_newest_of_many_is_found_on_the_first_page(forge: Forge, host: GiteaServer) -> None:
    for uri in range(60):
        host.propose_from_fork()
        host.pulls[uri].state = "closed"
    host.person(BRANCH).commits({"a.yaml": "uri: 2\n"})
    number = forge.open(BRANCH, "main", DRAFT).number
    host.close(number)
    host.seen.clear()
    found = forge.newest(BRANCH)
    assert found is not None
    assert found.number == number
    assert sum(each.endswith("/pulls") for each in host.seen) == 2


def test_a_team_is_asked_once(forge: Forge, host: GiteaServer) -> None:
    """A review of its member ends what was asked of the team."""
    host.person(BRANCH).commits({"a.yaml": "uri: 2\n"})
    pull = forge.open(BRANCH, "main", DRAFT)
    host.approve(pull.number, by="raj")
    host.pulls[pull.number - 1].teams.clear()
    forge.update(pull, DRAFT)
    assert host.reviewers(pull.number) == ["rita"]


def test_who_cannot_be_asked_hides_nobody_else(forge: Forge, host: GiteaServer) -> None:
    draft = Draft("t", "b", reviewers=("rita", "nobody"))
    pull = forge.open(BRANCH, "main", draft)
    forge.update(pull, draft)
    host.unask(1, "rita")
    assert "rita" not in forge.get(1).asked
    forge.update(pull, draft)
    assert host.reviewers(1) == ["rita"]


def test_a_team_whose_request_was_taken_away_is_asked(forge: Forge, host: GiteaServer) -> None:
    draft = Draft("t", "b", reviewers=("team:risk",))
    pull = forge.open(BRANCH, "main", draft)
    host.unask(1, "team:risk")
    forge.update(pull, draft)
    assert host.reviewers(1) == ["team:risk"]


def test_work_in_progress_is_no_conflict(forge: Forge, host: GiteaServer) -> None:
    """It cannot be merged as long as its title says so; whether it could is not told."""
    host.person(BRANCH).commits({"a.yaml": "uri: 2\n"})
    number = forge.open(BRANCH, "main", DRAFT).number
    host.pulls[number - 1].title = "WIP: wait for the audit"
    assert forge.get(number).mergeable is None
