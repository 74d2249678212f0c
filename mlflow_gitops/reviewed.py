"""What review adds to a service's history: who approved and merged, and what is proposed now.

Git has a part of it: trailers, merge commits, the branches that pull requests are made from. The
forge has the rest, where there is a token. What it said of a merged change is kept in the index.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from mlflow_gitops.errors import GitOpsError
from mlflow_gitops.past import HistoryIndex, Merge
from mlflow_gitops.planning.ledger import Row, merge_of, with_merge
from mlflow_gitops.planning.messages import exact
from mlflow_gitops.planning.naming import branch_of
from mlflow_gitops.planning.own_branch import carried
from mlflow_gitops.ports import Clock, Forge, Repository
from mlflow_gitops.pull_requests import PullRequest
from mlflow_gitops.state import Delivery, Environment, ServiceSpec

__all__ = ["Proposal", "Reviewed"]

SETTLED = 24 * 3600  # seconds after which a commit's pull request is not looked for again


@dataclass(frozen=True, slots=True)
class Proposal:
    """A change that waits on a service's branch. `version` is "" where it is none of ours, or a
    retirement; `pull` is None where only Git was asked: the pull request may be closed already.
    """

    branch: str
    commit: str
    version: str = ""
    pull: PullRequest | None = None


@dataclass(slots=True)
class Reviewed:
    """For one repository. `open_forge` is None where the forge is not to be asked.

    `failure` is why it could not be: from then on Git alone is asked.
    """

    repository: Repository
    clock: Clock
    open_forge: Callable[[], Forge] | None = None
    failure: GitOpsError | None = None

    def _forge(self) -> Forge | None:
        if self.open_forge is None or self.failure is not None:
            return None
        try:
            return self.open_forge()
        except GitOpsError as error:
            self.failure = error
            return None

    def complete(self, row: Row, index: HistoryIndex) -> Row:
        """The row with what the forge knows of the pull request that brought it."""
        merge = self.merge(row.commit, row.time, index)
        return with_merge(row, merge) if merge else row

    def merge(self, commit: str, time: str, index: HistoryIndex) -> Merge | None:
        """What the forge says of the pull request that brought a commit of that time."""
        return index.merge(commit) or self._of_commit(commit, time, index)

    def _of_commit(self, commit: str, time: str, index: HistoryIndex) -> Merge | None:
        forge = self._forge()
        if forge is None:
            return None
        try:
            pull = forge.of_commit(commit)
        except GitOpsError as error:
            self.failure = error
            return None
        merge = merge_of(self._carried(pull, commit), forge.kind, commit) if pull else Merge()
        if pull or self._is_settled(time):
            index.keep_merge(commit, merge)
        return merge

    def _carried(self, pull: PullRequest, commit: str = "", base: str = "") -> PullRequest:
        """Count approvals of an older head where the branch only took its base since; `commit` is
        what came to be in the base.
        """
        if all(each.commit == pull.head for each in pull.approvals):
            return pull
        try:
            base = base or self.repository.first_parent(commit)
            ahead = self.repository.ahead(base, pull.head)
        except GitOpsError:  # a head that was never fetched
            return pull
        return carried(ahead, pull)

    def _is_settled(self, time: str) -> bool:
        age = datetime.fromisoformat(self.clock()) - datetime.fromisoformat(time)
        return age.total_seconds() > SETTLED

    def proposal(
        self, environment: Environment, service: str, head: str, stands: ServiceSpec | None
    ) -> Proposal | None:
        """What is proposed for the service, where `stands` is what the branch's `head` says."""
        branch, name = branch_of(environment, service), f"{environment.name}/{service}"
        forge = self._forge()
        if forge is not None:
            try:
                pull = forge.newest(branch)
            except GitOpsError as error:
                self.failure = error
            else:
                if pull is None or pull.state != "open":
                    return None
                version = _version(self._ours(name, pull.head, head))
                return Proposal(branch, pull.head, version, self._carried(pull, base=head))
        tip = self.repository.branch_head(branch)
        ours = self._ours(name, tip, head)
        if ours is None or ours.trailers.get("Artifact-Uri") == exact(stands.uri if stands else ""):
            return None  # squashed into the branch, as far as can be told
        return Proposal(branch, tip, _version(ours))

    def _ours(self, name: str, tip: str, head: str) -> Delivery | None:
        try:
            return next(iter(self.repository.deliveries(name, tip, head)), None) if tip else None
        except GitOpsError:  # pushed after the last fetch
            return None


def _version(ours: Delivery | None) -> str:
    return ours.trailers.get("Model-Version", "") if ours else ""
