"""`mlflow-gitops diff`: what a reviewer would see of a version, without a forge. Writes nothing."""

from __future__ import annotations

import sys

import click

from mlflow_gitops.cli.app import App, as_json, known_environments
from mlflow_gitops.cli.evidence_text import evidence_fields, print_evidence
from mlflow_gitops.cli.look import check_taken
from mlflow_gitops.cli.output import print_json
from mlflow_gitops.comparing import compare
from mlflow_gitops.planning.evidence_body import body_of
from mlflow_gitops.render import clean, spec_text
from mlflow_gitops.wish import locate

__all__ = ["diff"]


@click.command(short_help="Compare a version with the one that is committed.")
@click.argument("model")
@click.option("-e", "--environment", metavar="ENV", required=True, help="The environment.")
@click.option(
    "--version", "number", metavar="VERSION", help="The version; default: what is selected."
)
@click.option("--markdown", is_flag=True, help="Print the text that a pull request would have.")
@as_json
@click.pass_obj
def diff(
    app: App, model: str, environment: str, number: str | None, markdown: bool, as_json: bool
) -> None:
    """Compare a version of MODEL with the one that is committed: the evidence for a reviewer.

    Metrics, gates, inputs and outputs, parameters, datasets, dependencies, files and the change of
    the manifests. Nothing is written, and no forge is needed.
    """
    if markdown and as_json:
        raise click.UsageError("Give --markdown or --json, not both.")
    session = app.session()
    settings = session.settings()
    (name,) = known_environments([environment], settings)
    check_taken(model, [name], settings)
    target, model = locate(f"{name}/{model}", settings)
    outcome = compare(session.reconciler, model, target, settings, number or "")
    evidence, plan = outcome.evidence, outcome.plan
    if as_json:
        print_json(
            {
                "environment": name,
                "model": model,
                "state": outcome.state.value,
                "message": outcome.message,
                "stands": spec_text(plan.before) if plan and plan.before else "",
                "evidence": evidence_fields(evidence) if evidence else None,
            }
        )
    elif evidence is None:
        click.echo(f"{clean(str(outcome.key))}: nothing would change: {clean(outcome.message)}")
    elif markdown:
        click.echo(body_of(evidence))
    else:
        click.echo(f"{clean(str(outcome.key))}: {clean(outcome.message)}\n")
        print_evidence(evidence, sys.stdout)
