"""What a reviewer would see of a version, before or without a pull request. Writes nothing."""

from __future__ import annotations

from dataclasses import replace

from mlflow_gitops.observe import selected
from mlflow_gitops.outcome import Outcome
from mlflow_gitops.planning.naming import number_of
from mlflow_gitops.planning.pending import imagine
from mlflow_gitops.reconcile import Reconciler
from mlflow_gitops.state import Environment, ModelVersion, Request, Settings, Snapshot
from mlflow_gitops.wish import ModelRef, choose, earlier_than, later_than

__all__ = ["compare"]


def compare(
    reconciler: Reconciler,
    model: str,
    environment: Environment,
    settings: Settings,
    number: str = "",
) -> Outcome:
    """The version that is selected, or `number`, against the one that is committed.

    What is held, or waits in a pull request, is compared as if it was asked for once more; the
    outcome's state and message then are those of now. Raises GitOpsError.
    """
    snapshot = reconciler.registry.snapshot(model)
    if number:
        version = choose(snapshot, ModelRef(model, number=number_of(snapshot, number, settings)))
        return reconciler.compare(
            _asked(reconciler, snapshot, environment, version), environment, settings
        )
    now = reconciler.compare(snapshot, environment, settings)
    plan = now.plan
    if now.evidence is not None or plan is None or plan.version is None:
        return now
    asked = _asked(reconciler, snapshot, environment, plan.version)
    found = reconciler.compare(asked, environment, settings)
    return replace(found, state=now.state, message=now.message)


def _asked(
    reconciler: Reconciler, snapshot: Snapshot, environment: Environment, version: ModelVersion
) -> Snapshot:
    """The registry as it would be if the version was asked for now."""
    known = reconciler.observer.requests(snapshot, environment)
    time = later_than(reconciler.clock(), (each.time for each in known.values()))
    now = known.get(version.number, Request("", version.number))
    request = replace(now, id="diff", time=time)
    unrecorded = [v for v in selected(snapshot, environment) if v.number not in known]
    others = [
        Request(f"diff-{other.number}", other.number, time=earlier_than(time))
        for other in unrecorded
        if other.number != version.number
    ]
    return imagine(snapshot, environment, [request, *others])
