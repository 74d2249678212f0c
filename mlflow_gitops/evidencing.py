"""Gathers what a reviewer decides by. What cannot be read is told, and holds nothing back.

The verdicts and the words are `planning/evidence.py`'s and `planning/evidence_body.py`'s.
"""

from __future__ import annotations

from dataclasses import dataclass

from mlflow_gitops.errors import GitOpsError, TransientError
from mlflow_gitops.gatekeeping import Committed, Gatekeeper, schema_change
from mlflow_gitops.observe import View
from mlflow_gitops.planning.evidence import (
    DEPENDENCY_FILES,
    MOST_TEXT,
    Gathered,
    Judged,
    Known,
    Shown,
    make_evidence,
)
from mlflow_gitops.planning.evidence_values import Evidence
from mlflow_gitops.planning.plan import Kind, Plan
from mlflow_gitops.planning.proposing import hold_told
from mlflow_gitops.ports import ArtifactStore, Registry, Renderer, Repository
from mlflow_gitops.rendering import rendered
from mlflow_gitops.runs import RunFacts
from mlflow_gitops.stacking import Draft
from mlflow_gitops.state import Edit, ModelFiles, ModelVersion, ServiceSpec, Settings

__all__ = ["Gatherer"]


@dataclass(frozen=True, slots=True)
class Gatherer:
    registry: Registry
    store: ArtifactStore
    repository: Repository
    renderer: Renderer | None = None

    def gather(
        self,
        view: View,
        draft: Draft,
        settings: Settings,
        contents: ModelFiles | None,
        digest: str = "",
    ) -> Evidence:
        """Of a plan that changes Git. `contents` are the files to be served, `digest` theirs where
        they are published already. Raises TransientError where the registry or the store is away.
        """
        plan, keeper = view.plan, Gatekeeper(self.registry, self.store)
        committed = keeper.committed(view, settings)
        gates = keeper.gates(view, contents, settings, digest, committed) if contents else ()
        rules = view.environment.gates.metrics
        schema = schema_change(contents, committed) if contents and plan.before else None
        return make_evidence(
            plan,
            Gathered(
                before=self._before(plan.before, committed) if plan.before else None,
                after=self._after(plan, contents, digest),
                judged=Judged(gates, rules, schema),
                shown=self._shown(view, draft),
                hold=hold_told(plan),
                not_proved=draft.proof.why,
                notes=draft.notes,
            ),
        )

    def _before(self, spec: ServiceSpec, committed: Committed) -> Known:
        return Known(
            spec,
            committed.version,
            self._facts(committed.version),
            committed.files,
            self._texts(committed.location, committed.files),
            committed.digest,
            committed.why,
        )

    def _after(self, plan: Plan, contents: ModelFiles | None, digest: str) -> Known | None:
        if plan.kind is not Kind.PROMOTE or plan.after is None:
            return None
        version, location = plan.version, plan.after.uri
        if version is not None and not digest:  # not published yet
            location = self.registry.artifact_location(version)
        return Known(
            plan.after,
            version,
            self._facts(version),
            contents,
            self._texts(location, contents),
            digest,
        )

    def _facts(self, version: ModelVersion | None) -> RunFacts | None:
        if version is None:
            return None
        try:
            return self.registry.facts(version)
        except TransientError:
            raise
        except GitOpsError as error:
            return RunFacts(missing=f"its run cannot be read: {error.what}")

    def _texts(self, location: str, files: ModelFiles | None) -> dict[str, str] | None:
        if files is None:
            return None
        names = [name for name in DEPENDENCY_FILES if name in files.files]
        if any(files.files[name] > MOST_TEXT for name in names):
            return None  # some stores give whole files only
        try:
            found = dict(self.store.texts(location, names)) if names else {}
        except TransientError:
            raise
        except GitOpsError:
            return None
        return found if len(found) == len(names) else None

    def _shown(self, view: View, draft: Draft) -> Shown:
        """The built objects that change; where none do, or they cannot be built, the files."""
        key, place = view.plan.key, view.plan.place
        built = rendered(self.renderer, draft.on, key.environment, place.service, draft.files)
        if built.diff:
            return Shown(built.diff, is_rendered=True)
        return Shown(self.repository.diff(view.tree.head, [Edit(draft.files, "")]), note=built.why)
