"""Property: whenever a promotion is committed, the real build changed in exactly the wanted values.

The worlds are made by chance. What the tool built is not believed: each commit is built again, as a
whole, and compared by other code. The refusals are counted by reason, and printed (`-s`).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from mlflow_gitops.adapters.renderer import KustomizeRenderer
from mlflow_gitops.reconcile import Reconciler
from mlflow_gitops.state import State
from tests.support.kubectl import build, kubectl, objects, write_tree
from tests.support.memory_repository import MemoryRepository
from tests.support.memory_session import Parts
from tests.support.soak import rounds
from tests.support.worlds_by_chance import SERVICE, ChanceWorld, make_world

SETTINGS = """artifacts: {bucket: models}
environments:
  production: {select: {stage: Production}, path: production, unproved: refuse}
"""
GROUPS = 4
WORLDS = rounds(usual=100, soak=2000)
WANTED = {"s3://models/svc/v2/", "2"}

Objects = dict[tuple[str, str, str], Any]


@pytest.mark.parametrize("group", range(GROUPS))
def test_what_is_committed_changes_the_build_as_it_should_property(
    group: int, tmp_path: Path
) -> None:
    renderer = KustomizeRenderer(path=str(Path(kubectl()).parent))
    counts: Counter[str] = Counter()
    for seed in range(group, WORLDS, GROUPS):
        world = make_world(seed)
        parts = Parts(repository=MemoryRepository({"main": {**world.files, **_settings()}}))
        parts.register(SERVICE)
        parts.registry.transition(SERVICE, parts.register(SERVICE), "Production")
        session = parts.session()
        reconciler = Reconciler(
            session.observer, session.store, pause=lambda _: None, threads=1, renderer=renderer
        )
        (outcome,) = reconciler.reconcile(SERVICE)
        if outcome.error is not None:
            counts[_reason(str(outcome.error.what))] += 1
            assert parts.repository.files() == {**world.files, **_settings()}
            assert not parts.store.objects, f"world {seed}: published before it was refused"
            continue
        assert outcome.state is State.COMMITTED, f"world {seed}: {outcome}"
        counts["committed"] += 1
        after = dict(parts.repository.files())
        before, now = (
            _objects(world, files, tmp_path / f"{seed}-{name}")
            for name, files in (("before", world.files), ("after", after))
        )
        _check(before, now, f"world {seed}")
    for reason, count in counts.most_common():
        print(f"{count:5} {reason}")
    assert counts["committed"] > sum(counts.values()) / 10, "hardly anything is tried"


def _settings() -> dict[str, str]:
    return {"mlflow-gitops.yaml": SETTINGS}


def _reason(what: str) -> str:
    return re.sub(r"`[^`]*`|s3://\S+|[a-z]+/[\w./-]+", "…", what)[:110]


def _objects(world: ChanceWorld, files: dict[str, str], folder: Path) -> Objects:
    write_tree(folder, files)
    found = (
        _applied(folder / "production")
        if world.is_plain
        else iter(objects(build(folder / "production")))
    )
    return {
        (each["kind"], each["metadata"].get("namespace", ""), each["metadata"]["name"]): each
        for each in found
    }


def _applied(folder: Path) -> Iterator[dict[str, Any]]:
    """As Argo CD reads a directory with recursion. An object that is there twice is an error."""
    seen: set[tuple[str, str]] = set()
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() not in (".yaml", ".yml", ".json"):
            continue
        for document in yaml.safe_load_all(path.read_text(encoding="utf-8-sig")):
            for each in document.get("items", [document]) if document else ():
                key = (each["kind"], each["metadata"]["name"])
                assert key not in seen, key
                seen.add(key)
                yield each


def _check(before: Objects, after: Objects, where: str) -> None:
    assert not before.keys() - after.keys(), f"{where}: something is gone"
    added = after.keys() - before.keys()
    wanted = {key for key in after if key[0] == "InferenceService" and SERVICE in key[2]}
    assert len(wanted) == 1, f"{where}: {wanted}"
    serving = {key for key in after if key[0] == "LLMInferenceService" and key[2] == SERVICE}
    assert not serving, f"{where}: a second object serves the model"
    (key,) = wanted
    assert {each for each in added if each[0] == "InferenceService"} <= wanted, where
    for other in before.keys() - wanted:
        assert before[other] == after[other], f"{where}: {other} changed"
    service = after[key]
    assert service["metadata"]["labels"]["model-version"] == "2", where
    (uri,) = (
        each["storageUri"]
        for each in service["spec"]["predictor"].values()
        if isinstance(each, dict) and "storageUri" in each
    )
    assert uri == "s3://models/svc/v2/", where
    if key in before:
        differing = set(_leaves(service)) ^ set(_leaves(before[key]))
        new = {leaf for leaf in _leaves(service) if leaf in differing}
        assert {value for _, value in new} <= WANTED, f"{where}: {differing}"
        paths = {path for path, _ in new}
        assert all(path[-1] in ("storageUri", "model-version") for path in paths), where


def _leaves(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    if isinstance(value, dict):
        for key, each in value.items():
            yield from _leaves(each, (*path, str(key)))
    elif isinstance(value, list):
        for number, each in enumerate(value):
            yield from _leaves(each, (*path, str(number)))
    else:
        yield path, value
