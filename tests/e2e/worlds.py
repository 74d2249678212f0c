"""Worlds as the demo makes them, shared by a process's tests, which use models of their own."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest
from rich.console import Console

from mlflow_gitops.demo.narrator import Narrator
from mlflow_gitops.demo.world import World, world

PATIENCE = 120.0  # seconds; a loaded machine
OTHERS = """
  canary:
    select: {alias: champion}
    path: models/overlays/canary
    namespace: ml-canary
  lab:
    select: {tag: {deploy: lab}}
    path: models/overlays/lab
    namespace: ml-lab
"""
OVERLAY = """apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
namespace: ml-{name}
resources: []
"""


@pytest.fixture(scope="session")
def with_plugin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    quiet = Narrator(Console(quiet=True))
    with world(tmp_path_factory.mktemp("with-plugin"), quiet, resync_seconds=3600) as made:
        add_environments(made)
        yield made


@pytest.fixture(scope="session")
def without_plugin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("without-plugin")
    quiet = Narrator(Console(quiet=True))
    with world(folder, quiet, app_name=None, resync_seconds=10) as made:
        yield made


def add_environments(made: World) -> None:
    clone = made.clone_as_a_person()
    settings = clone / "mlflow-gitops.yaml"
    settings.write_text(settings.read_text().rstrip() + OTHERS)
    for name in ("canary", "lab"):
        folder = clone / "models/overlays" / name
        folder.mkdir()
        (folder / "kustomization.yaml").write_text(OVERLAY.format(name=name))
    made.run("git", "-C", str(clone), "add", "--all")
    made.run("git", "-C", str(clone), "commit", "--quiet", "-m", "Two more environments")
    made.run("git", "-C", str(clone), "push", "--quiet", "origin", "main")


def head_after(made: World, act: Callable[[], object]) -> str:
    """Act, and wait for the branch to move. Returns the new head."""
    before = made.git("rev-parse", "main")
    act()
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        made.check_alive()
        head = made.git("rev-parse", "main")
        if head != before:
            assert made.git("rev-parse", f"{head}^") == before, "one commit, no more"
            return head
        time.sleep(0.1)
    log = (made.folder / "service.log").read_text()[-3000:]
    raise AssertionError(f"no commit came\n{log}")
