"""An open pull request that a person or a merge queue works on: the command, on real parts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from mlflow_gitops.service import ServiceReconciler
from tests.support.forge_host import Update
from tests.support.github_server import TOKEN, GitHubServer, github_server
from tests.support.stack import Stack
from tests.unit.webhook import forges
from webhook.app import create_app
from webhook.queue import Queue

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("github")]

SETTINGS = """artifacts: {{bucket: {bucket}}}
environments:
  production:
    select: {{stage: Production}}
    path: production
    delivery: pull-request
    gates: {{metrics: {{accuracy: {{min: 0.9}}}}}}
forge: {{kind: github, url: "{url}"}}
"""
SERVICE = """apiVersion: serving.kserve.io/v1beta1
kind: InferenceService
metadata:
  name: {model}
  labels:
    model-version: "1"
spec:
  predictor:
    model:
      modelFormat:
        name: mlflow
      protocolVersion: v2
      storageUri: s3://{bucket}/{model}/v1/
"""
PASSED = dict.fromkeys(("artifact", "runtime", "signature", "metrics"), "success")
FAILED = {**PASSED, "metrics": "failure"}


@dataclass
class Story:
    """Version 1 runs, version 2 is proposed as #1. Its accuracy of 0.85 is not enough."""

    stack: Stack
    github: GitHubServer
    model: str
    run: str = ""
    number: int = 1

    def __post_init__(self) -> None:
        names = {"model": self.model, "bucket": self.stack.bucket, "url": self.github.url}
        files = {"mlflow-gitops.yaml": SETTINGS, f"production/{self.model}.yaml": SERVICE}
        self.stack.person_writes({path: text.format(**names) for path, text in files.items()})
        self.stack.registry.register(self.model)
        self.run = self.register(0.85)
        self.asks("2")
        assert self.verdicts(self.head) == FAILED

    @property
    def branch(self) -> str:
        return f"mlflow-gitops/production/{self.model}"

    @property
    def head(self) -> str:
        return self.github.head(self.branch)

    def register(self, accuracy: float) -> str:
        client = self.stack.registry.client
        run = client.create_run("0").info.run_id
        client.log_metric(run, "accuracy", accuracy)
        self.stack.registry.register(self.model, run_id=run)
        return str(run)

    def asks(self, number: str) -> None:
        self.stack.registry.transition(self.model, number, "Production", archive_existing=True)
        self.look()

    def look(self) -> None:
        done = self.stack.cli("reconcile", self.model)
        assert done.returncode == 0, done.stderr

    def measured(self, accuracy: float) -> None:
        self.stack.registry.client.log_metric(self.run, "accuracy", accuracy)
        self.look()

    def verdicts(self, commit: str) -> dict[str, str]:
        return {e.name.partition("/")[2]: e.verdict for e in self.github.statuses(commit)}


@pytest.fixture
def story(stack: Stack, names: Callable[[str], str]) -> Iterator[Story]:
    owner = stack.folder / "ml"
    owner.mkdir()
    (owner / "manifests.git").symlink_to(stack.bare)
    with github_server(stack.bare, stack.folder / "people") as server:
        stack.urls["MLFLOW_GITOPS_REPOSITORY"] = str(owner / "manifests.git")
        stack.urls["MLFLOW_GITOPS_FORGE_TOKEN"] = TOKEN
        yield Story(stack, server, names("fraud"))


@pytest.mark.parametrize("how", ["merge", "rebase"])
def test_update_branch(story: Story, how: Update) -> None:
    story.stack.person_writes({"docs/x.md": "x"}, "docs: unrelated")
    head = story.github.update_branch(story.number, how)
    story.look()
    assert story.verdicts(head) == FAILED
    story.measured(0.97)
    pull = story.github.pulls[-1]
    assert story.verdicts(head) == PASSED
    assert "0.97" in pull.body
    story.register(0.98)
    story.asks("3")
    assert len(story.github.pulls) == story.number
    assert (pull.state, pull.labels, pull.comments) == ("open", [], [])
    assert pull.title.endswith("v1 -> v3")
    assert story.verdicts(story.head) == PASSED


def test_an_updated_branch_is_merged_and_history_reads_it(story: Story) -> None:
    story.stack.person_writes({"docs/x.md": "x"}, "docs: unrelated")
    story.github.update_branch(story.number)
    story.measured(0.97)
    story.github.merge(story.number)
    story.look()
    assert 'model-version: "2"' in story.stack.file(f"production/{story.model}.yaml")
    assert story.stack.status(story.model, "2", "production")["state"] == "committed"
    why = story.stack.cli("why", story.model, "-e", "production")
    assert why.returncode == 0, why.stderr
    assert "#1 https://github.example.com/ml/manifests/pull/1" in why.stdout


def test_a_persons_commit_on_an_updated_branch(story: Story) -> None:
    story.github.person(story.branch).commits({"note.txt": "mine\n"})
    story.stack.person_writes({"docs/x.md": "x"}, "docs: unrelated")
    head = story.github.update_branch(story.number)
    story.look()
    assert set(story.verdicts(head).values()) == {"failure"}
    message = story.stack.status(story.model, "2", "production")["message"]
    assert "by Grace, which mlflow-gitops did not make" in message
    assert "take it off the branch, or ask for the version again" in message
    story.register(0.98)
    story.asks("3")
    assert [pull.state for pull in story.github.pulls[-2:]] == ["closed", "open"]
    kept = story.stack.git("branch", "--list", "--contains", head)
    assert kept.strip() == f"mlflow-gitops/_kept/production/{story.model}/{head[:12]}"


def test_a_title_and_a_text_that_people_changed(story: Story) -> None:
    pull = story.github.pulls[-1]
    title, body, head = pull.title, pull.body, story.head
    story.github.rewrite(story.number, title="fix typo", body=body.replace("0.85", "0.95"))
    story.look()
    assert (pull.title, pull.body, story.head) == (title, body, head)
    story.github.rewrite(story.number, title=f"{title} (ML-7)", body=f"Rita: on it\n\n{body}")
    story.look()
    assert (pull.title, pull.body) == (f"{title} (ML-7)", f"Rita: on it\n\n{body}")


def test_one_that_is_merged_when_its_checks_succeed(story: Story) -> None:
    story.github.required = [f"mlflow-gitops/{name}" for name in PASSED]
    story.github.green.add(story.number)
    story.stack.person_writes({"docs/x.md": "x"}, "docs: unrelated")
    story.github.update_branch(story.number)
    story.measured(0.97)
    assert story.github.pulls[-1].merged_at
    story.look()
    assert story.stack.status(story.model, "2", "production")["state"] == "committed"


def test_an_approved_one_stays_while_the_forge_still_looks(story: Story) -> None:
    story.github.approve(story.number)
    story.stack.person_writes({"docs/x.md": "x"}, "docs: unrelated")
    story.github.is_wrong = True
    head = story.head
    story.look()
    assert (story.head, story.github.pulls[-1].state) == (head, "open")


def test_merge_queue_by_looking(story: Story) -> None:
    group = story.github.queue(story.number)
    story.look()
    assert story.verdicts(group) == FAILED
    story.measured(0.97)
    assert story.verdicts(group) == PASSED


def test_merge_queue_by_its_webhook(story: Story, tmp_path: Path) -> None:
    group = story.github.queue(story.number)
    service = ServiceReconciler(story.stack.session().reconciler)
    queue = Queue(tmp_path / "queue.db")
    app = create_app(queue=queue, secrets=["x"], forge_secrets=[forges.SECRET], reconciler=service)
    url = "https://github.example.com" + service.reconciler.repository.identity
    data = forges.merge_group() | {"repository": {"clone_url": url}}
    headers, body = forges.github("merge_group", data)
    answer = app.test_client().post("/webhooks/forge", headers=dict(headers), data=body)
    assert answer.get_json()["models"] == [story.model], answer.get_json()
    lease = queue.claim()
    assert lease
    service.reconcile(lease.key, reason=lease.reason)
    assert story.verdicts(group) == FAILED
    queue.close()
