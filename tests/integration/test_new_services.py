"""Pull requests of many new services are merged in any order, and each keeps its approval."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.test_forges import LOCAL, SERVERS
from tests.support.forge_host import LocalForge
from tests.support.git import make_bare
from tests.support.new_services import LISTED, PLAIN, NewServices

MODELS = [f"model-{letter}" for letter in "dbface"]
MOST_CALLS = 5


@pytest.fixture(params=LOCAL)
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr("mlflow_gitops.adapters.forge.gitea.BETWEEN", 0.0)
    monkeypatch.setattr("mlflow_gitops.adapters.forge.github_client.WRITES_APART", None)
    return str(request.param)


@pytest.fixture(params=[LISTED, PLAIN], ids=["listed", "plain"])
def host(request: pytest.FixtureRequest, kind: str, tmp_path: Path) -> Iterator[LocalForge]:
    bare = make_bare(tmp_path / "ml" / "manifests.git", request.param)
    with SERVERS[kind](bare, tmp_path / "people") as made:
        yield made


def test_all_are_merged_as_they_were_approved(host: LocalForge, tmp_path: Path) -> None:
    world = NewServices(host, tmp_path / "state", MODELS)
    steps = world.merge_all(seed=1)
    print([(s.most, s.total, s.moved) for s in steps])
    assert max(step.most for step in steps) <= MOST_CALLS
