"""The command line: one file for each verb, and one table of them."""

from __future__ import annotations

import os
from collections.abc import Mapping

import click

import mlflow_gitops
from mlflow_gitops.cli.adopt import adopt
from mlflow_gitops.cli.app import App, Commands
from mlflow_gitops.cli.audit import audit
from mlflow_gitops.cli.config import config
from mlflow_gitops.cli.demo import demo
from mlflow_gitops.cli.diff import diff
from mlflow_gitops.cli.drift import drift
from mlflow_gitops.cli.history import history
from mlflow_gitops.cli.hold import hold
from mlflow_gitops.cli.init import init
from mlflow_gitops.cli.plan import plan
from mlflow_gitops.cli.prune import prune
from mlflow_gitops.cli.reconcile import reconcile
from mlflow_gitops.cli.revisions import revisions
from mlflow_gitops.cli.rollback import rollback
from mlflow_gitops.cli.serve import serve
from mlflow_gitops.cli.status import status
from mlflow_gitops.cli.verify import verify
from mlflow_gitops.cli.why import why

__all__ = ["main"]

MLFLOW_PATIENCE: Mapping[str, str] = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "60",
}
"""MLflow's client would repeat a failed request for minutes; the queue is the place to wait."""

VERBS = (
    *(init, config, plan, diff, reconcile, adopt, rollback, hold),
    *(status, why, history, audit, drift),
    *(verify, revisions, prune),
    *(serve, demo),
)


@click.group(
    cls=Commands,
    name="mlflow-gitops",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(mlflow_gitops.__version__, prog_name="mlflow-gitops")
@click.option(
    "--repository",
    metavar="URL",
    help="The Git manifests repository, instead of MLFLOW_GITOPS_REPOSITORY.",
)
@click.option(
    "--debug",
    is_flag=True,
    envvar="MLFLOW_GITOPS_DEBUG",
    help="Show the traceback of an unforeseen error.",
)
@click.pass_obj
def main(app: App, repository: str | None, debug: bool) -> None:
    """MLflow model versions as Git commits that Argo CD and KServe deploy.

    What is not given as an option is read from the environment: MLFLOW_GITOPS_REPOSITORY,
    MLFLOW_TRACKING_URI, the usual AWS variables. `mlflow-gitops VERB --help` tells more.
    """
    for name, value in MLFLOW_PATIENCE.items():
        os.environ.setdefault(name, value)
    app.repository = repository
    app.debug = debug


for verb in VERBS:
    main.add_command(verb)
