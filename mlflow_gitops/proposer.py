"""Delivers changes as pull requests: the branches first, then what the forge shows of each.

Each step may be run again after a crash: a branch is pushed with a lease, and the open pull
request is found before one is opened.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from mlflow_gitops.errors import GitOpsError, HeadMovedError, ManifestError
from mlflow_gitops.observe import View
from mlflow_gitops.planning.naming import branch_of
from mlflow_gitops.planning.proposing import (
    Step,
    body_for,
    has_foreign,
    says,
    step_for,
    title_of,
    withdrawal,
)
from mlflow_gitops.ports import Forge, Repository
from mlflow_gitops.pull_requests import CommitStatus, Draft, PullRequest
from mlflow_gitops.state import BranchPush, Change, Edit

__all__ = ["Proposal", "Proposer"]

KEPT = "Its branch is kept: it holds a commit that mlflow-gitops did not make."


@dataclass(frozen=True, slots=True)
class Proposal:
    """What a pull request is to be: one service's edit, the text and the statuses.

    `standing` is the open pull request that is rewritten, None where one is to be opened.
    """

    view: View
    edit: Edit
    text: str
    statuses: tuple[CommitStatus, ...] = ()
    before: str = ""
    standing: PullRequest | None = None

    @property
    def branch(self) -> str:
        return _branch(self.view)


@dataclass(frozen=True, slots=True)
class Proposer:
    forge: Forge
    repository: Repository

    def clear(self, proposal: Proposal, others: Collection[str] = ()) -> Proposal:
        """Withdraw what may not be rewritten. Before the push.

        `others` are branches that are pushed with this one. Raises HeadMovedError where somebody
        else wrote to the branch in between.
        """
        view, plan = proposal.view, proposal.view.plan
        before = self.repository.branch_head(proposal.branch)
        standing = plan.pull if plan.pull and plan.pull.state == "open" else None
        if proposal.branch in others or (standing is not None and standing.head != before):
            raise HeadMovedError(
                f"the branch {proposal.branch} was written to just now",
                where=standing.url if standing else proposal.branch,
                hint="fetch, and look again",
            )
        step, why = step_for(plan, self._messages(view, standing))
        if standing is not None and step is Step.REPLACE:
            self.forge.withdraw(standing, withdrawal(plan, why))
            standing = None
        return replace(proposal, before=before, standing=standing)

    def push(self, proposals: Sequence[Proposal]) -> Mapping[str, Change | GitOpsError]:
        """All branches at once; each has its own fate."""
        return self.repository.propose(
            [BranchPush(p.branch, p.view.tree.head, (p.edit,), p.before) for p in proposals]
        )

    def show(self, proposal: Proposal, pushed: Change) -> PullRequest:
        """Open the pull request, or let the open one say what its branch holds now."""
        view, standing = proposal.view, proposal.standing
        if not pushed.commit:
            raise ManifestError(
                "the edit changes nothing, so there is nothing to propose",
                where=proposal.branch,
                hint="look at the service's manifests, then ask again",
            )
        draft = _draft(proposal)
        if standing is None:
            standing = self.forge.open(proposal.branch, view.plan.place.branch, draft)
        else:
            self.forge.update(standing, draft)
        if proposal.statuses:
            self.forge.set_statuses(pushed.commit, proposal.statuses)
        return standing

    def refresh(self, proposal: Proposal, pull: PullRequest) -> None:
        """Let an open pull request say what is known now; its branch stays as it is."""
        plan = proposal.view.plan
        if says(pull, proposal.text) or has_foreign(plan, self._messages(proposal.view, pull)):
            return
        self.forge.update(pull, replace(_draft(proposal), title=pull.title))
        self.forge.set_statuses(pull.head, proposal.statuses)

    def withdraw(self, view: View, pull: PullRequest) -> None:
        """Close what nobody asks for any more, and take its branch away, unless it holds more."""
        branch, why = _branch(view), withdrawal(view.plan, "nobody asks for this any more")
        head = self.repository.branch_head(branch)
        is_ours = head == pull.head and not has_foreign(view.plan, self._messages(view, pull))
        self.forge.withdraw(pull, why if is_ours else f"{why} {KEPT}")
        if is_ours and head:
            with suppress(GitOpsError):  # it is in nobody's way
                self.repository.propose([BranchPush(branch, view.tree.head, (), head)])

    def _messages(self, view: View, pull: PullRequest | None) -> list[str]:
        if pull is None:
            return []
        return list(self.repository.messages(view.tree.head, pull.head))


def _draft(proposal: Proposal) -> Draft:
    view = proposal.view
    return Draft(
        title_of(proposal.edit.message),
        body_for(view.plan, proposal.text),
        view.environment.labels,
        view.environment.reviewers,
    )


def _branch(view: View) -> str:
    return branch_of(view.plan.key.environment, view.plan.place.service)
