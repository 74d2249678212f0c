"""What is GitHub's own, over HTTP. What all forges have in common is in test_forges.py."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from mlflow_gitops.adapters.forge.github import BODY_LIMIT, GitHubForge
from mlflow_gitops.adapters.forge.github_auth import Rotating
from mlflow_gitops.errors import ForgeError, TransientError
from mlflow_gitops.pull_requests import CommitStatus, Draft
from tests.support.forge_host import BRANCH, opened
from tests.support.git import git, make_bare
from tests.support.github_server import ENTERPRISE, TOKEN, GitHubServer, github_server
from tests.support.kubectl import require
from tests.support.openapi import description
from tests.support.real_forge import RealForge

pytestmark = pytest.mark.xdist_group("github")  # it reads the API's description once


@pytest.fixture
def server(tmp_path: Path) -> Iterator[GitHubServer]:
    """The branch stands on the base: what is proposed is not looked at here."""
    bare = make_bare(tmp_path / "manifests.git", {"a.yaml": "uri: 1\n"})
    git("update-ref", f"refs/heads/{BRANCH}", "refs/heads/main", cwd=bare)
    with github_server(bare, tmp_path / "people") as found:
        yield found


@pytest.fixture
def forge(server: GitHubServer, monkeypatch: pytest.MonkeyPatch) -> GitHubForge:
    # the server here has no second limit
    monkeypatch.setattr("mlflow_gitops.adapters.forge.github_client.WRITES_APART", None)
    return GitHubForge("ml/manifests", server.url, Rotating(lambda: TOKEN), timeout=5)


def test_teams_are_asked_for_a_review(forge: GitHubForge, server: GitHubServer) -> None:
    draft = Draft("t", "b", reviewers=("team:risk", "rita"))
    pull = forge.open(BRANCH, "main", draft)
    assert server.reviewers(1) == ["rita", "team:risk"]
    forge.update(pull, draft)
    assert server.reviewers(1) == ["rita", "team:risk"]


def test_the_withdrawn_label_comes_before_the_closing(
    forge: GitHubForge, server: GitHubServer
) -> None:
    forge.withdraw(forge.open(BRANCH, "main", Draft("t", "b")), "version 3 is asked for")
    order = [each for each in server.seen if each.startswith(("POST", "PATCH"))][-3:]
    assert order[0].endswith("/labels")
    assert order[-1].startswith("PATCH")


def test_what_github_has_in_other_letters_is_there(
    forge: GitHubForge, server: GitHubServer
) -> None:
    pull = forge.open(BRANCH, "main", Draft("t", "one\ntwo", ["ml"], ["rita"]))
    server.pulls[0].body = "one\r\ntwo\r\n"
    wrote = [each for each in server.seen if not each.startswith("GET")]
    forge.update(forge.get(pull.number), Draft("t", "one\ntwo\n", ["ML"], ["Rita"]))
    assert [each for each in server.seen if not each.startswith("GET")] == wrote


@pytest.mark.parametrize("state", ["COMMENTED", "CHANGES_REQUESTED", "DISMISSED"])
def test_who_reviewed_is_not_asked_again(
    forge: GitHubForge, server: GitHubServer, state: str
) -> None:
    draft = Draft("t", "b", reviewers=("rita",))
    pull = forge.open(BRANCH, "main", draft)
    server.review(1, state, by="rita")
    forge.update(pull, draft)
    assert server.reviewers(1) == []


def test_a_team_that_answered_is_not_asked_again(forge: GitHubForge, server: GitHubServer) -> None:
    """GitHub ends its request when a member reviews; another process does not know of it."""
    draft = Draft("t", "b", reviewers=("team:risk",))
    pull = forge.open(BRANCH, "main", draft)
    server.review(1, "APPROVED", team="risk")
    for process in (forge, opened(server)):
        process.update(pull, draft)
        assert server.reviewers(1) == []
        assert "team:risk" in process.get(1).asked


def test_a_team_whose_request_was_taken_away_is_asked(
    forge: GitHubForge, server: GitHubServer
) -> None:
    draft = Draft("t", "b", reviewers=("team:risk",))
    pull = forge.open(BRANCH, "main", draft)
    server.unask(1, "team:risk")
    forge.update(pull, draft)
    assert server.reviewers(1) == ["team:risk"]


def test_a_comment_takes_no_approval_back_and_a_dismissal_does(
    forge: GitHubForge, server: GitHubServer
) -> None:
    forge.open(BRANCH, "main", Draft("t", "b"))
    server.approve(1)
    server.review(1, "COMMENTED")
    assert forge.get(1).is_approved
    server.review(1, "DISMISSED")
    assert not forge.get(1).is_approved


@pytest.mark.parametrize("status", [401, 403])
def test_a_reviewer_is_not_asked_in_silence_without_the_right_to(
    forge: GitHubForge, server: GitHubServer, status: int
) -> None:
    created = (201, {"Content-Type": "application/json"}, '{"number": 1}')
    server.write_answers += [created, (status, {}, '{"message": "Resource not accessible"}')]
    with pytest.raises(ForgeError):
        forge.open(BRANCH, "main", Draft("t", "b", reviewers=("rita",)))


def test_the_words_of_a_review_are_those_of_the_rejection(
    forge: GitHubForge, server: GitHubServer
) -> None:
    forge.open(BRANCH, "main", Draft("t", "b"))
    server.review(1, "CHANGES_REQUESTED", body="recall fell")
    server.close(1)
    assert forge.get(1).comment == "recall fell"


def test_a_status_is_one_line_of_what_github_takes(
    forge: GitHubForge, server: GitHubServer
) -> None:
    head = server.head(BRANCH)
    for _ in range(2):
        forge.set_statuses(head, [CommitStatus("mlflow-gitops/metrics", "failure", "x" * 200)])
    assert [len(each.text) for each in server.statuses(head)] == [140]


def test_a_body_that_is_too_long_is_cut(forge: GitHubForge) -> None:
    pull = forge.open(BRANCH, "main", Draft("t", "x" * 80_000 + "\nthe end"))
    assert len(pull.body) <= BODY_LIMIT
    assert "cut here" in pull.body


DATE = "Mon, 01 Jan 2035 00:00:00 GMT"  # the forge's clock, far from this machine's
RESET = {"Date": DATE, "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "2051222490"}


@pytest.mark.parametrize(
    ("status", "headers", "said", "seconds"),
    [
        (403, RESET, "API rate limit exceeded for installation", 90),
        (429, RESET, "API rate limit exceeded", 90),
        (403, {"Retry-After": "42"}, "You have exceeded a secondary rate limit", 42),
        (403, {}, "You have exceeded a secondary rate limit", 60),
        (429, {}, "Too many", 60),
        (503, {"Date": DATE, "Retry-After": "Mon, 01 Jan 2035 00:01:30 GMT"}, "", 90),
    ],
)
def test_a_limit_says_how_long_by_the_forge_s_clock(
    forge: GitHubForge,
    server: GitHubServer,
    status: int,
    headers: Mapping[str, str],
    said: str,
    seconds: float,
) -> None:
    server.answers.append((status, headers, f'{{"message": "{said}"}}'))
    with pytest.raises(TransientError) as caught:
        forge.newest(BRANCH)
    assert caught.value.retry_after == seconds


def test_one_person_can_do_what_the_suite_needs(
    forge: GitHubForge, server: GitHubServer, tmp_path: Path
) -> None:
    """What `real_forge.py` asks of a real GitHub."""
    remote = tmp_path / "ml" / "manifests.git"
    remote.parent.mkdir()
    remote.symlink_to(server.bare)
    host = RealForge("github", server.url, TOKEN, str(remote), tmp_path / "one")
    head = forge.open(host.branch, host.base, Draft("t", "b")).head
    host.label(1, "urgent")
    host.close(1, comment="too slow")
    assert host.comments(1) == ["too slow"]
    pull = forge.get(1)
    assert (pull.labels, pull.comment, pull.decided_by) == (("urgent",), "too slow", host.me)
    status = CommitStatus("mlflow-gitops/metrics", "failure", "f1 0.8", "https://ml.example.com/1")
    forge.set_statuses(head, [status])
    assert host.statuses(head) == [status]
    forge.open(host.branch, host.base, Draft("t", "b"))
    assert host.merge(2) == forge.get(2).merge_commit
    host.ends()
    assert git("branch", "--list", "mlflow-gitops-test/*", cwd=server.bare) == ""


def test_github_enterprise_s_api_is_the_same(
    forge: GitHubForge, server: GitHubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    require(description(ENTERPRISE), f"{ENTERPRISE.package} cannot be had from a registry")
    monkeypatch.setattr(GitHubServer, "published", ENTERPRISE)
    assert forge.check() == "mlflow-gitops"
    draft = Draft("t", "b", ["ml"], ["rita", "team:risk"])
    pull = forge.open(BRANCH, "main", draft)
    forge.update(pull, Draft("other", "b", ["ml", "new"], ["raj"]))
    status = CommitStatus("mlflow-gitops/metrics", "failure", "f1 0.8", "https://ml.example.com/1")
    forge.set_statuses(pull.head, [status])
    server.approve(1)
    forge.withdraw(pull, "version 3 is asked for")
    assert forge.newest(BRANCH) == forge.get(1)
    assert forge.of_commit(pull.head) is None


@pytest.mark.parametrize(
    ("scopes", "is_enough"),
    [(None, True), ("repo", True), ("gist, repo", True), ("public_repo", True), ("gist", False)],
)
def test_the_scopes_of_a_classic_token_are_checked(
    forge: GitHubForge, server: GitHubServer, scopes: str | None, is_enough: bool
) -> None:
    server.scopes = scopes
    if is_enough:
        assert forge.check() == "mlflow-gitops"
        return
    with pytest.raises(ForgeError, match="its scopes are gist"):
        forge.check()


def test_who_may_bypass_a_ruleset_may_commit(forge: GitHubForge, server: GitHubServer) -> None:
    server.takes_pushes = False
    assert "ruleset" in forge.protection("main").refuses
    server.bypass = "pull_requests_only"
    assert forge.protection("main").refuses
    server.bypass = "always"
    assert forge.protection("main").refuses == ""
