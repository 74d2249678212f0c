"""The whole product over parts in memory: for unit tests of what people type, without a disk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from click.testing import CliRunner, Result

from mlflow_gitops.bootstrap import Session
from mlflow_gitops.cli import main
from mlflow_gitops.cli.app import App
from mlflow_gitops.config import Process
from mlflow_gitops.manifests import InitOptions, scaffold_repository
from mlflow_gitops.observe import Observer
from mlflow_gitops.ports import Forge, Progress
from mlflow_gitops.reconcile import Reconciler
from mlflow_gitops.state import EMPTY, Settings
from tests.support.memory_forge import MemoryForge
from tests.support.memory_registry import MemoryRegistry
from tests.support.memory_repository import MemoryRepository
from tests.support.memory_shelf import MemoryShelf
from tests.support.memory_store import MemoryArtifactStore

TIME = "2026-11-23T10:00:00.000Z"
MLMODEL = (
    "flavors:\n"
    "  python_function:\n    loader_module: mlflow.sklearn\n    model_path: model.pkl\n"
    "  sklearn:\n    pickled_model: model.pkl\n    serialization_format: cloudpickle\n"
)
FILES: Mapping[str, bytes] = {"MLmodel": MLMODEL.encode(), "model.pkl": b"\x80\x04weights"}
ROOT = "mlflow-artifacts:/"


class MemorySession(Session):
    """A session that was handed its parts."""

    parts: Parts

    @property
    def repository(self) -> MemoryRepository:  # type: ignore[override]
        return self.parts.repository

    @property
    def registry(self) -> MemoryRegistry:  # type: ignore[override]
        return self.parts.registry

    @property
    def store(self) -> MemoryArtifactStore:  # type: ignore[override]
        return self.parts.store

    @property
    def shelf(self) -> MemoryShelf:  # type: ignore[override]
        return MemoryShelf(self.parts.store.objects)

    def forge(self, settings: Settings) -> Forge:
        return self.parts.forge

    @property
    def observer(self) -> Observer:  # type: ignore[override]
        parts = self.parts
        return Observer(
            self.registry, self.repository, lambda: parts.time, open_forge=lambda _: parts.forge
        )

    @property
    def reconciler(self) -> Reconciler:  # type: ignore[override]
        return Reconciler(self.observer, self.store, pause=lambda _: None, threads=1)


def scaffold() -> MemoryRepository:
    options = InitOptions(bucket="models", repository_url="https://git.example.com/ml.git")
    return MemoryRepository({"main": scaffold_repository(options)})


@dataclass
class Parts:
    """A registry, a manifests repository as `init` makes it, and a bucket. `time` is now."""

    registry: MemoryRegistry = field(default_factory=MemoryRegistry)
    repository: MemoryRepository = field(default_factory=scaffold)
    store: MemoryArtifactStore = field(default_factory=MemoryArtifactStore)
    time: str = TIME
    forge: MemoryForge = field(init=False)

    def __post_init__(self) -> None:
        self.forge = MemoryForge(self.repository)

    def by_pull_requests(self) -> None:
        """Every environment then delivers so; the labels and reviewers are Production's."""
        text = self.repository.files()["mlflow-gitops.yaml"]
        text = text.replace("delivery: commit", "delivery: pull-request")
        text += "    pull-request: {labels: [ml], reviewers: [rita]}\n"
        self.repository.person_commits({"mlflow-gitops.yaml": text})

    def register(self, model: str, *, files: Mapping[str, bytes] = FILES, **more: str) -> str:
        """A READY version with files below the artifact root. Returns its number."""
        source = f"{ROOT}0/{model}/{len(self.store.sources)}"
        number = self.registry.create_version(model, source=source, **more)  # type: ignore[arg-type]
        self.store.sources[source] = files
        return number

    def session(self) -> MemorySession:
        return self.connect(Process(), None)

    def connect(self, process: Process, progress: Progress | None) -> MemorySession:
        session = MemorySession(process, progress)
        session.parts = self
        return session

    def cli(self, *args: str, environ: Mapping[str, str] = EMPTY) -> Result:
        environ = {"MLFLOW_GITOPS_REPOSITORY": "memory", **environ}
        app = App(environ=environ, connect=self.connect)
        return CliRunner().invoke(main, args, obj=app)

    def written(self) -> tuple[object, ...]:
        """Everything that was ever written anywhere, to see that nothing was."""
        registry = {name: repr(model) for name, model in self.registry.models.items()}
        return (registry, dict(self.repository.remote), dict(self.store.objects))

    def version(self, environment: str, service: str) -> str:
        """What Git says, "" where the service is not there."""
        path = f"models/overlays/{environment}/{service}/model-version.yaml"
        text = self.repository.files().get(path, "")
        line = next((x for x in text.splitlines() if "model-version:" in x), ":")
        return line.split(":")[1].strip().strip('"')
