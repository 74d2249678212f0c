"""What `why`, `history` and `audit` share: the environments' pasts, and times that people type."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from mlflow_gitops.bootstrap import Session, now
from mlflow_gitops.cli.app import known_environments
from mlflow_gitops.looking_back import LookingBack, check_known
from mlflow_gitops.planning.moments import moment
from mlflow_gitops.state import Settings
from mlflow_gitops.wish import model_of

__all__ = ["check_model", "pasts", "time_of"]


def pasts(
    session: Session, settings: Settings, environments: Sequence[str]
) -> dict[str, LookingBack]:
    names = known_environments(environments, settings)
    return {name: session.looking_back(settings.environments[name], settings) for name in names}


def check_model(name: str, settings: Settings, backs: dict[str, LookingBack]) -> str:
    """The model that a name means, which may be its service's. Raises RequestError."""
    model = model_of(name, settings)
    service = settings.service(model)
    if not any(back.has(service) for back in backs.values()):
        known = {model_of(s, settings) for b in backs.values() for s in b.known()}
        check_known(model, known)
    return model


def time_of(text: str, option: str, *, end_of_day: bool = False) -> datetime:
    clock = datetime.fromisoformat(now())
    return moment(text, clock, option=option, end_of_day=end_of_day)
