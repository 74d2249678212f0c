"""What the registry is told of a service: the record of what was delivered, and each status.

The last of the effects, and the only one that people in MLflow see. What the texts say is decided
in `planning`.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from mlflow_gitops.errors import GitOpsError, TerminalError, TransientError
from mlflow_gitops.observe import Observer, View, selected
from mlflow_gitops.planning.desired import desired_service
from mlflow_gitops.planning.plan import Plan, next_delivered, reports
from mlflow_gitops.planning.records import status_of
from mlflow_gitops.planning.waits import waiting_status
from mlflow_gitops.pull_requests import PullRequest
from mlflow_gitops.state import Environment, Revision, Settings, Snapshot, State, Status

__all__ = ["Reporter"]


@dataclass(frozen=True, slots=True)
class Reporter:
    observer: Observer

    def record(
        self,
        view: View,
        revision: Revision | None,
        head: str,
        commit: str,
        pull: PullRequest | None,
    ) -> None:
        """After the effects: what was delivered at the branch's `head`, then what each version is.

        `commit` is ours, "" where none was made.
        """
        plan, registry = view.plan, self.observer.registry
        digest = revision.digest if revision else ""
        opened = pull.number if pull and plan.changes_git else 0
        record = next_delivered(
            plan, view.delivered, head=head, commit=commit, digest=digest, pull=opened
        )
        if record is not None and record != view.stored:
            registry.record(plan.key.model, plan.key.environment, record)
        news = reports(
            plan,
            view.delivered,
            told=view.told,
            unanswered=view.unanswered,
            commit=commit,
            digest=digest,
            time=self.observer.clock(),
            pull=pull.url if pull else "",
        )
        for number, status in news.items():
            registry.report(plan.key.model, number, plan.key.environment, status)

    def publishing(self, plan: Plan, uri: str) -> None:
        if plan.version is None:
            return
        answers = plan.request.id if plan.request and plan.request.recorded else ""
        message, now = f"publishing to {uri}", self.observer.clock()
        status = Status(State.PUBLISHING, message, time=now, request=answers)
        model, number = plan.key.model, plan.version.number
        self.observer.registry.report(model, number, plan.key.environment, status)

    def failed(self, snapshot: Snapshot, environment: Environment, error: TerminalError) -> None:
        """Where people look: on the versions that are selected. Never hides the error itself."""
        with suppress(GitOpsError):
            requests = self.observer.requests(snapshot, environment)
            for version in selected(snapshot, environment):
                request = requests.get(version.number)
                answers = request.id if request else ""
                now = self.observer.clock()
                status = Status(State.FAILED, str(error), time=now, request=answers)
                self.observer.registry.report(
                    snapshot.model, version.number, environment.name, status
                )

    def waits(
        self,
        snapshot: Snapshot,
        environment: Environment,
        settings: Settings,
        error: TransientError,
    ) -> None:
        """Say on the desired version which server its delivery waits for.

        Never hides the error itself.
        """
        with suppress(GitOpsError):
            requests, now = self.observer.requests(snapshot, environment), self.observer.clock()
            record = snapshot.delivered.get(environment.name)
            desired = desired_service(snapshot, environment, record, requests, settings, now)
            if desired.state is not None or desired.version is None:
                return
            told = status_of(desired.version, environment.name)
            status = waiting_status(desired, told, error.what, now)
            if status is not None:
                self.observer.registry.report(
                    snapshot.model, desired.version.number, environment.name, status
                )
