"""Before any commit: a version's files stand sealed in the bucket, and its service can load them.

Claim, copy and seal are the store's; here is what is checked before a byte is written, and in which
layout the files are to lie.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace

from mlflow_gitops.config import settings_warnings
from mlflow_gitops.errors import GitOpsError, PublishError
from mlflow_gitops.gatekeeping import Gatekeeper
from mlflow_gitops.gates import Gate
from mlflow_gitops.observe import View
from mlflow_gitops.planning.layouts import choose_layout, layouts_for
from mlflow_gitops.planning.loadable import check_loadable
from mlflow_gitops.planning.naming import publication_of, published_in
from mlflow_gitops.planning.plan import Kind
from mlflow_gitops.planning.service_names import check_service
from mlflow_gitops.planning.sources import check_source
from mlflow_gitops.ports import ArtifactStore, Progress, Registry
from mlflow_gitops.reporting import Reporter
from mlflow_gitops.slugs import MOST, is_name
from mlflow_gitops.state import AS_IS, ModelFiles, Publication, Revision, Settings

__all__ = ["Placed", "Publisher"]

log = logging.getLogger(__name__)

NOTHING = ModelFiles({})
NESTED = "/1/model.onnx"


@dataclass(frozen=True, slots=True)
class Placed:
    """A look whose plan names the path of its files, in the layout that they have to lie in.

    `contents` are the files there, as published or to be; `sealed` is None for the latter.
    """

    view: View
    publication: Publication
    contents: ModelFiles = NOTHING
    sealed: Revision | None = None


@dataclass(frozen=True, slots=True)
class Publisher:
    registry: Registry
    store: ArtifactStore
    reporter: Reporter
    progress: Progress | None = None

    @property
    def gatekeeper(self) -> Gatekeeper:
        return Gatekeeper(self.registry, self.store)

    def place(self, view: View, settings: Settings) -> Placed | None:
        """Where the files of a plan go, after every check that can be made before a byte is
        written. None where the plan needs no files.
        """
        plan = view.plan
        if plan.after is None or not (plan.changes_git or plan.kind is Kind.RECORD):
            return None
        return self._checked(view, settings)[0]

    def publish(self, placed: Placed, settings: Settings) -> Revision:
        """The sealed files."""
        plan = placed.view.plan
        has_to_be_signed = bool(settings.signed_by) and plan.changes_git
        if placed.sealed is not None and not has_to_be_signed:
            return placed.sealed
        uri = placed.publication.uri
        self.reporter.publishing(plan, uri)
        for warning in settings_warnings(settings):
            log.warning("%s: %s", uri, warning, extra={"action": "publish.unsafe"})
        return self.store.publish(placed.publication, self.progress)

    def look(
        self, view: View, settings: Settings
    ) -> tuple[View, ModelFiles | None, tuple[Gate, ...]]:
        """The files that would be published, after the same checks; writes nothing."""
        plan = view.plan
        if plan.after is None or not plan.changes_git:
            return view, None, ()
        placed, gates = self._checked(view, settings)
        return placed.view, placed.contents, gates

    def loadable(self, view: View, settings: Settings) -> tuple[View, ModelFiles | None, str]:
        """The files, also where a gate would hold them back, and their digest where published."""
        plan = view.plan
        if plan.after is None or not plan.changes_git:
            return view, None, ""
        placed = self._placed(view, settings)
        return placed.view, placed.contents, placed.sealed.digest if placed.sealed else ""

    def _checked(self, view: View, settings: Settings) -> tuple[Placed, tuple[Gate, ...]]:
        """After every check that can be made before a byte is written."""
        placed = self._placed(view, settings)
        digest = placed.sealed.digest if placed.sealed else ""
        return placed, self.gatekeeper.check(placed.view, placed.contents, settings, digest)

    # Where the files lie, and in which layout

    def _placed(self, view: View, settings: Settings) -> Placed:
        """Files that Git or an open pull request has already stay as they lie. Others lie as their
        server needs them; and as they were published, for a rollback, or where the source cannot be
        read any more.
        """
        plan = view.plan
        assert plan.after is not None
        assert plan.version is not None
        self._check_service(view, settings)  # first, since it becomes a path in the bucket
        source = self.registry.artifact_location(plan.version)
        publication = publication_of(plan.version, plan.after, source, settings)
        given = Placed(view, publication)
        if not plan.changes_git:
            return self._standing(given, settings)
        first = self._at(given, given.publication.layout)
        if not _loads(first) and first.publication.layout != AS_IS:
            first = self._at(given, AS_IS)
        if _loads(first):
            return first
        found = view.manifests.foreseen(plan.key.environment, plan.place.service, plan.after)
        others = layouts_for(found) if found else ()
        is_rollback = plan.request is not None and plan.request.action == "rollback"
        if is_rollback and (old := self._published(given, others)):
            return old
        try:
            return self._new(first, settings)
        except GitOpsError:
            if old := self._published(given, others):
                return old
            raise

    def _check_service(self, view: View, settings: Settings) -> None:
        plan, environment = view.plan, view.environment
        model = plan.key.model
        changes = plan.changes_git
        is_derived = settings.names.is_derived(model)
        taken: Collection[str] = ()
        if not is_name(plan.place.service) or len(plan.place.service) > MOST:
            taken = view.manifests.services(environment.name)
        check_service(
            model,
            environment,
            settings,
            is_new=changes and plan.before is None,
            beside=view.manifests.environments.values() if changes else (),
            git=view.manifests,
            models=self.registry.names() if changes and is_derived else (),
            taken=taken,
        )

    def _standing(self, given: Placed, settings: Settings) -> Placed:
        layout = given.publication.layout
        placed = self._at(given, layout)
        if _loads(placed):
            return placed
        new = self._new(placed, settings)
        if new.publication.layout != layout:
            raise PublishError(
                f"the files would not load as Git has them, which is {layout}",
                where=given.publication.uri,
                hint=f"write {new.publication.uri} in Git, and it is published there; or ask for "
                "another version, then for this one again",
            )
        return new

    def _published(self, given: Placed, layouts: Iterable[str]) -> Placed | None:
        """The first that is sealed and would load."""
        return next(filter(_loads, (self._at(given, layout) for layout in layouts)), None)

    def _new(self, known: Placed, settings: Settings) -> Placed:
        """As the source has to be published, or was. `known` is what was looked at before."""
        source = known.publication.source
        check_source(source, (*self.registry.artifact_roots(), *settings.sources))
        files = self.store.inspect(source)
        predictor = known.view.predictor(files)
        layout = choose_layout(files, predictor, known.view.plan.place.service)
        is_known = layout.name == known.publication.layout
        placed = known if is_known else self._at(known, layout.name)
        if placed.sealed is not None:
            _check(placed)
            return placed
        paths = None if layout.name == AS_IS else layout.paths
        publication = replace(placed.publication, paths=paths)
        return replace(placed, publication=publication, contents=layout.applied(files))

    def _at(self, given: Placed, layout: str) -> Placed:
        """The same version where it lies in the layout, if it does."""
        plan = given.view.plan
        assert plan.after is not None
        publication = published_in(given.publication, layout)
        sealed = self.store.sealed(publication)
        after = replace(plan.after, uri=publication.uri)
        view = replace(given.view, plan=replace(plan, after=after))
        return Placed(view, publication, sealed.contents if sealed else NOTHING, sealed)


def _check(placed: Placed) -> None:
    predictor = placed.view.predictor(placed.contents)
    check_loadable(placed.contents, predictor, placed.publication.layout)
    _check_nested_name(placed)


def _check_nested_name(placed: Placed) -> None:
    """Triton serves an ONNX model under its folder's name, which is one service's."""
    service = placed.view.plan.place.service
    named = {path.split("/")[0] for path in placed.contents.files if path.endswith(NESTED)}
    if placed.publication.layout == "nest" and named and service not in named:
        other = min(named)
        raise PublishError(
            f"the version is published for Triton under the name `{other}`, and `{service}` would "
            "serve it under that name",
            where=placed.publication.uri,
            hint=f"name the service `{other}` here too, or serve it with another runtime",
        )


def _loads(placed: Placed) -> bool:
    """Whether it is sealed, and its server loads it."""
    try:
        if placed.sealed is not None:
            _check(placed)
    except PublishError:
        return False
    return placed.sealed is not None
