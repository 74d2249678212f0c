"""Kill -9 around each visible effect, from outside, then run again: the same end state.

A proxy in front of S3 or MLflow, or a hook of the bare repository, stops the process group exactly
before or after one effect. Each test counts that the kill landed there.
"""

from __future__ import annotations

import json
import os
import re
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field

import pytest

from tests.support.fork_server import run_module
from tests.support.proxy import Proxy, Seen, proxy
from tests.support.stack import LEAF, Stack

pytestmark = pytest.mark.slow

Names = Callable[[str], str]
SEAL = re.compile(r"/_manifests/v2\.json(\?|$)")
WAIT = 120  # seconds
UNINTERRUPTED: dict[str, object] = {}


@dataclass(slots=True)
class Victim:
    """The command, and whether a kill landed."""

    landed: list[str] = field(default_factory=list)
    pid: int = 0
    _is_born: threading.Event = field(default_factory=threading.Event)

    def born(self, pid: int) -> None:
        self.pid = pid
        self._is_born.set()

    def kill(self, where: str) -> None:
        assert self._is_born.wait(WAIT)
        if not self.landed:
            self.landed.append(where)
            os.killpg(self.pid, signal.SIGKILL)


@dataclass(slots=True)
class Stage:
    stack: Stack
    s3: Proxy
    mlflow: Proxy
    victim: Victim

    def run(self, *models: str) -> int:
        """`mlflow-gitops reconcile MODEL…` behind the proxies; -9 where it was killed."""
        urls = {
            "MLFLOW_GITOPS_S3_ENDPOINT": self.s3.url,
            "MLFLOW_TRACKING_URI": self.mlflow.url,
            "VICTIM": "1",
        }
        done = run_module(
            "mlflow_gitops.cli",
            "reconcile",
            *models,
            env={**self.stack.environ, **urls},
            born=self.victim.born,
        )
        assert self.victim.landed or done.returncode == 0, done.stdout + done.stderr
        return done.returncode


@pytest.fixture
def stage(stack: Stack) -> Iterator[Stage]:
    with ExitStack() as exits:
        s3 = exits.enter_context(proxy(stack.s3.endpoint))
        mlflow = exits.enter_context(proxy(stack.mlflow.url))
        yield Stage(stack, s3, mlflow, Victim())


def at_claim(seen: Seen) -> bool:
    return seen.method == "PUT" and "v2.claim.json" in seen.path


def at_a_file(seen: Seen) -> bool:
    return seen.method == "PUT" and "/v2/" in seen.path


def at_seal(seen: Seen) -> bool:
    return seen.method == "PUT" and bool(SEAL.search(seen.path))


def at_record(seen: Seen) -> bool:
    return seen.path.endswith("registered-models/set-tag") and b"gitops.delivered" in seen.body


def at_report(seen: Seen) -> bool:
    return (
        seen.path.endswith("model-versions/set-tag")
        and b"gitops.status" in seen.body
        and b"committed" in seen.body
    )


def promoted_once(stack: Stack, model: str) -> None:
    for _ in range(2):
        stack.registry.register(model)
    stack.registry.transition(model, "1", "Production")
    stack.reconcile(model)
    assert stack.version("production", model) == "1"
    stack.registry.transition(model, "2", "Production")


def end_state(stack: Stack, model: str) -> dict[str, object]:
    """What an uninterrupted run leaves, without names, times and hashes that differ by run."""
    record = stack.delivered(model, "production")
    assert record is not None
    manifest = json.loads(stack.objects()[f"{model}/_manifests/v2.json"])
    return {
        "commits": stack.count(),
        "file": stack.file(LEAF.format(environment="production", service=model))
        .replace(model, "M")
        .replace(stack.bucket, "B"),
        "objects": sorted(
            key.replace(model, "M") for key in stack.objects() if key.startswith(f"{model}/")
        ),
        "files": [(f["path"], f["sha256"]) for f in manifest["files"]],
        "delivered": (record.request.version, dict.fromkeys(record.matched), record.head),
        "is head": record.head == stack.head(),
        "states": [stack.status(model, v, "production")["state"] for v in ("1", "2")],
    }


def assert_like_uninterrupted(stage: Stage, model: str, names: Names) -> None:
    """Run again, to the end; then the same as a run that nobody stopped."""
    stack = stage.stack
    done = stack.cli("reconcile", model)
    assert done.returncode == 0, done.stdout + done.stderr
    found = end_state(stack, model)
    assert found["is head"]
    assert found["commits"] == 3, "the start, version 1 and version 2: one commit"
    expected = uninterrupted(stack, names)
    for key in ("file", "files", "objects", "states"):
        assert found[key] == expected[key], key


def uninterrupted(stack: Stack, names: Names) -> dict[str, object]:
    """What a run leaves that nobody stops; the same for every stack, so it is run once."""
    if not UNINTERRUPTED:
        model = names("uninterrupted")
        promoted_once(stack, model)
        assert stack.cli("reconcile", model).returncode == 0
        UNINTERRUPTED.update(end_state(stack, model))
    return UNINTERRUPTED


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(
    ("server", "point", "version"),
    [
        ("s3", at_claim, "1"),
        ("s3", at_a_file, "1"),
        ("s3", at_seal, "1"),
        ("mlflow", at_record, "2"),
        ("mlflow", at_report, "2"),
    ],
    ids=["claim", "a file", "seal", "record", "report"],
)
def test_crash_around_one_request(
    stage: Stage,
    names: Names,
    server: str,
    point: Callable[[Seen], bool],
    version: str,
    when: str,
) -> None:
    """Before the seal nothing is committed; what is recorded was pushed before."""
    model = names("crash")
    promoted_once(stage.stack, model)

    def watch(seen: Seen) -> None:
        if point(seen):
            stage.victim.kill(point.__name__)

    getattr(getattr(stage, server), when).append(watch)
    stage.run(model)
    assert stage.victim.landed == [point.__name__]
    assert stage.stack.version("production", model) == version
    assert_like_uninterrupted(stage, model, names)


@pytest.mark.parametrize("hook", ["pre-receive", "post-receive"])
def test_crash_while_pushing(stage: Stage, names: Names, hook: str) -> None:
    """The hook tells the test, and waits until the pusher is dead; the server goes on or stops."""
    model = names("crash")
    promoted_once(stage.stack, model)
    told, go_on = stage.stack.folder / "told", stage.stack.folder / "go-on"
    os.mkfifo(told)
    os.mkfifo(go_on)
    script = stage.stack.bare / "hooks" / hook
    script.write_text(
        f'#!/bin/sh\nif [ -n "$VICTIM" ] && [ -p "{told}" ]; then\n'
        f'  echo here > "{told}"; cat "{go_on}" > /dev/null\nfi\n'
    )
    script.chmod(0o755)

    def watch() -> None:
        told.read_text()
        stage.victim.kill(hook)
        go_on.write_text("go on")

    watcher = threading.Thread(target=watch)
    watcher.start()
    stage.run(model)
    watcher.join(WAIT)
    assert stage.victim.landed == [hook]
    told.unlink()
    assert_like_uninterrupted(stage, model, names)


def test_crash_between_push_and_record_then_a_revert(stage: Stage, names: Names) -> None:
    model = names("crash")
    promoted_once(stage.stack, model)

    def watch(seen: Seen) -> None:
        if at_record(seen):
            stage.victim.kill("record")

    stage.mlflow.before.append(watch)
    stage.run(model)
    assert stage.victim.landed == ["record"]
    reverted = stage.stack.person_reverts()
    for _ in range(3):
        done = stage.stack.cli("reconcile", model)
        assert done.returncode == 0, done.stdout + done.stderr
    assert stage.stack.head() == reverted
    assert stage.stack.status(model, "2", "production")["state"] == "held"


def test_crash_between_the_push_of_many_and_their_records(stage: Stage, names: Names) -> None:
    """All of them stand in Git, and some records are not written: none is committed again."""
    stack, models = stage.stack, [names(f"crash-{number}") for number in range(3)]
    for model in models:
        stack.registry.register(model)
        stack.registry.transition(model, "1", "Production")

    def watch(seen: Seen) -> None:
        if at_record(seen):
            stage.victim.kill("record")

    stage.mlflow.after.append(watch)
    stage.run(*models)
    assert stage.victim.landed == ["record"]
    assert stack.count() == 1 + len(models)
    head = stack.head()
    for _ in range(2):
        done = stack.cli("reconcile", *models)
        assert done.returncode == 0, done.stdout + done.stderr
        assert stack.head() == head
    form = "--format=%H %(trailers:key=Gitops-Service,valueonly)"
    lines = filter(None, stack.git("log", form, "main~3..main").splitlines())
    commits = {service: commit for commit, service in map(str.split, lines)}
    for model in models:
        record = stack.delivered(model, "production")
        assert record is not None
        assert record.commit == commits[f"production/{model}"]
        assert stack.status(model, "1", "production")["state"] == "committed"
