"""`mlflow-gitops status`: what Git says of each service, and the registry where it answers."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import replace

import click

from mlflow_gitops.cli.app import App, as_json, environments_option, known_environments
from mlflow_gitops.cli.look import tell_all
from mlflow_gitops.cli.output import print_json
from mlflow_gitops.deployed import Deployed, deployed, problems, told_of_all, warnings
from mlflow_gitops.errors import GitOpsError
from mlflow_gitops.planning.misses import misses
from mlflow_gitops.render import error_fields, print_table
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
    unread: list[GitOpsError] = [*problems(session.observer, settings, names)]
    unread += warnings(session.observer, settings, names)
    states: Mapping[tuple[str, str], tuple[str, Status]] = {}
    missed: list[str] = []
    try:
        snapshots = list(session.registry.snapshots())
        states = told_of_all(snapshots, names, settings)
        missed = misses(settings, names, snapshots)
    except GitOpsError as error:  # Git alone answers, too
        what = f"no states, the registry does not answer: {error.what}"
        unread.append(type(error)(what, where=error.where, hint=error.hint))
    tell_all([*map(str, unread), *missed])
    told = [_with_state(each, states) for each in found]
    if as_json:
        fields = [_fields(*each) for each in told]
        problems_told = [error_fields(each) for each in unread]
        print_json({"services": fields, "problems": problems_told, "warnings": missed})
        return
    if not found:
        click.echo("Git has no service yet.")
        return
    columns = ("SERVICE", "VERSION", "URI", "STATE", "COMMIT", "WHY")
    print_table(columns, (_row(*each) for each in told), sys.stdout)


def _with_state(
    each: Deployed, states: Mapping[tuple[str, str], tuple[str, Status]]
) -> tuple[Deployed, Status | None]:
    """Only the registry knows the model of a service whose name is derived."""
    found = states.get((each.key.environment, each.service))
    if found is None:
        return each, None
    model, status = found
    return replace(each, key=ServiceKey(each.key.environment, model)), status


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
        "pull_request": status.pull if status else "",
    }
