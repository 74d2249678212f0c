"""Before any commit: a version's files stand sealed in the bucket, and its service can load them.

Claim, copy and seal are the store's; here is what is checked before a byte is written.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

from mlflow_gitops.config import settings_warnings
from mlflow_gitops.gatekeeping import Gatekeeper
from mlflow_gitops.gates import Gate
from mlflow_gitops.manifests.scaffold import check_name
from mlflow_gitops.observe import View
from mlflow_gitops.planning.loadable import check_loadable
from mlflow_gitops.planning.naming import publication_of
from mlflow_gitops.planning.plan import Kind, Plan
from mlflow_gitops.planning.sources import check_source
from mlflow_gitops.ports import ArtifactStore, Progress, Registry
from mlflow_gitops.reporting import Reporter
from mlflow_gitops.stacking import predictor_of
from mlflow_gitops.state import ModelFiles, Publication, Revision, Settings

__all__ = ["Publisher"]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Publisher:
    registry: Registry
    store: ArtifactStore
    reporter: Reporter
    progress: Progress | None = None

    @property
    def gatekeeper(self) -> Gatekeeper:
        return Gatekeeper(self.registry, self.store)

    def publish(self, view: View, settings: Settings) -> Revision | None:
        """The sealed files of what the plan commits or records; None where it needs none."""
        plan = view.plan
        if plan.after is None or not (plan.changes_git or plan.kind is Kind.RECORD):
            return None
        publication = self._publication(plan, settings)
        revision = self.store.sealed(publication)
        self._check(view, publication, revision, settings)
        if revision is not None:
            return revision
        self.reporter.publishing(plan, publication.uri)
        for warning in settings_warnings(settings):
            log.warning("%s: %s", publication.uri, warning, extra={"action": "publish.unsafe"})
        return self.store.publish(publication, self.progress)

    def look(self, view: View, settings: Settings) -> tuple[ModelFiles | None, tuple[Gate, ...]]:
        """The files that would be published, after the same checks; writes nothing."""
        plan = view.plan
        if plan.after is None or not plan.changes_git:
            return None, ()
        publication = self._publication(plan, settings)
        return self._check(view, publication, self.store.sealed(publication), settings)

    def loadable(self, view: View, settings: Settings) -> tuple[ModelFiles | None, str]:
        """The files, also where a gate would hold them back, and their digest where published."""
        plan = view.plan
        if plan.after is None or not plan.changes_git:
            return None, ""
        publication = self._publication(plan, settings)
        sealed = self.store.sealed(publication)
        return self._loadable(view, publication, sealed, settings), sealed.digest if sealed else ""

    def _check(
        self, view: View, publication: Publication, sealed: Revision | None, settings: Settings
    ) -> tuple[ModelFiles, tuple[Gate, ...]]:
        """The list of files, after every check that can be made before a byte is written."""
        contents = self._loadable(view, publication, sealed, settings)
        return contents, self.gatekeeper.check(view, contents, settings)

    def _loadable(
        self, view: View, publication: Publication, sealed: Revision | None, settings: Settings
    ) -> ModelFiles:
        if sealed is None:
            check_source(publication.source, (*self.registry.artifact_roots(), *settings.sources))
        contents = sealed.contents if sealed else self.store.inspect(publication.source)
        check_loadable(contents, predictor_of(view, contents))
        return contents

    def _publication(self, plan: Plan, settings: Settings) -> Publication:
        assert plan.after is not None
        assert plan.version is not None
        check_name(plan.place.service)  # first, since it becomes a path in the bucket
        source = self.registry.artifact_location(plan.version)
        return publication_of(plan.version, plan.after, source, settings.write_once)
