"""`mlflow-gitops prune`: removes published revisions that nothing points to any more."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import datetime, timedelta

import click

from mlflow_gitops.cli.app import App, as_json
from mlflow_gitops.cli.output import print_json
from mlflow_gitops.cli.revisions import revision_fields
from mlflow_gitops.errors import RequestError
from mlflow_gitops.planning.figures import size_text
from mlflow_gitops.planning.pruning import Choice
from mlflow_gitops.planning.revisions import total
from mlflow_gitops.progress import tracked
from mlflow_gitops.render import print_table
from mlflow_gitops.shelving import Shelving
from mlflow_gitops.wish import model_of

__all__ = ["prune"]


@click.command(short_help="Remove published revisions that nothing points to.")
@click.argument("models", nargs=-1, metavar="[MODEL]...")
@click.option(
    "--plan", "only_plan", is_flag=True, help="Say what would go and why; remove nothing."
)
@click.option("--yes", is_flag=True, help="Remove it.")
@click.option(
    "--days",
    metavar="N",
    type=click.IntRange(min=1, max=36500),
    default=30,
    show_default=True,
    help="Keep what Git named within so many days, and what is younger.",
)
@as_json
@click.pass_obj
def prune(
    app: App, models: tuple[str, ...], only_plan: bool, yes: bool, days: int, as_json: bool
) -> None:
    """Say of each revision of the models named (or of all) whether it is kept, and why.

    Kept is what an environment, a stage, an alias, a tag or an open request points to, what any
    branch of the repository names or named within N days, and whatever cannot be read. The rest is
    removed with --yes. Where Git or the registry cannot be read, nothing is.
    """
    if only_plan == yes:
        raise RequestError(
            "say either --plan or --yes",
            where="mlflow-gitops prune",
            hint="`mlflow-gitops prune --plan` removes nothing",
        )
    session = app.session()
    settings = session.settings_from_git()
    clock = datetime.fromisoformat(session.observer.clock())
    since = (clock - timedelta(days=days)).isoformat(timespec="milliseconds")
    shelving = Shelving(session.repository, session.shelf, settings)
    names = dict.fromkeys(model_of(each, settings) for each in models)
    choices = shelving.choices(session.registry, names, since=since.replace("+00:00", "Z"))
    going = [each for each in choices if not each.keep]
    if not as_json and choices:
        print_table(("REVISION", "CHOICE", "SIZE", "WHY"), map(_cells, choices), sys.stdout)
    for each in tracked(going, "Removing revisions") if yes else ():
        session.shelf.remove(each.revision.shelved.uri)
    if as_json:
        print_json({"revisions": [_fields(each) for each in choices], "removed": yes})
    else:
        click.echo(_summary(choices, going, is_done=yes))


def _cells(each: Choice) -> tuple[str, ...]:
    shelved = each.revision.shelved
    return shelved.uri, "keep" if each.keep else "remove", size_text(shelved.size), each.why


def _fields(each: Choice) -> dict[str, object]:
    return {**revision_fields(each.revision), "keep": each.keep, "why": each.why}


def _summary(choices: Sequence[Choice], going: Sequence[Choice], *, is_done: bool) -> str:
    files, size = total([each.revision for each in going])
    how = "removed" if is_done else "would be removed"
    return f"{len(going)} of {len(choices)} revisions {how}: {files} files, {size_text(size)}."
