"""Reads the three states of a service and plans. Writes nothing.

`reconcile` acts on what this sees. The registry's `delivered` is used only where it can be ours:
of this repository, with a head that is in the branch's history; and before a plan is
acted on, our own commits that no record knows of are read and win over it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cache

from mlflow_gitops.config import parse_settings
from mlflow_gitops.crediting import Crediting, Merges
from mlflow_gitops.decided import Decisions, Search
from mlflow_gitops.errors import ConfigError, GitOpsError, HeadMovedError, TerminalError
from mlflow_gitops.manifests import Manifests, ParseCache
from mlflow_gitops.past import Merge
from mlflow_gitops.planning.decisions import Decision
from mlflow_gitops.planning.desired import desired_service, laid_out
from mlflow_gitops.planning.ledger import merge_of
from mlflow_gitops.planning.loadable import default_predictor
from mlflow_gitops.planning.messages import clean
from mlflow_gitops.planning.naming import as_published, branch_of
from mlflow_gitops.planning.own_branch import carried, digest_in, is_same_edit
from mlflow_gitops.planning.plan import (
    PASSING,
    Kind,
    Place,
    Plan,
    held_by,
    make_plan,
    next_delivered,
)
from mlflow_gitops.planning.proposing import keeps_head, request_of
from mlflow_gitops.planning.records import malformed, record_of, request_for, status_of
from mlflow_gitops.planning.recover import recovered
from mlflow_gitops.planning.service_names import long_host, too_long
from mlflow_gitops.ports import Clock, Forge, Registry, Repository, Tree
from mlflow_gitops.pull_requests import WITHDRAWN, PullRequest
from mlflow_gitops.recovering import Recovery
from mlflow_gitops.slugs import MOST
from mlflow_gitops.state import (
    CommitStyle,
    Delivered,
    Environment,
    ModelFiles,
    ModelVersion,
    Predictor,
    Request,
    ServiceKey,
    ServiceSpec,
    Settings,
    Snapshot,
    State,
)

__all__ = ["Observer", "View", "selected"]

READERS = 8  # models read from the registry at once


@dataclass(frozen=True, slots=True)
class View:
    """One service as it is now, and what to do about it.

    `stored` is the record as the registry has it, `delivered` what can be trusted of it.
    """

    plan: Plan
    snapshot: Snapshot
    environment: Environment
    tree: Tree
    manifests: Manifests
    stored: Delivered | None
    delivered: Delivered | None
    style: CommitStyle

    @property
    def told(self) -> Mapping[str, State]:
        """What the registry's tags say of each version in this environment."""
        found = ((v.number, status_of(v, self.environment.name)) for v in self.snapshot.versions)
        return {number: status.state for number, status in found if status is not None}

    @property
    def unanswered(self) -> Mapping[str, str]:
        """The versions that failed or wait for a server, each with when that was said; "" where
        nothing asks for it any more. A request that was refused without a delivery still does.
        """
        name, found = self.environment.name, dict[str, str]()
        for version in self.snapshot.versions:
            status, record = status_of(version, name), record_of(version, name)
            if status is not None and status.state in PASSING:
                is_refusal = record is not None and record.closed and record.id == status.request
                asks = is_refusal or self.environment.select.matches(version)
                found[version.number] = status.time if asks else ""
        return found

    def predictor(self, contents: ModelFiles) -> Predictor:
        """How the service loads its files once the plan is done; by `contents`, where it is new."""
        environment, after = self.plan.key.environment, self.plan.after
        assert after is not None
        found = self.manifests.foreseen(environment, self.plan.place.service, after)
        return found or default_predictor(contents, self.manifests.runtimes(environment))


@dataclass(slots=True)
class Observer:
    """`request_key` checks the signatures of request records; `open_forge` gives the forge where
    an environment delivers by pull requests. Safe for several threads.
    """

    registry: Registry
    repository: Repository
    clock: Clock
    request_key: bytes | None = None
    open_forge: Callable[[Settings], Forge] | None = None
    _parsed: ParseCache = field(default_factory=ParseCache)
    _narrow: ParseCache = field(default_factory=ParseCache)
    _settings: tuple[str, Settings] | None = None
    _manifests: dict[str, tuple[str, Settings, Manifests]] = field(default_factory=dict)
    _decisions: Decisions = field(default_factory=Decisions)

    def read(self, model: str) -> tuple[Settings, Snapshot]:
        """Fetch, and read the model, at the same time: each waits for a server of its own."""
        settings, found = self.read_many([model])
        snapshot = found[model]
        if isinstance(snapshot, GitOpsError):
            raise snapshot
        return settings, snapshot

    def read_many(
        self, models: Collection[str]
    ) -> tuple[Settings, Mapping[str, Snapshot | GitOpsError]]:
        """The same for many: one fetch, and each model or what is wrong with it."""
        with ThreadPoolExecutor(min(READERS, len(models) or 1), "gitops-registry") as beside:
            snapshots = beside.map(self._snapshot, models)
            self.repository.fetch()
            return self.settings(), dict(zip(models, snapshots, strict=True))

    def _snapshot(self, model: str) -> Snapshot | GitOpsError:
        try:
            return self.registry.snapshot(model)
        except GitOpsError as error:
            return error

    def settings(self) -> Settings:
        """The settings of the default branch, as last fetched."""
        text = self.repository.settings_text()
        if self._settings is None or self._settings[0] != text:
            branch = self.repository.default_branch
            self._settings = (text, parse_settings(text, default_branch=branch))
            self._decisions = Decisions()
        return self._settings[1]

    def manifests(self, environment: Environment, settings: Settings) -> tuple[Tree, Manifests]:
        """What Git says of an environment, as last fetched: the head and its manifests."""
        branch = self._branch(environment)
        tree = self.repository.tree(branch)
        return tree, self._manifests_of(tree, branch, settings)

    def services(self, settings: Settings) -> Iterator[tuple[Snapshot, Environment]]:
        """Every model in each environment that takes it, from one listing of the registry."""
        for snapshot in self.registry.snapshots():
            for environment in settings.environments_for(snapshot.model):
                yield snapshot, environment

    def view(
        self, snapshot: Snapshot, environment: Environment, settings: Settings, *, recover: bool
    ) -> View:
        """Read the three states and plan. `recover` reads our commits that no record knows."""
        key = ServiceKey(environment.name, snapshot.model)
        branch = self._branch(environment)
        tree = self.repository.tree(branch)
        manifests = self._manifests_of(tree, branch, settings)
        proposes = environment.delivery == "pull-request"
        service = settings.service(snapshot.model, environment)
        place = Place(self.repository.identity, branch, service, proposes)
        committed = manifests.committed(environment.name, place.service)
        requests = self.requests(snapshot, environment)
        delivered = self.trusted(snapshot, environment)

        def plan_for(record: Delivered | None, pull: PullRequest | None = None) -> Plan:
            now = self.clock()
            desired = desired_service(snapshot, environment, record, requests, settings, now)
            desired = laid_out(desired, committed, record)
            is_same = desired.spec == committed
            hold = None if is_same else manifests.hold(environment.name, place.service)
            return make_plan(key, place, desired, committed, record, hold, pull)

        pull = None
        if recover and proposes:
            pull = self._standing(delivered, environment, place, tree, settings)
        plan = plan_for(delivered, pull)
        if recover and (delivered is None or plan.kind is not Kind.NONE):
            found = self._recover(snapshot, environment, settings, place, tree, delivered)
            if found is not None:
                delivered = found
                plan = plan_for(found, pull)
        if recover and proposes and plan.kind is not Kind.NONE:
            newest = self._newest(plan, tree, settings)
            plan = replace(plan, pull=newest or plan.pull)
            if newest and plan.changes_git and _is_for(newest, plan, delivered):
                if plan.after is not None:
                    proposed = self._spec_at(newest.head, environment, settings, place)
                    plan = replace(plan, after=as_published(plan.after, proposed))
                digest = self._digest_in(newest, key.environment, place, tree)
                delivered = next_delivered(
                    plan, delivered, head=tree.head, digest=digest, pull=newest.number
                )
                plan = plan_for(delivered, newest)
        notes = (*_unread(snapshot, environment), *_about_name(plan, environment))
        plan = replace(plan, notes=(*plan.notes, *notes)) if notes else plan
        stored = snapshot.delivered.get(environment.name)
        style = settings.commit_style
        view = View(plan, snapshot, environment, tree, manifests, stored, delivered, style)
        return replace(view, plan=self._decided(view, settings)) if plan.decision else view

    def trusted(self, snapshot: Snapshot, environment: Environment) -> Delivered | None:
        """The record, if it is of this repository and its head is in the branch's history."""
        delivered = snapshot.delivered.get(environment.name)
        if delivered is None or delivered.repository != self.repository.identity:
            return None
        branch = self._branch(environment)
        if delivered.branch != branch:
            return delivered  # the settings moved: its head is in another history
        head = self.repository.tree(branch).head
        return delivered if self.repository.is_ancestor(delivered.head, head) else None

    def commented(self, view: View, settings: Settings) -> Decision | None:
        """The comment that holds what stands against every later request, if there is one."""
        plan = view.plan
        hold = view.manifests.hold(plan.key.environment, plan.place.service)
        if hold is None:
            return None
        return self._decided(replace(view, plan=held_by(plan, hold)), settings).decision

    def _decided(self, view: View, settings: Settings) -> Plan:
        """The plan with who decided otherwise in Git, when and why."""
        search = Search(
            self.repository,
            view.environment,
            settings,
            view.manifests,
            view.tree.head,
            view.plan.place.service,
            self._parsed,
            self._narrow,
            self._crediting(view.environment, settings),
        )
        return self._decisions.complete(view.plan, search, view.delivered, view.snapshot)

    def _crediting(self, environment: Environment, settings: Settings) -> Crediting:
        merges = self._merges(environment, settings)
        repository = self.repository
        return Crediting(repository.landing, repository.message, settings.environments, merges)

    def _merges(self, environment: Environment, settings: Settings) -> Merges | None:
        """Asks the forge who merged and approved a commit; what it does not say now stays open."""
        if self.open_forge is None or environment.delivery != "pull-request":
            return None

        @cache
        def merge(commit: str, time: str) -> Merge | None:
            del time
            try:
                forge = self.forge(settings)
                pull = forge.of_commit(commit)
            except GitOpsError:
                return None
            return merge_of(pull, forge.kind, commit) if pull else None

        return merge

    def forge(self, settings: Settings) -> Forge:
        if self.open_forge is None:
            raise ConfigError(
                "pull requests need the forge's API",
                where="mlflow-gitops.yaml: forge",
                hint="name the forge, or deliver by commits",
            )
        return self.open_forge(settings)

    def _standing(
        self,
        delivered: Delivered | None,
        environment: Environment,
        place: Place,
        tree: Tree,
        settings: Settings,
    ) -> PullRequest | None:
        """The pull request that is recorded and was not seen merged, as it is now.

        Of one that conflicts, who approved is not asked: its edit is mostly made again as it is.
        """
        if delivered is None or not delivered.is_proposed:
            return None
        head = tree.head
        conflicts = self._conflicts(head, branch_of(environment, place.service))
        forge = self.forge(settings)
        pull = forge.glance(delivered.pull) if conflicts else forge.get(delivered.pull)
        merged = pull.merge_commit if pull.base == place.branch else ""
        if pull.state == "merged" and merged and not self.repository.is_ancestor(merged, head):
            raise HeadMovedError(
                f"pull request #{pull.number} was merged just now",
                where=pull.url,
                hint="fetch, and plan again on the new head",
            )
        found = self._compared(pull, place, head)
        if conflicts and found.state == "open" and found.mergeable is not False:
            pull = forge.get(delivered.pull)  # it waits, so ask for all
            return self._compared(pull, place, head)
        return found

    def _compared(self, pull: PullRequest, place: Place, head: str) -> PullRequest:
        """Whether it conflicts is decided by Git: a forge says so also while it still looks, and of
        an older push. Not known while the forge has another head than the clone.
        """
        if pull.state != "open" or pull.base != place.branch:
            return pull
        if self.repository.branch_head(pull.branch) != pull.head:
            return replace(pull, mergeable=None)
        conflicts = self._conflicts(head, pull.branch)
        if any(each.commit != pull.head for each in pull.approvals):
            pull = carried(self.repository.ahead(head, pull.head), pull)
        return pull if conflicts is None else replace(pull, mergeable=not conflicts)

    def _conflicts(self, head: str, branch: str) -> bool | None:
        """Whether Git cannot merge our branch into its base; None where it cannot tell."""
        own = self.repository.branch_head(branch)
        return self.repository.conflicts(head, own) if own else None

    def is_proposed(self, view: View, files: Mapping[str, str | None], settings: Settings) -> bool:
        """Whether the open pull request has this edit already, so that only its base moved: nobody
        decided otherwise in Git since it was made.
        """
        plan, pull = view.plan, view.plan.pull
        if pull is None or not keeps_head(pull) or pull.base != plan.place.branch:
            return False
        if self.repository.branch_head(pull.branch) != pull.head:
            return False
        fork = self.repository.ahead(view.tree.head, pull.head).fork
        before = self._spec_at(fork, view.environment, settings, plan.place)
        after = self._spec_at(pull.head, view.environment, settings, plan.place)
        if not fork or (before, after) != (plan.before, plan.after):
            return False
        at_fork, at_head = self.repository.tree_at(fork), self.repository.tree_at(pull.head)
        return is_same_edit(files, view.tree, at_fork, at_head)

    def _newest(self, plan: Plan, tree: Tree, settings: Settings) -> PullRequest | None:
        """Our branch's pull request, whatever the record says of it."""
        if plan.pull is not None and plan.pull.state == "open":
            return plan.pull
        branch = branch_of(settings.environments[plan.key.environment], plan.place.service)
        found = self.forge(settings).newest(branch)
        if found is None or found.base != plan.place.branch:
            return None
        return self._compared(found, plan.place, tree.head)

    def _digest_in(self, pull: PullRequest, environment: str, place: Place, tree: Tree) -> str:
        """Return the digest that our commit on its branch names; "" where the clone lacks it."""
        try:
            commits = self.repository.ahead(tree.head, pull.head).commits
        except TerminalError:
            return ""
        return digest_in(f"{environment}/{place.service}", commits)

    def _recover(
        self,
        snapshot: Snapshot,
        environment: Environment,
        settings: Settings,
        place: Place,
        tree: Tree,
        delivered: Delivered | None,
    ) -> Delivered | None:
        since = delivered.head if delivered and delivered.branch == place.branch else ""
        manifests = self._manifests_of(tree, place.branch, settings)
        recovery = Recovery(
            self.repository,
            f"{environment.name}/{place.service}",
            branch_of(environment, place.service),
            tree.head,
            manifests.sources(environment.name, place.service),
            lambda commit: self._spec_at(commit, environment, settings, place),
            self._crediting(environment, settings) if place.by_pull_request else None,
        )
        found = recovery.newest(since)
        if found is None:
            return None
        delivery, after = found
        return recovered(
            delivery,
            after,
            place=place,
            snapshot=snapshot,
            selected=selected(snapshot, environment),
            requests=self.requests(snapshot, environment),
            delivered=delivered,
            settings=settings,
        )

    def _spec_at(
        self, commit: str, environment: Environment, settings: Settings, place: Place
    ) -> ServiceSpec | None:
        if not commit:
            return None
        try:
            tree = self.repository.tree_at(commit)
            manifests = self._manifests_of(tree, place.branch, settings, keep=False)
            return manifests.committed(environment.name, place.service)
        except TerminalError:
            return None  # what the manifests were then cannot be read: nothing can be said of it

    def requests(self, snapshot: Snapshot, environment: Environment) -> Mapping[str, Request]:
        found = (
            (version.number, request_for(version, environment, self.request_key))
            for version in snapshot.versions
            if version.tags
        )
        return {number: request for number, request in found if request is not None}

    def _branch(self, environment: Environment) -> str:
        return environment.branch or self.repository.default_branch

    def _manifests_of(
        self, tree: Tree, branch: str, settings: Settings, *, keep: bool = True
    ) -> Manifests:
        """One view for each branch's head: what it indexed serves every service of the branch."""
        cached = self._manifests.get(branch)
        if cached is not None and cached[0] == tree.head and cached[1] is settings:
            return cached[2]
        environments = {
            e.name: e for e in settings.environments.values() if self._branch(e) == branch
        }
        manifests = Manifests(
            tree,
            environments,
            self._parsed,
            settings.names,
            settings.kserve,
            repository=self.repository.identity,
            applications=settings.applications,
        )
        if keep:
            self._manifests[branch] = (tree.head, settings, manifests)
        return manifests


def _is_for(pull: PullRequest, plan: Plan, delivered: Delivered | None) -> bool:
    """Whether it answers the request that is new to the record: then it was opened, and a crash
    or a lost tag kept it from being recorded.
    """
    if delivered and delivered.pull == pull.number:
        return False
    if pull.state == "merged" or WITHDRAWN in pull.labels or plan.request is None:
        return False
    return request_of(pull) == clean(plan.request.id)


def _unread(snapshot: Snapshot, environment: Environment) -> list[str]:
    """Records that should have asked for a selected version, and did not."""
    return [
        f"the record `{tag}` of version {version.number} is passed over: {why}"
        for version in selected(snapshot, environment)
        for tag, why in malformed(version, environment).items()
    ]


def _about_name(plan: Plan, environment: Environment) -> list[str]:
    """What the cluster does not take of a service's name; a new service is refused for some."""
    service = plan.place.service
    if plan.before is not None:
        return [too_long(service)] if len(service) > MOST else []
    host = long_host(service, environment.namespace) if plan.changes_git else ""
    return [host] if host else []


def selected(snapshot: Snapshot, environment: Environment) -> tuple[ModelVersion, ...]:
    return tuple(v for v in snapshot.versions if environment.select.matches(v))
