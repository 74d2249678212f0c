"""`mlflow-gitops audit`: every change of every service between two times."""

from __future__ import annotations

import csv
import sys

import click

from mlflow_gitops.cli.app import App, as_json, environments_option
from mlflow_gitops.cli.output import print_json
from mlflow_gitops.cli.past import completed, no_forge_option, pasts, time_of
from mlflow_gitops.cli.rows import COLUMNS, cells, row_fields
from mlflow_gitops.errors import RequestError
from mlflow_gitops.past import HistoryIndex
from mlflow_gitops.planning.ledger import Row
from mlflow_gitops.render import clean, print_table

__all__ = ["audit"]

FORMULA = ("=", "+", "-", "@", "\t", "\r")


@click.command(short_help="Show every change between two times.")
@click.option("--from", "since", metavar="TIME", required=True, help="The first moment.")
@click.option("--to", "until", metavar="TIME", required=True, help="The last moment.")
@environments_option
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV, for spreadsheets.")
@no_forge_option
@as_json
@click.pass_obj
def audit(
    app: App,
    since: str,
    until: str,
    environments: tuple[str, ...],
    as_csv: bool,
    no_forge: bool,
    as_json: bool,
) -> None:
    """Show every change of every service between two times, newest first.

    Read from Git; who approved and merged is asked of the forge where there is a token for it.
    A TIME is 2026-11-23 (the whole day), 2026-11-23T14:30 (UTC), or `2 days ago`.
    """
    if as_csv and as_json:
        raise click.UsageError("Give --csv or --json, not both.")
    first = time_of(since, "--from").timestamp()
    last = time_of(until, "--to", end_of_day=True).timestamp()
    if last < first:
        raise RequestError("--to is before --from", where="--to", hint="swap them")
    session = app.session()
    settings = session.settings_from_git()
    reviewed = session.reviewed(settings, asks_forge=not no_forge)
    found: list[tuple[Row, HistoryIndex]] = []
    for back in pasts(session, settings, environments, reviewed).values():
        at, index = back.position_at, back.historian.index
        found += ((row, index) for row in back.audit(at(first - 1), at(last)))
    rows = completed(found, reviewed)
    rows.sort(key=lambda row: row.time, reverse=True)
    if as_json:
        print_json({"changes": [row_fields(row) for row in rows]})
    elif as_csv:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows([_csv_cell(cell) for cell in cells(row)] for row in rows)
    elif rows:
        print_table(COLUMNS, map(cells, rows), sys.stdout)
    else:
        click.echo("Nothing changed.")


def _csv_cell(text: str) -> str:
    """One line without control characters, that no spreadsheet takes for a formula."""
    line = " ".join(clean(text).split())
    return f"'{line}" if line.startswith(FORMULA) else line
