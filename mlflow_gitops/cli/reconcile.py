"""`mlflow-gitops reconcile`: bring Git to what the registry asks for, now."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

import click

from mlflow_gitops.bootstrap import Session
from mlflow_gitops.cli.app import App, as_json, environments_option, known_environments
from mlflow_gitops.cli.look import (
    check_taken,
    preview,
    print_outcomes,
    tell_all,
    tell_blocked,
    tell_failures,
    too_many,
)
from mlflow_gitops.cli.output import print_json
from mlflow_gitops.errors import GitOpsError
from mlflow_gitops.outcome import failed
from mlflow_gitops.progress import counted, make_progress
from mlflow_gitops.reconcile import Outcome, Result
from mlflow_gitops.render import outcome_fields
from mlflow_gitops.state import ServiceKey, Settings

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
        outcomes, warnings = preview(session, settings, names, models)
        tell_all(warnings)
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
    return _reconcile(session, dict.fromkeys(wanted, names))


def _everything(
    session: Session, names: Collection[str], *, approved: Collection[str]
) -> tuple[list[Outcome], Mapping[str, str]]:
    survey = session.reconciler.survey(approved=approved)
    work = {model: places.intersection(names) for model, places in survey.work.items()}
    wanted = {m: places for m, places in sorted(work.items()) if places or not survey.work[m]}
    outcomes = _reconcile(session, wanted)
    return outcomes, {name: why for name, why in survey.blocked.items() if name in names}


def _reconcile(session: Session, work: Mapping[str, Collection[str]]) -> list[Outcome]:
    """One model's failure, even of all its environments, stops no other model."""
    if len(work) < 2:
        return _outcomes(session.reconciler.reconcile_many(work), work)
    with counted(len(work), "Reconciling") as one_more:
        reconciler = replace(session.reconciler, progress=None)
        return _outcomes(reconciler.reconcile_many(work, lambda *_: one_more()), work)


def _outcomes(found: Mapping[str, Result], work: Mapping[str, Collection[str]]) -> list[Outcome]:
    outcomes: list[Outcome] = []
    for model, names in work.items():
        result = found[model]
        if isinstance(result, GitOpsError):
            outcomes += [failed(ServiceKey(name, model), result) for name in sorted(names)]
        else:
            outcomes += result
    return outcomes


def _tell(outcomes: Sequence[Outcome], *, dry_run: bool) -> None:
    print_outcomes(outcomes, diff=True, planned=dry_run)
    changes = sum(1 for o in outcomes if o.plan is not None and o.plan.changes_git and not o.error)
    if dry_run:
        click.echo(f"{changes} of {len(outcomes)} services would change; nothing was written.")
    elif not outcomes:
        click.echo("Nothing to do.")
    else:
        click.echo(f"{changes} of {len(outcomes)} services changed in Git.")
