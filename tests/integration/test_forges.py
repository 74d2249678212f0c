"""One set of scenarios for every forge's adapter, over HTTP. A new forge is one line in SERVERS.

The local servers rest on a real repository. With MLFLOW_GITOPS_TEST_FORGE_URL (the API's address),
_KIND, _TOKEN and _REPOSITORY (the Git address) the suite runs against that forge instead; what
needs a second person there, or an answer that it does not give, is skipped.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from mlflow_gitops.ports import Forge
from mlflow_gitops.pull_requests import Draft, PullRequest
from tests.support.forge_host import BRANCH, Host, LocalForge, opened
from tests.support.git import git, make_bare
from tests.support.github_server import github_server
from tests.support.gitlab_server import gitlab_server
from tests.support.real_forge import real_forge, variable

Serve = Callable[[Path, Path], AbstractContextManager[LocalForge]]

SERVERS: Mapping[str, Serve] = {
    "github": github_server,
    "gitlab": gitlab_server,
}
DRAFT = Draft("production: v1 -> v2", "why", ("ml",))
JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bare repository whose branch is ahead of its base by one commit."""
    folder = tmp_path_factory.mktemp("forge")
    bare = make_bare(folder / "manifests.git", {"a.yaml": "uri: 1\n"})
    git("update-ref", f"refs/heads/{BRANCH}", "refs/heads/main", cwd=bare)
    with github_server(bare, folder / "people") as server:
        server.person(BRANCH).commits({"a.yaml": "uri: 2\n"})
    return bare


@pytest.fixture(params=["real"] if variable("URL") else SERVERS)
def host(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Host]:
    if request.param == "real":
        with real_forge(tmp_path) as found:
            yield found
        return
    # the servers here have no second limit
    monkeypatch.setattr("mlflow_gitops.adapters.forge.github_client.WRITES_APART", None)
    bare = tmp_path / "ml" / "manifests.git"
    shutil.copytree(request.getfixturevalue("template"), bare)
    with SERVERS[request.param](bare, tmp_path / "people") as server:
        yield server


@pytest.fixture
def forge(host: Host) -> Forge:
    return opened(host)


def proposed(forge: Forge, host: Host, draft: Draft = DRAFT) -> PullRequest:
    return forge.open(host.branch, host.base, draft)


def colleagues(host: Host) -> tuple[str, str]:
    """Two who may review."""
    if len(host.colleagues) < 2:
        pytest.skip("it needs a second person")
    return host.colleagues[0], host.colleagues[1]


def writes(host: Host) -> list[str]:
    return [each for each in host.seen if not each.startswith("GET")]


def test_requests_and_replies_are_held_to_the_api_s_description(host: Host) -> None:
    """Without it the scenarios below run all the same, on what the server knows of the API."""
    if host.published is None:
        pytest.skip(f"no registry has the description of {host.kind}'s API: a table stands for it")
