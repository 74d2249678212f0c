"""Small repositories with real builds: the real command, Git and kustomize."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from click.testing import Result

from mlflow_gitops.adapters.renderer import KustomizeRenderer
from tests.support.git import git
from tests.support.git_session import GitWorld
from tests.support.kubectl import kubectl

__all__ = ["CaseWorld", "isvc", "uri"]


def uri(version: object, service: str = "fraud-detector") -> str:
    return f"s3://prod-ml-models/{service}/v{version}/"


def isvc(name: str = "fraud-detector", *, value: str | None = None, label: str | None = "1") -> str:
    """An InferenceService that serves version 1, or what `value` says ("" for no URI)."""
    value = uri(1, name) if value is None else value
    labels = f'  labels:\n    model-version: "{label}"\n' if label else ""
    line = f"      storageUri: {value}\n" if value else ""
    return (
        "apiVersion: serving.kserve.io/v1beta1\nkind: InferenceService\nmetadata:\n"
        f"  name: {name}\n{labels}spec:\n  predictor:\n    model:\n      modelFormat:\n"
        f"        name: mlflow\n      protocolVersion: v2\n{line}"
    )


@dataclass
class CaseWorld(GitWorld):
    """Versions 1 and 2 of the model are registered; nothing is in a stage."""

    model: str = "fraud-detector"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.renderer = KustomizeRenderer(path=str(Path(kubectl()).parent))
        for _ in range(2):
            self.register(self.model)

    def ask(self, version: str = "2") -> Result:
        """Move the version to Production, and reconcile."""
        self.registry.transition(self.model, version, "Production", archive_existing=True)
        return self.cli("reconcile")

    def git(self, *words: str) -> str:
        return git(*words, cwd=self.bare)

    def build(self, folder: str = "production") -> str:
        """The folder as kustomize builds it, from a checkout of its own."""
        checkout = self.folder / f"checkout-{self.head[:12]}"
        if not checkout.exists():
            git("clone", "--quiet", str(self.bare), str(checkout), cwd=self.folder)
        done = subprocess.run(
            [kubectl(), "kustomize", str(checkout / folder)], capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout
