"""Fifty writers on one branch, from two clones, while a person pushes: real Git.

All of them add a line to one file, so that each push must see those before it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mlflow_gitops.adapters.repository import GitRepository
from mlflow_gitops.errors import TransientError
from mlflow_gitops.manifests import InitOptions, scaffold_repository
from mlflow_gitops.observe import Observer
from mlflow_gitops.planning.trailers import parse_trailers
from mlflow_gitops.reconcile import Reconciler
from tests.support.git import Person, git, make_bare
from tests.support.memory_registry import MemoryRegistry
from tests.support.memory_session import FILES, ROOT, TIME
from tests.support.memory_store import MemoryArtifactStore

WRITERS, CLONES, NOTES = 50, 2, 5
LIST = "models/overlays/production/kustomization.yaml"
MODELS = [f"model-{number:02}" for number in range(WRITERS)]


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    options = InitOptions(bucket="models", repository_url="https://git.example.com/ml.git")
    return make_bare(tmp_path / "manifests.git", scaffold_repository(options))


@pytest.fixture
def writers(bare: Path, tmp_path: Path) -> Iterator[list[Reconciler]]:
    """Each with a clone of its own; the registry and the bucket are everybody's."""
    registry, store = MemoryRegistry(), MemoryArtifactStore({f"{ROOT}0": FILES})
    for model in MODELS:
        number = registry.create_version(model, source=f"{ROOT}0")
        registry.transition(model, number, "Production")
    repositories = [GitRepository(str(bare), tmp_path / f"state-{n}") for n in range(CLONES)]
    yield [Reconciler(Observer(registry, each, lambda: TIME), store) for each in repositories]
    for repository in repositories:
        repository.close()


def until_delivered(work: Callable[[], None]) -> None:
    """Again where it may pass by itself, as the queue does."""
    while True:
        try:
            return work()
        except TransientError:
            continue


def write(writer: Reconciler, model: str) -> None:
    (outcome,) = writer.reconcile(model, only=["production"])
    if outcome.error is not None:
        raise outcome.error


def test_fifty_writers_and_a_person_lose_nothing(
    bare: Path, writers: list[Reconciler], tmp_path: Path
) -> None:
    person = Person(tmp_path / "person", str(bare))

    def push_by_hand() -> None:
        for number in range(NOTES):
            person.commits({f"note-{number}.txt": "by hand\n"}, f"Note {number}")

    with ThreadPoolExecutor(WRITERS + 1) as pool:
        by_hand = pool.submit(push_by_hand)
        jobs = [
            pool.submit(until_delivered, lambda n=n, m=m: write(writers[n % CLONES], m))
            for n, m in enumerate(MODELS)
        ]
        for job in (*jobs, by_hand):
            job.result()
    messages = git("log", "--format=%B%x00", "main", cwd=bare).split("\0")
    services = Counter(parse_trailers(text.strip()).get("Gitops-Service", "") for text in messages)
    assert {s: n for s, n in services.items() if s} == {f"production/{m}": 1 for m in MODELS}
    assert sum(text.strip().startswith("Note ") for text in messages) == NOTES
    listed = git("show", f"main:{LIST}", cwd=bare).splitlines()
    assert sorted(x.strip("- ") for x in listed if "model-" in x) == MODELS
    head = git("rev-parse", "main", cwd=bare)
    writers[0].reconcile_many(dict.fromkeys(MODELS, ("production",)))
    assert git("rev-parse", "main", cwd=bare) == head
