"""`mlflow-gitops history`: every change of one model's services, newest first."""

from __future__ import annotations

import sys
from itertools import islice

import click

from mlflow_gitops.cli.app import App, as_json, environments_option
from mlflow_gitops.cli.output import print_json
from mlflow_gitops.cli.past import check_model, completed, no_forge_option, pasts
from mlflow_gitops.cli.rows import COLUMNS, cells, row_fields
from mlflow_gitops.render import print_table

__all__ = ["history"]


@click.command(short_help="Show every change of a model's services.")
@click.argument("model")
@environments_option
@click.option(
    "--limit",
    metavar="N",
    type=click.IntRange(min=1),
    default=20,
    show_default=True,
    help="At most so many changes of each environment.",
)
@no_forge_option
@as_json
@click.pass_obj
def history(
    app: App,
    model: str,
    environments: tuple[str, ...],
    limit: int,
    no_forge: bool,
    as_json: bool,
) -> None:
    """Show every change of MODEL's version, URI and rollout, newest first.

    Read from Git; who approved and merged is asked of the forge where there is a token for it.
    """
    session = app.session()
    settings = session.settings_from_git()
    reviewed = session.reviewed(settings, asks_forge=not no_forge)
    backs = pasts(session, settings, environments, reviewed)
    name = check_model(model, settings, backs)
    found = [
        (row, back.historian.index)
        for back in backs.values()
        for row in islice(back.rows(settings.service(name, back.environment), back.end), limit)
    ]
    rows = completed(found, reviewed)
    rows.sort(key=lambda row: row.time, reverse=True)
    if as_json:
        print_json({"changes": [row_fields(row) for row in rows]})
    elif rows:
        print_table(COLUMNS, map(cells, rows), sys.stdout)
    else:
        click.echo("No commit changed it.")
