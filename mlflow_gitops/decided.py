"""Who decided otherwise in Git: finds the commit behind a hold. Writes nothing.

A bounded walk over the commits that touched the service's files, newest first: a hold must not cost
the whole history at every look. `looking_back.py` answers for any time, from an index.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from mlflow_gitops.errors import TerminalError
from mlflow_gitops.manifests import Manifests
from mlflow_gitops.past import Standing, Step
from mlflow_gitops.planning.decisions import Decided, Decision, found_in, who_text
from mlflow_gitops.planning.ledger import ledger_row
from mlflow_gitops.planning.naming import name_or_none
from mlflow_gitops.planning.plan import Plan
from mlflow_gitops.ports import Repository
from mlflow_gitops.state import (
    CommitFacts,
    Delivered,
    Hold,
    ModelVersion,
    ServiceSpec,
    Settings,
    Snapshot,
    State,
)

__all__ = ["COMMITS_READ", "Decisions", "Search"]

COMMITS_READ = 1000
KEPT = 1000
IN_GIT = (Decided.PINNED, Decided.RETIRED, Decided.CANARY, Decided.COMMENT)
SINCE_DELIVERED = (Decided.PINNED, Decided.RETIRED)
"""The others may have been written before what was delivered last."""

Said = tuple[ServiceSpec | None, str | None]
"""What Git says of the service: its managed part, and why a comment holds it (None without)."""


@dataclass(frozen=True, slots=True)
class Search:
    """For one service at one head. `manifests_at` reads the manifests of a commit."""

    repository: Repository
    manifests_at: Callable[[str], Manifests]
    service: str
    head: str

    def complete(self, decision: Decision, delivered: Delivered | None) -> Decision:
        """The decision with who, when and why."""
        if decision.kind not in IN_GIT:
            return decision
        is_since = delivered is not None and decision.kind in SINCE_DELIVERED
        since = delivered.head if delivered and is_since else ""
        found = self._change(decision, since)
        if found is None:
            return replace(decision, sought=COMMITS_READ)
        facts, before, paths = found
        merged = self.repository.merged(facts.commit, paths) if facts.is_merge else ()
        step = Step(0, facts.commit, Standing(before), Standing(decision.stands))
        row = ledger_row(decision.key, self.service, step, facts, merged)
        ours = delivered.commit if delivered else ""
        return found_in(decision, row, ours, facts.author if facts.is_merge else "")

    def _change(
        self, decision: Decision, since: str
    ) -> tuple[CommitFacts, ServiceSpec | None, frozenset[str]] | None:
        """The newest commit that made it what it is, what stood before it, and the files.

        Where the manifests could not be read in between, it is the one since which they say so.
        """
        name = decision.key.environment
        paths = self._sources(name, self.head) | (self._sources(name, since) if since else set())
        says = self._says(name, self.head, decision.comment)
        made: CommitFacts | None = None
        for facts in self.repository.touching(paths, self.head, since, most=COMMITS_READ):
            parent = facts.parents[0] if facts.parents else ""
            before = self._says(name, parent, decision.comment)
            if before == says:
                made = None
                continue
            if made is None or self._says(name, facts.commit, decision.comment) == says:
                made = facts
            if before is not None:
                return made, before[0], paths
        return None

    def _sources(self, environment: str, commit: str) -> frozenset[str]:
        try:
            return self.manifests_at(commit).sources(environment, self.service)
        except TerminalError:
            return frozenset()

    def _says(self, environment: str, commit: str, comment: Hold | None) -> Said | None:
        """None where it cannot be read. What stands does not matter to a hold by comment."""
        if not commit:
            return None, None
        try:
            manifests = self.manifests_at(commit)
            if comment is None:
                return manifests.committed(environment, self.service), None
            hold = manifests.hold(environment, self.service)
            return None, hold.reason if hold else None
        except TerminalError:
            return None


@dataclass(slots=True)
class Decisions:
    """What was found is kept while the branch stays where it is."""

    _kept: dict[object, Decision] = field(default_factory=dict)

    def complete(
        self,
        plan: Plan,
        search: Search,
        delivered: Delivered | None,
        snapshot: Snapshot,
        settings: Settings,
    ) -> Plan:
        """The plan with who decided otherwise, if anybody did: a hold says so in a note."""
        if plan.decision is None:
            return plan
        known = (delivered.head, delivered.commit) if delivered else ()
        asked = (plan.decision, plan.place, search.head, known)
        found = self._kept.get(asked)
        if found is None:
            found = search.complete(plan.decision, delivered)
            if len(self._kept) >= KEPT:
                self._kept.clear()
            self._kept[asked] = found
        stands = [v.number for v in snapshot.versions if _is_at(v, found.stands, settings)]
        decision = replace(found, standing=stands[-1] if stands else "")
        tells = plan.state is State.HELD and (decision.commit or decision.sought)
        notes = (*plan.notes, who_text(decision)) if tells else plan.notes
        return replace(plan, decision=decision, notes=notes)


def _is_at(version: ModelVersion, spec: ServiceSpec | None, settings: Settings) -> bool:
    """Whether it is this version that Git names, not only its label."""
    name = name_or_none(settings, version) or ""
    return spec is not None and spec.version == name and spec.uri.endswith(f"/v{name}/")
