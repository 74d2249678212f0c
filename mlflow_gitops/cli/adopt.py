"""`mlflow-gitops adopt`: take what stands in Git as delivered. Changes no Git."""

from __future__ import annotations

import click

from mlflow_gitops.cli.app import App, as_json, known_environments
from mlflow_gitops.cli.look import print_outcomes, tell_failures
from mlflow_gitops.cli.output import print_json
from mlflow_gitops.render import outcome_fields

__all__ = ["adopt"]


@click.command(short_help="Take what stands in Git as delivered.")
@click.option(
    "-e",
    "--environment",
    "environments",
    metavar="ENV",
    multiple=True,
    required=True,
    help="The environment; may be given several times.",
)
@as_json
@click.pass_obj
def adopt(app: App, environments: tuple[str, ...], as_json: bool) -> int:
    """Record what stands in Git as delivered, for each service without a record. Changes no Git.

    For a repository that was written by hand: from then on only what is asked for anew changes.
    Exit code 1 where a service could not be adopted.
    """
    session = app.session()
    names = known_environments(environments, session.settings())
    outcomes = [outcome for name in names for outcome in session.reconciler.adopt(name)]
    if as_json:
        print_json({"services": [outcome_fields(outcome) for outcome in outcomes]})
    else:
        print_outcomes(outcomes, diff=False)
        done = sum(1 for outcome in outcomes if outcome.error is None)
        click.echo(f"{done} services of {', '.join(names)} adopted.")
    return int(tell_failures(outcomes))
