"""`config check` against a forge over HTTP and a real repository: what would be refused later."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from tests.integration.test_forges import SERVERS
from tests.support.forge_host import LocalForge
from tests.support.fork_server import run_module
from tests.support.git import make_bare

SETTINGS = """artifacts: {{bucket: models}}
forge: {{kind: {kind}, url: "{url}"}}
environments:
  staging: {{select: {{stage: Staging}}, path: staging}}
  production:
    select: {{stage: Production}}
    path: production
    delivery: pull-request
"""


@pytest.fixture(params=[kind for kind in SERVERS if kind != "gitlab"])
def host(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[LocalForge]:
    """Its repository is where the path of its Git address is below a folder. GitLab would take the
    folder for groups.
    """
    names = {
        "azure-devops": "org/ml/_git/manifests",
        "bitbucket-data-center": "scm/ml/manifests.git",
    }
    path = tmp_path / names.get(request.param, "ml/manifests.git")
    bare = make_bare(path, {"staging/a.yaml": "a: 1\n", "production/a.yaml": "a: 1\n"})
    with SERVERS[request.param](bare, tmp_path / "people") as server:
        settings = SETTINGS.format(kind=server.kind, url=server.url)
        server.person("main").commits({"mlflow-gitops.yaml": settings})
        yield server


def check(host: LocalForge, folder: Path, token: str | None = None) -> CompletedProcess[str]:
    environ = {
        "MLFLOW_GITOPS_REPOSITORY": str(host.bare),
        "MLFLOW_GITOPS_STATE_DIR": str(folder / "state"),
        "MLFLOW_GITOPS_FORGE_TOKEN": host.token if token is None else token,
    }
    return run_module("mlflow_gitops.cli", "config", "check", env=environ)


def test_what_the_forge_would_refuse_is_said_before(host: LocalForge, tmp_path: Path) -> None:
    fine = check(host, tmp_path)
    assert (fine.returncode, fine.stderr) == (0, "")
    host.takes_pushes = False
    host.required = ("mlflow-gitops/metric",) if host.names_required else ()
    warned = check(host, tmp_path)
    assert warned.returncode == 0
    assert "staging: direct commits to main are refused" in warned.stderr
    assert ("mlflow-gitops/metric, which nobody sets" in warned.stderr) is host.names_required
    host.may_write = False
    refused = check(host, tmp_path)
    assert refused.returncode == 1
    assert "may not write to the repository" in refused.stdout
    assert [each for each in host.seen if not each.startswith("GET")] == []


def test_a_wrong_token_and_none(host: LocalForge, tmp_path: Path) -> None:
    wrong = check(host, tmp_path, "an-0ther-t0ken")
    assert wrong.returncode == 1
    assert "the forge refuses the token" in wrong.stdout
    assert "(HTTP 401)" in wrong.stdout
    assert "an-0ther-t0ken" not in wrong.stdout + wrong.stderr
    seen = len(host.seen)
    none = check(host, tmp_path, "")
    assert none.returncode == 0
    assert "the forge is not checked: there is no token" in none.stderr
    assert len(host.seen) == seen
