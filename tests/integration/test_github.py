"""GitHub's adapter over HTTP, against a server that rests on a real repository."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from mlflow_gitops.adapters.forge import open_forge
from mlflow_gitops.adapters.forge.github import BODY_LIMIT, GitHubForge
from mlflow_gitops.errors import ConfigError, ForgeError, GitOpsError, TransientError
from mlflow_gitops.planning.marker import marker, read_marker
from mlflow_gitops.pull_requests import WITHDRAWN, CommitStatus, Draft, PullRequest
from tests.support.git import git, make_bare
from tests.support.github_server import TOKEN, GitHubServer, Pull, github_server

BRANCH = "mlflow-gitops/production/fraud-detector"
DRAFT = Draft("production: v1 -> v2", "why", ("ml",), ("rita", "team:risk", "nobody"))
FILES: Mapping[str, str] = {"a.yaml": "uri: 1\n"}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[GitHubServer]:
    bare = make_bare(tmp_path / "manifests.git", FILES)
    with github_server(bare, tmp_path / "people") as found:
        git("update-ref", f"refs/heads/{BRANCH}", "refs/heads/main", cwd=bare)
        found.person(BRANCH).commits({"a.yaml": "uri: 2\n"})
        yield found


@pytest.fixture
def forge(server: GitHubServer, monkeypatch: pytest.MonkeyPatch) -> GitHubForge:
    # the server here has no second limit
    monkeypatch.setattr("mlflow_gitops.adapters.forge.github.WRITES_APART", None)
    return GitHubForge("ml/manifests", server.url, lambda: TOKEN, timeout=5)


def opened(forge: GitHubForge) -> PullRequest:
    return forge.open(BRANCH, "main", DRAFT)


def test_one_is_opened_and_found(forge: GitHubForge, server: GitHubServer) -> None:
    assert forge.newest(BRANCH) is None
    pull = opened(forge)
    assert (pull.number, pull.state, pull.branch, pull.base) == (1, "open", BRANCH, "main")
    assert (pull.head, pull.mergeable) == (server.head(BRANCH), True)
    assert (pull.title, pull.body, pull.labels) == (DRAFT.title, "why", ("ml",))
    assert (server.pulls[0].reviewers, server.pulls[0].teams) == (["rita"], ["risk"])
    assert forge.newest(BRANCH) == pull == forge.get(1)
    with pytest.raises(TransientError, match="just now"):
        opened(forge)


def test_it_is_updated_in_place_and_what_people_added_stays(
    forge: GitHubForge, server: GitHubServer
) -> None:
    pull = opened(forge)
    server.pulls[0].labels.append("urgent")
    forge.update(pull, Draft("other", "better", ("ml", "new"), ("rita", "raj")))
    pull = forge.get(1)
    assert (pull.title, pull.body, pull.labels) == ("other", "better", ("ml", "urgent", "new"))
    assert server.pulls[0].reviewers == ["rita", "raj"]
    wrote = [each for each in server.seen if not each.startswith("GET")]
    forge.update(pull, Draft("other", "better", ("ml",), ("raj",)))
    assert [each for each in server.seen if not each.startswith("GET")] == wrote


@pytest.mark.parametrize("how", ["merge", "squash", "rebase"])
def test_a_merge_says_who_and_what_came_of_it(
    forge: GitHubForge, server: GitHubServer, how: str
) -> None:
    opened(forge)
    made = server.merge(1, by="rita", how=how)
    pull = forge.get(1)
    assert (pull.state, pull.merge_commit, pull.decided_by) == ("merged", made, "rita")
    assert forge.of_commit(made) == pull
    assert forge.of_commit("0" * 40) is None


def test_a_closing_is_a_rejection_unless_it_is_ours(
    forge: GitHubForge, server: GitHubServer
) -> None:
    opened(forge)
    server.close(1, by="rita", comment="too slow")
    pull = forge.get(1)
    assert pull.is_rejected
    assert (pull.decided_by, pull.comment) == ("rita", "too slow")
    second = opened(forge)
    forge.withdraw(second, "version 3 is asked for")
    pull = forge.get(2)
    assert (pull.state, pull.is_rejected, pull.labels) == ("closed", False, ("ml", WITHDRAWN))
    assert server.pulls[1].comments == ["version 3 is asked for"]
    forge.withdraw(pull, "again")
    assert server.pulls[1].comments == ["version 3 is asked for"]
    order = [each for each in server.seen if each.startswith(("POST", "PATCH"))][-3:]
    assert order[0].endswith("/labels")
    assert order[-1].startswith("PATCH")


def test_an_approval_counts_for_its_head(forge: GitHubForge, server: GitHubServer) -> None:
    opened(forge)
    server.review(1, "CHANGES_REQUESTED")
    assert not forge.get(1).is_approved
    server.review(1, "APPROVED")
    server.review(1, "COMMENTED")
    assert forge.get(1).is_approved
    server.person(BRANCH).commits({"a.yaml": "uri: 3\n"})
    assert not forge.get(1).is_approved
    server.review(1, "APPROVED", by="raj")
    server.review(1, "DISMISSED", by="raj")
    assert not forge.get(1).is_approved


def test_a_conflict_is_told(forge: GitHubForge, server: GitHubServer) -> None:
    opened(forge)
    server.person("main").commits({"b.yaml": "b: 1\n"})
    assert forge.get(1).mergeable is True  # only behind
    server.person("main").commits({"a.yaml": "uri: 9\n"})
    assert forge.get(1).mergeable is False


def test_a_fork_s_is_passed_over(forge: GitHubForge, server: GitHubServer) -> None:
    server.pulls.append(Pull(1, "theirs", "", BRANCH, "main", fork="mallory/manifests"))
    assert forge.newest(BRANCH) is None
    assert opened(forge).number == 2
    server.close(2)
    assert opened(forge).number == 3
    found = forge.newest(BRANCH)
    assert found is not None
    assert found.number == 3


def test_statuses_are_set_where_they_say_something_new(
    forge: GitHubForge, server: GitHubServer
) -> None:
    head = server.head(BRANCH)
    status = CommitStatus("mlflow-gitops/metrics", "failure", "x" * 200)
    for _ in range(2):
        forge.set_statuses(head, [status])
    assert [each["state"] for each in server.statuses[head]] == ["failure"]
    forge.set_statuses(head, [CommitStatus(status.name, "success", "fine")])
    assert server.statuses[head][-1]["description"] == "fine"


def test_a_body_that_is_too_long_is_cut_before_the_mark(forge: GitHubForge) -> None:
    mark = marker({"request": "r1"})
    pull = forge.open(BRANCH, "main", Draft("t", "x" * 80_000 + "\n" + mark))
    assert len(pull.body) <= BODY_LIMIT
    assert "cut here" in pull.body
    assert read_marker(pull.body) == {"request": "r1"}


SOON = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "4102444800"}
FAILURES = [
    (401, {}, '{"message": "Bad credentials"}', ForgeError, "refuses the token"),
    (403, {}, '{"message": "Resource not accessible"}', ForgeError, "Resource not accessible"),
    (404, {}, '{"message": "Not Found"}', ForgeError, "no such thing"),
    (422, {}, '{"message": "Validation Failed"}', ForgeError, "does not take it"),
    (403, SOON, '{"message": "API rate limit exceeded"}', TransientError, "rate limit"),
    (403, {"Retry-After": "42"}, '{"message": "secondary rate limit"}', TransientError, "42 sec"),
    (429, {}, '{"message": "Too many"}', TransientError, "60 seconds"),
    (500, {}, "{}", TransientError, "HTTP 500"),
    (502, {}, f"<html>{TOKEN}</html>", TransientError, "HTTP 502"),
    (200, {}, f"<html>sign in {TOKEN}</html>", ForgeError, "not GitHub's API"),
    (200, {}, "[]", ForgeError, "not GitHub's API"),
]


@pytest.mark.parametrize(("status", "headers", "body", "kind", "said"), FAILURES)
def test_a_failure_is_told_and_nothing_is_sent_twice(
    forge: GitHubForge,
    server: GitHubServer,
    caplog: pytest.LogCaptureFixture,
    status: int,
    headers: Mapping[str, str],
    body: str,
    kind: type[GitOpsError],
    said: str,
) -> None:
    caplog.set_level(logging.DEBUG)
    server.answers.append((status, {"Content-Type": "application/json", **headers}, body))
    with pytest.raises(kind) as caught:
        opened(forge)
    assert said in str(caught.value)
    assert TOKEN not in str(caught.value) + repr(forge) + caplog.text
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    assert server.answers == []
    assert not [each for each in server.seen if each.startswith("POST")]


def test_a_rate_limit_says_how_long(forge: GitHubForge, server: GitHubServer) -> None:
    server.answers.append((403, {"Retry-After": "42"}, '{"message": "secondary rate limit"}'))
    with pytest.raises(TransientError) as caught:
        forge.newest(BRANCH)
    assert caught.value.retry_after == 42


def test_nobody_answers(server: GitHubServer) -> None:
    forge = GitHubForge("ml/manifests", "http://127.0.0.1:9", lambda: TOKEN, timeout=5)
    with pytest.raises(TransientError, match="cannot be reached"):
        forge.newest(BRANCH)


def test_the_token_is_read_for_each_request(server: GitHubServer) -> None:
    tokens = ["old", TOKEN, ""]
    forge = GitHubForge("ml/manifests", server.url, lambda: tokens.pop(0), timeout=5)
    with pytest.raises(ForgeError, match="refuses the token"):
        forge.newest(BRANCH)
    assert forge.newest(BRANCH) is None
    with pytest.raises(ConfigError, match="no token"):
        forge.newest(BRANCH)


def test_the_token_s_rights_are_checked(forge: GitHubForge, server: GitHubServer) -> None:
    assert forge.check() == "mlflow-gitops"
    server.permissions = {"push": False}
    with pytest.raises(ForgeError, match="may not write"):
        forge.check()


@pytest.mark.parametrize(
    ("identity", "kind", "said"),
    [
        ("git.example.com/ml/manifests", "", "does not tell which forge"),
        ("git.example.com/ml/manifests", "gitlab", "not supported"),
        ("github.com/manifests", "", "no owner"),
    ],
)
def test_a_forge_that_cannot_be_told(identity: str, kind: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        open_forge(identity, kind, token=lambda: TOKEN)


def test_the_api_s_address_comes_from_the_repository_s() -> None:
    for identity, api in (
        ("github.com/ml/manifests", "https://api.github.com/repos/ml/manifests"),
        ("github.corp.example/ml/x", "https://github.corp.example/api/v3/repos/ml/x"),
    ):
        assert api in repr(open_forge(identity, token=lambda: TOKEN))
