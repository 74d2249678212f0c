"""`mlflow-gitops status`: what Git says of each service, and the registry where it answers."""

from __future__ import annotations

import sys
from collections.abc import Collection, Mapping

import click

from mlflow_gitops.bootstrap import Session
from mlflow_gitops.cli.app import App, as_json, environments_option, known_environments, print_json
from mlflow_gitops.deployed import Deployed, deployed, problems, told_of_all
from mlflow_gitops.errors import GitOpsError
from mlflow_gitops.render import clean, print_table
from mlflow_gitops.state import ServiceKey, Status

__all__ = ["status"]


@click.command(short_help="Show what Git says of every service.")
@environments_option
@as_json
@click.pass_obj
def status(app: App, environments: tuple[str, ...], as_json: bool) -> None:
    """Show what Git says of every service: version and URI.

    With the registry's state of it, where the registry answers. Writes nothing.
    """
    session = app.session()
    settings = session.settings()
    names = known_environments(environments, settings)
    found = deployed(session.observer, settings, names)
    for problem in problems(session.observer, settings, names):
        click.echo(f"Warning: {clean(str(problem))}", err=True)
    states = _states(session, names)
    if as_json:
        print_json({"services": [_fields(each, states.get(each.key)) for each in found]})
        return
    if not found:
        click.echo("Git has no service yet.")
        return
    columns = ("SERVICE", "VERSION", "URI", "STATE", "COMMIT", "WHY")
    print_table(columns, (_row(each, states.get(each.key)) for each in found), sys.stdout)


def _states(session: Session, environments: Collection[str]) -> Mapping[ServiceKey, Status]:
    """Git alone answers too: a registry that does not is told of, and left out."""
    try:
        return told_of_all(session.registry.snapshots(), environments)
    except GitOpsError as error:
        click.echo(
            f"Warning: no states, the registry does not answer: {clean(str(error))}", err=True
        )
        return {}


def _row(each: Deployed, status: Status | None) -> tuple[str, ...]:
    name, spec = str(each.key), each.spec
    if each.service != each.key.model:
        name = f"{name} ({each.service})"
    told = (status.state.value, status.commit[:12], status.message) if status else ("", "", "")
    return (name, spec.version, spec.uri, *told)


def _fields(each: Deployed, status: Status | None) -> dict[str, object]:
    return {
        "environment": each.key.environment,
        "model": each.key.model,
        "service": each.service,
        "version": each.spec.version,
        "uri": each.spec.uri,
        "branch": each.branch,
        "head": each.head,
        "state": status.state.value if status else "",
        "message": status.message if status else "",
        "commit": status.commit if status else "",
    }
