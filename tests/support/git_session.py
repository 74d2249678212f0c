"""The command over a real Git repository, with a registry and a bucket in memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mlflow_gitops.adapters.repository import GitRepository
from mlflow_gitops.config import Process
from mlflow_gitops.ports import Progress, Renderer
from mlflow_gitops.reconcile import Reconciler
from tests.support.git import git, make_bare
from tests.support.memory_session import FILES, MemorySession, Parts

__all__ = ["GitWorld"]

SETTINGS = """\
artifacts: {bucket: prod-ml-models}
environments:
  production:
    select: {stage: Production}
    path: production
"""


class GitSession(MemorySession):
    @property
    def repository(self) -> GitRepository:  # type: ignore[override]
        world = self.parts
        assert isinstance(world, GitWorld)
        return world.clone

    @property
    def reconciler(self) -> Reconciler:  # type: ignore[override]
        world = self.parts
        assert isinstance(world, GitWorld)
        return Reconciler(
            self.observer, self.store, pause=lambda _: None, threads=1, renderer=world.renderer
        )


@dataclass
class GitWorld(Parts):
    """A bare repository with some files; version 1 of the model is what Git has already. Without a
    `renderer` no kustomization is built.
    """

    folder: Path = Path()
    files: Mapping[str, str] = field(default_factory=dict)
    renderer: Renderer | None = None
    clone: GitRepository = field(init=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        made = {"mlflow-gitops.yaml": SETTINGS, **self.files}
        self.bare = make_bare(self.folder / "manifests.git", made)
        self.clone = GitRepository(str(self.bare), self.folder / "state")

    def connect(self, process: Process, progress: Progress | None) -> GitSession:
        session = GitSession(process, progress)
        session.parts = self
        return session

    def stage(self, model: str, *, files: Mapping[str, bytes] = FILES) -> None:
        """Register two versions of the model, and move the second to Production."""
        for _ in range(2):
            number = self.register(model, files=files)
        self.registry.transition(model, number, "Production")

    @property
    def head(self) -> str:
        return git("rev-parse", "main", cwd=self.bare)

    def text(self, path: str) -> str:
        return git("show", f"main:{path}", cwd=self.bare)

    def promote(self, model: str) -> str:
        """Reconcile with the real command; the lines that changed in Git, without context."""
        before = self.head
        done = self.cli("reconcile", model)
        assert done.exit_code == 0, done.output
        diff = git("diff", "--unified=0", "--no-prefix", before, "main", cwd=self.bare)
        lines = [line.removeprefix("+++ ") for line in diff.splitlines()]
        return "\n".join(
            line
            for line in lines
            if not line.startswith(("diff", "index", "@@", "---", "new file"))
        )

    def refusal(self, model: str) -> str:
        """The same where it is refused, by `plan` and `reconcile` alike; Git stays as it was, and
        nothing is published.
        """
        before = self.head
        planned = self.cli("plan", model)
        assert planned.exit_code != 0, planned.output
        done = self.cli("reconcile", model)
        assert done.exit_code != 0, done.output
        assert self.head == before
        assert not self.store.objects
        said = " ".join(done.output.split())
        assert "Traceback" not in said
        return said
