"""From the stage to the merge on the forges without GitHub's API: real MLflow, S3 and Git."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.integration.test_forges import SERVERS
from tests.support.forge_host import Host
from tests.support.stack import Stack

pytestmark = [pytest.mark.slow]

Names = Callable[[str], str]
PATHS = {
    "azure-devops": "org/ml/_git/manifests",
    "bitbucket-cloud": "ml/manifests.git",
}


@pytest.fixture(params=PATHS)
def host(request: pytest.FixtureRequest, stack: Stack) -> Iterator[Host]:
    """Production is delivered by pull requests."""
    path = stack.folder / PATHS[request.param]
    path.parent.mkdir(parents=True)
    path.symlink_to(stack.bare)
    with SERVERS[request.param](stack.bare, stack.folder / "people") as server:
        head, production, rest = stack.file("mlflow-gitops.yaml").partition("  production:\n")
        rest = rest.replace("delivery: commit", "delivery: pull-request", 1)
        forge = f"\nforge: {{kind: {server.kind}, url: {server.url}}}\n"
        stack.person_writes({"mlflow-gitops.yaml": head + production + rest + forge})
        stack.urls["MLFLOW_GITOPS_REPOSITORY"] = str(path)
        stack.urls["MLFLOW_GITOPS_FORGE_TOKEN"] = server.token
        yield server


def test_from_the_stage_to_the_merge_and_a_rejection(
    stack: Stack, host: Host, names: Names
) -> None:
    model = names("reviewed")
    for _ in range(2):
        stack.registry.register(model)
    stack.registry.transition(model, "1", "Production")
    first = stack.cli("reconcile", model, "--json")
    assert first.returncode == 0, first.stderr
    assert stack.version("production", model) == ""
    assert stack.status(model, "1", "production")["state"] == "proposed"
    head = host.head(f"mlflow-gitops/production/{model}")
    assert {each.verdict for each in host.statuses(head)} == {"success"}
    host.approve(1, by="raj")
    made = host.merge(1, by="rita", how="squash")
    assert stack.cli("reconcile", model).returncode == 0
    assert stack.version("production", model) == "1"
    record = stack.delivered(model, "production")
    assert record is not None
    assert (record.pull, record.commit) == (1, made)
    why = stack.cli("why", model, "-e", "production")
    assert why.returncode == 0, why.stderr
    assert "#1" in why.stdout
    assert "raj" in why.stdout

    stack.registry.transition(model, "2", "Production")
    assert stack.cli("reconcile", model).returncode == 0
    host.close(2, by="rita", comment="recall is worse")
    for _ in range(2):
        assert stack.cli("reconcile", model).returncode == 0
    status = stack.status(model, "2", "production")
    assert status["state"] == "rejected"
    assert 'without merging it ("recall is worse")' in status["message"]
    assert stack.version("production", model) == "1"
