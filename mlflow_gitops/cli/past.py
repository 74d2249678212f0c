"""What `why`, `history` and `audit` share: the environments' pasts, what the forge adds to them,
and times that people type.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

import click

from mlflow_gitops.bootstrap import Session, now
from mlflow_gitops.cli.app import known_environments
from mlflow_gitops.looking_back import LookingBack, check_known
from mlflow_gitops.past import HistoryIndex
from mlflow_gitops.planning.ledger import Row
from mlflow_gitops.planning.moments import moment
from mlflow_gitops.progress import tracked
from mlflow_gitops.render import clean
from mlflow_gitops.reviewed import Reviewed
from mlflow_gitops.state import Settings
from mlflow_gitops.wish import model_of

__all__ = ["check_model", "completed", "no_forge_option", "pasts", "tell_failure", "time_of"]

no_forge_option = click.option(
    "--no-forge", is_flag=True, help="Ask Git alone, also where there is a token for the forge."
)


def pasts(
    session: Session, settings: Settings, environments: Sequence[str], reviewed: Reviewed
) -> dict[str, LookingBack]:
    names = known_environments(environments, settings)
    return {
        name: session.looking_back(settings.environments[name], settings, reviewed)
        for name in names
    }


def check_model(name: str, settings: Settings, backs: dict[str, LookingBack]) -> str:
    """The model that a name means, which may be its service's. Raises RequestError."""
    model = model_of(name, settings)
    if not any(back.has(settings.service(model, back.environment)) for back in backs.values()):
        known = {
            settings.names.model(service, back.environment)
            for back in backs.values()
            for service in back.known()
        }
        check_known(model, known)
    return model


def completed(found: Iterable[tuple[Row, HistoryIndex]], reviewed: Reviewed) -> list[Row]:
    """The rows with what the forge knows, as far as it can be asked."""
    pairs = list(found)
    asked = tracked(pairs, "Asking the forge who approved") if reviewed.open_forge else pairs
    rows = [reviewed.complete(row, index) for row, index in asked]
    tell_failure(reviewed)
    return rows


def tell_failure(reviewed: Reviewed) -> None:
    if reviewed.failure is not None:
        what = clean(reviewed.failure.what)
        click.echo(f"Warning: the forge cannot be asked: {what}", err=True)


def time_of(text: str, option: str, *, end_of_day: bool = False) -> datetime:
    clock = datetime.fromisoformat(now())
    return moment(text, clock, option=option, end_of_day=end_of_day)
