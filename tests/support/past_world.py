"""A manifests repository with a past, and the commands that look back at it: Git alone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from mlflow_gitops.cli import main
from mlflow_gitops.cli.app import App
from mlflow_gitops.manifests import InitOptions, Manifests, scaffold_repository
from mlflow_gitops.planning.messages import commit_message
from mlflow_gitops.state import (
    Environment,
    Identity,
    ModelVersion,
    Predictor,
    Request,
    Selector,
    ServiceSpec,
)
from tests.support.git import Person, make_bare
from tests.support.memory_tree import MemoryTree

__all__ = ["LEAF", "PastWorld", "make_past_world"]

PRODUCTION = Environment(
    "production", Selector("stage", "Production"), "models/overlays/production"
)
LEAF = "models/overlays/production/{}/model-version.yaml"
MLFLOW = Predictor("mlflow", "v2")


@dataclass
class PastWorld:
    """A manifests repository as `init` makes it, a person, and the tool's own commits."""

    folder: Path
    person: Person
    environ: dict[str, str] = field(default_factory=dict)

    @property
    def bare(self) -> Path:
        return self.folder / "manifests.git"

    def deliver(
        self,
        version: str,
        *,
        service: str = "fraud",
        before: str = "",
        undoes: str = "",
        **more: str,
    ) -> str:
        files, message = self.delivery(version, service=service, before=before, undoes=undoes)
        return self.person.commits({**files, **more}, message)

    def delivery(
        self, version: str, *, service: str = "fraud", before: str = "", undoes: str = ""
    ) -> tuple[Mapping[str, str | None], str]:
        """The files and the message of a commit as the reconciler makes it."""
        spec = ServiceSpec(f"s3://models/{service}/v{version}/", version)
        old = ServiceSpec(f"s3://models/{service}/v{before}/", before) if before else None
        message = commit_message(
            environment="production",
            service=service,
            model=service,
            action="rollback" if undoes else "deploy",
            before=old,
            after=spec,
            version=ModelVersion(service, version, Identity(1, run_id=f"run{version}")),
            request=Request(f"r{version}", version, time="2026-11-20T10:00:00.000Z", by="ada"),
            digest=f"sha256:{version}",
            undoes=undoes,
        )
        return self.manifests().set_service("production", service, spec, MLFLOW), message

    def manifests(self) -> Manifests:
        self.person.updates()
        paths = self.person.run("ls-files").splitlines()
        tree = MemoryTree({path: (self.person.folder / path).read_text() for path in paths})
        return Manifests(tree, {"production": PRODUCTION})

    def pins(self, version: str, message: str = "Pin by hand") -> str:
        self.person.updates()
        path = LEAF.format("fraud")
        text = (self.person.folder / path).read_text()
        old = next(x for x in text.splitlines() if "model-version:" in x).split('"')[1]
        new = text.replace(f'"{old}"', f'"{version}"').replace(f"/v{old}/", f"/v{version}/")
        return self.person.commits({path: new}, message)

    def run(self, *args: str, repository: Path | None = None, **environ: str) -> Result:
        env = {
            "MLFLOW_GITOPS_REPOSITORY": str(repository or self.bare),
            "MLFLOW_GITOPS_STATE_DIR": str(self.folder / "state"),
            **self.environ,
            **environ,
        }
        return CliRunner().invoke(main, args, obj=App(environ=env))

    def json(self, *args: str) -> Any:
        result = self.run(*args, "--json")
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    def why(self, *args: str) -> Any:
        (found,) = self.json("why", "fraud", "-e", "production", *args)["services"]
        return found

    def changes(self, *args: str) -> list[Any]:
        found: list[Any] = self.json("history", "fraud", "-e", "production", *args)["changes"]
        return found

    def versions(self) -> list[tuple[str, str]]:
        return [
            (row["change"], row["after"]["version"] if row["after"] else "")
            for row in self.changes()
        ]

    @property
    def indexes(self) -> list[Path]:
        return sorted((self.folder / "state" / "history").glob("*.db"))


def make_past_world(folder: Path) -> PastWorld:
    files = scaffold_repository(
        InitOptions(bucket="models", repository_url="https://git.example/x")
    )
    bare = make_bare(folder / "manifests.git", files)
    return PastWorld(folder, Person(folder / "person", str(bare)))
