"""Pull requests of many new services are merged in any order, and each keeps its approval."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path

import pytest

from mlflow_gitops.adapters.renderer import KustomizeRenderer
from tests.integration.test_forges import FIRST, SERVERS
from tests.support.forge_host import How, LocalForge
from tests.support.git import git, make_bare
from tests.support.kubectl import build, kubectl, objects
from tests.support.new_services import FOLDERS, LISTED, PLAIN, NewServices

MODELS = [f"model-{letter}" for letter in "dbface"]
MOST_CALLS, GATES = 5, 4
HOW: Mapping[str, How] = {"github": "merge", "gitlab": "squash", "gitea": "merge"}


@pytest.fixture(autouse=True)
def without_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlflow_gitops.adapters.forge.gitea.BETWEEN", 0.0)
    monkeypatch.setattr("mlflow_gitops.adapters.forge.github_client.WRITES_APART", None)


@contextmanager
def forge(kind: str, folder: Path, files: Mapping[str, str]) -> Iterator[LocalForge]:
    bare = make_bare(folder / "ml" / "manifests.git", files)
    with SERVERS[kind](bare, folder / "people") as host:
        yield host


@pytest.mark.parametrize("kind", FIRST)
def test_a_list_costs_no_approval(kind: str, tmp_path: Path) -> None:
    with forge(kind, tmp_path, LISTED) as host:
        world = NewServices(host, tmp_path / "state", MODELS)
        steps = world.merge_all(seed=3, how=HOW[kind])
        assert world.is_untouched()
        assert max(step.most for step in steps) <= MOST_CALLS
        assert max(step.calls[0] for step in steps) <= 1  # for the one that was merged
        others = sum(len(step.others) for step in steps)
        assert 0 < sum(len(step.moved) for step in steps) < others
        lines = [line for line in world.served().splitlines() if "model-" in line]
        assert lines == [f"  - {model}" for model in sorted(MODELS)]


@pytest.mark.parametrize(
    ("files", "place"),
    [(PLAIN, "production/{}.yaml"), (FOLDERS, "models/overlays/production/{}/kustomization.yaml")],
    ids=["plain", "folders"],
)
def test_without_a_list_nothing_is_touched(
    tmp_path: Path, files: Mapping[str, str], place: str
) -> None:
    renderer = KustomizeRenderer(path=str(Path(kubectl()).parent))
    with forge("gitea", tmp_path, files) as host:
        world = NewServices(host, tmp_path / "state", MODELS[:4], renderer)
        for step in world.merge_all(seed=4):
            assert (step.moved, step.total) == ([], 0)
        assert world.is_untouched()
        assert {place.format(model) for model in world.models} <= set(world.served().splitlines())


class KilledError(BaseException):
    """Nothing catches it."""


def test_a_kill_after_any_request_ends_in_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    get_response, left = HTTPConnection.getresponse, [0]

    def cut(connection: HTTPConnection) -> HTTPResponse:
        answer = get_response(connection)
        left[0] -= 1
        if left[0] == 0:
            raise KilledError
        return answer

    monkeypatch.setattr(HTTPConnection, "getresponse", cut)
    with forge("gitlab", tmp_path, LISTED) as host:
        models = sorted(MODELS)[:4]  # each is added where the one before it was
        world = NewServices(host, tmp_path / "state", models)
        for number in world.numbers:
            host.merge(number)
            left[0] = 3 + number
            with suppress(KilledError):
                world.look([world.model_of(number)])
            was_killed, left[0] = left[0] == 0, 0
            assert was_killed or number == len(models)
            world.start()
            world.look(models)
            for each in filter(world.is_open, world.numbers):
                head = host.head(world.branch(each))
                assert host.is_mergeable("main", head)
                assert {status.verdict for status in host.statuses(head)} == {"success"}
                assert len(host.statuses(head)) == GATES
        assert world.is_untouched()


def test_the_edit_is_proved_again_on_the_base_of_now(tmp_path: Path) -> None:
    """With real builds, and where one process dies after each merge."""
    renderer = KustomizeRenderer(path=str(Path(kubectl()).parent))
    with forge("github", tmp_path, LISTED) as host:
        world = NewServices(host, tmp_path / "state", MODELS[:3], renderer)
        for number in (2, 1, 3):
            assert world.merge(number).most <= MOST_CALLS
            world.start()
        assert world.is_untouched()
        git("clone", "--quiet", str(host.bare), str(tmp_path / "clone"), cwd=tmp_path)
        built = objects(build(tmp_path / "clone" / "production"))
        services = [each for each in built if each["kind"] == "InferenceService"]
        assert len(services) == 3
