"""Real MLflow servers for tests, and what a user would do to them.

The fixtures are known everywhere (tests/conftest.py), so MLflow is imported when one is asked for.
A server is started once for each test process and shared: every test makes up its own model names
(`names`), and says of a listing only what concerns those.
"""

from __future__ import annotations

import pickle
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import pytest

from mlflow_gitops.demo.mlflow_server import MlflowServer, mlflow_server

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel

REQUEST_KEY = "the key that signs request records in tests"

MLMODEL = """\
artifact_path: model
flavors:
  python_function:
    env:
      conda: conda.yaml
      virtualenv: python_env.yaml
    loader_module: mlflow.sklearn
    model_path: model.pkl
    predict_fn: predict
    python_version: 3.11.7
  sklearn:
    code: null
    pickled_model: model.pkl
    serialization_format: cloudpickle
    sklearn_version: 1.5.0
mlflow_version: 3.17.2
"""
MODEL_FILES: Mapping[str, bytes] = {
    "MLmodel": MLMODEL.encode(),
    "conda.yaml": b"name: mlflow-env\n",
    "model.pkl": pickle.dumps({"weights": [1, 2, 3]}),
    "python_env.yaml": b"python: 3.11.7\n",
    "requirements.txt": b"scikit-learn==1.5.0\n",
}


@dataclass(slots=True)
class Registry:
    """A user at work. The same verbs as `MemoryRegistry` has, so that a test can take either.

    With `artifacts`, the server's folder, files are put there and not sent: that is quicker.
    """

    url: str
    artifacts: Path | None = None
    client: MlflowClient = field(init=False)

    def __post_init__(self) -> None:
        from mlflow import MlflowClient

        self.client = MlflowClient(self.url, self.url)

    def create_model(self, model: str, tags: Mapping[str, str] | None = None) -> None:
        self.client.create_registered_model(model, tags=dict(tags or {}))

    def create_version(
        self,
        model: str,
        *,
        source: str = "s3://bucket/somewhere",
        tags: Mapping[str, str] | None = None,
    ) -> str:
        """A version without files, of a model that is there; the quickest one to have."""
        made = self.client.create_model_version(
            model, source, tags=dict(tags or {}), await_creation_for=0
        )
        return str(made.version)

    def register(
        self,
        model: str,
        files: Mapping[str, bytes] = MODEL_FILES,
        *,
        tags: Mapping[str, str] | None = None,
        run_id: str | None = None,
    ) -> str:
        """A version with real files, as MLflow logs them; makes the model where needed."""
        logged = self.client.create_logged_model("0", name="model")
        self._put(files, logged)
        self.client.finalize_logged_model(logged.model_id, "READY")
        if not self.has_model(model):
            self.create_model(model)
        made = self.client.create_model_version(
            model,
            f"models:/{logged.model_id}",
            tags=dict(tags or {}),
            run_id=run_id,
            model_id=logged.model_id,
            await_creation_for=0,
        )
        return str(made.version)

    def _put(self, files: Mapping[str, bytes], logged: LoggedModel) -> None:
        if self.artifacts is not None:
            place = logged.artifact_location.removeprefix("mlflow-artifacts:/")
            write_files(self.artifacts / place, files)
            return
        with TemporaryDirectory() as folder:
            write_files(Path(folder), files)
            self.client.log_model_artifacts(logged.model_id, folder)

    def has_model(self, model: str) -> bool:
        quote = '"' if "'" in model else "'"
        return bool(self.client.search_registered_models(f"name = {quote}{model}{quote}"))

    def transition(
        self, model: str, number: str, stage: str, *, archive_existing: bool = False
    ) -> None:
        # Without the wrapper that warns of stages being deprecated.
        type(self.client).transition_model_version_stage.__wrapped__(
            self.client, model, number, stage, archive_existing_versions=archive_existing
        )

    def set_alias(self, model: str, alias: str, number: str) -> None:
        self.client.set_registered_model_alias(model, alias, number)

    def delete_alias(self, model: str, alias: str) -> None:
        self.client.delete_registered_model_alias(model, alias)

    def set_tag(self, model: str, number: str, key: str, value: str) -> None:
        self.client.set_model_version_tag(model, number, key, value)

    def delete_tag(self, model: str, number: str, key: str) -> None:
        self.client.delete_model_version_tag(model, number, key)

    def set_model_tag(self, model: str, key: str, value: str) -> None:
        self.client.set_registered_model_tag(model, key, value)

    def delete_model_tag(self, model: str, key: str) -> None:
        self.client.delete_registered_model_tag(model, key)

    def describe(self, model: str, number: str, text: str) -> None:
        self.client.update_model_version(model, number, text)

    def rename(self, model: str, to: str) -> None:
        self.client.rename_registered_model(model, to)

    def delete_version(self, model: str, number: str) -> None:
        self.client.delete_model_version(model, number)

    def delete_model(self, model: str) -> None:
        self.client.delete_registered_model(model)

    def tags(self, model: str, number: str) -> Mapping[str, str]:
        found: dict[str, str] = self.client.get_model_version(model, number).tags
        return found


def write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)


@pytest.fixture(scope="session")
def plain_mlflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    """MLflow as it is."""
    with mlflow_server(tmp_path_factory.mktemp("mlflow"), workers=1) as server:
        yield server
        server.kill()  # an orderly end takes seconds, and nobody needs it


@pytest.fixture(scope="session")
def gitops_mlflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    """MLflow with our server plugin and two workers; the tags `at` and `gate` are selectors."""
    environ = {"MLFLOW_GITOPS_REQUEST_KEY": REQUEST_KEY, "MLFLOW_GITOPS_SELECTOR_TAGS": "at,gate"}
    folder = tmp_path_factory.mktemp("mlflow-gitops")
    with mlflow_server(folder, app_name="gitops", environ=environ) as server:
        yield server
        server.kill()


@pytest.fixture(params=["plain_mlflow", "gitops_mlflow"], ids=["plain", "plugin"])
def any_mlflow(request: pytest.FixtureRequest) -> MlflowServer:
    """The test runs on both servers."""
    server: Any = request.getfixturevalue(request.param)
    assert isinstance(server, MlflowServer)
    return server


@pytest.fixture
def names() -> Callable[[str], str]:
    """Makes a model's name that no other test has, and that is a DNS label too."""
    suffix = uuid.uuid4().hex[:10]
    return lambda name: f"{name}-{suffix}"
