"""The real command on a real Git repository with real builds; registry and bucket are in memory.

For many small repositories: each is a few files, and no server is started.
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from click.testing import CliRunner, Result

from mlflow_gitops.adapters.renderer import KustomizeRenderer
from mlflow_gitops.bootstrap import Session
from mlflow_gitops.cli import main
from mlflow_gitops.cli.app import App
from mlflow_gitops.config import Process
from mlflow_gitops.ports import Progress, Renderer
from mlflow_gitops.state import EMPTY
from tests.support.git import git, make_bare
from tests.support.kubectl import kubectl
from tests.support.memory_registry import MemoryRegistry
from tests.support.memory_session import FILES, ROOT
from tests.support.memory_store import MemoryArtifactStore

__all__ = ["BUCKET", "CaseWorld", "isvc", "uri"]

BUCKET = "prod-ml-models"
SETTINGS = f"""artifacts: {{bucket: {BUCKET}}}
environments:
  production:
    select: {{stage: Production}}
    path: production
"""


def uri(version: object, service: str = "fraud-detector") -> str:
    return f"s3://{BUCKET}/{service}/v{version}/"


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


class CaseSession(Session):
    """Git and builds are real."""

    world: CaseWorld

    @property
    def registry(self) -> MemoryRegistry:  # type: ignore[override]
        return self.world.registry

    @property
    def store(self) -> MemoryArtifactStore:  # type: ignore[override]
        return self.world.store

    @property
    def renderer(self) -> Renderer:  # type: ignore[override]
        return self.world.renderer


@dataclass
class CaseWorld:
    """`files` are the repository's first commit, with settings for `production` if they have none.

    Version 1 and 2 of the model are registered; nothing is in a stage.
    """

    folder: Path
    files: Mapping[str, str]
    model: str = "fraud-detector"
    registry: MemoryRegistry = field(default_factory=MemoryRegistry)
    store: MemoryArtifactStore = field(default_factory=MemoryArtifactStore)
    renderer: Renderer = field(
        default_factory=lambda: KustomizeRenderer(path=str(Path(kubectl()).parent))
    )

    def __post_init__(self) -> None:
        self.bare = make_bare(
            self.folder / "manifests.git", {"mlflow-gitops.yaml": SETTINGS, **self.files}
        )
        for _ in range(2):
            self.register(self.model)

    def register(self, model: str) -> str:
        source = f"{ROOT}0/{model}/{len(self.store.sources)}"
        self.store.sources[source] = FILES
        return self.registry.create_version(model, source=source)

    def cli(self, *words: str, environ: Mapping[str, str] = EMPTY) -> Result:
        environ = {
            "MLFLOW_GITOPS_REPOSITORY": str(self.bare),
            "MLFLOW_GITOPS_STATE_DIR": str(self.folder / "state"),
            **environ,
        }
        app = App(environ=environ, connect=self._connect)
        return CliRunner().invoke(main, words, obj=app)

    def _connect(self, process: Process, progress: Progress | None) -> CaseSession:
        session = CaseSession(process, progress)
        session.world = self
        return session

    def promote(self, version: str = "2", model: str = "") -> Result:
        """Move the version to Production, and reconcile."""
        self.registry.transition(model or self.model, version, "Production", archive_existing=True)
        return self.cli("reconcile")

    def git(self, *words: str) -> str:
        return git(*words, cwd=self.bare)

    def commits(self) -> int:
        """How many there are beside the first."""
        return int(self.git("rev-list", "--count", "main")) - 1

    def read(self, path: str) -> str:
        return self.git("show", f"main:{path}")

    def published(self) -> bool:
        return bool(self.store.objects)

    def build(self, folder: str = "production") -> str:
        """The folder as kustomize builds it, from a checkout of its own."""
        checkout = self.folder / f"checkout-{self.git('rev-parse', 'main')[:12]}"
        if not checkout.exists():
            git("clone", "--quiet", str(self.bare), str(checkout), cwd=self.folder)
        done = subprocess.run(
            [kubectl(), "kustomize", str(checkout / folder)], capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout
