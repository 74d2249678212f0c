"""Brings Git to what the registry asks for: what the CLI, the plugin and the service call.

Level-triggered: a call says which models to look at, everything else is read again. Services whose
branch moved are looked at again until each has an outcome. What is done with each look, and in
which order, is `delivering.py`.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from mlflow_gitops.batch import Batch, Ended, Job, Patience, Result, Results
from mlflow_gitops.delivering import Deliverer
from mlflow_gitops.drafter import Drafter
from mlflow_gitops.errors import GitOpsError, HeadMovedError, TransientError
from mlflow_gitops.evidencing import Gatherer
from mlflow_gitops.observe import Observer
from mlflow_gitops.outcome import Outcome, Survey, failed
from mlflow_gitops.ports import ArtifactStore, Clock, Progress, Registry, Renderer, Repository
from mlflow_gitops.previewing import Previewer
from mlflow_gitops.prover import Prover
from mlflow_gitops.publishing import Publisher
from mlflow_gitops.reporting import Reporter
from mlflow_gitops.state import Environment, Settings, Snapshot
from mlflow_gitops.surveying import Surveyor
from mlflow_gitops.take_up import Desk

__all__ = ["Outcome", "Reconciler", "Result", "Survey"]

TOGETHER = 200  # services with one push: more would be planned again for each commit of others


def _nothing(model: str, result: Result) -> None:
    """Who waits for all of them need not be told of each."""


@dataclass(slots=True)
class Reconciler:
    """Brings Git to what the registry asks for; safe for several threads.

    `pause` sleeps between push attempts, in seconds. `threads` is how many services are published
    and recorded at once; those that take longer than `publish_wait` seconds are pushed later.
    """

    observer: Observer
    store: ArtifactStore
    progress: Progress | None = None
    pause: Callable[[float], None] = time.sleep
    jitter: Callable[[], float] = random.random
    threads: int = 8
    publish_wait: float = 5.0
    renderer: Renderer | None = None

    @property
    def registry(self) -> Registry:
        return self.observer.registry

    @property
    def repository(self) -> Repository:
        return self.observer.repository

    @property
    def clock(self) -> Clock:
        return self.observer.clock

    @property
    def previewer(self) -> Previewer:
        publisher = Publisher(self.registry, self.store, Reporter(self.observer), self.progress)
        gatherer = Gatherer(self.registry, self.store, self.repository, self.renderer)
        drafter = Drafter(Prover(self.renderer))
        return Previewer(self.observer, publisher, gatherer, drafter, self.patience)

    @property
    def patience(self) -> Patience:
        return Patience(self.pause, self.jitter)

    @property
    def desk(self) -> Desk:
        return self.previewer.desk

    def reconcile(self, model: str, *, only: Collection[str] | None = None) -> tuple[Outcome, ...]:
        """Look at one model in each environment that takes it (or those in `only`).

        Errors of one environment are in its outcome; only what concerns all of them is raised.
        """
        found = self.reconcile_many({model: only})[model]
        if isinstance(found, GitOpsError):
            raise found
        return found

    def reconcile_many(
        self, work: Mapping[str, Collection[str] | None], ended: Ended = _nothing
    ) -> Mapping[str, Result]:
        """Look at many models, each in the environments that it is mapped to (None: in all).

        One fetch, and one push for each branch, with a commit for each service. A model's error
        that concerns all of its environments is in its place; what concerns all is raised.
        """
        try:
            settings, snapshots = self.observer.read_many(work)
        except TransientError as error:
            self._report_wait(work, error)
            raise
        results, jobs = Results(ended), []
        for model, snapshot in snapshots.items():
            try:
                found = self._jobs(snapshot, work[model], settings)
            except GitOpsError as error:
                results.end(model, error)
                continue
            results.expect(model, tuple(job.key for job in found))
            jobs += found
        for start in range(0, len(jobs), TOGETHER):
            self._together(jobs[start : start + TOGETHER], settings, results)
        return results.found

    def preview(self, snapshot: Snapshot, environment: Environment, settings: Settings) -> Outcome:
        """Plan and diff of one service for a snapshot, a real or an imagined one; writes nothing.

        Looks at Git as last fetched. An error is in the outcome.
        """
        return self.previewer.preview(snapshot, environment, settings)

    def compare(self, snapshot: Snapshot, environment: Environment, settings: Settings) -> Outcome:
        """What a reviewer would see of it. See `Previewer.compare`."""
        return self.previewer.compare(snapshot, environment, settings)

    def survey(self, *, approved: Collection[str] = ()) -> Survey:
        """What a resync has to do, found without changing anything. See `Surveyor.survey`."""
        return Surveyor(self.observer, self.desk).survey(approved)

    def adopt(self, environment: str) -> tuple[Outcome, ...]:
        """Take what stands in Git as delivered. See `Surveyor.adopt`."""
        return Surveyor(self.observer, self.desk).adopt(environment)

    def _report_wait(
        self, work: Mapping[str, Collection[str] | None], error: TransientError
    ) -> None:
        """Say in the registry that Git does not answer, by the settings of the last fetch."""
        reporter = Reporter(self.observer)
        with suppress(GitOpsError):
            settings = self.observer.settings()
            for model, only in work.items():
                snapshot = self.registry.snapshot(model)
                for each in settings.environments_for(model):
                    if only is None or each.name in only:
                        reporter.waits(snapshot, each, settings, error)

    # Many services, until each has an outcome

    def _jobs(
        self, snapshot: Snapshot | GitOpsError, only: Collection[str] | None, settings: Settings
    ) -> list[Job]:
        if isinstance(snapshot, GitOpsError):
            raise snapshot
        self.desk.turn_away(snapshot, settings)
        taking = settings.environments_for(snapshot.model)
        return [Job(snapshot, each) for each in taking if only is None or each.name in only]

    def _together(self, jobs: Sequence[Job], settings: Settings, results: Results) -> None:
        """Where a branch moved, only what is not pushed is planned again."""
        batch = Batch(results)
        deliverer = Deliverer(self.previewer, settings, batch, self.threads, self.publish_wait)
        deliverer.deliver(jobs)
        attempt = 0
        while moved := batch.take_moved():
            attempt += 1
            try:
                self.patience.wait(attempt, moved[0][1])
                self.repository.fetch()
            except GitOpsError as error:
                is_late = isinstance(error, HeadMovedError)
                for job, own in moved:
                    results.add(failed(job.key, own if is_late else error))
                return
            deliverer.deliver([job for job, _ in moved])
