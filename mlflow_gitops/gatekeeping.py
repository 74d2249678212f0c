"""Gathers what the gates are judged by, and holds a commit back that a required one refuses.

Reads only what the environment's rules need: without rules it asks nobody anything. The verdicts
are `planning/gates.py`'s; `reconcile` calls this before a byte is published.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from mlflow_gitops.errors import GateError, PublishError
from mlflow_gitops.gates import Gate
from mlflow_gitops.observe import View
from mlflow_gitops.planning.gates import Facts, evaluate
from mlflow_gitops.planning.loadable import not_known
from mlflow_gitops.planning.naming import (
    in_layout,
    name_or_none,
    publication_of,
    revision_uri,
)
from mlflow_gitops.planning.plan import Kind
from mlflow_gitops.planning.signatures import SchemaChange, compare
from mlflow_gitops.planning.sources import check_source
from mlflow_gitops.ports import ArtifactStore, Registry
from mlflow_gitops.state import AS_IS, Environment, ModelFiles, ModelVersion, Settings

__all__ = ["Committed", "Gatekeeper", "committed_version", "schema_change"]


@dataclass(frozen=True, slots=True)
class Committed:
    """The version that Git says now, and its files; `why` says why there are none.

    `location` is where they can be read: the sealed path, or the registry's source.
    """

    version: ModelVersion | None = None
    files: ModelFiles | None = None
    location: str = ""
    digest: str = ""
    why: str = ""


@dataclass(frozen=True, slots=True)
class Gatekeeper:
    registry: Registry
    store: ArtifactStore

    def gates(
        self,
        view: View,
        contents: ModelFiles,
        settings: Settings,
        digest: str = "",
        committed: Committed | None = None,
    ) -> tuple[Gate, ...]:
        """The verdicts on a promotion whose files are whole and would load; none for others.

        `digest` is that of the files, where they are published already; `committed` is what
        `committed()` gave, where it was asked already.
        """
        if view.plan.kind is not Kind.PROMOTE or view.plan.version is None:
            return ()
        facts = self._facts(view, contents, settings, committed)
        unknown = not_known(view.predictor(contents))
        facts = replace(facts, digest=digest, runtime_unknown=unknown)
        return evaluate(view.environment.gates, facts)

    def committed(self, view: View, settings: Settings) -> Committed:
        """What Git says now, as far as the registry and the store still have it."""
        version, before = committed_version(view, settings), view.plan.before
        if version is None or before is None:
            return Committed(why="the committed version is not in the registry")
        location = self.registry.artifact_location(version)
        folder = settings.names.folder(version.model, view.environment)
        ours = revision_uri(settings, folder, before.version)
        is_ours = in_layout(before, AS_IS).uri == ours
        try:
            publication = publication_of(version, before, location)
            sealed = self.store.sealed(publication) if is_ours else None
            if sealed is not None:
                return Committed(version, sealed.contents, sealed.uri, sealed.digest)
            # people wrote its URI: nothing is read at a place of theirs
            check_source(location, (*self.registry.artifact_roots(), *settings.sources))
            return Committed(version, self.store.inspect(location), location)
        except PublishError as error:
            return Committed(
                version, why=f"the committed version's files cannot be read: {error.what}"
            )

    def check(
        self, view: View, contents: ModelFiles, settings: Settings, digest: str = ""
    ) -> tuple[Gate, ...]:
        """The same; raises GateError where one holds a commit back. People decide on the rest."""
        gates = self.gates(view, contents, settings, digest)
        refused = [gate for gate in gates if gate.required and not gate.is_open]
        if refused and view.environment.delivery == "commit":
            raise _blocked(view, refused, gates)
        return gates

    def _facts(
        self, view: View, contents: ModelFiles, settings: Settings, known: Committed | None
    ) -> Facts:
        plan, environment = view.plan, view.environment
        assert plan.version is not None
        if plan.request is not None and plan.request.action == "rollback":
            return Facts(is_rollback=True)
        rules = environment.gates
        facts = Facts(is_compared=_is_compared(environment))
        if facts.is_compared and plan.before is not None:
            known = known or self.committed(view, settings)
            facts = replace(facts, schema=schema_change(contents, known))
        if not rules.metrics:
            return facts
        committed = committed_version(view, settings)
        return replace(
            facts,
            candidate=self.registry.facts(plan.version),
            committed=self.registry.facts(committed) if committed else None,
        )


def schema_change(contents: ModelFiles, committed: Committed) -> SchemaChange:
    if committed.files is None:
        return SchemaChange("unknown", committed.why)
    return compare(contents.mlmodel, committed.files.mlmodel)


def _is_compared(environment: Environment) -> bool:
    """It costs a look at the committed version's files: only where somebody acts on it."""
    is_asked = environment.delivery == "pull-request" or "signature" in environment.gates.required
    return is_asked and environment.gates.signature != "any"


def committed_version(view: View, settings: Settings) -> ModelVersion | None:
    """The version that Git says now; None where it says none, or none that the registry has."""
    before, delivered = view.plan.before, view.delivered
    if before is None:
        return None
    if delivered is not None and delivered.spec == before:
        version = view.snapshot.version(delivered.request.version)
        return version if version and version.identity == delivered.identity else None
    named = (v for v in view.snapshot.versions if name_or_none(settings, v) == before.version)
    return next(named, None)


def _blocked(view: View, refused: Sequence[Gate], gates: Sequence[Gate]) -> GateError:
    key, version = view.plan.key, view.plan.version
    number = version.number if version else ""
    told = "; ".join(f"{gate.name}: {gate.text}" for gate in refused)
    return GateError(
        f"version {number} is held back by a gate of {key.environment}: {told}",
        where=str(key),
        hint="correct what the gate says (a metric that is logged to the version's run later "
        f"counts), or select another version; the gates are `environments.{key.environment}.gates` "
        "in mlflow-gitops.yaml",
        gates=gates,
    )
