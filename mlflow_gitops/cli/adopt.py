"""`mlflow-gitops adopt`: take what stands in Git as delivered. Changes no Git."""

from __future__ import annotations

import click

from mlflow_gitops.cli.app import App, as_json, known_environments, print_json
from mlflow_gitops.cli.look import print_outcomes
from mlflow_gitops.render import outcome_fields

__all__ = ["adopt"]


@click.command(short_help="Take what stands in Git as delivered.")
@click.option("-e", "--environment", metavar="ENV", required=True, help="The environment.")
@as_json
@click.pass_obj
def adopt(app: App, environment: str, as_json: bool) -> int:
    """Record what stands in Git as delivered, for each service without a record. Changes no Git.

    For a repository that was written by hand: from then on only what is asked for anew changes.
    """
    session = app.session()
    known_environments([environment], session.settings())
    outcomes = session.reconciler.adopt(environment)
    if as_json:
        print_json({"services": [outcome_fields(outcome) for outcome in outcomes]})
    else:
        print_outcomes(outcomes, diff=False)
        failed = sum(1 for outcome in outcomes if outcome.error is not None)
        click.echo(f"{len(outcomes) - failed} services of {environment} adopted.")
    return int(any(outcome.error is not None for outcome in outcomes))
