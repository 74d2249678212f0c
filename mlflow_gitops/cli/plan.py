"""`mlflow-gitops plan`: what would change and why, or why not. Writes nothing."""

from __future__ import annotations

import click

from mlflow_gitops.cli.app import App, as_json, environments_option, known_environments
from mlflow_gitops.cli.look import (
    is_news,
    preview,
    print_outcomes,
    tell_all,
    tell_blocked,
    tell_failures,
    tell_warnings,
    too_many,
)
from mlflow_gitops.cli.output import print_json
from mlflow_gitops.deployed import warnings
from mlflow_gitops.render import outcome_fields

__all__ = ["plan"]


@click.command(short_help="Show what would change and why, or why not.")
@click.argument("models", metavar="[MODEL]...", nargs=-1)
@environments_option
@click.option("--diff", is_flag=True, help="Show the diff of each commit that would be made.")
@click.option("--all", "everything", is_flag=True, help="Show the services in sync too.")
@as_json
@click.pass_obj
def plan(
    app: App,
    models: tuple[str, ...],
    environments: tuple[str, ...],
    diff: bool,
    everything: bool,
    as_json: bool,
) -> int:
    """Show every service that would change and why, or why not. Nothing is written.

    Exit code 1 where a service cannot be planned.
    """
    session = app.session()
    settings = session.settings()
    tell_warnings(settings)
    names = known_environments(environments, settings)
    outcomes, missed = preview(session, settings, names, models)
    blocked = {} if models else too_many(outcomes, settings)  # what is named is never blocked
    if as_json:
        services = [outcome_fields(outcome) for outcome in outcomes]
        print_json({"services": services, "blocked": dict(blocked), "warnings": missed})
    else:
        shown = [o for o in outcomes if everything or models or is_news(o)]
        print_outcomes(shown, diff=diff, planned=True)
        changes = sum(1 for o in outcomes if o.plan is not None and o.plan.changes_git)
        click.echo(f"{changes} of {len(outcomes)} services would change.")
    found = [] if models else [str(e) for e in warnings(session.observer, settings, names)]
    tell_all([*missed, *found])
    tell_blocked(blocked)
    return int(tell_failures(outcomes))
