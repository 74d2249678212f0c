"""What would become of a service: the same checks and the same edit, and nothing written."""

from __future__ import annotations

from dataclasses import dataclass, replace

from mlflow_gitops.batch import Patience
from mlflow_gitops.drafter import Drafter
from mlflow_gitops.errors import GitOpsError, HeadMovedError
from mlflow_gitops.evidencing import Gatherer
from mlflow_gitops.observe import Observer
from mlflow_gitops.outcome import Outcome, failed
from mlflow_gitops.publishing import Publisher
from mlflow_gitops.stacking import edit_of
from mlflow_gitops.state import Environment, ServiceKey, Settings, Snapshot
from mlflow_gitops.take_up import Desk

__all__ = ["Previewer"]


@dataclass(frozen=True, slots=True)
class Previewer:
    observer: Observer
    publisher: Publisher
    gatherer: Gatherer
    drafter: Drafter
    patience: Patience

    @property
    def desk(self) -> Desk:
        observer = self.observer
        return Desk(observer.registry, observer.clock, observer.requests)

    def preview(self, snapshot: Snapshot, environment: Environment, settings: Settings) -> Outcome:
        """Looks at Git as last fetched. An error is in the outcome."""
        attempt = 0
        try:
            foreseen = self.desk.foreseen(snapshot, environment) or snapshot
            while True:
                try:
                    return self._look(foreseen, environment, settings)
                except HeadMovedError as moved:
                    attempt += 1
                    self.patience.wait(attempt, moved)
                    self.observer.repository.fetch()
        except GitOpsError as error:
            return failed(ServiceKey(environment.name, snapshot.model), error)

    def compare(self, snapshot: Snapshot, environment: Environment, settings: Settings) -> Outcome:
        """The same with the evidence, where Git would change. A gate that would hold the commit
        back is told there, and is no error. Raises GitOpsError.
        """
        foreseen = self.desk.foreseen(snapshot, environment) or snapshot
        view = self.observer.view(foreseen, environment, settings, recover=True)
        view, contents, digest = self.publisher.loadable(view, settings)
        plan = view.plan
        if not plan.changes_git:
            return Outcome(plan.key, plan.state, plan.reason, plan)
        view, draft = self.drafter.draft(view, contents)
        evidence = self.gatherer.gather(view, draft, settings, contents, digest)
        plan = view.plan
        return Outcome(
            plan.key, plan.state, plan.reason, plan, gates=evidence.gates, evidence=evidence
        )

    def _look(self, snapshot: Snapshot, environment: Environment, settings: Settings) -> Outcome:
        view = self.observer.view(snapshot, environment, settings, recover=True)
        view, contents, gates = self.publisher.look(view, settings)
        diff = ""
        if view.plan.changes_git:
            view, draft = self.drafter.draft(view, contents)
            diff = self.observer.repository.diff(view.tree.head, [edit_of(view, draft)])
            view = replace(view, plan=replace(view.plan, notes=(*view.plan.notes, *draft.notes)))
        plan = view.plan
        return Outcome(plan.key, plan.state, plan.reason, plan, diff=diff, gates=gates)
