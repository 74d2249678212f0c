"""The main job, told step by step on real parts, each step checked.

Everything is the product's own: the repository is made by `mlflow-gitops init`, the service is
`mlflow-gitops serve`, the registry is moved with MLflow's client. A step that does not come about
raises `StoryError`, which names it.
"""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from mlflow_gitops.demo.narrator import Narrator

if TYPE_CHECKING:
    from mlflow_gitops.demo.world import World

__all__ = ["StoryError", "tell"]

MODEL = "fraud-detector"
LEAF = "model-version.yaml"
Found = TypeVar("Found")
PATIENCE = 90.0  # seconds until a step that does not come about fails


class StoryError(Exception):
    """A step of the demo was not seen to happen."""


@dataclass(slots=True)
class Story:
    world: World
    say: Narrator

    def promote(self, version: str, stage: str) -> str:
        """Move a version with MLflow's client, and wait for the commit. Returns its hash."""
        environment = stage.lower()
        head = self.world.git("rev-parse", "main")
        self.say.step(f'transition_model_version_stage("{MODEL}", "{version}", "{stage}")')
        started = time.monotonic()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # MLflow calls stages deprecated
            self.world.client.transition_model_version_stage(MODEL, version, stage)
        commit = self.wait_for(
            f"the commit of version {version} to {environment}",
            lambda: self._new_head(head),
        )
        self.say.done(f"commit {commit[:12]} on main, {time.monotonic() - started:.1f} s later")
        self.say.diff(self.world.git("show", "--format=%an: %s", "--stat", "--patch", commit))
        self.expect_version(environment, version)
        self.wait_for(
            f"the tag gitops.status.{environment} of version {version}",
            lambda: self.status(version, environment).get("commit") == commit,
        )
        return commit

    def _new_head(self, old: str) -> str:
        head = self.world.git("rev-parse", "main")
        return head if head != old else ""

    def expect_version(self, environment: str, version: str) -> None:
        path = f"models/overlays/{environment}/{MODEL}/{LEAF}"
        text = self.world.git("show", f"main:{path}")
        uri = f"s3://{self.world.bucket}/{MODEL}/v{version}/"
        if uri not in text or f'model-version: "{version}"' not in text:
            raise StoryError(f"{path} does not say version {version}:\n{text}")

    def status(self, version: str, environment: str) -> dict[str, Any]:
        tags = self.world.client.get_model_version(MODEL, version).tags
        found: dict[str, Any] = json.loads(tags.get(f"gitops.status.{environment}", "{}"))
        return found

    def wait_for(self, what: str, look: Callable[[], Found]) -> Found:
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            self.world.check_alive()
            if found := look():
                return found
            time.sleep(0.2)
        raise StoryError(f"{what} did not come within {PATIENCE:.0f} seconds")

    def revert_holds(self) -> None:
        """A person reverts production in a clone of their own; nothing may undo it."""
        clone = self.world.clone_as_a_person()
        self.world.run("git", "-C", str(clone), "revert", "--no-edit", "HEAD")
        self.world.run("git", "-C", str(clone), "push", "--quiet", "origin", "main")
        head = self.world.git("rev-parse", "main")
        self.say.diff(self.world.git("show", "--format=%an: %s", "--patch", head))
        self.say.step("three resyncs: mlflow-gitops reconcile")
        for _ in range(3):
            self.world.cli("reconcile")
        if self.world.git("rev-parse", "main") != head:
            raise StoryError("the revert was undone")
        self.expect_version("production", "1")
        state = self.wait_for(
            "the state `held` in the registry",
            lambda: self.status("2", "production").get("state") == "held",
        )
        assert state
        self.say.done("the revert stands, and the registry says so")
        self.say.fields({"gitops.status.production": self.status("2", "production")["message"]})


def tell(world: World, say: Narrator) -> None:
    """Two versions through Staging and Production, the proofs, and a revert that holds."""
    story = Story(world, say)
    say.chapter("Train and register two versions")
    for version in ("1", "2"):
        accuracy = world.train(MODEL, depth=int(version) * 2)
        say.done(f"{MODEL} version {version} registered, accuracy {accuracy:.3f}")
    say.chapter("Version 1 to Staging, then to Production")
    story.promote("1", "Staging")
    story.promote("1", "Production")
    say.chapter("Version 2 follows: two lines change")
    story.promote("2", "Staging")
    story.promote("2", "Production")
    say.chapter("What the registry says")
    tags = world.client.get_model_version(MODEL, "2").tags
    say.fields({k: v for k, v in sorted(tags.items()) if k.startswith("gitops.")})
    say.chapter("What stands in S3, sealed")
    objects = world.objects()
    say.table(("object", "bytes"), [(key, str(size)) for key, size in objects])
    for version in ("1", "2"):
        if not any(key == f"{MODEL}/_manifests/v{version}.json" for key, _ in objects):
            raise StoryError(f"version {version} has no sealed manifest in S3")
    say.chapter("A person reverts production in Git")
    story.revert_holds()
