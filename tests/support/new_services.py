"""Many new services are proposed at once, approved, and merged one after the other.

A forge's API over HTTP, real Git, and the service's own way through a run. The registry and the
bucket are in memory. Requests to the forge are counted.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from mlflow_gitops.adapters.repository import GitRepository
from mlflow_gitops.manifests import InitOptions, scaffold_repository
from mlflow_gitops.observe import Observer
from mlflow_gitops.ports import Renderer
from mlflow_gitops.reconcile import Reconciler
from mlflow_gitops.service import ServiceReconciler
from tests.support.forge_host import How, LocalForge, opened
from tests.support.git import git
from tests.support.memory_registry import MemoryRegistry
from tests.support.memory_session import FILES, ROOT, TIME
from tests.support.memory_store import MemoryArtifactStore

__all__ = ["FOLDERS", "LISTED", "PLAIN", "Merged", "NewServices"]

SETTINGS = """artifacts: {bucket: models}
environments:
  production: {select: {stage: Production}, path: production, delivery: pull-request}
"""
CONFIG_MAP = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: shared\n"
LISTED: Mapping[str, str] = {
    "mlflow-gitops.yaml": SETTINGS,
    "production/kustomization.yaml": "namespace: ml\nresources:\n  - shared.yaml\n",
    "production/shared.yaml": CONFIG_MAP,
}
"""A kustomization that lists every service."""
PLAIN: Mapping[str, str] = {"mlflow-gitops.yaml": SETTINGS, "production/shared.yaml": CONFIG_MAP}
"""A folder of manifests, each found by itself."""

SCAFFOLD = scaffold_repository(
    InitOptions("models", "https://git.example.com/ml.git", applicationset=True)
)
FOLDERS: Mapping[str, str] = {
    **SCAFFOLD,
    "mlflow-gitops.yaml": SCAFFOLD["mlflow-gitops.yaml"].replace(
        "delivery: commit", "delivery: pull-request"
    ),
}
"""What `init --applicationset` writes: a folder for each service, and no list."""


@dataclass(frozen=True)
class Merged:
    """What became of the other open pull requests after one was merged. `calls` is how many
    requests were made for each pull request, and by 0 for none by its number.
    """

    others: Collection[int]
    calls: Mapping[int, int]
    moved: Collection[int]

    @property
    def most(self) -> int:
        """For one of the others."""
        return max((self.calls.get(number, 0) for number in self.others), default=0)

    @property
    def total(self) -> int:
        return sum(self.calls.get(number, 0) for number in self.others)


@dataclass
class NewServices:
    """`models` are proposed as pull requests 1, 2, … and each is approved by rita."""

    host: LocalForge
    folder: Path
    models: Sequence[str]
    renderer: Renderer | None = None
    registry: MemoryRegistry = field(default_factory=MemoryRegistry)
    store: MemoryArtifactStore = field(default_factory=MemoryArtifactStore)

    def __post_init__(self) -> None:
        self.start()
        for model in self.models:
            source = f"{ROOT}0/{model}"
            self.store.sources[source] = FILES
            self.registry.create_version(model, source=source)
            self.registry.transition(model, "1", "Production")
        self.look(self.models)
        for number in self.numbers:
            self.host.approve(number)

    def start(self) -> None:
        """Begin as a new process does, that knows nothing but what is stored."""
        repository = GitRepository(str(self.host.bare), self.folder)
        forge = opened(self.host)
        observer = Observer(self.registry, repository, lambda: TIME, open_forge=lambda _: forge)
        reconciler = Reconciler(
            observer, self.store, pause=lambda _: None, threads=1, renderer=self.renderer
        )
        self.forge = forge
        self.service = ServiceReconciler(reconciler)

    @property
    def numbers(self) -> Sequence[int]:
        return range(1, len(self.models) + 1)

    def branch(self, number: int) -> str:
        return self.host.branches_of(number)[0]

    def heads(self) -> Mapping[int, str]:
        return {number: self.host.head(self.branch(number)) for number in self.numbers}

    def look(self, models: Collection[str]) -> None:
        """As the service's worker does: the models, then those that came to be in conflict."""
        while models:
            self.service.reconcile_many(dict.fromkeys(models, "event"), self._ended)
            models = self.service.in_conflict()

    def merge(self, number: int, how: How = "merge") -> Merged:
        """Somebody merges it, and the forge's webhook names the model to look at."""
        self.host.merge(number, how=how)
        before = self.heads()
        self.host.seen.clear()
        self.look([self.model_of(number)])
        calls = self._calls()
        others = [n for n in self.numbers if n != number and self.is_open(n)]
        after = self.heads()
        return Merged(others, calls, [n for n in others if before[n] != after[n]])

    def merge_all(self, seed: int, how: How = "merge") -> Sequence[Merged]:
        order = list(self.numbers)
        random.Random(seed).shuffle(order)
        return [self.merge(number, how) for number in order]

    def model_of(self, number: int) -> str:
        return self.branch(number).rpartition("/")[2]

    def is_open(self, number: int) -> bool:
        return self.forge.get(number).state == "open"

    def is_untouched(self) -> bool:
        """Whether each was merged as the pull request that was approved first."""
        return all(map(self._is_merged_as_approved, self.numbers))

    def _is_merged_as_approved(self, number: int) -> bool:
        pull = self.forge.get(number)
        newest = self.forge.newest(pull.branch)
        is_replaced = newest is None or newest.number != number
        return pull.state == "merged" and bool(pull.approvals) and not is_replaced

    def served(self) -> str:
        """The environment's list, or the names of all files."""
        text = "production/kustomization.yaml"
        names = git("ls-tree", "-r", "--name-only", "main", cwd=self.host.bare)
        is_listed = text in names.splitlines()
        return git("show", f"main:{text}", cwd=self.host.bare) if is_listed else names

    def _calls(self) -> Mapping[int, int]:
        """Requests that name a pull request, or a commit that is its branch's head."""
        heads = {head: number for number, head in self.heads().items()}
        found = dict.fromkeys(range(len(self.models) + 1), 0)
        for line in self.host.seen:
            parts = line.split("/")
            by_head = [heads[part] for part in parts if part in heads]
            named = [
                int(after)
                for before, after in pairwise(parts)
                if before in ("pulls", "merge_requests", "issues") and after.isdecimal()
            ]
            found[(by_head or named or [0])[0]] += 1
        return found

    @staticmethod
    def _ended(model: str, found: float | BaseException | None) -> None:
        assert not isinstance(found, BaseException), (model, found)
