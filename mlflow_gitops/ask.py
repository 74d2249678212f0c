"""Asking for a version: the request of the MLflow plugin and the CLI, in its one order.

First everything is checked against an imagined registry in which the request was already made, so
that bad input is refused before anything is written. Then the effects: the request record, the
selector, and a reconcile of that one service. What was imagined is also the dry run.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from mlflow_gitops.errors import GitOpsError, RequestError
from mlflow_gitops.outcome import Outcome, accepted
from mlflow_gitops.planning.mlmodel import parse_flavors
from mlflow_gitops.planning.naming import name_or_none, publication_of
from mlflow_gitops.planning.pending import imagine
from mlflow_gitops.planning.plan import Kind, Plan
from mlflow_gitops.planning.sources import check_source
from mlflow_gitops.ports import Registry
from mlflow_gitops.reconcile import Reconciler
from mlflow_gitops.state import (
    Environment,
    ModelFiles,
    ModelVersion,
    Request,
    ServiceSpec,
    Settings,
    Snapshot,
    State,
)
from mlflow_gitops.wish import (
    Wish,
    choose,
    earlier_than,
    later_than,
    locate,
    no_service,
    no_version,
    parse_model_uri,
)

__all__ = ["ANY_FLAVOR", "Answer", "Asker", "check_flavor"]

ANY_FLAVOR = "kserve"  # what serves it: KServe takes the format from the manifest


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a wish. `commit` is "" for a dry run, or where Git said so already.

    `before` and `after` are what Git said before and says now (or would say, for a dry run).
    `diff` is that of the commit, whoever made it: the webhook service may have been faster.
    `already` says that nothing had to be asked, since it stands. `relayed` says that the webhook
    service did it: what only Git knows is then left out. `pull` is the address of the pull
    request that proposes it.
    """

    environment: str
    model: str
    service: str
    version: ModelVersion
    state: State
    message: str
    branch: str
    before: ServiceSpec | None = None
    after: ServiceSpec | None = None
    commit: str = ""
    digest: str = ""
    diff: str = ""
    request: Request | None = None
    dry_run: bool = False
    already: bool = False
    relayed: bool = False
    pull: str = ""
    notes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return f"{self.environment}/{self.model}"


@dataclass(frozen=True, slots=True)
class Asker:
    """Makes requests. `new_id` gives each its identity: randomness is a parameter."""

    reconciler: Reconciler
    new_id: Callable[[], str] = lambda: str(uuid.uuid4())

    def ask(self, wish: Wish, *, dry_run: bool = False) -> Answer:
        """Ask for a version in one environment. Raises GitOpsError; bad input writes nothing."""
        observer = self.reconciler.observer
        ref = parse_model_uri(wish.model_uri)
        settings = self._settings()
        environment, model = locate(wish.name, settings, ref.model)
        snapshot = observer.registry.snapshot(model)
        version = choose(snapshot, ref)
        request = self._request(snapshot, environment, version, wish)
        preview, passed_over = self._preview(snapshot, environment, settings, request)
        plan = accepted(preview, request)
        check_flavor(
            version, wish.flavor, observer.registry, self.reconciler.store.inspect, settings.sources
        )
        if wish.action == "rollback":
            self._check_restorable(version, plan)
        answer = _answer(plan, preview, version, request, dry_run=dry_run)
        if plan.kind is Kind.RECORD and self._stands(snapshot, environment, settings, version):
            return replace(answer, already=True, request=None)
        if dry_run:
            return answer
        observer.registry.ask(version, environment.name, request)
        observer.registry.select(version, environment.select, request)
        return self._act(answer, request, snapshot, passed_over)

    def retire(self, wish: Wish, *, dry_run: bool = False) -> Answer:
        """Ask to take a service out of Git. Raises GitOpsError; bad input writes nothing.

        The model's versions and the published files stay, and so does the selector.
        """
        observer = self.reconciler.observer
        settings = self._settings()
        environment, model = locate(wish.name, settings)
        stands = self._committed(environment, model, settings)
        snapshot = observer.registry.snapshot(model)
        version = _standing(snapshot, environment, settings, stands)
        request = self._request(snapshot, environment, version, replace(wish, action="retire"))
        preview, passed_over = self._preview(snapshot, environment, settings, request)
        answer = _answer(accepted(preview, request), preview, version, request, dry_run=dry_run)
        if dry_run:
            return answer
        observer.registry.ask(version, environment.name, request)
        return self._act(answer, request, snapshot, passed_over)

    def _check_restorable(self, version: ModelVersion, plan: Plan) -> None:
        """Before anything is written: every file of the revision stands, byte by byte."""
        assert plan.after is not None  # a rollback is to a version
        source = self.reconciler.registry.artifact_location(version)
        publication = publication_of(version, plan.after, source)
        if self.reconciler.store.download(publication, None, self.reconciler.progress) is None:
            raise RequestError(
                f"version {version.number} was never published for this service",
                where=publication.uri,
                hint="ask for it like for a new one, with `mlflow deployments update`",
            )

    def _settings(self) -> Settings:
        self.reconciler.repository.fetch()
        return self.reconciler.observer.settings()

    def _committed(self, environment: Environment, model: str, settings: Settings) -> ServiceSpec:
        observer, service = self.reconciler.observer, settings.service(model, environment)
        _, manifests = observer.manifests(environment, settings)
        stands = manifests.committed(environment.name, service)
        if stands is not None:
            return stands
        name, names = f"{environment.name}/{model}", manifests.services(environment.name)
        known = [f"{environment.name}/{settings.names.model(each, environment)}" for each in names]
        raise no_service(name, known, f"{observer.repository.identity}: {environment.path}")

    def _preview(
        self, snapshot: Snapshot, environment: Environment, settings: Settings, request: Request
    ) -> tuple[Outcome, tuple[Request, ...]]:
        """What the request would bring about, and the records that it needs beside its own.

        A version that is selected without a record could have been asked for at any time. But
        it was there before this request, so it gets a record that says so.
        """
        imagined = imagine(snapshot, environment, [request])
        preview = self.reconciler.preview(imagined, environment, settings)
        candidates = preview.plan.candidates if preview.plan else ()
        recorded = self.reconciler.observer.requests(imagined, environment)
        others = tuple(
            Request(
                id=self.new_id(),
                version=number,
                time=earlier_than(request.time),
                reason=f"it was in {environment.select} when version {request.version} was "
                "asked for",
            )
            for number in candidates
            if number not in recorded
        )
        if not others:
            return preview, ()
        settled = imagine(snapshot, environment, [request, *others])
        return self.reconciler.preview(settled, environment, settings), others

    def _act(
        self, answer: Answer, request: Request, snapshot: Snapshot, passed_over: Sequence[Request]
    ) -> Answer:
        """Reconcile, and tell what stands then; a service that was faster has done it already."""
        for other in passed_over:
            self.reconciler.registry.ask(_known(snapshot, other), answer.environment, other)
        outcomes = self.reconciler.reconcile(answer.model, only=[answer.environment])
        if not outcomes:
            raise RequestError(
                "the environment does not take the model any more: the settings changed meanwhile",
                where=answer.name,
                hint="look at `environments` in mlflow-gitops.yaml, then ask again",
            )
        try:
            plan = accepted(outcomes[0], request)
        except GitOpsError as error:
            raise _after_asking(error, answer) from error
        record = self.reconciler.registry.snapshot(answer.model).delivered.get(answer.environment)
        is_ours = record is not None and record.request.version == request.version
        commit = record.commit if record is not None and is_ours and answer.diff else ""
        return replace(
            answer,
            state=plan.state,
            message=plan.reason,
            after=plan.after,
            commit=outcomes[0].commit or commit,
            digest=record.digest if record is not None and is_ours else "",
            diff=outcomes[0].diff or answer.diff,
            pull=outcomes[0].pull.url if outcomes[0].pull else "",
        )

    def _stands(
        self,
        snapshot: Snapshot,
        environment: Environment,
        settings: Settings,
        version: ModelVersion,
    ) -> bool:
        """Whether it is selected, was delivered and is committed: then nothing is written."""
        now = self.reconciler.preview(snapshot, environment, settings).plan
        is_idle = now is not None and now.kind is Kind.NONE and now.version == version
        return is_idle and environment.select.matches(version)

    def _request(
        self,
        snapshot: Snapshot,
        environment: Environment,
        version: ModelVersion,
        wish: Wish,
    ) -> Request:
        earlier = self.reconciler.observer.requests(snapshot, environment).values()
        now = later_than(self.reconciler.clock(), (record.time for record in earlier))
        return wish.request(self.new_id(), version.number, now)


def check_flavor(
    version: ModelVersion,
    flavor: str,
    registry: Registry,
    inspect: Callable[[str], ModelFiles],
    sources: Sequence[str] = (),
) -> None:
    """Raises RequestError where the version lacks the flavor that was asked for.

    Only a source that may be read is looked into: below the artifact roots or `sources`.
    """
    if flavor in ("", ANY_FLAVOR):
        return
    source = registry.artifact_location(version)
    check_source(source, (*registry.artifact_roots(), *sources))
    flavors = sorted(parse_flavors(inspect(source).mlmodel))
    if flavor not in flavors:
        raise RequestError(
            f"version {version.number} has no flavor `{flavor}`",
            where=f"model {version.model}",
            hint=f"take one of: {', '.join([*flavors, ANY_FLAVOR])}, or leave --flavor out",
        )


def _answer(
    plan: Plan, preview: Outcome, version: ModelVersion, request: Request, *, dry_run: bool
) -> Answer:
    runtime = (each for each in preview.gates if each.name == "runtime")
    unknown = (f"runtime not known: {each.text}" for each in runtime if each.verdict == "not known")
    return Answer(
        environment=plan.key.environment,
        model=plan.key.model,
        service=plan.place.service,
        version=version,
        state=plan.state,
        message=plan.reason,
        branch=plan.place.branch,
        before=plan.before,
        after=plan.after,
        diff=preview.diff,
        request=request,
        dry_run=dry_run,
        notes=(*plan.notes, *unknown),
    )


def _standing(
    snapshot: Snapshot, environment: Environment, settings: Settings, stands: ServiceSpec
) -> ModelVersion:
    """The version that a request to retire is recorded on: the one that Git has, if it is there."""
    delivered = snapshot.delivered.get(environment.name)
    named = (v for v in snapshot.versions if name_or_none(settings, v) == stands.version)
    found = next(named, None)
    if found is None and delivered is not None:
        found = snapshot.version(delivered.request.version)
    if found is not None:
        return found
    if snapshot.versions:
        return snapshot.versions[-1]
    raise no_version(snapshot.model, stands.uri)


def _known(snapshot: Snapshot, request: Request) -> ModelVersion:
    version = snapshot.version(request.version)
    assert version is not None  # a candidate is a version of the snapshot
    return version


def _after_asking(error: GitOpsError, answer: Answer) -> GitOpsError:
    """The request stands in the registry: people have to know that it may still be delivered."""
    what = f"{error.what}\n  version {answer.version.number} stays asked for in the registry"
    return type(error)(what, where=error.where or answer.name, hint=error.hint)
