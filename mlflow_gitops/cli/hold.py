"""`mlflow-gitops hold`: what people hold in Git, who and why; and the end of one."""

from __future__ import annotations

import sys

import click

from mlflow_gitops.ask import Asker
from mlflow_gitops.cli.app import App, as_json, environments_option, known_environments
from mlflow_gitops.cli.output import print_json
from mlflow_gitops.cli.rows import UNKNOWN, spec_fields
from mlflow_gitops.deployment_options import user_name
from mlflow_gitops.holding import clear_hold, holds
from mlflow_gitops.planning.decisions import Decision, how_to_end
from mlflow_gitops.progress import make_progress
from mlflow_gitops.render import (
    answer_fields,
    answer_text,
    clean,
    error_fields,
    print_table,
)
from mlflow_gitops.wish import Wish, locate

__all__ = ["hold"]

COLUMNS = (
    "SERVICE",
    "WANTED",
    "STANDS",
    "HOLD",
    "WHO",
    "WHEN",
    "WHY",
    "WHERE",
    "TO END IT",
)


@click.group(short_help="Show what people hold in Git, or end a hold.")
def hold() -> None:
    """A person's decision in Git holds a service: a revert, a pin, a canary, a comment."""


@hold.command("list")
@environments_option
@as_json
@click.pass_obj
def list_holds(app: App, environments: tuple[str, ...], as_json: bool) -> int:
    """Show every hold in force: what is wanted, what stands, who decided so, when and why.

    Writes nothing. Exit code 1 where a service cannot be looked at.
    """
    session = app.session()
    settings = session.settings()
    found = holds(session.observer, settings, known_environments(environments, settings))
    for key, error in found.problems:
        click.echo(f"Warning: {clean(str(key))}: {clean(str(error))}", err=True)
    if as_json:
        problems = [
            {"environment": key.environment, "model": key.model, **error_fields(error)}
            for key, error in found.problems
        ]
        print_json({"holds": [_fields(each) for each in found.decisions], "problems": problems})
    elif found.decisions:
        print_table(COLUMNS, map(_row, found.decisions), sys.stdout)
    else:
        click.echo("Nothing is held.")
    return 1 if found.problems else 0


@hold.command()
@click.argument("model")
@click.option("-e", "--environment", metavar="ENV", required=True, help="The environment.")
@click.option("--reason", metavar="TEXT", default="", help="Why: goes into the commit's message.")
@click.option("--by", metavar="NAME", help="Who asks, as claimed; default: your user name.")
@click.option("--dry-run", is_flag=True, help="Check and show the diff; write nothing.")
@as_json
@click.pass_obj
def clear(
    app: App,
    model: str,
    environment: str,
    reason: str,
    by: str | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """End the hold of MODEL: ask for the held version once more, delivered as any request.

    A hold by a comment or a canary is ended in Git, by whoever wrote it: the error says where.
    """
    session = app.session(make_progress())
    settings = session.settings()
    (name,) = known_environments([environment], settings)
    target, model = locate(f"{name}/{model}", settings)
    wish = Wish(name=f"{name}/{model}", by=by if by is not None else user_name(), reason=reason)
    answer = clear_hold(Asker(session.reconciler), target, model, wish, dry_run=dry_run)
    if as_json:
        print_json(answer_fields(answer))
    else:
        click.echo(answer_text(answer))


def _row(decision: Decision) -> tuple[str, ...]:
    who = decision.by or UNKNOWN
    return (
        str(decision.key),
        decision.held,
        decision.stands_text,
        decision.kind.value,
        f"{who}, merged by {decision.merged_by}" if decision.merged_by else who,
        decision.at or UNKNOWN,
        decision.why,
        " ".join(text for text in (decision.commit[:12], decision.pull_request) if text) or UNKNOWN,
        how_to_end(decision),
    )


def _fields(decision: Decision) -> dict[str, object]:
    comment = decision.comment
    return {
        "environment": decision.key.environment,
        "model": decision.key.model,
        "kind": decision.kind.value,
        "wanted": decision.wanted,
        "stands": spec_fields(decision.stands),
        "by": decision.by,
        "at": decision.at,
        "why": decision.why,
        "commit": decision.commit,
        "pull-request": decision.pull_request,
        "merged-by": decision.merged_by,
        "approvers": list(decision.approvers),
        "undoes": decision.undoes,
        "comment": {"file": comment.file, "line": comment.line, "reason": comment.reason}
        if comment
        else None,
        "end": how_to_end(decision),
    }
