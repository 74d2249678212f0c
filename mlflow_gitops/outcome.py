"""What became of a service, or of a look at all of them: values that the reconciler gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mlflow_gitops.errors import GateError, GitOpsError, HeadMovedError, RequestError
from mlflow_gitops.gates import Gate
from mlflow_gitops.planning.evidence_values import Evidence
from mlflow_gitops.planning.plan import Plan
from mlflow_gitops.pull_requests import PullRequest
from mlflow_gitops.state import Request, Revision, ServiceKey, State

__all__ = ["Outcome", "Survey", "accepted", "failed"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one service. `diff` is the commit's, or the one that would be made; `pull` is
    the pull request that it waits in, or was decided in. `gates` are the verdicts on a promotion
    that was only looked at, `evidence` what a reviewer would see of it.
    """

    key: ServiceKey
    state: State
    message: str
    plan: Plan | None = None
    revision: Revision | None = None
    commit: str = ""
    diff: str = ""
    error: GitOpsError | None = None
    pull: PullRequest | None = None
    gates: tuple[Gate, ...] = ()
    evidence: Evidence | None = None

    @property
    def verdicts(self) -> tuple[Gate, ...]:
        """What the gates said, also of what they held back."""
        return self.error.gates if isinstance(self.error, GateError) else self.gates


@dataclass(frozen=True, slots=True)
class Survey:
    """What a look at every model found. `work` maps a model to the environments to reconcile; with
    none of them, the model is asked for in an environment that is not there.

    `changes` maps an environment to the models whose manifests would change. `blocked` maps an
    environment that would change too much to the reason, and none of its changes is in `work`.
    """

    work: Mapping[str, frozenset[str]]
    changes: Mapping[str, tuple[str, ...]]
    blocked: Mapping[str, str]
    services: int


def failed(key: ServiceKey, error: GitOpsError) -> Outcome:
    text = error.what if isinstance(error, HeadMovedError) else str(error)
    return Outcome(key, State.FAILED, text, error=error)


def accepted(outcome: Outcome, request: Request) -> Plan:
    """The plan, where it brings about what was asked; else the reason why not, as an error."""
    if outcome.error is not None:
        raise outcome.error
    plan = outcome.plan
    assert plan is not None  # an outcome without an error has one
    if request.action == "retire":
        wanted, what = State.RETIRED, "the service is not retired, it"
        is_wanted = plan.after is None
    else:
        wanted, what = State.COMMITTED, f"version {request.version} is not delivered, the service"
        is_wanted = plan.version is not None and plan.version.number == request.version
    if is_wanted and (plan.changes_git or plan.state in (wanted, State.PROPOSED)):
        return plan
    raise RequestError(
        f"{what} is {plan.state.value}: {plan.reason}",
        where=str(plan.key),
        hint=f"look at `mlflow-gitops plan -e {plan.key.environment} {plan.key.model} --diff`, "
        "then ask again",
    )
