"""What the webhook service asks for: the reconciler behind three plain calls.

Translates outcomes into the two kinds of error that the service's queue knows, and remembers
which environments the last resync blocked.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from mlflow_gitops.adapters.git_address import Address
from mlflow_gitops.adapters.repository_paths import bare_path
from mlflow_gitops.errors import (
    ConfigError,
    GitOpsError,
    RequestError,
    TerminalError,
    TransientError,
)
from mlflow_gitops.forge_check import ForgeCheck, ForgeReport
from mlflow_gitops.planning.naming import branch_prefix, service_of
from mlflow_gitops.planning.proposing import until_next_look
from mlflow_gitops.reconcile import Outcome, Reconciler, Survey
from mlflow_gitops.rendering import cannot_build
from mlflow_gitops.state import Environment, Settings, State

__all__ = ["ServiceReconciler"]

AGAIN, AGAIN_FAILED = 600.0, 60.0  # seconds until the forge is looked at again
MOST_BRANCHES = 200  # that are compared with a new base after a run, some milliseconds each


@dataclass(slots=True)
class ServiceReconciler:
    """Satisfies the protocol of the webhook service's worker. Safe for several threads."""

    reconciler: Reconciler
    forge: ForgeCheck | None = None
    ticks: Callable[[], float] = time.monotonic
    _report: tuple[float, ForgeReport] | None = None
    _stuck: dict[str, str] = field(default_factory=dict)
    _survey: Survey = field(default_factory=lambda: Survey({}, {}, {}, 0))

    def reconcile(self, model: str, *, reason: str) -> float | None:
        """Reconcile one model: everywhere for an event, where nothing is blocked for a resync.

        Raises TransientError if trying later may help one of its environments, else TerminalError
        if a person must act; both name every environment that failed.
        """
        only = self._allowed(reason)
        found = _next_look(self.reconciler.reconcile_many({model: only})[model], self._now())
        if isinstance(found, GitOpsError):
            raise found
        return found

    def reconcile_many(
        self,
        reasons: Mapping[str, str],
        ended: Callable[[str, float | GitOpsError | None], None],
    ) -> None:
        """The same for many, with one push for each branch. Each model's end is told at once."""
        work = {model: self._allowed(reason) for model, reason in reasons.items()}
        self.reconciler.reconcile_many(
            work, lambda model, found: ended(model, _next_look(found, self._now()))
        )

    def _now(self) -> str:
        return self.reconciler.clock()

    def resync(self) -> Iterable[str]:
        """The models that need a look, from one listing; blocked environments are left out."""
        self._survey = self.reconciler.survey()
        return tuple(self._survey.work)

    def is_own(self, urls: Collection[str]) -> bool:
        """By the path alone: inside a cluster the forge may have another host name."""
        own = bare_path(self.reconciler.repository.identity)
        return own in {bare_path(_identity(url)) for url in urls}

    def model_of(self, branch: str) -> str | None:
        settings = self.reconciler.observer.settings()
        for environment in settings.environments.values():
            if service := service_of(environment, branch):
                known = self.reconciler.registry.names() if settings.by_slug else ()
                return min(_models(service, environment, settings, known))
        return None

    def proposed(self, base: str) -> Collection[str]:
        """By our branches, as last fetched."""
        settings = self.reconciler.observer.settings()
        branches, default = self._branches(settings), self.reconciler.repository.default_branch
        ours = [each for each in branches.values() if (each[0].branch or default) == base]
        return self._models_of(ours, settings)

    def in_conflict(self) -> Collection[str]:
        """By Git alone, as last fetched. What a look leaves in conflict, as one that is held, waits
        for its next look.
        """
        try:
            settings, repository = self.reconciler.observer.settings(), self.reconciler.repository
            branches = self._branches(settings)
        except GitOpsError:
            return ()  # a look tells of it
        default = repository.default_branch
        pairs = {
            name: (repository.branch_head(place.branch or default), repository.branch_head(name))
            for name, (place, _) in branches.items()
        }
        news = {
            name: (base, head)
            for name, (base, head) in pairs.items()
            if base and self._stuck.get(name) != head and not repository.is_ancestor(head, base)
        }
        if len(news) > MOST_BRANCHES:
            return ()
        found = {
            name: head for name, (base, head) in news.items() if repository.conflicts(base, head)
        }
        models = self._models_of([branches[name] for name in found], settings) if found else ()
        self._stuck |= found
        return models

    def _branches(self, settings: Settings) -> Mapping[str, tuple[Environment, str]]:
        """Each branch that pull requests are made from, to its environment and service."""
        return {
            branch: (environment, service)
            for environment in settings.environments.values()
            for branch in self.reconciler.repository.branches(branch_prefix(environment))
            if (service := service_of(environment, branch))
        }

    def _models_of(
        self, places: Iterable[tuple[Environment, str]], settings: Settings
    ) -> Collection[str]:
        known = self.reconciler.registry.names() if settings.by_slug else ()
        found: set[str] = set()
        for environment, service in places:
            found |= _models(service, environment, settings, known)
        return frozenset(found)

    def touched(self, branch: str, paths: Collection[str]) -> Collection[str]:
        settings = self.reconciler.observer.settings()
        default = self.reconciler.repository.default_branch
        known = self.reconciler.registry.names() if settings.by_slug else ()
        found: set[str] = set()
        for environment in settings.environments.values():
            if (environment.branch or default) != branch:
                continue
            folder = "" if environment.path == "." else f"{environment.path}/"
            below = (path.removeprefix(folder) for path in paths if path.startswith(folder))
            names = {part.partition(".")[0] for path in below for part in path.split("/")}
            for name in filter(None, names):
                found |= _models(name, environment, settings, known)
        return frozenset(found)

    @property
    def blocked(self) -> Mapping[str, str]:
        """Environment to the reason why the last resync changed nothing there."""
        return self._survey.blocked

    def ready(self) -> Mapping[str, str]:
        """Each part to "" where it answers, else to what is wrong."""
        checks = {
            "repository": self.reconciler.repository.fetch,
            "signing": self.reconciler.repository.check_signing,
            "settings": self.reconciler.observer.settings,
            "registry": self.reconciler.registry.artifact_roots,
        }
        found: dict[str, str] = {}
        for name, check in checks.items():
            try:
                check()
                found[name] = ""
            except GitOpsError as error:
                found[name] = str(error)
        report = self.forge_report()
        if report.user or report.failure:
            found["forge"] = str(report.failure or "")
        return found

    def warnings(self) -> Mapping[str, str]:
        """Return each part that is missing to the reason, where the service works without it."""
        renderer = self.reconciler.renderer
        found = {
            "renderer": cannot_build(renderer) if renderer is not None else "",
            "forge": "\n".join(self.forge_report().warnings),
        }
        return {name: why for name, why in found.items() if why}

    def forge_report(self) -> ForgeReport:
        """What the last look at the forge found. It is looked at rarely: probes come often, and
        each look is some requests.
        """
        now = self.ticks()
        if self.forge is None:
            return ForgeReport()
        if self._report is None or now >= self._report[0]:
            try:
                settings = self.reconciler.observer.settings()
                found = self.forge.look(settings, self.reconciler.repository.default_branch)
            except GitOpsError:  # the repository or its settings: they have checks of their own
                return ForgeReport()
            again = AGAIN if found.user else AGAIN_FAILED
            self._report = (now + again, found)
        return self._report[1]

    def _allowed(self, reason: str) -> Collection[str] | None:
        if reason != "resync" or not self._survey.blocked:
            return None
        everywhere = self.reconciler.observer.settings().environments
        return frozenset(everywhere) - frozenset(self._survey.blocked)


def _models(
    service: str, environment: Environment, settings: Settings, known: Iterable[str]
) -> set[str]:
    """The models that a service may be of; `known` are needed only for names that are derived."""
    named = {model for model in known if settings.service(model, environment) == service}
    return named or {settings.names.model(service, environment)}


def _identity(url: str) -> str:
    try:
        return Address.parse(url).identity
    except ConfigError:
        return ""


def _next_look(found: Sequence[Outcome] | GitOpsError, now: str) -> float | GitOpsError | None:
    """Seconds until something may have changed by itself, or what failed."""
    if isinstance(found, RequestError):
        return None  # the model is gone by now, and nothing is ever deleted by absence
    if isinstance(found, GitOpsError):
        return found
    failed = [o for o in found if o.error is not None]
    if failed:
        return _failure(failed)
    open_ones = (o.pull for o in found if o.state is State.PROPOSED and o.pull)
    return min((until_next_look(pull, now) for pull in open_ones), default=None)


def _failure(failed: Sequence[Outcome]) -> GitOpsError:
    text = "\n".join(f"{o.key.environment}: {o.error}" for o in failed)
    passing = [o.error for o in failed if isinstance(o.error, TransientError)]
    if not passing:
        return TerminalError(text)
    waits = [error.retry_after for error in passing if error.retry_after is not None]
    return TransientError(text, retry_after=max(waits, default=None))
