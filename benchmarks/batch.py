"""Many promotions at once, against the same promotions one at a time.

A repository of 5,000 models over HTTP, revisions that were published before, one process with warm
caches. One at a time is a loop over `reconcile`, as a script would have it; together is one
`reconcile_many`. The loop is run for a sample, and its time for all is reckoned from that. The
registry and the bucket are in memory, so that Git is what is measured; with a real MLflow, whose
writes cost the same on both sides, both are measured once more. The server counts the pushes.

    python benchmarks/batch.py [--models 5000] [--promotions 100] [--sample 40] [--rounds 3]
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from _common import close, large_repository, show
from mlflow.store.model_registry.dbmodels.models import SqlModelVersion, SqlRegisteredModel
from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore

from mlflow_gitops.bootstrap import Session
from mlflow_gitops.config import Process
from mlflow_gitops.demo.mlflow_server import MlflowServer, mlflow_server
from mlflow_gitops.demo.seaweedfs import seaweedfs
from mlflow_gitops.outcome import Outcome
from mlflow_gitops.state import Publication, Revision
from tests.support.git import GitHttpServer, install_hook
from tests.support.memory_registry import MemoryRegistry
from tests.support.memory_store import MemoryArtifactStore
from tests.support.mlflow import MODEL_FILES, write_files

TARGET = 20.0  # times faster
MOST_PUSHES = 5
BUCKET = "models"
SOURCE = "mlflow-artifacts:/shared"
VERSIONS = ("1", "2")
CREATED = 1_760_000_000_000

Ask = Callable[[Sequence[str], str], None]
"""Let the models have this version in Production."""


class Sealed(MemoryArtifactStore):
    """Everything was published before."""

    def sealed(self, publication: Publication) -> Revision:
        return Revision(publication.uri, f"sha256:{1:064x}", self.inspect(SOURCE), created=False)


@dataclass
class InMemory(Session):
    """Git is real; the registry and the bucket are not."""

    registry: MemoryRegistry = field(default_factory=MemoryRegistry)  # type: ignore[assignment]
    store: MemoryArtifactStore = field(  # type: ignore[assignment]
        default_factory=lambda: Sealed({SOURCE: MODEL_FILES})
    )

    def ask(self, models: Sequence[str], version: str) -> None:
        for model in models:
            self.registry.transition(model, version, "Production", archive_existing=True)


def in_memory(environ: dict[str, str], models: Sequence[str]) -> tuple[Session, Ask]:
    session = InMemory(Process.from_environ(environ))
    for model in models:
        for _ in VERSIONS:
            session.registry.create_version(model, source=SOURCE)
    return session, session.ask


def with_servers(
    stack: ExitStack, folder: Path, environ: dict[str, str], models: Sequence[str]
) -> tuple[Session, Ask]:
    s3 = stack.enter_context(seaweedfs(folder / "s3"))
    s3.client().create_bucket(Bucket=BUCKET)
    mlflow = stack.enter_context(mlflow_server(folder / "mlflow"))
    seed(mlflow, models)
    os.environ.update(AWS_ACCESS_KEY_ID=s3.access_key, AWS_SECRET_ACCESS_KEY=s3.secret_key)
    os.environ.update(AWS_DEFAULT_REGION="us-east-1")
    urls = {"MLFLOW_TRACKING_URI": mlflow.url, "MLFLOW_GITOPS_S3_ENDPOINT": s3.endpoint}
    session = Session(Process.from_environ({**environ, **urls}))
    return session, lambda models, version: transition(mlflow, models, version)


def seed(server: MlflowServer, models: Sequence[str]) -> None:
    """The versions of each model, all made of the same files."""
    write_files(server.artifacts / "shared", MODEL_FILES)
    with SqlAlchemyStore(server.database).ManagedSessionMaker() as rows:
        for model in models:
            rows.add(SqlRegisteredModel(name=model, creation_time=CREATED))
            rows.flush()
            for number in map(int, VERSIONS):
                rows.add(
                    SqlModelVersion(
                        name=model,
                        version=number,
                        creation_time=CREATED + number,
                        last_updated_time=CREATED + number,
                        source=SOURCE,
                        run_id=f"{number:032x}",
                        status="READY",
                    )
                )


def transition(server: MlflowServer, models: Sequence[str], version: str) -> None:
    """In the database: asking is not what is measured."""
    with SqlAlchemyStore(server.database).ManagedSessionMaker() as rows:
        for row in rows.query(SqlModelVersion).filter(SqlModelVersion.name.in_(models)):
            row.current_stage = "Production" if str(row.version) == version else "Archived"


class Pushes:
    """Counts them in a hook of the server."""

    def __init__(self, bare: Path) -> None:
        self.file = bare / "pushes"
        install_hook(bare, "post-receive", f'echo push >> "{self.file}"')

    def count(self) -> int:
        return len(self.file.read_text().splitlines()) if self.file.exists() else 0


@contextmanager
def measured(into: list[float], promotions: int) -> Iterator[None]:
    """Seconds for each promotion."""
    started = time.perf_counter()
    yield
    into.append((time.perf_counter() - started) / promotions)


def one_at_a_time(session: Session, models: Sequence[str]) -> None:
    for model in models:
        check(session.reconciler.reconcile(model))


def together(session: Session, models: Sequence[str]) -> None:
    for outcomes in session.reconciler.reconcile_many(dict.fromkeys(models)).values():
        assert isinstance(outcomes, tuple), outcomes
        check(outcomes)


def check(outcomes: Sequence[Outcome]) -> None:
    (outcome,) = outcomes
    assert outcome.error is None, outcome.error
    assert outcome.commit, "it was promoted"


@dataclass
class Measured:
    """Seconds for each promotion, and the pushes of each batch."""

    single: list[float] = field(default_factory=list)
    batch: list[float] = field(default_factory=list)
    pushes: list[int] = field(default_factory=list)

    @property
    def ratio(self) -> float:
        return median(self.single) / median(self.batch)

    def rows(self, where: str, promotions: int, sample: int) -> list[tuple[str, str, str, str]]:
        single, batch = median(self.single), median(self.batch)
        reckoned = f"{single * promotions:.1f} (reckoned from {sample})"
        return [
            (f"one at a time, {where}", f"{1000 * single:.0f}", reckoned, str(promotions)),
            (
                f"together, {where}: {self.ratio:.1f} times faster",
                f"{1000 * batch:.1f}",
                f"{batch * promotions:.2f}",
                str(max(self.pushes)),
            ),
        ]


def measure(
    session: Session, ask: Ask, models: Sequence[str], sample: int, pushes: Pushes, rounds: int
) -> Measured:
    """Take turns, never at the same time. The first two rounds publish and warm up."""
    found = Measured()
    few = models[:: max(1, len(models) // sample)][:sample]
    for version in reversed(VERSIONS):
        ask(models, version)
        together(session, models)
    for number in range(rounds):
        old, new = VERSIONS[number % 2], VERSIONS[1 - number % 2]
        ask(few, new)
        with measured(found.single, len(few)):
            one_at_a_time(session, few)
        ask(few, old)
        together(session, few)
        ask(models, new)
        before = pushes.count()
        with measured(found.batch, len(models)):
            together(session, models)
        found.pushes.append(pushes.count() - before)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=int, default=5000)
    parser.add_argument("--promotions", type=int, default=100)
    parser.add_argument("--sample", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--no-servers", action="store_true", help="leave MLflow and the bucket out")
    options = parser.parse_args()
    models = [f"model-{number:05}" for number in range(options.models)]
    chosen = models[:: max(1, options.models // options.promotions)][: options.promotions]
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = stack.enter_context(GitHttpServer(folder / "root"))

        def run(name: str, start: Callable[[dict[str, str]], tuple[Session, Ask]]) -> Measured:
            bare = large_repository(folder / f"root/{name}.git", models, BUCKET, "0")
            environ = {
                "MLFLOW_GITOPS_REPOSITORY": server.url(bare.name),
                "MLFLOW_GITOPS_STATE_DIR": str(folder / name),
            }
            return measure(*start(environ), chosen, options.sample, Pushes(bare), options.rounds)

        git = run("alone", lambda environ: in_memory(environ, chosen))
        rows = git.rows("Git alone", len(chosen), options.sample)
        if not options.no_servers:
            whole = run("whole", lambda environ: with_servers(stack, folder, environ, chosen))
            rows += whole.rows("with MLflow and S3", len(chosen), options.sample)
    show(
        f"{len(chosen)} promotions, {options.models} models, {options.rounds} rounds",
        ("", "ms for each", "seconds for all", "pushes"),
        rows,
    )
    ok = git.ratio >= TARGET and max(git.pushes) <= MOST_PUSHES
    against = f"one reconcile for each; {max(git.pushes)} pushes of at most {MOST_PUSHES}"
    return close("batch", git.ratio, TARGET, against, ok=ok)


if __name__ == "__main__":
    raise SystemExit(main())
