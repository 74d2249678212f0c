"""Delivers changes as pull requests: the branches first, then what the forge shows of each.

Each step may be run again after a crash: a branch is pushed with a lease, and the open pull
request is found before one is opened.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from mlflow_gitops.errors import (
    ForgeError,
    GitOpsError,
    HeadMovedError,
    ManifestError,
    TerminalError,
)
from mlflow_gitops.observe import View
from mlflow_gitops.planning.commit_style import styled_title
from mlflow_gitops.planning.marker import read_marker
from mlflow_gitops.planning.messages import made_again
from mlflow_gitops.planning.naming import branch_of
from mlflow_gitops.planning.own_branch import edit_mark, foreign_work, holds_already
from mlflow_gitops.planning.proposing import (
    Step,
    body_for,
    edit_mark_of,
    keeps_head,
    kept_branch,
    lacks,
    replaced_by,
    replaced_of,
    replaces,
    restored,
    step_for,
    title_of,
    unchecked_statuses,
    why_again,
    withdrawal,
)
from mlflow_gitops.ports import Forge, Repository
from mlflow_gitops.pull_requests import WITHDRAWN, CommitStatus, Draft, PullRequest
from mlflow_gitops.queueing import MergeQueue
from mlflow_gitops.state import BranchPush, Change, Edit, Environment

__all__ = ["Proposal", "Proposer"]

log = logging.getLogger(__name__)

KEPT = "Its branch is kept: it holds a commit that mlflow-gitops did not make."


@dataclass(frozen=True, slots=True)
class Proposal:
    """What a pull request is to be: one service's edit, the text and the statuses.

    `standing` is the open pull request that is rewritten, None where one is to be opened.
    `replaced` is the number of the one that was withdrawn for it (0: none), and the note about it.

    `is_same` says that the open one has this edit already, and `is_merge` that it is made again on
    top of what the branch holds.
    """

    view: View
    edit: Edit
    text: str
    statuses: tuple[CommitStatus, ...] = ()
    before: str = ""
    standing: PullRequest | None = None
    replaced: tuple[int, str] = (0, "")
    is_same: bool = False
    is_merge: bool = False

    @property
    def says(self) -> str:
        """The text, with what it replaces."""
        return "\n\n".join(filter(None, (self.text, self.replaced[1])))

    @property
    def branch(self) -> str:
        """Where the settings name branches differently now, an open one keeps the one it has."""
        return self.standing.branch if self.standing else _branch(self.view)


@dataclass(frozen=True, slots=True)
class Proposer:
    """`environments` are those of the settings, whose branches a merge queue may hold together."""

    forge: Forge
    repository: Repository
    environments: Mapping[str, Environment]

    def clear(self, proposal: Proposal, others: Collection[str] = ()) -> Proposal:
        """Withdraw what may not be rewritten. Before the push.

        `others` are branches that are pushed with this one. Raises HeadMovedError where somebody
        else wrote to the branch in between.
        """
        view, plan = proposal.view, proposal.view.plan
        standing = plan.pull if plan.pull and plan.pull.state == "open" else None
        replaced = replaced_of(standing) if standing else _withdrawn(view)
        proposal = replace(proposal, standing=standing, replaced=replaced)
        before = self.repository.branch_head(proposal.branch)
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
                kept = self._keep(view, before) if foreign else ""
                self.forge.withdraw(standing, f"{withdrawal(plan, standing, why)}{kept}")
                proposal = replace(proposal, standing=None, replaced=replaces(standing))
                before = self.repository.branch_head(proposal.branch)
        elif foreign:
            self._keep(view, before)
        return replace(proposal, before=before)

    def push(self, proposals: Sequence[Proposal]) -> Mapping[str, Change | GitOpsError]:
        """All branches at once; each has its own fate. One that is so already stays as it is."""
        results: dict[str, Change | GitOpsError] = {}
        pushes: list[BranchPush] = []
        for each in proposals:
            if (there := self._there(each)) is not None:
                results[each.branch] = there
                continue
            base, edits = each.view.tree.head, (each.edit,)
            pushes.append(BranchPush(each.branch, base, edits, each.before, each.is_merge))
        if pushes:
            results |= self.repository.propose(pushes)
        return results

    def _there(self, proposal: Proposal) -> Change | None:
        if not proposal.before:
            return None
        head, edit, standing = proposal.view.tree.head, proposal.edit, proposal.standing
        ahead = self.repository.ahead(head, proposal.before)
        diff = self.repository.diff(head, [edit])
        is_approved = standing is not None and bool(standing.approvals)
        is_there = holds_already(ahead, edit.message, diff, is_approved=is_approved)
        return Change(proposal.before, head, ahead.diff) if is_there else None

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
            self._link(standing)
        elif not proposal.is_merge or read_marker(standing.body) != read_marker(draft.body):
            self.forge.update(standing, draft)
        if proposal.statuses:
            is_new = proposal.is_merge and pushed.commit != proposal.before
            self.forge.set_statuses(pushed.commit, proposal.statuses, is_new=is_new)
        return standing

    def refresh(self, proposal: Proposal, pull: PullRequest) -> str:
        """Bring an open pull request to what it should be now; its branch stays as it is.

        Returns what its branch holds of other people's work: then its checks fail there.
        """
        view = proposal.view
        proposal = replace(proposal, replaced=replaced_of(pull))
        if self.repository.branch_head(pull.branch) != pull.head:
            return ""  # the forge or the clone is behind: the next look finds them together
        foreign = self._foreign(view, pull.head, pull, proposal.edit)
        if foreign:
            self._set_statuses(view, pull, unchecked_statuses(foreign, proposal.statuses))
            return foreign
        try:  # before the statuses, since a forge may merge once they are there
            self._show_again(proposal, pull)
        except TerminalError:  # a label that the token may not set, say
            self._set_statuses(view, pull, proposal.statuses)
            raise
        self._set_statuses(view, pull, proposal.statuses)
        self._link(pull)  # whoever opened it may not have lived to do so
        return ""

    def _set_statuses(
        self, view: View, pull: PullRequest, statuses: Sequence[CommitStatus]
    ) -> None:
        if not statuses:
            return
        self.forge.set_statuses(pull.head, statuses)
        base, head = pull.base, view.tree.head
        queue = MergeQueue(self.forge, self.repository, self.environments, base, head)
        try:
            for commit in pull.results:
                self.forge.set_statuses(commit, statuses)
            queue.tell(pull, statuses)
        except ForgeError as error:  # a commit that tries the merge may be gone after minutes
            log.info("%s: no status for what tries the merge: %s", view.plan.key, error.what)

    def _show_again(self, proposal: Proposal, pull: PullRequest) -> None:
        """Compared with what the forge said of it, so that mostly nothing is asked."""
        edit = edit_mark_of(pull) or self._mark(proposal.view, pull.head)
        draft = restored(pull, _draft(proposal, edit), proposal.says)
        if lacks(pull, draft):
            self.forge.update(pull, draft)

    def _link(self, pull: PullRequest) -> None:
        """Say under the one that it replaces where it is."""
        number, _ = replaced_of(pull)
        if number:
            self.forge.comment(number, replaced_by(pull))

    def withdraw(self, view: View, pull: PullRequest) -> None:
        """Close what nobody asks for any more, and take its branch away, unless it holds more."""
        why = withdrawal(view.plan, pull, "nobody asks for this any more")
        head = self.repository.branch_head(pull.branch)
        is_ours = head == pull.head and not self._foreign(view, head, pull)
        self.forge.withdraw(pull, why if is_ours else f"{why} {KEPT}")
        if is_ours and head:
            with suppress(GitOpsError):  # it is in nobody's way
                self.repository.propose([BranchPush(pull.branch, view.tree.head, (), head)])

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

    def _keep(self, view: View, head: str) -> str:
        """Returns what is said of it under the pull request."""
        kept = kept_branch(view.plan.key.environment, view.plan.place.service, head)
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
    title = styled_title(view.environment.title, view.plan)
    return Draft(
        title or title_of(proposal.edit.message),
        body_for(view.plan, proposal.says, edit, proposal.replaced),
        view.environment.labels,
        view.environment.reviewers,
    )


def _withdrawn(view: View) -> tuple[int, str]:
    """The one that was withdrawn for this by a run that did not live to open another."""
    pull, delivered = view.plan.pull, view.delivered
    is_recorded = pull and delivered and delivered.is_proposed and delivered.pull == pull.number
    if pull is None or not is_recorded or pull.state != "closed" or WITHDRAWN not in pull.labels:
        return (0, "")
    return replaces(pull)


def _branch(view: View) -> str:
    return branch_of(view.environment, view.plan.place.service)
