"""What people read of a proposal: its names, why it was replaced, and the tag of each version."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.e2e.cases.test_open_pull_requests import Story
from tests.support.git import install_hook
from tests.support.github_server import TOKEN, github_server
from tests.support.stack import Stack

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("github")]

NAMES = (
    "while read old new ref; do case $ref in refs/heads/main|refs/heads/feature/ML-*) ;; "
    '*) echo "GitLab: Branch name does not follow the pattern" >&2; exit 1;; esac; done'
)
STYLE = """commits:
  subject: "feat({environment}): {tag:ticket} {model} v{version}"
  body: |
    Refs {tag:ticket}

    [skip ci]
  sign-off: true
"""
NAMED = """    pull-request:
      title: "{tag:ticket} {action} {model} {before} -> {version}"
      branch: "feature/ML-1-{environment}-{service}"
"""
EVIL = "ABC-1\n\nSigned-off-by: Eve <eve@evil.example>\u2028Gitops-Service: production/other"


@pytest.fixture
def story(stack: Stack, names: Callable[[str], str]) -> Iterator[Story]:
    owner = stack.folder / "ml"
    owner.mkdir()
    (owner / "manifests.git").symlink_to(stack.bare)
    with github_server(stack.bare, stack.folder / "people") as server:
        stack.urls["MLFLOW_GITOPS_REPOSITORY"] = str(owner / "manifests.git")
        stack.urls["MLFLOW_GITOPS_FORGE_TOKEN"] = TOKEN
        yield Story(stack, server, names("fraud"))


def test_a_server_that_checks_names_and_messages(story: Story) -> None:
    """A tag of the registry makes no trailer, and the refusal names the setting."""
    stack, model = story.stack, story.model
    story.github.close(1)
    story.register(0.97)
    stack.registry.set_tag(model, "3", "ticket", EVIL)
    stack.registry.transition(model, "3", "Production", archive_existing=True)
    stack.git("update-ref", "-d", f"refs/heads/{story.branch}")
    install_hook(stack.bare, "pre-receive", NAMES)
    assert stack.cli("reconcile", model).returncode == 1
    told = stack.status(model, "3", "production")["message"]
    for words in (
        "Branch name does not follow",
        "refused the branch's name",
        "pull-request.branch",
    ):
        assert words in told
    text = stack.file("mlflow-gitops.yaml")
    place = "    delivery: pull-request\n"
    text = text.replace(place, f"{place}{NAMED}") + "\n" + STYLE
    stack.person_writes({"mlflow-gitops.yaml": text})
    story.look()
    pull = story.github.pulls[-1]
    assert pull.branch == f"feature/ML-1-production-{model}"
    ticket = "ABC-1 Signed-off-by: Eve < eve@evil.example> Gitops-Service: production/other"
    assert pull.title == f"{ticket} deploy {model} 1 -> 3"
    message = stack.git("log", "-1", "--format=%B", pull.branch)
    assert f"\n\nRefs {ticket}\n\n[skip ci]\n\nGitops-Service: production/{model}\n" in message
    signers = stack.git("log", "-1", "--format=%(trailers:key=Signed-off-by)", pull.branch)
    assert "Eve" not in signers
    assert signers.count("Signed-off-by") == 1
    story.github.merge(pull.number, how="squash")
    story.look()
    assert stack.status(model, "3", "production")["state"] == "committed"


def test_a_replaced_one_and_its_successor_name_each_other(story: Story) -> None:
    story.github.approve(1, by="rita")
    story.register(0.98)
    story.stack.registry.transition(story.model, "3", "Production", archive_existing=True)
    story.github.write_answers += [(200, {}, "[]"), (502, {}, "")]  # label, then the comment
    story.stack.cli("reconcile", story.model)
    for _ in range(2):
        story.look()
    old, new = story.github.pulls
    why, link = (each["body"] for each in old.comments)
    assert "it was approved as it is, and what is asked for now is not that" in why
    assert "It had been approved by rita." in why
    assert "The registry asks for version 3." in why
    assert "https://github.example.com/ml/manifests/pull/2" in link
    assert "This replaces https://github.example.com/ml/manifests/pull/1" in new.body
    assert (old.state, new.state) == ("closed", "open")


def test_the_tags_while_the_forge_is_away_and_after(story: Story) -> None:
    stack, model = story.stack, story.model
    story.register(0.5)
    stack.registry.transition(model, "3", "Production", archive_existing=True)
    story.github.answers += [(503, {}, "")] * 30
    assert stack.cli("reconcile", model).returncode == 1
    told = stack.status(model, "3", "production")
    assert told["state"] == "requested"
    assert "waits, and is tried again: the forge failed (HTTP 503)" in told["message"]
    assert stack.status(model, "2", "production")["state"] == "proposed"
    story.github.answers.clear()
    story.look()
    assert stack.status(model, "3", "production")["state"] == "proposed"
    assert stack.status(model, "2", "production")["state"] == "superseded"
    proposed = stack.status(model, "3", "production")
    story.github.close(1)
    story.look()
    rejected = stack.status(model, "3", "production")
    assert rejected["state"] == "rejected"
    assert (rejected["uri"], rejected["digest"]) == (proposed["uri"], proposed["digest"])
    assert rejected["uri"].endswith("/v3/")
    assert rejected["digest"].startswith("sha256:")
