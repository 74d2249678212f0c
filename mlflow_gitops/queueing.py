"""Brings the verdicts on our pull requests to a merge queue, which asks for them on other commits.

What a group holds is read from Git and from its branch's name; the forge is asked only what it was
told of other services' pull requests in the same group.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from mlflow_gitops.planning.merge_groups import QUEUE, Group, groups_of, numbers_in, worst_of
from mlflow_gitops.planning.messages import SERVICE, parse_trailers
from mlflow_gitops.planning.naming import branch_prefix, service_of
from mlflow_gitops.ports import Forge, Repository
from mlflow_gitops.pull_requests import CommitStatus, PullRequest
from mlflow_gitops.state import Environment

__all__ = ["MergeQueue"]


@dataclass(frozen=True, slots=True)
class MergeQueue:
    """The queue of one base branch, `head` being its commit as last fetched.

    `environments` say which branches are ours.
    """

    forge: Forge
    repository: Repository
    environments: Mapping[str, Environment]
    base: str
    head: str

    def tell(self, pull: PullRequest, statuses: Sequence[CommitStatus]) -> None:
        """Set a pull request's statuses on each group that it is in, the worst of all of ours."""
        groups = groups_of(self.base, self.repository.branches(f"{QUEUE}{self.base}/"))
        if not groups:
            return
        own = dict(self._own())
        for group in groups:
            numbers, held = numbers_in(group, groups), self._branches_in(group, own)
            if pull.number not in numbers and pull.branch not in held:
                continue
            held |= {self._branch(number, own) for number in numbers if number != pull.number}
            parts = {branch: self._told(branch) for branch in held - {pull.branch, ""}}
            parts[pull.branch] = statuses
            named = {own.get(branch, branch): each for branch, each in parts.items()}
            self.forge.set_statuses(group.head, worst_of(named))

    def _branches_in(self, group: Group, own: Mapping[str, str]) -> frozenset[str]:
        """Those of ours, as far as Git shows them. A queue may squash or rebase: then our trailers
        tell, where the forge keeps them.
        """
        commits = self.repository.ahead(self.head, group.head).commits
        services = {parse_trailers(each.message).get(SERVICE, "") for each in commits}
        merged = {each.commit for each in commits}
        found = {name for name in own if self.repository.branch_head(name) in merged}
        return frozenset(found | {branch for branch, named in own.items() if named in services})

    def _branch(self, number: int, own: Mapping[str, str]) -> str:
        """The branch, if it is ours. A fork's may have the same name, but not our head."""
        found = self.forge.get(number)
        is_ours = found.branch in own and self.repository.branch_head(found.branch) == found.head
        return found.branch if is_ours else ""

    def _own(self) -> Iterator[tuple[str, str]]:
        """Our branches, each with `<environment>/<service>`."""
        for environment in self.environments.values():
            for branch in self.repository.branches(branch_prefix(environment)):
                if service := service_of(environment, branch):
                    yield branch, f"{environment.name}/{service}"

    def _told(self, branch: str) -> Sequence[CommitStatus]:
        return self.forge.verdicts(self.repository.branch_head(branch))
