"""What an outcome that was only foreseen says of drift: registry and Git compared. PURE."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from mlflow_gitops.errors import GitOpsError
from mlflow_gitops.outcome import Outcome
from mlflow_gitops.state import ServiceKey, ServiceSpec, State

__all__ = ["Drift", "Kind", "drift_of", "strange"]


class Kind(StrEnum):
    """How registry and Git differ."""

    NONE = "none"
    NOT_COMMITTED = "selected, not committed"
    NOT_SELECTED = "committed, not selected"
    HELD = "held"
    AMBIGUOUS = "ambiguous"
    SETTINGS = "settings drift"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Drift:
    """One service. `wanted` is what the registry asks for, where that is told."""

    key: ServiceKey
    kind: Kind
    message: str
    committed: ServiceSpec | None = None
    wanted: ServiceSpec | None = None
    error: GitOpsError | None = None

    @property
    def text(self) -> str:
        return "none" if self.kind is Kind.NONE else f"{self.kind.value}: {self.message}"

    @property
    def fields(self) -> Mapping[str, str]:
        return {"kind": self.kind.value, "message": self.message}


def drift_of(outcome: Outcome) -> Drift:
    plan = outcome.plan
    if outcome.error is not None or plan is None:
        return Drift(outcome.key, Kind.ERROR, outcome.message, error=outcome.error)
    kind = Kind.NONE
    if plan.changes_git:
        kind = Kind.NOT_COMMITTED
    elif plan.state in (State.HELD, State.REJECTED):
        kind = Kind.HELD
    elif plan.state is State.AMBIGUOUS:
        kind = Kind.AMBIGUOUS
    elif plan.state is State.UNSELECTED and plan.before is not None:
        kind = Kind.NOT_SELECTED
    elif "settings drift" in outcome.message:
        kind = Kind.SETTINGS
    return Drift(outcome.key, kind, outcome.message, plan.before, plan.after)


def strange(key: ServiceKey, spec: ServiceSpec) -> Drift:
    """A service in Git of a model that the registry does not have, or the environment not take."""
    what = "the registry has no such model, or the environment does not take it"
    return Drift(key, Kind.NOT_SELECTED, what, spec)
