"""`mlflow-gitops drift`: where the registry and Git differ. Writes nothing."""

from __future__ import annotations

import sys

import click

from mlflow_gitops.cli.app import App, as_json, environments_option, known_environments
from mlflow_gitops.cli.look import preview
from mlflow_gitops.cli.output import print_json
from mlflow_gitops.cli.rows import spec_fields
from mlflow_gitops.deployed import deployed, problems
from mlflow_gitops.drifts import Drift, Kind, drift_of, strange
from mlflow_gitops.render import clean, error_fields, print_table, spec_text
from mlflow_gitops.state import ServiceKey, Settings

__all__ = ["drift"]

DRIFT = 2


@click.command(short_help="Tell whether the registry and Git differ.")
@environments_option
@as_json
@click.pass_obj
def drift(app: App, environments: tuple[str, ...], as_json: bool) -> int:
    """Show every service where what the registry asks for is not what Git says, either way.

    Exit code 2 where there is one, 0 where there is none, 1 where a service cannot be compared.
    """
    session = app.session()
    settings = session.settings()
    names = known_environments(environments, settings)
    outcomes, _ = preview(session, settings, names, ())
    drifts = [drift_of(outcome) for outcome in outcomes]
    seen = {(each.key.environment, _service(each.key, settings)) for each in drifts}
    drifts += [
        strange(each.key, each.spec)
        for each in deployed(session.observer, settings, names)
        if (each.key.environment, each.service) not in seen
    ]
    unread = problems(session.observer, settings, names)
    found = [each for each in drifts if each.kind is not Kind.NONE]
    if as_json:
        print_json(
            {
                "services": [_fields(each) for each in found],
                "compared": len(drifts),
                "problems": [error_fields(each) for each in unread],
            }
        )
    elif found:
        print_table(("SERVICE", "DRIFT", "GIT", "WHY"), map(_cells, found), sys.stdout)
    if not as_json:
        click.echo(f"{len(found)} of {len(drifts)} services differ.")
    for problem in unread:
        click.echo(f"Warning: {clean(str(problem))}", err=True)
    if unread or any(each.kind is Kind.ERROR for each in found):
        return 1
    return DRIFT if found else 0


def _service(key: ServiceKey, settings: Settings) -> str:
    return settings.service(key.model, settings.environments[key.environment])


def _cells(each: Drift) -> tuple[str, ...]:
    return str(each.key), each.kind.value, spec_text(each.committed), each.message


def _fields(each: Drift) -> dict[str, object]:
    return {
        "environment": each.key.environment,
        "model": each.key.model,
        "drift": each.kind.value,
        "message": each.message,
        "committed": spec_fields(each.committed),
        "wanted": spec_fields(each.wanted),
        "error": error_fields(each.error) if each.error else None,
    }
