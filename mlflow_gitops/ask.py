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
from mlflow_gitops.planning.mlmodel import parse_flavors
from mlflow_gitops.planning.plan import Kind, Plan
from mlflow_gitops.planning.records import REQUESTS, request_text
from mlflow_gitops.planning.sources import check_source
from mlflow_gitops.reconcile import Outcome, Reconciler
from mlflow_gitops.state import (
    Environment,
    ModelVersion,
    Request,
    Selector,
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
    one_line,
    parse_model_uri,
)

__all__ = ["ANY_FLAVOR", "Answer", "Asker", "imagine"]

ANY_FLAVOR = "kserve"  # what serves it: KServe takes the format from the manifest
LONGEST_BY = 200
LONGEST_REASON = 2000


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a wish. `commit` is "" for a dry run, or where Git said so already.

    `before` and `after` are what Git said before and says now (or would say, for a dry run).
    `diff` is that of the commit, whoever made it: the webhook service may have been faster.
    `already` says that nothing had to be asked, since it stands.
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
        observer.repository.fetch()
        settings = observer.settings()
        environment, model = locate(wish.name, settings, ref.model)
        snapshot = observer.registry.snapshot(model)
        version = choose(snapshot, ref)
        request = self._request(snapshot, environment, version, wish)
        preview, passed_over = self._preview(snapshot, environment, settings, request)
        plan = _accepted(preview, version)
        self._check_flavor(version, wish.flavor, settings)
        answer = _answer(plan, preview, version, request, dry_run=dry_run)
        if plan.kind is Kind.RECORD and self._stands(snapshot, environment, settings, version):
            return replace(answer, already=True, request=None)
        if dry_run:
            return answer
        observer.registry.ask(version, environment.name, request)
        observer.registry.select(version, environment.select, request)
        for other in passed_over:
            observer.registry.ask(_known(snapshot, other), environment.name, other)
        return self._act(answer, version)

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

    def _act(self, answer: Answer, version: ModelVersion) -> Answer:
        """Reconcile, and tell what stands then; a service that was faster has done it already."""
        outcomes = self.reconciler.reconcile(answer.model, only=[answer.environment])
        if not outcomes:
            raise RequestError(
                "the environment does not take the model any more: the settings changed meanwhile",
                where=answer.name,
                hint="look at `environments` in mlflow-gitops.yaml, then ask again",
            )
        try:
            plan = _accepted(outcomes[0], version)
        except GitOpsError as error:
            raise _after_asking(error, answer) from error
        record = self.reconciler.registry.snapshot(answer.model).delivered.get(answer.environment)
        is_ours = record is not None and record.request.version == version.number
        commit = record.commit if record is not None and is_ours and answer.diff else ""
        return replace(
            answer,
            state=plan.state,
            message=plan.reason,
            after=plan.after,
            commit=outcomes[0].commit or commit,
            digest=record.digest if record is not None and is_ours else "",
            diff=outcomes[0].diff or answer.diff,
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
        self, snapshot: Snapshot, environment: Environment, version: ModelVersion, wish: Wish
    ) -> Request:
        earlier = self.reconciler.observer.requests(snapshot, environment).values()
        return Request(
            id=self.new_id(),
            version=version.number,
            time=later_than(self.reconciler.clock(), (record.time for record in earlier)),
            by=one_line(wish.by, "by", LONGEST_BY),
            reason=one_line(wish.reason, "reason", LONGEST_REASON),
        )

    def _check_flavor(self, version: ModelVersion, flavor: str, settings: Settings) -> None:
        """After the preview: only a source that may be read is looked into."""
        if flavor in ("", ANY_FLAVOR):
            return
        source = self.reconciler.registry.artifact_location(version)
        roots = self.reconciler.registry.artifact_roots()
        check_source(source, (*roots, *settings.sources))
        flavors = sorted(parse_flavors(self.reconciler.store.inspect(source).mlmodel))
        if flavor not in flavors:
            raise RequestError(
                f"version {version.number} has no flavor `{flavor}`",
                where=f"model {version.model}",
                hint=f"take one of: {', '.join([*flavors, ANY_FLAVOR])}, or leave --flavor out",
            )


def imagine(snapshot: Snapshot, environment: Environment, requests: Sequence[Request]) -> Snapshot:
    """The registry as it will be when the requests are recorded, and the first one's version is
    selected. Pure.
    """
    selector, number = environment.select, requests[0].version
    records = {request.version: request for request in requests}
    versions = (
        _with_record(version, environment, records.get(version.number))
        for version in snapshot.versions
    )
    moved = tuple(
        _with_selector(each, selector) if each.number == number else _without_alias(each, selector)
        for each in versions
    )
    aliases = dict(snapshot.aliases)
    if selector.kind == "alias":
        aliases[selector.name] = number
    return replace(snapshot, versions=moved, aliases=aliases)


def _with_record(
    version: ModelVersion, environment: Environment, request: Request | None
) -> ModelVersion:
    if request is None:
        return version
    tag = REQUESTS + environment.name
    text = request_text(request, model=version.model, tag=tag)
    return replace(version, tags={**version.tags, tag: text})


def _with_selector(version: ModelVersion, selector: Selector) -> ModelVersion:
    if selector.kind == "stage":
        return replace(version, stage=selector.name)
    if selector.kind == "alias":
        return replace(version, aliases=tuple(sorted({*version.aliases, selector.name})))
    return replace(version, tags={**version.tags, selector.name: selector.value})


def _without_alias(version: ModelVersion, selector: Selector) -> ModelVersion:
    """An alias names one version; a stage or a tag may match several."""
    if selector.kind != "alias" or selector.name not in version.aliases:
        return version
    return replace(version, aliases=tuple(a for a in version.aliases if a != selector.name))


def _accepted(outcome: Outcome, version: ModelVersion) -> Plan:
    """The plan, where it brings the version about; else the reason why not, as an error."""
    if outcome.error is not None:
        raise outcome.error
    plan = outcome.plan
    assert plan is not None  # an outcome without an error has one
    is_wanted = plan.version is not None and plan.version.number == version.number
    if is_wanted and (plan.changes_git or plan.state is State.COMMITTED):
        return plan
    raise RequestError(
        f"version {version.number} is not delivered, the service is {plan.state.value}: "
        f"{plan.reason}",
        where=str(plan.key),
        hint=f"look at `mlflow-gitops plan -e {plan.key.environment} {plan.key.model} --diff`, "
        "then ask again",
    )


def _answer(
    plan: Plan, preview: Outcome, version: ModelVersion, request: Request, *, dry_run: bool
) -> Answer:
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
    )


def _known(snapshot: Snapshot, request: Request) -> ModelVersion:
    version = snapshot.version(request.version)
    assert version is not None  # a candidate is a version of the snapshot
    return version


def _after_asking(error: GitOpsError, answer: Answer) -> GitOpsError:
    """The request stands in the registry: people have to know that it may still be delivered."""
    what = f"{error.what}\n  version {answer.version.number} stays asked for in the registry"
    return type(error)(what, where=error.where or answer.name, hint=error.hint)
