"""Two new services wait in pull requests that add to the same list: the command, on real parts."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.support.git import git, install_hook
from tests.support.github_server import TOKEN, GitHubServer, github_server
from tests.support.stack import Stack

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("github")]

SETTINGS = """artifacts: {{bucket: {bucket}}}
environments:
  production: {{select: {{stage: Production}}, path: production, delivery: pull-request}}
forge: {{kind: github, url: "{url}"}}
"""
LIST = "production/kustomization.yaml"
KILL = """
[ -e kill ] || exit 0
rm kill
above=$PPID
until grep -q python /proc/$above/comm; do
  [ "$above" -gt 1 ] || exit 0
  above=$(awk '/^PPid/ {print $2}' /proc/$above/status)
done
kill -9 "$above"
"""


@pytest.fixture
def github(stack: Stack) -> Iterator[GitHubServer]:
    owner = stack.folder / "ml"
    owner.mkdir()
    (owner / "manifests.git").symlink_to(stack.bare)
    with github_server(stack.bare, stack.folder / "people") as server:
        stack.urls["MLFLOW_GITOPS_REPOSITORY"] = str(owner / "manifests.git")
        stack.urls["MLFLOW_GITOPS_FORGE_TOKEN"] = TOKEN
        settings = SETTINGS.format(bucket=stack.bucket, url=server.url)
        files = {"mlflow-gitops.yaml": settings, LIST: "namespace: ml\nresources: []\n"}
        stack.person_writes(files)
        yield server


def test_the_second_is_merged_as_it_was_approved(
    stack: Stack, github: GitHubServer, names: Callable[[str], str]
) -> None:
    """Though the command is killed as soon as its push was taken."""
    models = [names("basket"), names("churn")]
    for model in models:
        stack.registry.register(model)
        stack.registry.transition(model, "1", "Production", archive_existing=True)
    assert stack.cli("reconcile", *models).returncode == 0
    for pull in github.pulls:
        github.approve(pull.number)
    second = next(pull for pull in github.pulls if pull.branch.endswith(models[1]))
    first = next(pull for pull in github.pulls if pull is not second)
    github.merge(first.number)
    reviewed = github.head(second.branch)
    install_hook(stack.bare, "post-receive", KILL)
    (stack.bare / "kill").touch()
    assert stack.cli("reconcile", *models).returncode < 0
    assert github.statuses(github.head(second.branch)) == []
    assert stack.cli("reconcile", *models).returncode == 0
    head = github.head(second.branch)
    parents = git("rev-parse", f"{head}^1", f"{head}^2", cwd=stack.bare).split()
    assert parents == [github.head("main"), reviewed]
    assert len(github.statuses(head)) == 4
    assert (len(github.pulls), second.state, len(second.reviews)) == (2, "open", 1)
    github.merge(second.number)
    assert stack.cli("reconcile", *models).returncode == 0
    lines = git("show", f"main:{LIST}", cwd=stack.bare).splitlines()
    assert lines[1:] == ["resources:", *(f"  - {model}" for model in sorted(models))]
