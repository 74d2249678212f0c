"""What the forges' deliveries mean: whose branch, what touched, or why nothing."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.unit.webhook import forges
from webhook.events import Ignored
from webhook.forge_events import MOST_PATHS, Changed, Ping, parse
from webhook.forge_signature import Kind, Sender
from webhook.payload import EventError


def read(kind: Kind, event: str, data: Any) -> Changed | Ping | Ignored:
    body = data if isinstance(data, bytes) else json.dumps(data).encode()
    return parse(Sender(kind, event, ""), body)


def changed(kind: Kind, event: str, data: Any) -> Changed:
    found = read(kind, event, data)
    assert isinstance(found, Changed)
    return found


def ignored(kind: Kind, event: str, data: Any) -> str:
    found = read(kind, event, data)
    assert isinstance(found, Ignored)
    return found.why


@pytest.mark.parametrize(
    ("kind", "event", "action", "reason"),
    [
        ("github", "pull_request", "opened", "pull_request opened #12"),
        ("github", "pull_request", "synchronize", "pull_request synchronize #12"),
        ("github", "pull_request", "labeled", "pull_request labeled #12"),
        ("github", "pull_request_review", "submitted", "pull_request_review submitted #12"),
        ("gitea", "pull_request", "reopened", "pull_request reopened #12"),
        ("gitea", "pull_request_approved", "reviewed", "pull_request_approved reviewed #12"),
        ("gitea", "pull_request_sync", "synchronized", "pull_request_sync synchronized #12"),
        ("github", "pull_request", "<b>\n", "pull_request #12"),
    ],
)
def test_a_pull_request_names_its_branch(kind: Kind, event: str, action: str, reason: str) -> None:
    found = changed(kind, event, forges.pull_request(action))
    assert (found.branch, found.reason) == (forges.BRANCH, reason)
    assert forges.REPOSITORY["ssh_url"] in found.urls
    assert found.paths == ()


@pytest.mark.parametrize("action", ["open", "merge", "close", "approved", "unapproval", "update"])
def test_a_merge_request_names_its_branch(action: str) -> None:
    found = changed("gitlab", "Merge Request Hook", forges.merge_request(action))
    assert (found.branch, found.reason) == (forges.BRANCH, f"merge_request {action} !12")
    assert forges.PROJECT["git_http_url"] in found.urls


@pytest.mark.parametrize("status", ["created", "pending", "running"])
def test_a_pipeline_that_tries_a_merge_names_its_branch(status: str) -> None:
    found = changed("gitlab", "Pipeline Hook", forges.pipeline(status))
    assert (found.branch, found.reason) == (forges.BRANCH, f"pipeline {status} !12")
    assert forges.PROJECT["git_http_url"] in found.urls


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (forges.pipeline("success"), "it has ended"),
        (forges.pipeline(source=8), "from a fork"),
        (forges.pipeline(merge_request=None), "of no merge request"),
        (forges.pipeline(object_attributes={"source": "push"}), "of no merge request"),
        (forges.pipeline(object_attributes={"source": "external"}), "of no merge request"),
    ],
)
def test_other_pipelines_ask_for_nothing(data: dict[str, Any], why: str) -> None:
    """One of them is what our own statuses make."""
    assert why in ignored("gitlab", "Pipeline Hook", data)


@pytest.mark.parametrize(
    ("kind", "event"), [("github", "push"), ("gitea", "push"), ("gitlab", "Push Hook")]
)
def test_a_push_names_branch_and_files(kind: Kind, event: str) -> None:
    found = changed(kind, event, forges.push())
    assert (found.branch, found.reason) == ("main", "push to main")
    assert found.paths == ("p/fraud/kustomization.yaml", "p/churn/x.yaml", "docs/a.md")
    assert ignored(kind, event, forges.push("refs/tags/v1")) == "push: refs/tags/v1 is no branch"


@pytest.mark.parametrize(
    ("kind", "event", "data", "reason"),
    [
        ("bitbucket", "pullrequest:fulfilled", forges.cloud_pull(), "pullrequest:fulfilled #12"),
        ("bitbucket", "pullrequest:approved", forges.cloud_pull(), "pullrequest:approved #12"),
        ("bitbucket", "pr:merged", forges.server_pull(), "pr:merged #12"),
        ("bitbucket", "pr:reviewer:approved", forges.server_pull(), "pr:reviewer:approved #12"),
        ("azure", "", forges.azure_pull(), "git.pullrequest.merged #12"),
        (
            "azure",
            "",
            {
                "eventType": "ms.vss-code.git-pullrequest-comment-event",
                "resource": {"pullRequest": forges.azure_pull()["resource"], "comment": {}},
            },
            "ms.vss-code.git-pullrequest-comment-event #12",
        ),
    ],
)
def test_theirs_names_its_branch_too(kind: Kind, event: str, data: Any, reason: str) -> None:
    found = changed(kind, event, data)
    assert (found.branch, found.reason) == (forges.BRANCH, reason)
    assert found.urls[0].lower().endswith("manifests")


@pytest.mark.parametrize(
    ("kind", "event", "pushed", "none"),
    [
        ("bitbucket", "repo:push", forges.cloud_push(), forges.cloud_push(kind="tag")),
        (
            "bitbucket",
            "repo:refs_changed",
            forges.server_push(),
            forges.server_push("refs/tags/v2"),
        ),
        ("azure", "", forges.azure_push(), forges.azure_push("refs/tags/v2")),
    ],
)
def test_a_push_without_files_names_its_branch(
    kind: Kind, event: str, pushed: Any, none: Any
) -> None:
    found = changed(kind, event, pushed)
    assert (found.branch, found.paths, found.reason) == ("main", (), "push to main")
    assert ignored(kind, event, none).endswith("no branch changed")


def test_their_forks_and_other_events_are_passed_over() -> None:
    fork = forges.azure_pull()
    fork["resource"]["forkSource"] = {"name": "refs/heads/x"}
    assert "fork" in ignored("azure", "", fork)
    assert "fork" in ignored("bitbucket", "pullrequest:created", forges.cloud_pull(fork="a/b"))
    assert "fork" in ignored("bitbucket", "pr:opened", forges.server_pull(key="~RAJ"))
    assert "acts on" in ignored("azure", "", {"eventType": "build.complete"})
    assert "acts on" in ignored("bitbucket", "repo:fork", b"no JSON")
    assert read("bitbucket", "diagnostics:ping", {"test": True}) == Ping()


def test_a_large_push_is_cut() -> None:
    data = forges.push() | {"commits": [{"added": [f"{n}" for n in range(10 * MOST_PATHS)]}]}
    assert len(changed("github", "push", data).paths) == MOST_PATHS


def test_odd_commits_name_nothing() -> None:
    for commits in (None, 7, [7, None, {"added": 7}, {"added": [None, 7]}]):
        assert changed("github", "push", forges.push() | {"commits": commits}).paths == ()


def test_what_comes_from_a_fork_is_passed_over() -> None:
    data = forges.pull_request()
    data["pull_request"]["head"]["repo"] = {"id": 8}
    assert "fork" in ignored("github", "pull_request", data)
    assert "fork" in ignored("gitlab", "Merge Request Hook", forges.merge_request(source=8))
    data["pull_request"]["head"]["repo"] = None  # the fork is gone
    assert changed("github", "pull_request", data).branch == forges.BRANCH


@pytest.mark.parametrize(
    ("kind", "event"), [("github", "issues"), ("gitlab", "Note Hook"), ("gitea", "fork")]
)
def test_other_events_ask_for_nothing_whatever_they_hold(kind: Kind, event: str) -> None:
    assert ignored(kind, event, b"no JSON") == f"{event} is not an event that this service acts on"


def test_a_ping_is_one_of_githubs_only() -> None:
    assert read("github", "ping", {"zen": "x"}) == Ping()
    assert isinstance(read("gitlab", "ping", {}), Ignored)


@pytest.mark.parametrize(
    ("kind", "event", "data", "where"),
    [
        ("github", "push", b"{", "body"),
        ("github", "push", [], "body"),
        ("github", "push", {"ref": 7}, "ref"),
        ("github", "push", {"ref": "refs/heads/a"}, "repository"),
        ("github", "pull_request", {}, "pull_request"),
        ("github", "merge_group", {"action": "checks_requested"}, "merge_group"),
        (
            "github",
            "merge_group",
            {"action": "checks_requested", "merge_group": {}},
            "merge_group.base_ref",
        ),
        ("github", "pull_request", {"pull_request": {}}, "pull_request.head"),
        ("gitlab", "Merge Request Hook", {}, "object_attributes"),
        ("gitlab", "Pipeline Hook", {}, "object_attributes"),
        (
            "gitlab",
            "Pipeline Hook",
            forges.pipeline(merge_request={}),
            "merge_request.source_branch",
        ),
        (
            "gitlab",
            "Merge Request Hook",
            forges.merge_request(branch="a\nb"),
            "object_attributes.source_branch",
        ),
        ("gitea", "pull_request", forges.pull_request(branch="x" * 2000), "pull_request.head.ref"),
    ],
)
def test_what_is_no_event_says_where(kind: Kind, event: str, data: Any, where: str) -> None:
    with pytest.raises(EventError) as caught:
        read(kind, event, data)
    assert caught.value.where == where
