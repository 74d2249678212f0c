"""A proposal ends the same, whichever of its calls to the forge is cut, and wherever it is killed.

Each forge's adapter over HTTP, against servers that close the connection before a call took effect
or after. Git is in memory here: what crashes do to it has tests of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import requests

from mlflow_gitops.errors import ForgeError, TransientError
from mlflow_gitops.planning.records import status_of
from mlflow_gitops.ports import Repository
from tests.integration.test_forge_stories import MODEL, PATH, SERVICE, SETTINGS, Story
from tests.integration.test_forges import LOCAL
from tests.support.forge_host import BRANCH, LocalForge, When, serving
from tests.support.gitea_server import GiteaServer
from tests.support.github_server import GitHubServer
from tests.support.gitlab_server import GitLabServer
from tests.support.memory_registry import MemoryRegistry
from tests.support.memory_repository import MemoryRepository
from tests.support.memory_store import MemoryArtifactStore

NOWHERE = Path("nowhere")


@dataclass
class OnMemory(LocalForge):
    """A server whose branches are in memory."""

    git: MemoryRepository = field(default_factory=MemoryRepository)

    def head(self, branch: str) -> str:
        return self.git.remote[branch]

    def has(self, branch: str) -> bool:
        return branch in self.git.remote

    def is_mergeable(self, base: str, head: str) -> bool:
        return True


@dataclass
class OnGitHub(OnMemory, GitHubServer):
    pass


@dataclass
class OnGitLab(OnMemory, GitLabServer):
    pass


@dataclass
class OnGitea(OnMemory, GiteaServer):
    pass


SERVERS: Mapping[str, tuple[type[OnMemory], str]] = {
    "github": (OnGitHub, ""),
    "gitlab": (OnGitLab, ""),
    "gitea": (OnGitea, "/api/v1"),
}


class Died(BaseException):
    """The process ended here."""


@dataclass
class Case(Story):
    """`host.seen` counts the calls. Where `dies_after` is one of them, the process ends then."""

    host: OnMemory
    dies_after: int = 0

    def repository(self) -> Repository:
        return self.host.git

    def answered(self) -> None:
        if self.dies_after and len(self.host.seen) == self.dies_after:
            self.dies_after = 0
            raise Died

    def looks(self) -> None:
        """Once; a process that died is started again."""
        try:
            self.reconciler.reconcile(MODEL)
        except Died:
            self.starts()

    def end(self) -> Mapping[str, Any]:
        """What people see of it in the end. Times and hashes differ from run to run."""
        git, snapshot = self.host.git, self.registry.snapshot(MODEL)
        statuses = [status_of(version, "production") for version in snapshot.versions]
        record = snapshot.delivered.get("production")
        return {
            "branches": {name: git.commits[head].message for name, head in git.remote.items()},
            "pushes": git.pushes,
            "told": [status and replace(status, time="") for status in statuses],
            "record": record and replace(record, head=""),
            "pulls": list(self.pulls()),
        }

    def pulls(self) -> Iterator[object]:
        for number in count(1):
            try:
                pull = self.pull(number)
            except ForgeError:
                return
            told = {each.name: each for each in self.host.statuses(pull.head)}
            shown = (pull.state, pull.title, pull.body, sorted(pull.labels), len(pull.approvals))
            yield *shown, self.host.comments(number), sorted(self.host.reviewers(number)), told


@contextmanager
def case(kind: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Case]:
    monkeypatch.setattr("mlflow_gitops.adapters.forge.gitea.BETWEEN", 0.0)
    monkeypatch.setattr("mlflow_gitops.adapters.forge.github_client.WRITES_APART", None)
    files = {"mlflow-gitops.yaml": SETTINGS, PATH: SERVICE.replace("NAME", MODEL)}
    server, prefix = SERVERS[kind]
    host = server(NOWHERE, NOWHERE, git=MemoryRepository({"main": files}))
    with serving(host, prefix):
        made = Case(host, NOWHERE, MemoryRegistry(), MemoryArtifactStore())
        send = requests.adapters.HTTPAdapter.send

        def sends(*args: Any, **named: Any) -> Any:
            answer = send(*args, **named)
            made.answered()
            return answer

        monkeypatch.setattr(requests.adapters.HTTPAdapter, "send", sends)
        made.measured(0.85)
        for _ in range(3):
            made.register()
        yield made


# What the tool has to do


def opens(made: Case) -> None:
    made.asks("2")


def rewrites(made: Case) -> None:
    opens(made)
    made.looks()
    made.asks("3")


def replaces(made: Case) -> None:
    opens(made)
    made.looks()
    made.host.approve(1)
    made.asks("3")


def keeps_a_persons_work(made: Case) -> None:
    opens(made)
    made.looks()
    made.host.git.person_commits({"note.txt": "mine"}, "More", BRANCH)
    made.asks("3")


def withdraws(made: Case) -> None:
    opens(made)
    made.looks()
    made.asks("1")


def catches_up(made: Case) -> None:
    """With a new head, another text, more labels and reviewers."""
    opens(made)
    made.looks()
    more = SETTINGS.replace("[ml]", "[ml, risk]").replace("[rita]", "[rita, raj]")
    made.host.git.person_commits({"mlflow-gitops.yaml": more})
    made.host.git.person_merges(BRANCH)
    made.measured(0.97)


WORK = [opens, rewrites, replaces, keeps_a_persons_work, withdraws, catches_up]


@pytest.mark.parametrize("work", WORK)
@pytest.mark.parametrize("kind", [each for each in LOCAL if each.values[0] in SERVERS])
def test_each_call_may_be_cut_or_be_the_last(
    kind: str, work: Callable[[Case], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def ends(
        number: int = 0, when: When | None = None, push: BaseException | None = None
    ) -> tuple[Mapping[str, Any], list[str]]:
        """The end where a call of the work is cut, or is the last of its process, and its calls.
        `push` is raised when the branch was pushed.
        """
        with monkeypatch.context() as patch, case(kind, patch) as made:
            work(made)
            start = len(made.host.seen)
            made.host.git.lose_next_answer = push  # type: ignore[assignment]
            if when:
                made.host.cut = (start + number, when)
            else:
                made.dies_after = number and start + number
            made.looks()
            calls = made.host.seen[start:]
            made.looks()
            before = (made.writes(), made.host.git.pushes)
            made.looks()
            assert (made.writes(), made.host.git.pushes) == before
            return made.end(), calls

    wanted, calls = ends()
    assert calls
    for push in (TransientError("no answer"), Died()):
        assert ends(push=push)[0] == wanted, push
    for number, call in enumerate(calls, 1):
        is_read, is_one_more = call.startswith("GET"), calls[number - 2 : number + 1] == [call] * 3
        if work is not opens and (is_read or is_one_more):
            continue  # as where the call before it is cut after it took effect
        for when in ("before",) if is_read else ("before", "after", None):
            end, _ = ends(number, when)
            assert end == wanted, f"{call} ({number}), {when or 'died'}"
