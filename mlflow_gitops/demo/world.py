"""The demo's world: an MLflow server, an S3 server, a Git repository and the webhook service.

All of them are real, listen on free ports of the loopback interface, keep their data in one
folder and end with the process. Credentials are made up for the run.
"""

from __future__ import annotations

import os
import secrets
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from mlflow_gitops.demo.mlflow_server import mlflow_server
from mlflow_gitops.demo.narrator import Narrator
from mlflow_gitops.demo.seaweedfs import SeaweedFS, seaweedfs
from mlflow_gitops.demo.server_process import ServerProcess, answers, free_ports
from mlflow_gitops.demo.training import train

if TYPE_CHECKING:
    from mlflow import MlflowClient

__all__ = ["World", "WorldError", "world"]

BUCKET = "prod-ml-models"
WEBHOOK_EVENTS = (
    "model_version.created",
    "model_version_tag.set",
    "model_version_tag.deleted",
    "model_version_alias.created",
    "model_version_alias.deleted",
)


class WorldError(Exception):
    """A command of the demo failed."""


@dataclass(slots=True)
class World:
    """Everything that runs. `environ` is what a user of the command line would export."""

    folder: Path
    environ: Mapping[str, str]
    mlflow_url: str
    service_url: str
    s3: SeaweedFS
    service: ServerProcess
    bucket: str = BUCKET
    _people: int = field(default=0)

    @property
    def repository(self) -> Path:
        return self.folder / "manifests.git"

    @property
    def client(self) -> MlflowClient:
        from mlflow import MlflowClient

        return MlflowClient(self.mlflow_url)

    def git(self, *args: str) -> str:
        """Ask the bare repository. Returns what Git prints, stripped."""
        return self.run("git", "-C", str(self.repository), *args)

    def cli(self, *args: str) -> str:
        return self.run(sys.executable, "-m", "mlflow_gitops.cli", *args)

    def run(self, *command: str) -> str:
        done = subprocess.run(command, env=self.environ, capture_output=True, text=True)
        if done.returncode:
            text = done.stderr.strip() or done.stdout.strip()
            raise WorldError(f"{' '.join(command)} ended with {done.returncode}:\n{text}")
        return done.stdout.strip()

    def write_exports(self) -> Path:
        """A file to source in a shell, for the commands of this world; only its owner reads it."""
        path = self.folder / "env.sh"
        path.touch(mode=0o600)
        ours = (k for k in self.environ if k.startswith(("MLFLOW_", "AWS_")))
        lines = [f"export {name}={shlex.quote(self.environ[name])}\n" for name in sorted(ours)]
        path.write_text("".join(lines))
        return path

    def clone_as_a_person(self) -> Path:
        """A second clone, with a person's name, as anybody in the team would have."""
        self._people += 1
        clone = self.folder / f"person-{self._people}"
        self.run("git", "clone", "--quiet", str(self.repository), str(clone))
        self.run("git", "-C", str(clone), "config", "user.name", "Rita Reviewer")
        self.run("git", "-C", str(clone), "config", "user.email", "rita@example.com")
        return clone

    def train(self, model: str, *, depth: int) -> float:
        return train(self.mlflow_url, model, depth=depth)

    def objects(self) -> list[tuple[str, int]]:
        """Every object of the bucket: key and size in bytes."""
        pages = self.s3.client().get_paginator("list_objects_v2").paginate(Bucket=self.bucket)
        found = [o for page in pages for o in page.get("Contents", [])]
        return [(o["Key"], o["Size"]) for o in found]

    def check_alive(self) -> None:
        """Raises ServerError where the service is not running."""
        self.service.check_alive()


@contextmanager
def world(
    folder: Path,
    say: Narrator,
    *,
    app_name: str | None = "gitops",
    resync_seconds: int = 300,
) -> Iterator[World]:
    """Start everything below `folder`, and stop everything at the end.

    Without `app_name` the MLflow server runs as it is, so that only the resync sees a stage.
    """
    with ExitStack() as stack:
        say.chapter("Starting an S3 server, an MLflow server and the webhook service")
        s3 = stack.enter_context(seaweedfs(folder / "s3"))
        s3.client().create_bucket(Bucket=BUCKET)
        say.done(f"S3 (SeaweedFS) at {s3.endpoint}")
        secret = secrets.token_hex(16)
        key = secrets.token_hex(16)
        mlflow = stack.enter_context(
            mlflow_server(
                folder / "mlflow", app_name=app_name, environ={"MLFLOW_GITOPS_REQUEST_KEY": key}
            )
        )
        plugin = "with the server plugin" if app_name else "without the server plugin"
        say.done(f"MLflow {plugin}, 2 workers, at {mlflow.url}")
        environ = {
            **os.environ,
            "MLFLOW_TRACKING_URI": mlflow.url,
            "MLFLOW_GITOPS_REPOSITORY": str(folder / "manifests.git"),
            "MLFLOW_GITOPS_STATE_DIR": str(folder / "state"),
            "MLFLOW_GITOPS_S3_ENDPOINT": s3.endpoint,
            "MLFLOW_GITOPS_WEBHOOK_SECRETS": secret,
            "MLFLOW_GITOPS_REQUEST_KEY": key,
            "MLFLOW_GITOPS_RESYNC_SECONDS": str(resync_seconds),
            "AWS_ACCESS_KEY_ID": s3.access_key,
            "AWS_SECRET_ACCESS_KEY": s3.secret_key,
            "AWS_DEFAULT_REGION": "us-east-1",
        }
        _init_repository(folder, environ)
        say.done(f"Git repository, made by `mlflow-gitops init`: {folder / 'manifests.git'}")
        port = free_ports()[0]
        service = stack.enter_context(_service(folder, environ, port))
        url = f"http://127.0.0.1:{port}"
        say.done(f"webhook service at {url}")
        made = World(folder, environ, mlflow.url, url, s3, service)
        made.client.create_webhook(
            name="mlflow-gitops",
            url=f"{url}/webhooks/mlflow",
            events=list(WEBHOOK_EVENTS),
            secret=secret,
        )
        yield made


def _init_repository(folder: Path, environ: Mapping[str, str]) -> None:
    bare, first = folder / "manifests.git", folder / "first"
    commands = [
        ["git", "init", "--quiet", "--bare", "--initial-branch=main", str(bare)],
        [sys.executable, "-m", "mlflow_gitops.cli", "init", str(first), "--bucket", BUCKET],
        ["git", "-C", str(first), "init", "--quiet", "--initial-branch=main"],
        ["git", "-C", str(first), "add", "--all"],
        [
            *("git", "-C", str(first), "-c", "user.name=Paul Platform"),
            *("-c", "user.email=paul@example.com", "commit", "--quiet", "-m", "Start"),
        ],
        ["git", "-C", str(first), "push", "--quiet", str(bare), "main"],
    ]
    for command in commands:
        done = subprocess.run(command, env=environ, capture_output=True, text=True)
        if done.returncode:
            raise WorldError(f"{' '.join(command)} failed:\n{done.stderr.strip()}")


@contextmanager
def _service(folder: Path, environ: Mapping[str, str], port: int) -> Iterator[ServerProcess]:
    command = [sys.executable, "-m", "mlflow_gitops.cli", "serve", "--port", str(port)]
    server = ServerProcess("the webhook service", folder / "service.log")
    server.start(command, is_ready=lambda: answers(port, "/readyz"), cwd=folder, env=environ)
    try:
        yield server
    finally:
        server.stop()
