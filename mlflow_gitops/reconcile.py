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
from dataclasses import dataclass

from mlflow_gitops.errors import (
    GitOpsError,
    HeadMovedError,
    RequestError,
    TerminalError,
    TransientError,
)
from mlflow_gitops.manifests.scaffold import check_name
from mlflow_gitops.observe import Observer, View, selected
from mlflow_gitops.outcome import Outcome, Survey, accepted
from mlflow_gitops.planning.loadable import check_loadable, default_predictor
from mlflow_gitops.planning.messages import commit_message
from mlflow_gitops.planning.plan import Kind, Plan, next_delivered, reports
from mlflow_gitops.planning.records import same_news, status_of
from mlflow_gitops.planning.recover import adopted
from mlflow_gitops.planning.sources import check_source
from mlflow_gitops.ports import ArtifactStore, Clock, Progress, Registry, Repository
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
        """Look at every model without changing anything: the resync's first half.

        An environment where more than `max-changes` services would change is blocked, unless it
        is in `approved`: a first run or a wrong registry then rewrites nothing.
        """
        self.repository.fetch()
        settings = self.observer.settings()
        work: dict[str, set[str]] = {}
        changes: dict[str, list[str]] = {}
        services = 0
        for snapshot in self.registry.snapshots():
            if self.desk.has_strays(snapshot, settings):
                work[snapshot.model] = set()
            for environment in settings.environments_for(snapshot.model):
                services += 1
                foreseen = self.desk.foreseen(snapshot, environment)
                view = self._view_or_error(foreseen or snapshot, environment, settings)
                if isinstance(view, View) and view.plan.changes_git:
                    changes.setdefault(environment.name, []).append(snapshot.model)
                elif foreseen or self._is_news(snapshot, environment, view):
                    work.setdefault(snapshot.model, set()).add(environment.name)
        blocked = {
            name: _blocked(name, len(models), settings.environments[name].max_changes)
            for name, models in changes.items()
            if name not in approved and len(models) > settings.environments[name].max_changes
        }
        for name, models in changes.items():
            for model in models if name not in blocked else ():
                work.setdefault(model, set()).add(name)
        return Survey(
            work={model: frozenset(names) for model, names in work.items()},
            changes={name: tuple(models) for name, models in changes.items()},
            blocked=blocked,
            services=services,
        )

    def adopt(self, environment: str) -> tuple[Outcome, ...]:
        """Record what stands in Git as delivered, for each service without a record of ours."""
        self.repository.fetch()
        settings = self.observer.settings()
        if environment not in settings.environments:
            raise unknown_environment(environment, settings)
        target = settings.environments[environment]
        return tuple(
            self._adopt(snapshot, target, settings)
            for snapshot, each in self.observer.services(settings)
            if each.name == environment and self.observer.trusted(snapshot, target) is None
        )

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

    def _view_or_error(
        self, snapshot: Snapshot, environment: Environment, settings: Settings
    ) -> View | GitOpsError:
        try:
            return self.observer.view(snapshot, environment, settings, recover=False)
        except GitOpsError as error:
            return error

    # Effects, in their order

    def _apply(self, view: View, settings: Settings) -> Outcome:
        plan = view.plan
        revision = self._publish(view, settings)
        commit, diff = "", ""
        if plan.changes_git:
            edit = _edit(view, revision.contents if revision else None, revision)
            change = self.repository.push(plan.place.branch, view.tree.head, [edit])[0]
            commit, diff = change.commit, change.diff
        self._record(view, revision, commit)
        return Outcome(plan.key, plan.state, plan.reason, plan, revision, commit, diff)

    def _preview(self, view: View, settings: Settings) -> Outcome:
        """The same checks and the same edit, and nothing written."""
        plan = view.plan
        diff = ""
        if plan.changes_git:
            contents = self._contents(view, settings)
            edit = _edit(view, contents, None)
            diff = self.repository.diff(view.tree.head, [edit])
        return Outcome(plan.key, plan.state, plan.reason, plan, diff=diff)

    def _publish(self, view: View, settings: Settings) -> Revision | None:
        """Before any commit: the files stand sealed, and the service's runtime can load them."""
        plan = view.plan
        if plan.after is None or not (plan.changes_git or plan.kind is Kind.RECORD):
            return None
        publication = self._publication(plan)
        revision = self.store.sealed(publication)
        if revision is not None:
            _check_runtime(view, revision.contents)
            return revision
        self._contents(view, settings)
        self._tell(plan, State.PUBLISHING, f"publishing to {publication.uri}")
        return self.store.publish(publication, self.progress)

    def _contents(self, view: View, settings: Settings) -> ModelFiles | None:
        """The source's file list, after every check that can be made before a byte is written."""
        plan = view.plan
        if plan.after is None:
            return None
        publication = self._publication(plan)
        sealed = self.store.sealed(publication)
        if sealed is None:
            check_source(publication.source, (*self.registry.artifact_roots(), *settings.sources))
        contents = sealed.contents if sealed else self.store.inspect(publication.source)
        _check_runtime(view, contents)
        return contents

    def _publication(self, plan: Plan) -> Publication:
        assert plan.after is not None
        assert plan.version is not None
        check_name(plan.place.service)  # first, since it becomes a path in the bucket
        return Publication(
            uri=plan.after.uri,
            source=self.registry.artifact_location(plan.version),
            model=plan.version.model,
            number=plan.version.number,
            name=plan.after.version,
            identity=plan.version.identity,
        )

    def _record(self, view: View, revision: Revision | None, commit: str) -> None:
        plan = view.plan
        digest = revision.digest if revision else ""
        head = commit or view.tree.head
        record = next_delivered(plan, view.delivered, head=head, commit=commit, digest=digest)
        if record is not None and record != view.stored:
            self.registry.record(plan.key.model, plan.key.environment, record)
        news = reports(
            plan, view.delivered, told=view.told, commit=commit, digest=digest, time=self.clock()
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

    def _adopt(self, snapshot: Snapshot, environment: Environment, settings: Settings) -> Outcome:
        key = ServiceKey(environment.name, snapshot.model)
        try:
            view = self.observer.view(snapshot, environment, settings, recover=False)
            record = adopted(
                view.plan.before,
                place=view.plan.place,
                snapshot=snapshot,
                selected=selected(snapshot, environment),
                requests=self.observer.requests(snapshot, environment),
                head=view.tree.head,
                settings=settings,
                now=self.clock(),
            )
            self.registry.record(snapshot.model, environment.name, record)
        except GitOpsError as error:
            return Outcome(key, State.FAILED, str(error), error=error)
        stands = view.plan.before
        what = f"version {stands.version} at {stands.uri}" if stands else "no service"
        return Outcome(key, State.ADOPTED, f"{what} stands in Git", view.plan)

    def _is_news(
        self, snapshot: Snapshot, environment: Environment, view: View | GitOpsError
    ) -> bool:
        """Whether a reconcile would write something to the registry, though nothing to Git."""
        if isinstance(view, TransientError):
            return True
        if isinstance(view, GitOpsError):
            told = (status_of(v, environment.name) for v in selected(snapshot, environment))
            return any(status is None or status.message != str(view) for status in told)
        plan, delivered = view.plan, view.delivered
        if plan.kind is Kind.RECORD:
            return True
        record = next_delivered(plan, delivered, head=view.tree.head)
        if record is not None and record != view.stored:
            return True
        for number, status in reports(plan, delivered, told=view.told).items():
            version = snapshot.version(number)
            if version and not same_news(status_of(version, environment.name), status):
                return True
        return False


def unknown_environment(name: str, settings: Settings) -> RequestError:
    return RequestError(
        f"there is no environment `{name}`",
        where="mlflow-gitops.yaml",
        hint=f"take one of: {', '.join(settings.environments)}",
    )


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
    )
    return Edit(files=files, message=message)


def _predictor(view: View, contents: ModelFiles) -> Predictor:
    plan = view.plan
    found = view.manifests.predictor(plan.key.environment, plan.place.service)
    return found or default_predictor(contents)


def _check_runtime(view: View, contents: ModelFiles) -> None:
    check_loadable(contents, _predictor(view, contents))


def _blocked(environment: str, count: int, most: int) -> str:
    return (
        f"{count} services of {environment} would change at once, and `max-changes` is {most}: "
        f"none was changed. Look at `mlflow-gitops plan -e {environment}`, then let them go with "
        f"`mlflow-gitops reconcile -e {environment} --yes`, or take what stands in Git as "
        f"delivered with `mlflow-gitops adopt -e {environment}`"
    )
