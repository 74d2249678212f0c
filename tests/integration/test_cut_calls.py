"""Each call of the tool is cut once, and the process killed at each: the next looks end the same.

With GITEA_BINARY against a real Gitea: every call, Git's too. And against the local servers: only
the calls that write, since a read that fails leaves nothing behind, and all ways with `make soak`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import pytest

from tests.integration.test_forges import LOCAL, SERVERS
from tests.support.cut_calls import HOWS, Cut, Place, Scene, scene
from tests.support.forge_host import LocalForge
from tests.support.git import Person, make_bare
from tests.support.real_gitea import GiteaRepository, RealGitea, binary, real_gitea
from tests.support.soak import rounds

Act = Callable[[Scene], object]


def proposal(story: Scene) -> None:
    story.asks("2")


def update(story: Scene) -> None:
    proposal(story)
    story.settles(1)
    story.asks("3")


def replacement(story: Scene) -> None:
    """Somebody approved version 2 before version 3 is asked for."""
    proposal(story)
    story.settles(1)
    story.place.approve(1)
    story.asks("3")


def withdrawal(story: Scene) -> None:
    """Version 1, which runs, is asked for again."""
    proposal(story)
    story.settles(1)
    story.asks("1")


def merge(story: Scene) -> None:
    proposal(story)
    story.settles(1)
    story.place.merge(1)


ACTS = [replacement, proposal, update, withdrawal, merge]
Places = Callable[[], Place]


@dataclass
class LocalPlace:
    host: LocalForge
    repository: str = "ml/manifests"

    def __post_init__(self) -> None:
        self.kind, self.api, self.token = self.host.kind, self.host.url, self.host.token
        self.remote = self.host.remote

    def merge(self, number: int) -> object:
        return self.host.merge(number, how="squash")

    def approve(self, number: int) -> None:
        self.host.approve(number)

    def comments(self, number: int) -> list[str]:
        return self.host.comments(number)

    def person(self, branch: str) -> Person:
        return self.host.person(branch)


@dataclass
class RealPlace:
    of: GiteaRepository
    kind: str = "gitea"

    def __post_init__(self) -> None:
        self.api, self.token = self.of.server.api, self.of.server.token
        self.repository, self.remote = self.of.name, self.of.remote

    def merge(self, number: int) -> None:
        self.of.merge(number)

    def approve(self, number: int) -> None:
        self.of.approve(number)

    def comments(self, number: int) -> list[str]:
        return self.of.comments(number)

    def person(self, branch: str) -> Person:
        return self.of.person(branch)


@dataclass
class Trial:
    """Plays a story once without a cut, then once for each call that begins with `only`."""

    act: Act
    places: Callable[[], Iterator[Place]]
    folder: Path
    only: str = ""

    def __post_init__(self) -> None:
        self._scenes = count()
        self.calls, self.expected = self.played(Cut())

    def played(self, cut: Cut) -> tuple[list[str], dict[str, object]]:
        for place in self.places():
            with scene(place, self.folder / f"scene-{next(self._scenes)}") as story:
                self.act(story)
                story.stopped(cut)
                story.settles()
                return cut.calls, story.state()
        raise AssertionError("there is no place")

    def differences(self, how: str) -> Iterator[str]:
        for at, call in enumerate(self.calls, 1):
            if not call.startswith(self.only):
                continue
            cut = Cut(at, how)  # type: ignore[arg-type]
            try:
                _, found = self.played(cut)
            except AssertionError as error:
                yield f"{how} {at} {call}: {error}"
                continue
            if not cut.landed and len(cut.calls) >= at:  # Gitea is asked again while it looks
                yield f"{how} {at} {call}: not reached"
            for text in _compared(self.expected, found):
                print(f"{how} {at} {call}: {text}", flush=True)
                yield f"{how} {at} {call}: {text}"


def _compared(wanted: object, found: object, path: str = "") -> Iterator[str]:
    if isinstance(wanted, dict) and isinstance(found, dict):
        for key in wanted.keys() | found.keys():
            yield from _compared(wanted.get(key), found.get(key), f"{path}.{key}")
    elif isinstance(wanted, list) and isinstance(found, list) and len(wanted) == len(found):
        for index, (one, two) in enumerate(zip(wanted, found, strict=True)):
            yield from _compared(one, two, f"{path}[{index}]")
    elif wanted != found:
        one, two = repr(wanted), repr(found)
        pairs = zip(one, two, strict=False)
        same = next((at for at, pair in enumerate(pairs) if pair[0] != pair[1]), len(one))
        same = max(0, same - 30)
        yield f"{path} is {two[same : same + 200]} instead of {one[same : same + 200]}"


@pytest.fixture(scope="module")
def gitea(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealGitea]:
    if not binary():
        pytest.skip("GITEA_BINARY names no Gitea")
    with real_gitea(tmp_path_factory.mktemp("real")) as server:
        yield server


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("act", ACTS)
def test_a_real_gitea_ends_the_same(gitea: RealGitea, tmp_path: Path, act: Act, how: str) -> None:
    def places() -> Iterator[Place]:
        yield RealPlace(gitea.repository())

    trial = Trial(act, places, tmp_path)
    print(f"\n{act.__name__}: {len(trial.calls)} calls")
    found = list(trial.differences(how))
    assert not found, "\n".join(found)


@pytest.mark.parametrize("act", ACTS[: rounds(1, len(ACTS))])
@pytest.mark.parametrize("kind", LOCAL[-rounds(1, len(LOCAL)) :])
def test_a_local_forge_ends_the_same(kind: str, tmp_path: Path, act: Act) -> None:
    numbers = count()

    def places() -> Iterator[Place]:
        folder = tmp_path / f"host-{next(numbers)}"
        bare = make_bare(folder / "ml" / "manifests.git", {"README.md": "manifests"})
        with SERVERS[kind](bare, folder / "people") as host:
            yield LocalPlace(host)

    trial = Trial(act, places, tmp_path, "P")
    hows = HOWS[-rounds(1, len(HOWS)) :]
    found = [each for how in hows for each in trial.differences(how)]
    assert not found, "\n".join(found)
