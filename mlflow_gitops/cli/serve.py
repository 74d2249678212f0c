"""`mlflow-gitops serve`: the webhook service with its worker and its resync, in one process."""

from __future__ import annotations

import logging
import sys
import threading
import time
from pathlib import Path

import click

from mlflow_gitops.cli.app import App
from mlflow_gitops.config import Process
from mlflow_gitops.errors import ConfigError
from mlflow_gitops.service import ServiceReconciler

__all__ = ["serve"]

log = logging.getLogger(__name__)

QUEUE = "queue.db"
LOG_FORMAT = "%(asctime)s.%(msecs)03dZ %(levelname)s %(name)s: %(message)s"


@click.command(short_help="Serve webhooks, work and resync.")
@click.option("--host", help="The address to listen on, instead of MLFLOW_GITOPS_HOST.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    help="The port, instead of MLFLOW_GITOPS_PORT; 0 takes a free one and prints it.",
)
@click.option(
    "--allow-unsigned",
    is_flag=True,
    help="Take deliveries without a signature where no secret is set. Not for a network.",
)
@click.pass_obj
def serve(app: App, host: str | None, port: int | None, allow_unsigned: bool) -> int:
    """Serve POST /webhooks/mlflow and /webhooks/forge, work on what they mark, and resync.

    Ends cleanly on SIGTERM and SIGINT: a run that was begun is ended first.
    """
    from webhook import serve as web
    from webhook.app import create_app
    from webhook.counters import Counters, PublishedCounts
    from webhook.queue import Queue
    from webhook.worker import Worker

    process = app.process()
    _log_to_stderr(debug=app.debug)
    counters = Counters()
    session = app.connect(process, PublishedCounts(counters))
    reconciler = ServiceReconciler(session.reconciler, session.forge_check())
    queue = Queue(_folder(process) / QUEUE)
    worker = Worker(
        queue,
        reconciler,
        threads=process.threads,
        resync_every=process.resync_seconds,
        counters=counters,
    )
    flask = create_app(
        queue=queue,
        secrets=process.webhook_secrets,
        forge_secrets=process.forge_webhook.lines(),
        reconciler=reconciler,
        worker=worker,
        allow_unsigned=allow_unsigned,
        notes=reconciler.warnings,
    )
    threading.Thread(target=_log_checks, args=(reconciler,), daemon=True).start()
    return web.serve(flask, host or process.host, process.port if port is None else port)


def _folder(process: Process) -> Path:
    folder = Path(process.state_dir)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"the state directory cannot be made: {error.strerror}",
            where=str(folder),
            hint="let MLFLOW_GITOPS_STATE_DIR name a folder that this user may write to",
        ) from error
    return folder


def _log_checks(reconciler: ServiceReconciler) -> None:
    """Say at the start what /readyz would say; a check may take its time."""
    for name, wrong in reconciler.ready().items():
        if wrong:
            log.error("%s: %s", name, wrong, extra={"action": "ready.failed"})
    for name, why in reconciler.warnings().items():
        log.warning("%s: %s", name, why, extra={"action": "ready.warning"})


def _log_to_stderr(*, debug: bool) -> None:
    formatter = logging.Formatter(LOG_FORMAT, "%Y-%m-%dT%H:%M:%S")
    formatter.converter = time.gmtime
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    logging.basicConfig(level=logging.DEBUG if debug else logging.INFO, handlers=[handler])
    for noisy in ("git", "botocore", "urllib3", "boto3", "s3transfer"):  # request URLs and headers
        logging.getLogger(noisy).setLevel(logging.WARNING)
