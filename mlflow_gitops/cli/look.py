"""What `plan`, `reconcile` and `adopt` show: outcomes, found without writing or after acting."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

import click

from mlflow_gitops.bootstrap import Session
from mlflow_gitops.config import settings_warnings
from mlflow_gitops.errors import RequestError
from mlflow_gitops.planning.misses import misses
from mlflow_gitops.reconcile import Outcome
from mlflow_gitops.render import clean, gates_text, print_diff, print_table, spec_text
from mlflow_gitops.state import Settings, Snapshot

__all__ = [
    "check_taken",
    "is_news",
    "preview",
    "print_outcomes",
    "tell_all",
    "tell_blocked",
    "tell_failures",
    "tell_warnings",
    "too_many",
]


def preview(
    session: Session, settings: Settings, environments: Collection[str], models: Sequence[str]
) -> tuple[list[Outcome], list[str]]:
    """What would become of each service, and what of the settings matches nothing in the registry.

    Raises RequestError for a model that is not there.
    """
    snapshots = list(_snapshots(session, settings, environments, models))
    outcomes = [
        session.reconciler.preview(snapshot, environment, settings)
        for snapshot in snapshots
        for environment in settings.environments_for(snapshot.model)
        if environment.name in environments
    ]
    return outcomes, [] if models else misses(settings, environments, snapshots)


def _snapshots(
    session: Session, settings: Settings, environments: Collection[str], models: Sequence[str]
) -> Iterator[Snapshot]:
    if not models:
        yield from session.registry.snapshots()
    for model in dict.fromkeys(models):
        check_taken(model, environments, settings)
        yield session.registry.snapshot(model)


def check_taken(model: str, environments: Collection[str], settings: Settings) -> None:
    """A model that no environment takes would be passed over in silence."""
    if any(each.name in environments for each in settings.environments_for(model)):
        return
    takes = (
        f"{each.name} takes {', '.join(each.models)}"
        for each in settings.environments.values()
        if each.name in environments
    )
    raise RequestError(
        f"no environment takes the model `{clean(model)}`"
        if len(environments) > 1
        else f"the environment {', '.join(environments)} does not take the model `{clean(model)}`",
        where="mlflow-gitops.yaml: environments",
        hint=f"{'; '.join(takes)}: add the model to `models` of one, or name another model",
    )


def is_news(outcome: Outcome) -> bool:
    """Whether a person would want to see it: all but what stands as it was asked for."""
    plan = outcome.plan
    if outcome.error is not None or plan is None or plan.changes_git or plan.notes:
        return True
    return outcome.state.value not in ("committed", "retired", "adopted") or _drifts(outcome)


def _drifts(outcome: Outcome) -> bool:
    return "settings drift" in outcome.message


def too_many(outcomes: Sequence[Outcome], settings: Settings) -> Mapping[str, str]:
    """The environments where `reconcile` would do nothing by itself, each with the reason."""
    counts = Counter(o.key.environment for o in outcomes if o.plan and o.plan.changes_git)
    return {
        name: f"{count} services of {name} would change at once, and `max-changes` is "
        f"{settings.environments[name].max_changes}: `mlflow-gitops reconcile -e {name}` changes "
        "none of them without --yes"
        for name, count in sorted(counts.items())
        if count > settings.environments[name].max_changes
    }


def tell_blocked(blocked: Mapping[str, str]) -> None:
    for name, why in sorted(blocked.items()):
        click.echo(f"Blocked: {name}: {clean(why)}", err=True)


def tell_warnings(settings: Settings) -> None:
    tell_all(settings_warnings(settings))


def tell_all(warnings: Iterable[str]) -> None:
    for warning in warnings:
        click.echo(f"Warning: {clean(warning)}", err=True)


def tell_failures(outcomes: Sequence[Outcome]) -> bool:
    """Sum up on stderr what failed; whether anything did."""
    failed = [str(outcome.key) for outcome in outcomes if outcome.error is not None]
    if failed:
        names = clean(", ".join(failed))
        click.echo(f"Failed: {len(failed)} of {len(outcomes)} services: {names}", err=True)
    return bool(failed)


def print_outcomes(outcomes: Sequence[Outcome], *, diff: bool, planned: bool = False) -> None:
    """A table, then the diffs. `planned` says that nothing was done yet."""
    if outcomes:
        columns = ("SERVICE", "PLAN" if planned else "STATE", "GIT", "WHY")
        print_table(columns, [_row(outcome, planned) for outcome in outcomes], sys.stdout)
    for outcome in outcomes if diff else ():
        if outcome.diff:
            click.echo(f"\n{outcome.key}" + (f" {outcome.commit}" if outcome.commit else ""))
            print_diff(outcome.diff, sys.stdout)


def _row(outcome: Outcome, planned: bool) -> tuple[str, ...]:
    plan = outcome.plan
    judged = gates_text(outcome.gates)
    why = "; ".join(filter(None, [outcome.message, *(plan.remarks if plan else ()), judged]))
    is_change = planned and plan is not None and plan.changes_git
    state = plan.kind.value if plan is not None and is_change else outcome.state.value
    return (str(outcome.key), state, _git(outcome), why)


def _git(outcome: Outcome) -> str:
    """What Git says, and what it becomes: `1`, `1 -> 2`."""
    plan = outcome.plan
    if plan is None:
        return ""
    if not plan.changes_git:
        return spec_text(plan.before)
    return f"{spec_text(plan.before)} -> {spec_text(plan.after)}"
