"""The one place that knows the order of effects.

Level-triggered: a call says which model to look at, everything else is read again. For each
environment: plan, then claim, copy and seal the artifacts, then commit and push, then record. After
a crash at any point, running again gives the same end state. One environment's error never stops
another. All decisions are made in `planning` and `manifests`; all I/O goes through `ports`.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass, replace

from mlflow_gitops.errors import (
    GitOpsError,
    HeadMovedError,
    TerminalError,
)
from mlflow_gitops.gatekeeping import Gatekeeper
from mlflow_gitops.gates import Gate
from mlflow_gitops.manifests.scaffold import check_name
from mlflow_gitops.observe import Observer, View, selected
from mlflow_gitops.outcome import Outcome, Survey, accepted
from mlflow_gitops.planning.decisions import in_force
from mlflow_gitops.planning.gates import commit_statuses
from mlflow_gitops.planning.loadable import check_loadable, default_predictor
from mlflow_gitops.planning.messages import commit_message
from mlflow_gitops.planning.naming import publication_of
from mlflow_gitops.planning.plan import Kind, Plan, next_delivered, reports, waiting
from mlflow_gitops.planning.proposing import marker_of, moot, withdrawal
from mlflow_gitops.planning.sources import check_source
from mlflow_gitops.ports import ArtifactStore, Clock, Progress, Registry, Repository
from mlflow_gitops.proposer import Proposer
from mlflow_gitops.pull_requests import CommitStatus, PullRequest
from mlflow_gitops.state import (
    Edit,
    Environment,
    ModelFiles,
    Predictor,
    Publication,
    Request,
    Revision,
    ServiceKey,
    Settings,
    Snapshot,
    State,
    Status,
)
from mlflow_gitops.surveying import Surveyor
from mlflow_gitops.take_up import Desk, RefusedError

__all__ = ["Outcome", "Reconciler", "Survey"]

PUSH_ATTEMPTS = 12
PUSH_PAUSE = 0.05  # seconds, doubled for each attempt up to PUSH_PAUSE_MOST, with full jitter
PUSH_PAUSE_MOST = 2.0


@dataclass(slots=True)
class Reconciler:
    """Brings Git to what the registry asks for, one model at a time; safe for several threads.

    `pause` sleeps between push attempts, in seconds.
    """

    observer: Observer
    store: ArtifactStore
    progress: Progress | None = None
    pause: Callable[[float], None] = time.sleep
    jitter: Callable[[], float] = random.random

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
    def gatekeeper(self) -> Gatekeeper:
        return Gatekeeper(self.registry, self.store)

    @property
    def desk(self) -> Desk:
        return Desk(self.registry, self.clock, self.observer.requests)

    def reconcile(
        self, model: str, *, only: Collection[str] | None = None, dry_run: bool = False
    ) -> tuple[Outcome, ...]:
        """Look at one model in each environment that takes it (or those in `only`).

        Errors of one environment are in its outcome; only what concerns all of them is raised.
        With `dry_run` nothing is written anywhere, and the outcomes hold plan and diff.
        """
        settings, snapshot = self.observer.read(model)
        if not dry_run:
            self.desk.turn_away(snapshot, settings)
        return tuple(
            self._service(snapshot, environment, settings, dry_run=dry_run)
            for environment in settings.environments_for(model)
            if only is None or environment.name in only
        )

    def preview(self, snapshot: Snapshot, environment: Environment, settings: Settings) -> Outcome:
        """Plan and diff of one service for a snapshot, a real or an imagined one; writes nothing.

        Looks at Git as last fetched. An error is in the outcome.
        """
        return self._service(snapshot, environment, settings, dry_run=True)

    def survey(self, *, approved: Collection[str] = ()) -> Survey:
        """What a resync has to do, found without changing anything. See `Surveyor.survey`."""
        return Surveyor(self.observer, self.desk).survey(approved)

    def adopt(self, environment: str) -> tuple[Outcome, ...]:
        """Take what stands in Git as delivered. See `Surveyor.adopt`."""
        return Surveyor(self.observer, self.desk).adopt(environment)

    # One service

    def _service(
        self, snapshot: Snapshot, environment: Environment, settings: Settings, *, dry_run: bool
    ) -> Outcome:
        key = ServiceKey(environment.name, snapshot.model)
        attempt = 0
        while True:
            try:
                if dry_run:
                    snapshot = self.desk.foreseen(snapshot, environment) or snapshot
                else:
                    snapshot = self._taken_up(snapshot, environment, settings)
                view = self.observer.view(snapshot, environment, settings, recover=True)
                return (self._preview if dry_run else self._apply)(view, settings)
            except HeadMovedError as moved:
                attempt += 1
                if attempt >= PUSH_ATTEMPTS:
                    return Outcome(key, State.FAILED, moved.what, error=moved)
                self.pause(min(PUSH_PAUSE_MOST, PUSH_PAUSE * 2**attempt) * self.jitter())
                self.repository.fetch()
            except RefusedError as refused:  # who asked was told
                return Outcome(key, State.FAILED, str(refused.error), error=refused.error)
            except GitOpsError as error:
                if isinstance(error, TerminalError) and not dry_run:
                    self._tell_failure(snapshot, environment, error)
                return Outcome(key, State.FAILED, str(error), error=error)

    def _taken_up(
        self, snapshot: Snapshot, environment: Environment, settings: Settings
    ) -> Snapshot:
        def check(after: Snapshot, request: Request) -> None:
            accepted(self.preview(after, environment, settings), request)

        return self.desk.take_up(snapshot, environment, check)

    # Effects, in their order

    def _apply(self, view: View, settings: Settings) -> Outcome:
        plan = view.plan
        if plan.changes_git:
            self.repository.check_signing()  # before anything is published
        revision = self._publish(view, settings)
        commit, diff, pull = "", "", plan.pull
        if plan.changes_git:
            edit = _edit(view, revision.contents if revision else None, revision)
            if plan.place.by_pull_request:
                pull, diff = self._propose(view, edit, settings, revision)
            else:
                change = self.repository.push(plan.place.branch, view.tree.head, [edit])[0]
                commit, diff = change.commit, change.diff
        elif (old := moot(plan)) is not None:
            why = withdrawal(plan, "nobody asks for this any more")
            self.observer.forge(settings).withdraw(old, why)
        if plan.changes_git and pull is not None:
            plan = replace(plan, reason=waiting(plan.reason, pull))
            view = replace(view, plan=plan)
        self._record(view, revision, commit, pull)
        return Outcome(plan.key, plan.state, plan.reason, plan, revision, commit, diff, pull=pull)

    def _propose(
        self, view: View, edit: Edit, settings: Settings, revision: Revision | None
    ) -> tuple[PullRequest, str]:
        hold = [in_force(view.plan.decision)] if view.plan.decision else []
        body = "\n\n".join([view.plan.reason, *hold, marker_of(view.plan)])
        proposer = Proposer(self.observer.forge(settings), self.repository)
        statuses = self._statuses(view, settings, revision)
        pull, change = proposer.propose(view, edit, body, statuses)
        return pull, change.diff

    def _statuses(
        self, view: View, settings: Settings, revision: Revision | None
    ) -> tuple[CommitStatus, ...]:
        if revision is None:  # to retire passes no gate
            return ()
        keeper = self.gatekeeper
        return commit_statuses(keeper.gates(view, revision.contents, settings, revision.digest))

    def _preview(self, view: View, settings: Settings) -> Outcome:
        """The same checks and the same edit, and nothing written."""
        plan = view.plan
        diff, contents = "", None
        gates: tuple[Gate, ...] = ()
        if plan.changes_git and plan.after is not None:
            publication = self._publication(plan)
            sealed = self.store.sealed(publication)
            contents, gates = self._check(view, publication, sealed, settings)
        if plan.changes_git:
            edit = _edit(view, contents, None)
            diff = self.repository.diff(view.tree.head, [edit])
        return Outcome(plan.key, plan.state, plan.reason, plan, diff=diff, gates=gates)

    def _publish(self, view: View, settings: Settings) -> Revision | None:
        """Before any commit: the files stand sealed, and the service's runtime can load them."""
        plan = view.plan
        if plan.after is None or not (plan.changes_git or plan.kind is Kind.RECORD):
            return None
        publication = self._publication(plan)
        revision = self.store.sealed(publication)
        self._check(view, publication, revision, settings)
        if revision is not None:
            return revision
        self._tell(plan, State.PUBLISHING, f"publishing to {publication.uri}")
        return self.store.publish(publication, self.progress)

    def _check(
        self, view: View, publication: Publication, sealed: Revision | None, settings: Settings
    ) -> tuple[ModelFiles, tuple[Gate, ...]]:
        """The list of files, after every check that can be made before a byte is written."""
        if sealed is None:
            check_source(publication.source, (*self.registry.artifact_roots(), *settings.sources))
        contents = sealed.contents if sealed else self.store.inspect(publication.source)
        check_loadable(contents, _predictor(view, contents))
        return contents, self.gatekeeper.check(view, contents, settings)

    def _publication(self, plan: Plan) -> Publication:
        assert plan.after is not None
        assert plan.version is not None
        check_name(plan.place.service)  # first, since it becomes a path in the bucket
        return publication_of(
            plan.version, plan.after, self.registry.artifact_location(plan.version)
        )

    def _record(
        self, view: View, revision: Revision | None, commit: str, pull: PullRequest | None
    ) -> None:
        plan = view.plan
        digest = revision.digest if revision else ""
        head = commit or view.tree.head
        opened = pull.number if pull and plan.changes_git else 0
        record = next_delivered(
            plan, view.delivered, head=head, commit=commit, digest=digest, pull=opened
        )
        if record is not None and record != view.stored:
            self.registry.record(plan.key.model, plan.key.environment, record)
        news = reports(
            plan,
            view.delivered,
            told=view.told,
            commit=commit,
            digest=digest,
            time=self.clock(),
            pull=pull.url if pull else "",
        )
        for number, status in news.items():
            self.registry.report(plan.key.model, number, plan.key.environment, status)

    def _tell(self, plan: Plan, state: State, message: str) -> None:
        if plan.version is not None:
            answers = plan.request.id if plan.request and plan.request.recorded else ""
            status = Status(state, message, time=self.clock(), request=answers)
            self.registry.report(plan.key.model, plan.version.number, plan.key.environment, status)

    def _tell_failure(
        self, snapshot: Snapshot, environment: Environment, error: TerminalError
    ) -> None:
        """Where people look: on the versions that are selected. Never hides the error itself."""
        with suppress(GitOpsError):
            requests = self.observer.requests(snapshot, environment)
            for version in selected(snapshot, environment):
                request = requests.get(version.number)
                answers = request.id if request else ""
                status = Status(State.FAILED, str(error), time=self.clock(), request=answers)
                self.registry.report(snapshot.model, version.number, environment.name, status)


def _edit(view: View, contents: ModelFiles | None, revision: Revision | None) -> Edit:
    """The files' new texts and the commit's message, for a plan that changes Git."""
    plan = view.plan
    assert plan.request is not None
    name, service = plan.key.environment, plan.place.service
    if plan.after is None:
        files = view.manifests.remove_service(name, service)
    else:
        assert contents is not None
        files = view.manifests.set_service(name, service, plan.after, _predictor(view, contents))
    undoes = view.delivered.commit if view.delivered and plan.request.action == "rollback" else ""
    message = commit_message(
        environment=name,
        service=service,
        model=plan.key.model,
        action=plan.request.action,
        before=plan.before,
        after=plan.after,
        version=plan.version,
        request=plan.request,
        digest=revision.digest if revision else "",
        undoes=undoes,
        hold=in_force(plan.decision) if plan.decision else "",
    )
    return Edit(files=files, message=message)


def _predictor(view: View, contents: ModelFiles) -> Predictor:
    plan = view.plan
    found = view.manifests.predictor(plan.key.environment, plan.place.service)
    return found or default_predictor(contents)
