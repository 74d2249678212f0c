"""Who decided otherwise in Git: finds the commit behind a hold. Writes nothing.

A bounded walk over the commits that touched the service's files, newest first: a hold must not cost
the whole history at every look. `looking_back.py` answers for any time, from an index.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from mlflow_gitops.crediting import Crediting
from mlflow_gitops.errors import TerminalError
from mlflow_gitops.manifests import Manifests, ParseCache, narrowed
from mlflow_gitops.past import Standing, Step
from mlflow_gitops.planning.decisions import Decided, Decision, found_in, who_text
from mlflow_gitops.planning.ledger import with_merge
from mlflow_gitops.planning.naming import in_layout, name_or_none
from mlflow_gitops.planning.plan import Plan
from mlflow_gitops.ports import Repository, Tree
from mlflow_gitops.state import (
    AS_IS,
    CommitFacts,
    Delivered,
    Environment,
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
    """For one service at one head, where `manifests` is what Git says.

    `whole` and `narrow` keep what was parsed: of whole trees, and of a service's few files.
    """

    repository: Repository
    environment: Environment
    settings: Settings
    manifests: Manifests
    head: str
    service: str
    whole: ParseCache
    narrow: ParseCache
    crediting: Crediting

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
        row = self.crediting.row(decision.key, self.service, step, facts, merged, paths)
        ask = self.crediting.merge
        if ask is not None and (merge := ask(facts.commit, facts.time)):
            row = with_merge(row, merge)
        is_taken_back = delivered is not None and before == delivered.spec  # by any of its names
        ours = delivered.commit if delivered and not is_taken_back else ""
        return found_in(decision, row, ours)

    def _change(
        self, decision: Decision, since: str
    ) -> tuple[CommitFacts, ServiceSpec | None, frozenset[str]] | None:
        """The newest commit that made it what it is, what stood before it, and the files.

        Where the manifests could not be read in between, it is the one since which they say so.
        """
        paths = self._paths(since)
        says = self._said(self.manifests, decision.comment)
        made: CommitFacts | None = None
        for facts in self.repository.touching(paths, self.head, since, most=COMMITS_READ):
            parent = facts.parents[0] if facts.parents else ""
            before = self._says(parent, paths, decision.comment)
            if before == says:
                made = None
                continue
            if made is None or self._says(facts.commit, paths, decision.comment) == says:
                made = facts
            if before is not None:
                return made, before[0], paths
        return None

    def stands_since(self, head: str, since: str) -> bool:
        """Whether nothing touched the service after `head`: what was found there still holds."""
        if not self.repository.is_ancestor(head, self.head):
            return False
        paths = self._paths(since)
        return not self.repository.touching(paths, self.head, head, most=COMMITS_READ)

    def _paths(self, since: str) -> frozenset[str]:
        """The service's files; where it is gone, those that it had."""
        paths = self.manifests.sources(self.environment.name, self.service)
        if paths or not since:
            return paths
        try:
            return self._manifests_at(since).sources(self.environment.name, self.service)
        except TerminalError:
            return frozenset()

    def _says(self, commit: str, paths: frozenset[str], comment: Hold | None) -> Said | None:
        """None where it cannot be read. A few files are read first, the whole tree only where
        they do not show it.
        """
        if not commit:
            return None, None
        try:
            near = self._narrowly_at(commit, paths)
            if near.committed(self.environment.name, self.service) is not None:
                return self._said(near, comment)
        except TerminalError:
            pass
        try:
            return self._said(self._manifests_at(commit), comment)
        except TerminalError:
            return None

    def _said(self, manifests: Manifests, comment: Hold | None) -> Said:
        """What stands does not matter to a hold by comment."""
        if comment is None:
            return manifests.committed(self.environment.name, self.service), None
        hold = manifests.hold(self.environment.name, self.service)
        return None, hold.reason if hold else None

    def _manifests_at(self, commit: str) -> Manifests:
        return self._of(self.repository.tree_at(commit), self.whole)

    def _narrowly_at(self, commit: str, paths: frozenset[str]) -> Manifests:
        def look(names: Iterable[str]) -> Tree:
            return self.repository.narrow(commit, names)

        return self._of(narrowed(paths, look, self.narrow), self.narrow)

    def _of(self, tree: Tree, cache: ParseCache) -> Manifests:
        environments = {self.environment.name: self.environment}
        settings = self.settings
        return Manifests(
            tree,
            environments,
            cache,
            settings.names,
            applications=settings.applications,
            past=True,
        )


@dataclass(slots=True)
class Decisions:
    """What was found is kept until something touches the service's files."""

    _kept: dict[object, tuple[str, Decision]] = field(default_factory=dict)

    def complete(
        self,
        plan: Plan,
        search: Search,
        delivered: Delivered | None,
        snapshot: Snapshot,
    ) -> Plan:
        """The plan with who decided otherwise, if anybody did: a hold says so in a note."""
        if plan.decision is None:
            return plan
        known = (delivered.head, delivered.commit) if delivered else ()
        asked = (plan.decision, plan.place, known)
        head, found = self._kept.get(asked, ("", plan.decision))
        if head != search.head:
            since = delivered.head if delivered else ""
            if not head or not found.commit or not search.stands_since(head, since):
                found = search.complete(plan.decision, delivered)
            if len(self._kept) >= KEPT:
                self._kept.clear()
            self._kept[asked] = (search.head, found)
        stands = [v.number for v in snapshot.versions if _is_at(v, found.stands, search.settings)]
        decision = replace(found, standing=stands[-1] if stands else "")
        tells = plan.state is State.HELD and (decision.commit or decision.sought)
        notes = (*plan.notes, who_text(decision)) if tells else plan.notes
        return replace(plan, decision=decision, notes=notes)


def _is_at(version: ModelVersion, spec: ServiceSpec | None, settings: Settings) -> bool:
    """Whether it is this version that Git names, not only its label."""
    name = name_or_none(settings, version) or ""
    if spec is None or spec.version != name:
        return False
    return in_layout(spec, AS_IS).uri.endswith(f"/v{name}/")
