"""Everything real around one manifests repository, for tests of more than one part.

A stack is cheap: it shares the servers of the test process and has a bucket, a bare repository and
a state directory of its own. The product runs in this process (`session`) or as the command.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from mlflow_gitops.bootstrap import Session
from mlflow_gitops.config import Process
from mlflow_gitops.demo.mlflow_server import MlflowServer
from mlflow_gitops.demo.seaweedfs import SeaweedFS, seaweedfs
from mlflow_gitops.manifests import InitOptions, scaffold_repository
from mlflow_gitops.reconcile import Outcome
from mlflow_gitops.state import Delivered
from tests.support.fork_server import run_module
from tests.support.mlflow import REQUEST_KEY, Registry

PERSON = ("-c", "user.name=Rita Reviewer", "-c", "user.email=rita@example.com")
LEAF = "models/overlays/{environment}/{service}/model-version.yaml"


@dataclass(slots=True)
class Stack:
    folder: Path
    s3: SeaweedFS
    mlflow: MlflowServer
    bucket: str
    registry: Registry = field(init=False)
    urls: dict[str, str] = field(default_factory=dict)
    _clones: int = 0

    def __post_init__(self) -> None:
        self.registry = Registry(self.mlflow.url, self.mlflow.artifacts)

    @property
    def bare(self) -> Path:
        return self.folder / "manifests.git"

    @property
    def environ(self) -> dict[str, str]:
        """What a user would export. `urls` replaces single variables (a proxy's URL)."""
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW", "GIT_"))}
        return {
            **inherited,
            "MLFLOW_TRACKING_URI": self.mlflow.url,
            "MLFLOW_GITOPS_REPOSITORY": str(self.bare),
            "MLFLOW_GITOPS_STATE_DIR": str(self.folder / "state"),
            "MLFLOW_GITOPS_S3_ENDPOINT": self.s3.endpoint,
            "MLFLOW_GITOPS_REQUEST_KEY": REQUEST_KEY,
            "AWS_ACCESS_KEY_ID": self.s3.access_key,
            "AWS_SECRET_ACCESS_KEY": self.s3.secret_key,
            "AWS_DEFAULT_REGION": "us-east-1",
            **self.urls,
        }

    def session(self) -> Session:
        return Session(Process.from_environ(self.environ))

    def command(self, *args: str) -> list[str]:
        return [sys.executable, "-m", "mlflow_gitops.cli", *args]

    def cli(self, *args: str, **more: str) -> subprocess.CompletedProcess[str]:
        return run_module("mlflow_gitops.cli", *args, env={**self.environ, **more})

    def reconcile(self, model: str) -> dict[str, Outcome]:
        """In this process, with caches of its own: environment to outcome."""
        session = self.session()
        return {o.key.environment: o for o in session.reconciler.reconcile(model)}

    # Git, as people see it

    def git(self, *args: str, folder: Path | None = None) -> str:
        command = ["git", "-C", str(folder or self.bare), *PERSON, *args]
        environ = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
        done = subprocess.run(command, capture_output=True, text=True, env=environ)
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        return done.stdout.strip()

    def head(self) -> str:
        return self.git("rev-parse", "main")

    def count(self) -> int:
        return int(self.git("rev-list", "--count", "main"))

    def file(self, path: str) -> str:
        return self.git("show", f"main:{path}")

    def version(self, environment: str, service: str) -> str:
        """The label that Git says, "" for none."""
        path = LEAF.format(environment=environment, service=service)
        if path not in self.git("ls-tree", "-r", "--name-only", "main").splitlines():
            return ""
        line = next(x for x in self.file(path).splitlines() if "model-version:" in x)
        return line.split(":")[1].strip().strip('"')

    def clone(self) -> Path:
        self._clones += 1
        path = self.folder / f"clone-{self._clones}"
        self.git("clone", "--quiet", str(self.bare), str(path), folder=self.folder)
        return path

    def person_writes(self, files: Mapping[str, str | None], message: str = "By hand") -> str:
        """A person's commit: path to text, or None to remove. Returns the new head."""
        clone = self.clone()
        for name, text in files.items():
            path = clone / name
            if text is None:
                path.unlink()
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)
        self.git("add", "--all", folder=clone)
        self.git("commit", "--quiet", "-m", message, folder=clone)
        self.git("push", "--quiet", "origin", "main", folder=clone)
        return self.head()

    def person_reverts(self, commit: str = "HEAD") -> str:
        clone = self.clone()
        self.git("revert", "--no-edit", commit, folder=clone)
        self.git("push", "--quiet", "origin", "main", folder=clone)
        return self.head()

    def edit_settings(self, old: str, new: str) -> str:
        text = self.file("mlflow-gitops.yaml")
        assert old in text
        return self.person_writes({"mlflow-gitops.yaml": text.replace(old, new) + "\n"})

    # The registry, as people see it

    def status(self, model: str, version: str, environment: str) -> dict[str, Any]:
        text = self.registry.tags(model, version).get(f"gitops.status.{environment}", "{}")
        found: dict[str, Any] = json.loads(text)
        return found

    def delivered(self, model: str, environment: str) -> Delivered | None:
        return self.session().registry.snapshot(model).delivered.get(environment)

    def objects(self) -> dict[str, bytes]:
        """Every object of the bucket: key to bytes."""
        client = self.s3.client()
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket)
        keys = [o["Key"] for page in pages for o in page.get("Contents", [])]
        return {k: client.get_object(Bucket=self.bucket, Key=k)["Body"].read() for k in keys}


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SeaweedFS]:
    with seaweedfs(tmp_path_factory.mktemp("s3")) as server:
        yield server


def make_stack(folder: Path, s3: SeaweedFS, mlflow: MlflowServer) -> Stack:
    """A bucket, and a bare repository as `mlflow-gitops init` makes it."""
    bucket = f"models-{uuid.uuid4().hex[:12]}"
    s3.client().create_bucket(Bucket=bucket)
    stack = Stack(folder, s3, mlflow, bucket)
    stack.git("init", "--quiet", "--bare", "--initial-branch=main", str(stack.bare), folder=folder)
    options = InitOptions(bucket=bucket, repository_url=str(stack.bare))
    first = folder / "first"
    first.mkdir()
    stack.git("init", "--quiet", "--initial-branch=main", folder=first)
    for name, text in scaffold_repository(options).items():
        (first / name).parent.mkdir(parents=True, exist_ok=True)
        (first / name).write_text(text)
    stack.git("add", "--all", folder=first)
    stack.git("commit", "--quiet", "-m", "Start", folder=first)
    stack.git("push", "--quiet", str(stack.bare), "main", folder=first)
    return stack


@pytest.fixture
def s3_credentials(s3_server: SeaweedFS, monkeypatch: pytest.MonkeyPatch) -> None:
    """What boto3 finds, for the product in this process."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3_server.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3_server.secret_key)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")


@pytest.fixture
def stack(
    tmp_path: Path, s3_server: SeaweedFS, gitops_mlflow: MlflowServer, s3_credentials: None
) -> Stack:
    """With the server plugin."""
    return make_stack(tmp_path, s3_server, gitops_mlflow)


@pytest.fixture
def plain_stack(
    tmp_path: Path, s3_server: SeaweedFS, plain_mlflow: MlflowServer, s3_credentials: None
) -> Stack:
    """MLflow as it is: nothing records who moved a stage."""
    return make_stack(tmp_path, s3_server, plain_mlflow)
