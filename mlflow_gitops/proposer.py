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
from mlflow_gitops.planning.marker import read_marker
from mlflow_gitops.planning.messages import made_again
from mlflow_gitops.planning.naming import branch_of
from mlflow_gitops.planning.own_branch import edit_mark, foreign_work
from mlflow_gitops.planning.proposing import (
    Step,
    body_for,
    edit_mark_of,
    keeps_head,
    kept_branch,
    lacks,
    says,
    step_for,
    title_of,
    unchecked_statuses,
    why_again,
    withdrawal,
)
from mlflow_gitops.ports import Forge, Repository
from mlflow_gitops.pull_requests import CommitStatus, Draft, PullRequest
from mlflow_gitops.queueing import MergeQueue
from mlflow_gitops.state import BranchPush, Change, Edit

__all__ = ["Proposal", "Proposer"]

KEPT = "Its branch is kept: it holds a commit that mlflow-gitops did not make."


@dataclass(frozen=True, slots=True)
class Proposal:
    """What a pull request is to be: one service's edit, the text and the statuses.

    `standing` is the open pull request that is rewritten, None where one is to be opened. `is_same`
    says that the open one has this edit already, and `is_merge` that it is made again on top of
    what the branch holds.
    """

    view: View
    edit: Edit
    text: str
    statuses: tuple[CommitStatus, ...] = ()
    before: str = ""
    standing: PullRequest | None = None
    is_same: bool = False
    is_merge: bool = False

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
            raise _moved(proposal.branch, standing)
        foreign = self._foreign(view, before, standing)
        if standing is not None:
            is_same = self._is_same(proposal, standing)
            if not is_same and standing.mergeable is False:  # who approved was not asked yet
                plan = replace(plan, pull=self._whole(standing))
            step, why = step_for(plan, foreign, is_same=is_same)
            if step is Step.AGAIN:
                proposal = _merging(proposal, standing)
            if step is Step.REPLACE:
                kept = self._keep(proposal.branch, before) if foreign else ""
                self.forge.withdraw(standing, f"{withdrawal(plan, why)}{kept}")
                standing = None
        elif foreign:
            self._keep(proposal.branch, before)
        return replace(proposal, before=before, standing=standing)

    def push(self, proposals: Sequence[Proposal]) -> Mapping[str, Change | GitOpsError]:
        """All branches at once; each has its own fate."""
        return self.repository.propose(
            [
                BranchPush(p.branch, p.view.tree.head, (p.edit,), p.before, p.is_merge)
                for p in proposals
            ]
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
        draft = _draft(proposal, edit_mark(pushed.diff))
        if standing is None:
            standing = self.forge.open(proposal.branch, view.plan.place.branch, draft)
        elif not proposal.is_merge or read_marker(standing.body) != read_marker(draft.body):
            self.forge.update(standing, draft)
        if proposal.statuses:
            is_new = proposal.is_merge  # it cannot have been there before
            self.forge.set_statuses(pushed.commit, proposal.statuses, is_new=is_new)
        return standing

    def refresh(self, proposal: Proposal, pull: PullRequest) -> str:
        """Bring an open pull request to what it should be now; its branch stays as it is.

        Returns what its branch holds of other people's work: then its checks fail there.
        """
        view = proposal.view
        if self.repository.branch_head(proposal.branch) != pull.head:
            return ""  # the forge or the clone is behind: the next look finds them together
        foreign = self._foreign(view, pull.head, pull, proposal.edit)
        statuses = proposal.statuses
        if foreign:
            statuses = unchecked_statuses(foreign, statuses)
        else:
            self._show_again(proposal, pull)
        if statuses:
            for commit in (pull.head, *pull.results):
                self.forge.set_statuses(commit, statuses)
            queue = MergeQueue(self.forge, self.repository, pull.base, view.tree.head)
            queue.tell(pull, statuses)
        return foreign

    def _show_again(self, proposal: Proposal, pull: PullRequest) -> None:
        """Compared with what the forge said of it, so that mostly nothing is asked."""
        if says(pull, proposal.text):
            draft = replace(_draft(proposal), body=pull.body)
            is_wanted = lacks(pull, draft)
        else:
            draft = _draft(proposal, edit_mark_of(pull) or self._mark(proposal.view, pull.head))
            is_wanted = True
        if is_wanted:
            self.forge.update(pull, replace(draft, title=pull.title))

    def withdraw(self, view: View, pull: PullRequest) -> None:
        """Close what nobody asks for any more, and take its branch away, unless it holds more."""
        branch, why = _branch(view), withdrawal(view.plan, "nobody asks for this any more")
        head = self.repository.branch_head(branch)
        is_ours = head == pull.head and not self._foreign(view, head, pull)
        self.forge.withdraw(pull, why if is_ours else f"{why} {KEPT}")
        if is_ours and head:
            with suppress(GitOpsError):  # it is in nobody's way
                self.repository.propose([BranchPush(branch, view.tree.head, (), head)])

    def _foreign(
        self, view: View, head: str, pull: PullRequest | None, edit: Edit | None = None
    ) -> str:
        """`edit` is what would be written on the base of now, where it is for the same request."""
        if not head:
            return ""
        key, base = view.plan.key, view.tree.head
        ahead = self.repository.ahead(base, head)
        service, mark = f"{key.environment}/{view.plan.place.service}", edit_mark_of(pull)
        found = foreign_work(service, ahead, mark)
        if found and edit is not None:
            again = edit_mark(self.repository.diff(base, [edit]))
            found = foreign_work(service, ahead, mark, again)
        return found

    def _is_same(self, proposal: Proposal, pull: PullRequest) -> bool:
        """Whether the edit is the one that the branch holds: by its values and files, or by its
        lines.
        """
        if not keeps_head(pull) or proposal.is_same:
            return proposal.is_same
        again = edit_mark(self.repository.diff(proposal.view.tree.head, [proposal.edit]))
        return again == self._mark(proposal.view, pull.head)

    def _whole(self, pull: PullRequest) -> PullRequest:
        """With who approved. Raises HeadMovedError where it was closed or written to meanwhile."""
        found = self.forge.get(pull.number)
        if (found.state, found.head) != ("open", pull.head):
            raise _moved(pull.branch, pull)
        return found

    def _mark(self, view: View, head: str) -> str:
        return edit_mark(self.repository.ahead(view.tree.head, head).diff)

    def _keep(self, branch: str, head: str) -> str:
        """Returns what is said of it under the pull request."""
        kept = kept_branch(branch, head)
        self.repository.keep(kept, head)
        return f" What its branch held is kept in the branch `{kept}`."


def _moved(branch: str, pull: PullRequest | None) -> HeadMovedError:
    return HeadMovedError(
        f"the branch {branch} was written to just now",
        where=pull.url if pull else branch,
        hint="fetch, and look again",
    )


def _merging(proposal: Proposal, pull: PullRequest) -> Proposal:
    """The same edit as a merge of the base, on top of what was reviewed."""
    message = made_again(proposal.edit.message, why_again(pull))
    return replace(proposal, edit=replace(proposal.edit, message=message), is_merge=True)


def _draft(proposal: Proposal, edit: str = "") -> Draft:
    view = proposal.view
    return Draft(
        title_of(proposal.edit.message),
        body_for(view.plan, proposal.text, edit),
        view.environment.labels,
        view.environment.reviewers,
    )


def _branch(view: View) -> str:
    return branch_of(view.plan.key.environment, view.plan.place.service)
