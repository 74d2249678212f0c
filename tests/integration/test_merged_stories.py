"""A squash dropped our trailers: what the registry is told of it, and of a revert of it.

The whole way through the reconciler, on real Git, with each forge's adapter over HTTP.
"""

from __future__ import annotations

import pytest

from mlflow_gitops.planning.decisions import Decided, Decision
from mlflow_gitops.planning.deliveries import DELIVERED
from mlflow_gitops.planning.records import status_of
from mlflow_gitops.pull_requests import Draft
from mlflow_gitops.state import State
from tests.integration.test_forge_stories import MODEL, PATH, Story
from tests.integration.test_forge_stories import story as story  # the fixture
from tests.support.git import git


def forgets(story: Story) -> None:
    """The record is lost."""
    story.registry.delete_model_tag(MODEL, f"{DELIVERED}production")


def decision(story: Story) -> Decision:
    settings, snapshot = story.reconciler.observer.read(MODEL)
    environment = settings.environments["production"]
    view = story.reconciler.observer.view(snapshot, environment, settings, recover=True)
    assert view.plan.decision is not None
    return view.plan.decision


def reverts(story: Story, landed: str) -> str:
    """As GitHub's and Gitea's button does: the message names the pull request, or repeats it."""
    before = git("show", f"{landed}^1:{PATH}", cwd=story.host.bare)
    if story.host.kind == "github":
        said = 'Revert "x (#1)"\n\nReverts ml/manifests#1\n\nfalse alarms'
    elif story.host.kind == "gitlab":
        said = 'Revert "x"\n\nThis reverts merge request !1\n\nfalse alarms'
    else:
        made = git("log", "-1", "--format=%B", landed, cwd=story.host.bare)
        said = f"revert {landed}\n\nfalse alarms\n\nrevert {made}"
    return story.host.person("main").commits({PATH: f"{before}\n"}, said)


@pytest.mark.parametrize("is_lost", [False, True])
def test_a_squash_is_told_and_its_revert_holds(story: Story, is_lost: bool) -> None:
    host = story.host
    host.approve(1)
    host.person("main").commits({"docs/x.md": "x"})
    landed = host.merge(1, how="squash")
    if not is_lost:
        assert story.look() is State.COMMITTED
        version = story.registry.snapshot(MODEL).version("2")
        status = status_of(version, "production") if version else None
        assert status is not None
        assert status.commit == landed
        assert status.digest.startswith("sha256:")
    reverting = reverts(story, landed)
    if is_lost:
        forgets(story)
    for _ in range(2):
        assert story.look() is State.HELD
    found = decision(story)
    assert (found.kind, found.commit, found.why) == (Decided.REVERTED, reverting, "false alarms")
    assert (found.wanted, found.by) == ("2", "Grace")
    assert git("show", f"main:{PATH}", cwd=host.bare).count("/v1/") == 1


def test_who_approved_and_merged_a_revert_is_told(story: Story) -> None:
    """The reason stands in the text of the pull request alone."""
    host = story.host
    landed = host.merge(1, how="squash")
    story.look()
    before = git("show", f"{landed}^1:{PATH}", cwd=host.bare)
    git("update-ref", "refs/heads/revert-1", "refs/heads/main", cwd=host.bare)
    said = f"Go back\n\nThis reverts commit {landed}."
    host.person("revert-1").commits({PATH: f"{before}\n"}, said)
    opened = story.forge.open("revert-1", "main", Draft("Go back", "false alarms"))
    host.approve(opened.number, by="raj")
    host.merge(opened.number, by="rita")
    assert story.look() is State.HELD
    found = decision(story)
    assert (found.kind, found.merged_by, found.approvers) == (Decided.REVERTED, "rita", ("raj",))
    assert found.pull_request.endswith(str(opened.number))
    assert found.why == "Go back"
