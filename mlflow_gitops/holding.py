"""The holds in force, and how one is ended from here: by a request like any other."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from mlflow_gitops.ask import Answer, Asker
from mlflow_gitops.errors import GitOpsError, RequestError
from mlflow_gitops.observe import Observer
from mlflow_gitops.planning.decisions import Decided, Decision, how_to_end, who_text
from mlflow_gitops.state import Environment, ServiceKey, Settings, Snapshot, State
from mlflow_gitops.wish import Wish

__all__ = ["Holds", "clear_hold", "holds"]

BY_REQUEST = (Decided.REVERTED, Decided.PINNED, Decided.RETIRED, Decided.REJECTED)


@dataclass(frozen=True, slots=True)
class Holds:
    """`problems` are the services that cannot be looked at, and why not."""

    decisions: tuple[Decision, ...]
    problems: tuple[tuple[ServiceKey, GitOpsError], ...]


def holds(
    observer: Observer,
    settings: Settings,
    environments: Collection[str],
) -> Holds:
    """Every hold of the environments, as last fetched."""
    found: list[Decision] = []
    problems: list[tuple[ServiceKey, GitOpsError]] = []
    for snapshot, environment in observer.services(settings):
        if environment.name not in environments:
            continue
        try:
            decision = _hold(observer, snapshot, environment, settings)
        except GitOpsError as error:
            problems.append((ServiceKey(environment.name, snapshot.model), error))
            continue
        found += [decision] if decision else []
    return Holds(tuple(sorted(found, key=lambda each: each.key)), tuple(problems))


def _hold(
    observer: Observer, snapshot: Snapshot, environment: Environment, settings: Settings
) -> Decision | None:
    """Also a comment that holds what was asked for: it holds against every later request."""
    view = observer.view(snapshot, environment, settings, recover=True)
    if view.plan.state in (State.HELD, State.REJECTED):
        return view.plan.decision
    return observer.commented(view, settings)


def clear_hold(
    asker: Asker, environment: Environment, model: str, wish: Wish, *, dry_run: bool = False
) -> Answer:
    """Ask once more for what is held. Raises RequestError where no request ends the hold.

    `wish` says who asks and why.
    """
    observer = asker.reconciler.observer
    settings, snapshot = observer.read(model)
    decision = _hold(observer, snapshot, environment, settings)
    key = ServiceKey(environment.name, model)
    if decision is None:
        raise RequestError(
            "nothing is held",
            where=str(key),
            hint=f"`mlflow-gitops hold list -e {environment.name}` shows what is",
        )
    if decision.kind not in BY_REQUEST:
        raise RequestError(
            f"no request ends this hold: {decision.held} is {who_text(decision)}",
            where=str(key),
            hint=how_to_end(decision),
        )
    name = str(key)
    if not decision.wanted:
        return asker.retire(Wish(name, by=wish.by, reason=wish.reason), dry_run=dry_run)
    uri = f"models:/{model}/{decision.wanted}"
    return asker.ask(Wish(name, uri, by=wish.by, reason=wish.reason), dry_run=dry_run)
