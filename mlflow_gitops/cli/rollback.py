"""`mlflow-gitops rollback`: go back to a version that was served before, if it can be restored."""

from __future__ import annotations

from itertools import islice

import click

from mlflow_gitops.ask import Asker
from mlflow_gitops.bootstrap import Session
from mlflow_gitops.cli.app import App, as_json, known_environments
from mlflow_gitops.cli.output import print_json
from mlflow_gitops.deployment_options import user_name
from mlflow_gitops.errors import RequestError
from mlflow_gitops.planning.naming import number_of
from mlflow_gitops.progress import make_progress
from mlflow_gitops.render import answer_fields, answer_text, spec_text
from mlflow_gitops.state import Environment, Settings
from mlflow_gitops.wish import Wish, locate, no_service

__all__ = ["rollback"]

CHANGES_READ = 1000


@click.command(short_help="Go back to an older version.")
@click.argument("model")
@click.option("-e", "--environment", metavar="ENV", required=True, help="The environment.")
@click.option(
    "--to",
    metavar="VERSION",
    help="The version to go back to; default: the one before, as Git has it.",
)
@click.option("--reason", metavar="TEXT", default="", help="Why: goes into the commit's message.")
@click.option("--by", metavar="NAME", help="Who asks, as claimed; default: your user name.")
@click.option("--dry-run", is_flag=True, help="Check and show the diff; write nothing.")
@as_json
@click.pass_obj
def rollback(
    app: App,
    model: str,
    environment: str,
    to: str | None,
    reason: str,
    by: str | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Go back to a version of MODEL that was served before: one request, one commit.

    First every published file of that version is read and compared with its digest. The commit
    names the one that it undoes, and the version that is left is not delivered again by itself.
    """
    if to is not None and not to.strip():
        raise click.UsageError("--to names no version.")
    session = app.session(make_progress())
    settings = session.settings()
    (name,) = known_environments([environment], settings)
    target, model = locate(f"{name}/{model}", settings)
    wanted = to or _before(session, settings, target, model)
    number = number_of(session.registry.snapshot(model), wanted, settings)
    wish = Wish(
        name=f"{name}/{model}",
        model_uri=f"models:/{model}/{number}",
        by=by if by is not None else user_name(),
        reason=reason,
        action="rollback",
    )
    answer = Asker(session.reconciler).ask(wish, dry_run=dry_run)
    if as_json:
        print_json(answer_fields(answer))
    else:
        click.echo(answer_text(answer))


def _before(session: Session, settings: Settings, target: Environment, model: str) -> str:
    """The published name of the version that Git had before the one that stands came first.

    So one that was reverted, or left by another rollback, is not gone back to.
    """
    back = session.looking_back(target, settings)
    service = settings.service(model, target)
    stands = back.historian.standing(service, back.end).spec
    if stands is None:
        known = {settings.names.model(each, target) for each in back.known()}
        names = [f"{target.name}/{each}" for each in sorted(known - {model})]
        raise no_service(f"{target.name}/{model}", names, target.path)
    rows = islice(back.rows(service, back.end), CHANGES_READ)
    came = [row for row in rows if row.after and row.after.version == stands.version]
    if came and came[-1].before is not None:
        if came[-1].before.version:
            return came[-1].before.version
        raise RequestError(
            f"what {target.name}/{model} served before has no version label in Git",
            where=came[-1].before.uri,
            hint=f"`git revert {(came[-1].made or came[-1].commit)[:12]}` goes back; or name a "
            "version with --to",
        )
    raise RequestError(
        f"Git has no version of {target.name}/{model} before {spec_text(stands)}",
        where=target.path,
        hint="name the version with --to",
    )
