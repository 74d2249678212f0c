"""What only GitLab does: approvals without a commit, transitions of statuses, quick actions, paths.

The scenarios that it shares with the other forges are in test_forges.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mlflow_gitops.adapters.forge import open_forge
from mlflow_gitops.adapters.forge.gitlab_rows import approvals_of, inert, pull_of
from mlflow_gitops.errors import ForgeError, TransientError
from mlflow_gitops.ports import Forge
from mlflow_gitops.pull_requests import CommitStatus, Draft
from tests.support.forge_host import BRANCH, opened
from tests.support.git import git, make_bare
from tests.support.gitlab_server import TOKEN, GitLabServer, gitlab_server

pytestmark = pytest.mark.xdist_group("gitlab")  # it reads the API's description once

DRAFT = Draft("production: v1 -> v2", "why", ("ml",), ("rita", "team:risk"))
PROJECT = "/api/v4/projects/ml%2Fmanifests"


@pytest.fixture
def host(tmp_path: Path) -> Iterator[GitLabServer]:
    bare = make_bare(tmp_path / "manifests.git", {"a.yaml": "uri: 1\n"})
    git("update-ref", f"refs/heads/{BRANCH}", "refs/heads/main", cwd=bare)
    with gitlab_server(bare, tmp_path / "people") as server:
        yield server


@pytest.fixture
def forge(host: GitLabServer) -> Forge:
    return opened(host)


def test_an_approval_of_an_older_gitlab_counts_for_its_head(
    forge: Forge, host: GitLabServer
) -> None:
    """Its time is in a note of the system's."""
    host.tells_times = False
    number = forge.open(BRANCH, "main", DRAFT).number
    host.approve(number, by="rita")
    found = forge.get(number)
    assert found.is_approved
    assert found.approvals[0].time
    host.person(BRANCH).commits({"a.yaml": "uri: 3\n"})
    assert not forge.get(number).is_approved


def test_an_approval_that_nobody_tells_the_time_of_guards_the_head() -> None:
    (found,) = approvals_of([{"user": {"username": "rita"}}], [], [], "abc")
    assert (found.by, found.commit, found.time) == ("rita", "abc", "")


def test_a_pending_status_keeps_its_text_where_gitlab_refuses_another(
    forge: Forge, host: GitLabServer, caplog: pytest.LogCaptureFixture
) -> None:
    host.is_idempotent = False
    head = host.head(BRANCH)
    name = "mlflow-gitops/metrics"
    forge.set_statuses(head, [CommitStatus(name, "pending", "soon")])
    forge.set_statuses(head, [CommitStatus(name, "pending", "later")])
    forge.set_statuses(head, [CommitStatus(name, "success", "fine")])
    assert [each.text for each in host.statuses(head)] == ["soon", "fine"]
    host.write_answers.append((400, {}, '{"message": "name is too long"}'))
    with pytest.raises(ForgeError, match="name is too long"):
        forge.set_statuses(head, [CommitStatus(name, "failure", "bad")])
    host.write_answers.append((400, {}, '{"message": "text is too odd"}'))
    with pytest.raises(ForgeError, match="too odd"):
        forge.set_statuses(head, [CommitStatus(name, "success", "better")])
    host.write_answers.append((400, {}, '{"message": "Cannot transition status"}'))
    with pytest.raises(ForgeError, match="Cannot transition"):
        forge.set_statuses(head, [CommitStatus(name, "failure", "bad")])  # another verdict
    host.write_answers.append((409, {}, '{"message": "Another update is in progress"}'))
    with pytest.raises(TransientError, match="busy"):
        forge.set_statuses(head, [CommitStatus(name, "success", "better")])


def test_statuses_come_to_a_pipeline_that_starts_later(forge: Forge, host: GitLabServer) -> None:
    """GitLab asks only for those of the newest before it merges."""
    head, fine = host.head("main"), CommitStatus("mlflow-gitops/metrics", "success", "fine")
    forge.set_statuses(head, [fine])
    number = host.runs(head)
    assert forge.verdicts(head) == []
    for _ in range(2):
        forge.set_statuses(head, [fine])
    assert [each["pipeline_id"] for each in host.sent[head]] == [7, number]
    assert forge.verdicts(head) == [fine]


def test_no_line_of_a_text_is_a_quick_action(forge: Forge, host: GitLabServer) -> None:
    draft = Draft("t", "/approve\nfine\n  /merge\nhttps://a/b")
    pull = forge.open(BRANCH, "main", draft)
    assert pull.body == "\\/approve\nfine\n  \\/merge\nhttps://a/b"
    before = list(host.seen)
    forge.update(pull, draft)
    assert not [each for each in host.seen[len(before) :] if not each.startswith("GET")]
    forge.withdraw(pull, "/close")
    assert host.comments(pull.number) == ["\\/close"]
    assert inert("a/b") == "a/b"


def test_a_fast_forward_leaves_the_head_in_the_base(forge: Forge, host: GitLabServer) -> None:
    number = forge.open(BRANCH, "main", DRAFT).number
    host.person(BRANCH).commits({"a.yaml": "uri: 4\n"})
    made = host.merge(number, how="rebase")
    pull = forge.get(number)
    assert (pull.merge_commit, pull.head) == (made, made)


ROW = {
    "iid": 1,
    "web_url": "u",
    "state": "opened",
    "source_branch": "b",
    "target_branch": "main",
    "title": "t",
    "labels": [],
    "created_at": "2026-11-23T10:00:00+01:00",
}


@pytest.mark.parametrize(
    ("ref", "results"),
    [
        ("refs/merge-requests/1/merge", ("c1",)),
        ("refs/merge-requests/1/train", ("c1",)),
        ("refs/merge-requests/1/head", ()),
        ("b", ()),
    ],
)
def test_a_pipeline_that_tries_the_merge_has_a_commit_of_its_own(
    ref: str, results: tuple[str, ...]
) -> None:
    pipeline = {"sha": "c1", "ref": ref}
    assert pull_of({**ROW, "head_pipeline": pipeline}).results == results
    assert pull_of({**ROW, "head_pipeline": pipeline, "state": "merged"}).results == ()
    assert pull_of({**ROW, "head_pipeline": None}).results == ()


@pytest.mark.parametrize(
    ("fields", "mergeable"),
    [
        ({"detailed_merge_status": "checking"}, None),
        ({"detailed_merge_status": "not_approved"}, True),
        ({"detailed_merge_status": "need_rebase"}, True),
        ({"detailed_merge_status": "conflict"}, False),
        ({"detailed_merge_status": "ci_must_pass", "has_conflicts": True}, False),
        ({"merge_status": "can_be_merged"}, True),
        ({"merge_status": "cannot_be_merged_recheck"}, None),
        ({}, None),
    ],
)
def test_only_a_conflict_is_one(fields: dict[str, object], mergeable: bool | None) -> None:
    found = pull_of({**ROW, **fields})
    assert (found.mergeable, found.created) == (mergeable, "2026-11-23T09:00:00.000Z")


@pytest.mark.parametrize(
    ("identity", "below", "project"),
    [
        ("gitlab.example.com/ml/team/manifests", "", "ml%2Fteam%2Fmanifests"),
        ("example.com/gitlab/ml/manifests", "/gitlab", "ml%2Fmanifests"),
        ("example.com/gitlab/ml/manifests", "/gitlab/api/v4", "ml%2Fmanifests"),
    ],
)
def test_groups_and_a_path_before_them(identity: str, below: str, project: str) -> None:
    url = f"https://example.com{below}"
    found = open_forge(identity, "gitlab", url, token=lambda: TOKEN)
    root = f"https://example.com{below.removesuffix('/api/v4')}/api/v4/projects/"
    assert f"{root}{project}" in repr(found)
    assert TOKEN not in repr(found)
    assert open_forge("gitlab.com/ml/manifests", token=lambda: TOKEN).kind == "gitlab"


def test_a_token_of_the_project_may_not_know_its_name(forge: Forge, host: GitLabServer) -> None:
    assert forge.check() == "mlflow-gitops"
    host.knows_user = False
    assert forge.check() == "a token"


def test_the_scopes_of_a_token_are_checked(forge: Forge, host: GitLabServer) -> None:
    host.scopes = None  # of an old GitLab, or of OAuth
    assert forge.check()
    host.scopes = ("read_api", "read_repository")
    with pytest.raises(ForgeError, match="its scopes are read_api, read_repository"):
        forge.check()
