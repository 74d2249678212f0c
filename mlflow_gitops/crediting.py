"""Credits a change to the pull request that brought it: a squash may have lost our trailers.

Git is asked first, then the forge, where it may be. Writes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from mlflow_gitops.past import Merge, Step
from mlflow_gitops.planning.commit_facts import pull_requests
from mlflow_gitops.planning.ledger import Change, Row, ledger_row
from mlflow_gitops.planning.naming import branch_of
from mlflow_gitops.state import CommitFacts, Environment, Landing, ServiceKey

__all__ = ["Crediting", "Landings", "Merges"]

Landings = Callable[[CommitFacts, Collection[str], str, str], Landing | None]
"""`Repository.landing`."""

Merges = Callable[[str, str], Merge | None]
"""What the forge says of a commit of that time; None where it is not asked, or does not know."""


@dataclass(frozen=True, slots=True)
class Crediting:
    """`message` gives the message of a commit by its name, "" where there is none. `environments`
    are those of the settings, which name the branches of pull requests.
    """

    landing: Landings
    message: Callable[[str], str]
    environments: Mapping[str, Environment]
    merge: Merges | None = None

    def row(
        self,
        key: ServiceKey,
        service: str,
        step: Step,
        facts: CommitFacts,
        merged: Sequence[CommitFacts],
        sources: Collection[str],
    ) -> Row:
        """What a commit was. `merged` are those that a merge brought to `sources`."""
        row = ledger_row(key, service, step, facts, merged)
        landing = self._landing(row, facts, sources)
        if landing is not None:
            row = ledger_row(key, service, step, facts, merged, landing)
        if row.change is Change.REVERT and (original := self.message(row.undoes)):
            row = ledger_row(key, service, step, facts, merged, landing, original)
        return row

    def _landing(self, row: Row, facts: CommitFacts, sources: Collection[str]) -> Landing | None:
        is_numbered = bool(pull_requests(facts.message)) and not row.pull_request
        if row.is_ours and not is_numbered:
            return None
        environment = self.environments.get(row.key.environment)
        branch = branch_of(environment, row.service) if environment else ""
        return self.landed(facts, sources, branch)

    def landed(self, facts: CommitFacts, sources: Collection[str], branch: str) -> Landing | None:
        """The pull request that became a commit; `branch` is where ours come from."""
        found = self.landing(facts, sources, branch, "")
        if found is None and self.merge is not None:
            merge = self.merge(facts.commit, facts.time)
            if merge is not None and merge.head:
                found = self.landing(facts, sources, "", merge.head)
        return found
