"""Looks at every model at once: what a resync has to do, and what a first run takes as it stands.

Changes nothing in Git; `adopt` writes records.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from mlflow_gitops.errors import GitOpsError, RequestError, TransientError
from mlflow_gitops.observe import Observer, View, selected
from mlflow_gitops.outcome import Outcome, Survey
from mlflow_gitops.planning.plan import Kind, next_delivered, reports
from mlflow_gitops.planning.records import same_news, status_of
from mlflow_gitops.planning.recover import adopted
from mlflow_gitops.state import Environment, ServiceKey, Settings, Snapshot, State, Status
from mlflow_gitops.take_up import Desk

__all__ = ["Surveyor", "unknown_environment"]


@dataclass(frozen=True, slots=True)
class Surveyor:
    """Sees what the observer sees, and what waits at the desk."""

    observer: Observer
    desk: Desk

    def survey(self, approved: Collection[str] = ()) -> Survey:
        """Look at every model without changing anything: the resync's first half.

        An environment where more than `max-changes` services would change is blocked, unless it
        is in `approved`: a first run or a wrong registry then rewrites nothing.
        """
        self.observer.repository.fetch()
        settings = self.observer.settings()
        work: dict[str, set[str]] = {}
        changes: dict[str, list[str]] = {}
        services = 0
        for snapshot in self.observer.registry.snapshots():
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
        self.observer.repository.fetch()
        settings = self.observer.settings()
        if environment not in settings.environments:
            raise unknown_environment(environment, settings)
        target = settings.environments[environment]
        return tuple(
            self._adopt(snapshot, target, settings)
            for snapshot, each in self.observer.services(settings)
            if each.name == environment and self.observer.trusted(snapshot, target) is None
        )

    def _view_or_error(
        self, snapshot: Snapshot, environment: Environment, settings: Settings
    ) -> View | GitOpsError:
        try:
            return self.observer.view(snapshot, environment, settings, recover=False)
        except GitOpsError as error:
            return error

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
                now=self.observer.clock(),
            )
            self.observer.registry.record(snapshot.model, environment.name, record)
        except GitOpsError as error:
            return Outcome(key, State.FAILED, str(error), error=error)
        stands = view.plan.before
        what = (
            f"version {stands.version or '(no label)'} at {stands.uri}" if stands else "no service"
        )
        plan = replace(view.plan, kind=Kind.RECORD, state=State.ADOPTED, after=stands, notes=())
        return Outcome(key, State.ADOPTED, f"{what} stands in Git", plan)

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
        if plan.state is State.PROPOSED:  # only the forge knows what became of it
            number = plan.version.number if plan.version else ""
            return view.told.get(number) is not State.REJECTED
        record = next_delivered(plan, delivered, head=view.tree.head)
        if record is not None and record != view.stored:
            return True
        for number, status in _reports(view).items():
            version = snapshot.version(number)
            if version and not same_news(status_of(version, environment.name), status):
                return True
        return False


def _reports(view: View) -> Mapping[str, Status]:
    return reports(view.plan, view.delivered, told=view.told, unanswered=view.unanswered)


def unknown_environment(name: str, settings: Settings) -> RequestError:
    return RequestError(
        f"there is no environment `{name}`",
        where="mlflow-gitops.yaml",
        hint=f"take one of: {', '.join(settings.environments)}",
    )


def _blocked(environment: str, count: int, most: int) -> str:
    return (
        f"{count} services of {environment} would change at once, and `max-changes` is {most}: "
        f"none was changed. Look at `mlflow-gitops plan -e {environment}`, then let them go with "
        f"`mlflow-gitops reconcile -e {environment} --yes`, or take what stands in Git as "
        f"delivered with `mlflow-gitops adopt -e {environment}`"
    )
