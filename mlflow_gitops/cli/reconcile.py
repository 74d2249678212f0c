"""`mlflow-gitops reconcile`: bring Git to what the registry asks for, now."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import click

from mlflow_gitops.bootstrap import Session
from mlflow_gitops.cli.app import App, as_json, environments_option, known_environments
from mlflow_gitops.cli.look import (
    check_taken,
    preview,
    print_outcomes,
    tell_blocked,
    tell_failures,
    too_many,
)
from mlflow_gitops.cli.output import print_json
from mlflow_gitops.errors import GitOpsError
from mlflow_gitops.reconcile import Outcome
from mlflow_gitops.render import make_progress, outcome_fields
from mlflow_gitops.state import ServiceKey, Settings, State

__all__ = ["reconcile"]


@click.command(short_help="Bring Git to what the registry asks for.")
@click.argument("models", metavar="[MODEL]...", nargs=-1)
@environments_option
@click.option(
    "--yes", is_flag=True, help="Change more services of an environment than `max-changes` allows."
)
@click.option("--dry-run", is_flag=True, help="Show what would be done, with diffs; write nothing.")
@as_json
@click.pass_obj
def reconcile(
    app: App,
    models: tuple[str, ...],
    environments: tuple[str, ...],
    yes: bool,
    dry_run: bool,
    as_json: bool,
) -> int:
    """Publish, commit and record what the registry asks for: of all models, or of those named.

    Exit code 1 where a service failed, or an environment would change more than `max-changes`.
    """
    session = app.session(make_progress())
    settings = session.settings()
    names = known_environments(environments, settings)
    blocked: Mapping[str, str] = {}
    if dry_run:
        outcomes = preview(session, settings, names, models)
        blocked = {} if models or yes else too_many(outcomes, settings)
    elif models:
        outcomes = _named(session, settings, names, models)
    else:
        outcomes, blocked = _everything(session, names, approved=names if yes else ())
    if as_json:
        services = [outcome_fields(outcome) for outcome in outcomes]
        print_json({"services": services, "blocked": dict(blocked), "dry-run": dry_run})
    else:
        _tell(outcomes, dry_run=dry_run)
    tell_blocked(blocked)
    return int(tell_failures(outcomes) or bool(blocked))


def _named(
    session: Session, settings: Settings, names: Collection[str], models: Sequence[str]
) -> list[Outcome]:
    wanted = tuple(dict.fromkeys(models))
    for model in wanted:  # all of them, before the first effect
        check_taken(model, names, settings)
        session.registry.snapshot(model)
    return [outcome for model in wanted for outcome in _reconcile(session, model, names)]


def _everything(
    session: Session, names: Collection[str], *, approved: Collection[str]
) -> tuple[list[Outcome], Mapping[str, str]]:
    survey = session.reconciler.survey(approved=approved)
    work = {model: places.intersection(names) for model, places in survey.work.items()}
    outcomes = [
        outcome
        for model, places in sorted(work.items())
        if places or not survey.work[model]
        for outcome in _reconcile(session, model, places)
    ]
    return outcomes, {name: why for name, why in survey.blocked.items() if name in names}


def _reconcile(session: Session, model: str, names: Collection[str]) -> Sequence[Outcome]:
    """One model's failure, even of all its environments, stops no other model."""
    try:
        return session.reconciler.reconcile(model, only=names)
    except GitOpsError as error:
        keys = (ServiceKey(name, model) for name in sorted(names))
        return [Outcome(key, State.FAILED, str(error), error=error) for key in keys]


def _tell(outcomes: Sequence[Outcome], *, dry_run: bool) -> None:
    print_outcomes(outcomes, diff=True, planned=dry_run)
    changes = sum(1 for o in outcomes if o.plan is not None and o.plan.changes_git and not o.error)
    if dry_run:
        click.echo(f"{changes} of {len(outcomes)} services would change; nothing was written.")
    elif not outcomes:
        click.echo("Nothing to do.")
    else:
        click.echo(f"{changes} of {len(outcomes)} services changed in Git.")
