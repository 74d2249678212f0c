"""The tool behind a proxy that counts its calls and stops it at one of them, from outside.

A call is a request to the forge's API or, where Git goes over HTTP, one of Git's. It is cut before
it reaches the forge, or after the forge answered and before the tool reads that; or the process
is killed at the same two moments. What the tool keeps lies in files, so another process goes on.
"""

from __future__ import annotations

import copyreg
import json
import multiprocessing
import os
import pickle
import re
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, Protocol
from urllib.parse import urlsplit

from mlflow_gitops.adapters.forge import gitea, github_client, open_forge
from mlflow_gitops.adapters.repository import GitRepository
from mlflow_gitops.errors import GitOpsError
from mlflow_gitops.observe import Observer
from mlflow_gitops.ports import Forge
from mlflow_gitops.reconcile import Reconciler
from mlflow_gitops.runs import RunFacts
from tests.support.git import Person
from tests.support.memory_registry import MemoryRegistry
from tests.support.memory_session import FILES, ROOT, TIME
from tests.support.memory_store import MemoryArtifactStore
from tests.support.proxy import Proxy, Seen, proxy

__all__ = ["HOWS", "MODEL", "Cut", "Place", "Scene", "scene"]

How = Literal["cut before", "cut after", "kill before", "kill after"]
HOWS: tuple[How, ...] = ("cut before", "kill before", "kill after", "cut after")
MODEL = "fraud-detector"
LOOKS = 2  # after which everything has to be as it is without a cut
WAIT = 120  # seconds
SETTINGS = """artifacts: {bucket: models}
environments:
  production:
    select: {stage: Production}
    path: production
    delivery: pull-request
    pull-request: {labels: [ml, risk], reviewers: [rita, raj]}
    gates: {metrics: {accuracy: {min: 0.9}}}
"""
SERVICE = f"""apiVersion: serving.kserve.io/v1beta1
kind: InferenceService
metadata:
  name: {MODEL}
  labels:
    model-version: "1"
spec:
  predictor:
    model:
      modelFormat:
        name: mlflow
      protocolVersion: v2
      storageUri: s3://models/{MODEL}/v1/
"""
FILES_IN_GIT = {"mlflow-gitops.yaml": SETTINGS, f"production/{MODEL}.yaml": SERVICE}


def _proxied(held: dict[str, Any]) -> MappingProxyType[str, Any]:
    return MappingProxyType(held)


copyreg.pickle(MappingProxyType, lambda held: (_proxied, (dict(held),)))


class Place(Protocol):
    """A repository on a forge, and what people do there. Git over HTTP goes through the proxy."""

    kind: str
    api: str
    token: str
    repository: str
    remote: str

    def merge(self, number: int) -> object: ...
    def approve(self, number: int) -> object: ...
    def comments(self, number: int) -> list[str]: ...
    def person(self, branch: str) -> Person: ...


class _Kept:
    """Saves what it holds after each of its calls, as a server would have."""

    def __init__(self, held: object, save: Callable[[], None]) -> None:
        self._held, self._save = held, save

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._held, name)
        if not callable(found):
            return found

        def act(*args: object, **named: object) -> object:
            try:
                return found(*args, **named)
            finally:
                self._save()

        return act


@dataclass(frozen=True)
class Tool:
    """One process' settings. `folder` holds the clone, and the registry and the bucket."""

    kind: str
    api: str
    token: str
    repository: str
    remote: str
    folder: Path

    @property
    def forge(self) -> Forge:
        identity = f"forge.example.com/{self.repository}"
        return open_forge(identity, self.kind, self.api, token=lambda: self.token)

    def load(self) -> tuple[MemoryRegistry, MemoryArtifactStore]:
        found: tuple[MemoryRegistry, MemoryArtifactStore] = pickle.loads(  # noqa: S301 our own
            self._world.read_bytes()
        )
        return found

    def save(self, registry: MemoryRegistry, store: MemoryArtifactStore) -> None:
        made = self.folder / "world.new"
        made.write_bytes(pickle.dumps((registry, store)))
        made.replace(self._world)

    @property
    def _world(self) -> Path:
        return self.folder / "world"

    def look(self) -> str:
        """Reconcile once. Returns what failed, "" for nothing."""
        gitea.BETWEEN, github_client.WRITES_APART = 0.05, None
        registry, store = self.load()
        lock = threading.Lock()

        def save() -> None:
            with lock:
                self.save(registry, store)

        secret = ("x", self.token) if self.remote.startswith("http") else None
        git = GitRepository(self.remote, self.folder, credentials=lambda: secret)
        kept: Any = _Kept(registry, save)
        bucket: Any = _Kept(store, save)
        observer = Observer(kept, git, lambda: TIME, open_forge=lambda _: self.forge)
        try:
            found = Reconciler(observer, bucket, pause=lambda _: None, threads=1).reconcile(MODEL)
        except GitOpsError as error:
            return str(error)
        return "\n".join(str(each.error) for each in found if each.error)


def _look(tool: Tool) -> None:
    tool.look()


@dataclass
class Cut:
    """Stops the tool at its call number `at`; counts the calls of one look, from 1."""

    at: int = 0
    how: How = "cut before"
    calls: list[str] = field(default_factory=list)
    process: BaseProcess | None = None
    landed: str = ""
    _numbers: dict[int, int] = field(default_factory=dict)

    def before(self, seen: Seen) -> None:
        self.calls.append(f"{seen.method} {seen.path}")
        self._numbers[id(seen)] = len(self.calls)
        self._stop(seen, "before")

    def after(self, seen: Seen) -> None:
        self._stop(seen, "after")

    def _stop(self, seen: Seen, when: str) -> None:
        if self._numbers[id(seen)] != self.at or not self.how.endswith(when):
            return
        self.landed = f"{seen.method} {seen.path}"
        if self.process is not None:
            os.kill(self.process.pid or 0, signal.SIGKILL)
        raise ConnectionAbortedError("cut")  # the proxy closes the connection


@dataclass
class Scene:
    """A repository with version 1 in Git, the tool, and people."""

    place: Place
    tool: Tool
    direct: Forge
    proxy: Proxy
    names: dict[str, str]

    def asks(self, number: str) -> None:
        registry, store = self.tool.load()
        for version in registry.snapshot(MODEL).versions:
            if version.stage == "Production":
                registry.transition(MODEL, version.number, "Archived")
        registry.transition(MODEL, number, "Production")
        self.tool.save(registry, store)

    def settles(self, looks: int = LOOKS) -> None:
        """Look until there is nothing to do. Raises where a look fails."""
        for _ in range(looks):
            failed = self.tool.look()
            assert not failed, failed

    def stopped(self, cut: Cut) -> None:
        """One look that is stopped, or one that nobody stops where `cut` is never reached."""
        self.proxy.before.append(cut.before)
        self.proxy.after.append(cut.after)
        try:
            if cut.at and cut.how.startswith("kill"):
                context = multiprocessing.get_context("forkserver")
                context.set_forkserver_preload([__name__])
                cut.process = context.Process(target=_look, args=(self.tool,))
                cut.process.start()
                cut.process.join(WAIT)
            else:
                self.tool.look()
        finally:
            self.proxy.before.clear()
            self.proxy.after.clear()

    def state(self) -> dict[str, object]:
        """All that people see, on the forge and in the registry, without names that differ."""
        registry, _ = self.tool.load()
        model = registry.models[MODEL]
        tags = {n: dict(sorted(row.tags.items())) for n, row in model.versions.items()}
        found = {"pulls": list(self._pulls()), "versions": tags, "model": dict(model.tags)}
        text = json.dumps(found)
        for name, other in self.names.items():
            text = text.replace(name, other)
        plain: dict[str, object] = json.loads(re.sub(r"[0-9a-f]{12,64}", "#", text))
        return plain

    def _pulls(self) -> Iterator[dict[str, object]]:
        for number in range(1, 9):
            try:
                pull = self.direct.get(number)
            except GitOpsError:
                return
            statuses = self.direct.verdicts(pull.head)
            yield {
                "state": pull.state,
                "title": pull.title,
                "labels": sorted(pull.labels),
                "asked": sorted(pull.asked),
                "approved": [each.by for each in pull.approvals],
                "body": pull.body,
                "comments": self.place.comments(number),
                "statuses": sorted((s.name, s.verdict, s.text) for s in statuses),
                "diff": self._diff(pull.branch) if pull.state == "open" else "",
            }

    def _diff(self, branch: str) -> str:
        person = self.place.person("main")
        person.run("fetch", "--quiet", "origin", "main", branch)
        return person.run("log", "-p", "--format=%B", f"origin/main..origin/{branch}")


@contextmanager
def scene(place: Place, folder: Path) -> Iterator[Scene]:
    """Version 1 of three is in Git; the model's accuracy is good enough."""
    parts = urlsplit(place.api)
    place.person("main").commits(FILES_IN_GIT, "begin")
    with proxy(f"{parts.scheme}://{parts.netloc}") as between:
        remote = place.remote
        if remote.startswith("http"):
            remote = between.url + urlsplit(remote).path
        api = f"{between.url}{parts.path}"
        folder.mkdir(parents=True)
        tool = Tool(place.kind, api, place.token, place.repository, remote, folder)
        registry, store = MemoryRegistry(), MemoryArtifactStore()
        registry.runs[""] = RunFacts(metrics={"accuracy": 0.97})
        for number in range(3):
            source = f"{ROOT}0/{MODEL}/{number}"
            store.sources[source] = FILES
            registry.create_version(MODEL, source=source)
        tool.save(registry, store)
        names = {
            remote.removesuffix(".git"): "REMOTE",
            between.url: "PROXY",
            place.repository: "REPOSITORY",
        }
        names[urlsplit(between.url).netloc] = "PROXY"
        direct = Tool(place.kind, place.api, place.token, place.repository, remote, folder).forge
        made = Scene(place, tool, direct, between, names)
        made.asks("1")
        made.settles(1)
        yield made
