"""Delivers a change as a pull request: the branch first, then what the forge shows of it.

Each step may be run again after a crash: the branch is pushed with a lease, and the open pull
request is found before one is opened.
"""

from __future__ import annotations

from dataclasses import dataclass

from mlflow_gitops.errors import HeadMovedError
from mlflow_gitops.observe import View
from mlflow_gitops.planning.naming import branch_of
from mlflow_gitops.planning.proposing import Step, step_for, title_of, withdrawal
from mlflow_gitops.ports import Forge, Repository
from mlflow_gitops.pull_requests import CommitStatus, Draft, PullRequest
from mlflow_gitops.state import BranchPush, Change, Edit

__all__ = ["Proposer"]


@dataclass(frozen=True, slots=True)
class Proposer:
    forge: Forge
    repository: Repository

    def propose(
        self, view: View, edit: Edit, body: str, statuses: tuple[CommitStatus, ...] = ()
    ) -> tuple[PullRequest, Change]:
        """Bring the one pull request of the service to the edit.

        Raises HeadMovedError where somebody else wrote to the branch in between.
        """
        plan = view.plan
        branch = branch_of(plan.key.environment, plan.place.service)
        before = self.repository.branch_head(branch)
        standing = plan.pull if plan.pull and plan.pull.state == "open" else None
        if standing is not None and standing.head != before:
            raise HeadMovedError(
                f"the branch {branch} was written to just now",
                where=standing.url,
                hint="fetch, and look again",
            )
        step, why = step_for(plan, self._messages(view, standing))
        if standing is not None and step is Step.REPLACE:
            self.forge.withdraw(standing, withdrawal(plan, why))
            standing = None
        push = BranchPush(branch, view.tree.head, (edit,), before)
        result = self.repository.propose([push])[branch]
        if isinstance(result, HeadMovedError):
            raise result
        draft = Draft(
            title_of(edit.message), body, view.environment.labels, view.environment.reviewers
        )
        if standing is None:
            standing = self.forge.open(branch, plan.place.branch, draft)
        else:
            self.forge.update(standing, draft)
        if statuses:
            self.forge.set_statuses(result.commit, statuses)
        return standing, result

    def _messages(self, view: View, pull: PullRequest | None) -> list[str]:
        if pull is None:
            return []
        return list(self.repository.messages(view.tree.head, pull.head))
