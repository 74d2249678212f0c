"""Pull requests from the stage in MLflow to the merge: real MLflow, S3 and Git, GitHub's API."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable, Iterator

import cmarkgfm
import pytest
from cmarkgfm.cmark import Options

from mlflow_gitops.pull_requests import WITHDRAWN
from tests.support.fork_server import run_module
from tests.support.github_server import TOKEN, GitHubServer, github_server
from tests.support.stack import Stack

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("github")]

Names = Callable[[str], str]


@pytest.fixture
def github(stack: Stack) -> Iterator[GitHubServer]:
    """Production is delivered by pull requests; the repository is `ml/manifests` there."""
    owner = stack.folder / "ml"
    owner.mkdir()
    (owner / "manifests.git").symlink_to(stack.bare)
    with github_server(stack.bare, stack.folder / "people") as server:
        head, production, rest = stack.file("mlflow-gitops.yaml").partition("  production:\n")
        rest = rest.replace("delivery: commit", "delivery: pull-request", 1)
        forge = f"\nforge: {{kind: github, url: {server.url}}}\n"
        stack.person_writes({"mlflow-gitops.yaml": head + production + rest + forge})
        stack.urls["MLFLOW_GITOPS_REPOSITORY"] = str(owner / "manifests.git")
        stack.urls["MLFLOW_GITOPS_FORGE_TOKEN"] = TOKEN
        yield server


def test_from_the_stage_to_the_merge_and_back(
    stack: Stack, github: GitHubServer, names: Names
) -> None:
    model = names("reviewed")
    for _ in range(2):
        stack.registry.register(model)
    stack.registry.transition(model, "1", "Production")
    first = stack.cli("reconcile", model, "--json")
    assert first.returncode == 0, first.stderr
    assert stack.version("production", model) == ""
    assert stack.status(model, "1", "production")["state"] == "proposed"
    assert stack.status(model, "1", "production")["pull"].endswith("/pull/1")
    made = github.merge(1, how="squash")
    assert stack.cli("reconcile", model).returncode == 0
    assert stack.version("production", model) == "1"
    assert stack.status(model, "1", "production")["state"] == "committed"
    record = stack.delivered(model, "production")
    assert record is not None
    assert (record.pull, record.commit) == (1, made)

    name = ("--name", f"production/{model}", "-m", f"models:/{model}/2")
    asked = run_module("mlflow", "deployments", "create", "-t", "gitops", *name, env=stack.environ)
    assert asked.returncode == 0, asked.stderr
    assert (
        "1 -> 2: proposed to main: https://github.example.com/ml/manifests/pull/2" in asked.stdout
    )
    github.close(2, by="rita", comment="recall is worse")
    for _ in range(3):
        assert stack.cli("reconcile", model).returncode == 0
    status = stack.status(model, "2", "production")
    assert status["state"] == "rejected"
    assert "#2 was closed by rita at 2026-11-23T10:" in status["message"]
    assert 'without merging it ("recall is worse")' in status["message"]
    assert len(github.pulls) == 2
    held = stack.cli("hold", "list")
    assert "rita" in held.stdout
    assert stack.version("production", model) == "1"

    cleared = stack.cli("hold", "clear", model, "-e", "production")
    assert cleared.returncode == 0, cleared.stderr
    assert github.pulls[2].state == "open"
    back = stack.cli("rollback", model, "-e", "production", "--to", "1")
    assert back.returncode == 0, back.stderr
    assert github.pulls[2].state == "closed"
    assert WITHDRAWN in github.pulls[2].labels
    everything = "".join(p.body for p in github.pulls) + asked.stdout + asked.stderr + held.stdout
    assert TOKEN not in everything
    assert TOKEN not in stack.git("log", "--all", "-p")


NASTY = "@everyone closes #7 <script>x</script> [a](https://evil.example) | `x"
EVIL = f"{NASTY}\n\n/approve\nCo-authored-by: Eve <eve@evil.example>"
CLOSING = re.compile(r"(?i)(clos|fix|resolv)\w* +([\w/]*#\d|https?://)")
TRAILERS = {"Gitops-Service", "Gitops-Request", "Model", "Model-Version", "Run-Id"} | {
    "Artifact-Digest",
    "Artifact-Uri",
    "Claimed-By",
    "Requested-At",
}


def trained(stack: Stack, model: str, accuracy: float, **params: str) -> str:
    client = stack.registry.client
    run = client.create_run("0", run_name=NASTY).info.run_id
    client.set_tag(run, "mlflow.user", EVIL)
    client.log_metric(run, "accuracy / closes 7", accuracy)
    client.log_param(run, "depth", EVIL)
    for name, value in params.items():
        client.log_param(run, name, value)
    number = stack.registry.register(model, run_id=run)
    stack.registry.describe(model, number, EVIL)
    return number


def test_the_evidence_is_shown_and_nothing_of_it_acts(
    stack: Stack, github: GitHubServer, names: Names
) -> None:
    model = names("evidence")
    trained(stack, model, 0.9, trees="100")
    stack.registry.transition(model, "1", "Production")
    assert stack.cli("reconcile", model).returncode == 0
    github.merge(1)
    second = trained(stack, model, 0.95, trees="200")
    name = ("--name", f"production/{model}", "-m", f"models:/{model}/{second}")
    why = ("-C", f"reason={NASTY}", "-C", f"by={NASTY}")
    asked = run_module(
        "mlflow", "deployments", "update", "-t", "gitops", *name, *why, env=stack.environ
    )
    assert asked.returncode == 0, asked.stderr
    body = github.pulls[1].body
    assert "| 0.9 | 0.95 | 0.05 |" in body.replace("+", "")
    assert "| `trees` | `100` | `200` |" in body
    server = stack.environ["MLFLOW_TRACKING_URI"].rstrip("/")
    assert body.startswith(
        f"**`{model}` in `production`: version [`1`](<{server}/#/models/{model}/versions/1>) -> "
        f"[`{second}`](<{server}/#/models/{model}/versions/{second}>).**\n"
    )
    assert "(claimed) at `2026-" in body
    assert re.search(rf"\| run \|.*\]\(<{server}/#/experiments/0/runs/", body)
    assert body.index("### What changes in the cluster") < body.index("### How to go back")
    first = github.pulls[0].body
    assert "| `trees` | `100` |" in first
    assert "### What changes in the cluster" in body
    assert '-    model-version: "1"' in body
    assert "rollback" in body

    page = cmarkgfm.github_flavored_markdown_to_html(body, Options.CMARK_OPT_UNSAFE)
    assert "<script" not in page
    links = re.findall(r'(?:href|src)="([^"]*)"', page)
    assert {link.partition("#")[0].rstrip("/") for link in links} <= {
        stack.environ["MLFLOW_TRACKING_URI"].rstrip("/")
    }
    assert html.unescape(page).count("< script>") >= 2  # as text
    assert not CLOSING.search(body)
    assert not re.search(r"(?m)^(/|Co-authored-by:|@(?!@))", body)

    message = stack.git("log", "-1", "--format=%B", github.pulls[1].branch)
    trailers = stack.git("log", "-1", "--format=%(trailers:only,unfold)", github.pulls[1].branch)
    assert {line.partition(":")[0] for line in trailers.splitlines() if line} <= TRAILERS
    assert not CLOSING.search(message)
    shown = stack.cli("diff", model, "-e", "production", "--json")
    assert shown.returncode == 0, shown.stderr
    evidence = json.loads(shown.stdout)["evidence"]
    assert evidence["after"]["run_name"] == NASTY
    assert evidence["metrics"][0]["after"] == 0.95
    assert "\x1b" not in stack.cli("diff", model, "-e", "production").stdout
