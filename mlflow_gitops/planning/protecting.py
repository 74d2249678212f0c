"""What a branch's protection means for how an environment delivers. PURE."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import get_args

from mlflow_gitops.gates import GateName
from mlflow_gitops.planning.gates import STATUS_PREFIX
from mlflow_gitops.pull_requests import Protection
from mlflow_gitops.state import Environment

__all__ = ["complaints"]

OURS = tuple(f"{STATUS_PREFIX}{name}" for name in get_args(GateName))


def complaints(environment: Environment, branch: str, protection: Protection) -> Iterator[str]:
    """Say what would refuse the environment's deliveries to the branch, and the next step."""
    name = environment.name
    if environment.delivery == "commit":
        if protection.refuses:
            yield (
                f"{name}: direct commits to {branch} are refused: {protection.refuses}; let the "
                "token's user pass that rule, or set `delivery: pull-request`"
            )
        elif protection.unknown:
            yield f"{name}: not checked whether {branch} takes commits: {protection.unknown}"
        return
    for each in protection.required:
        if each.startswith(STATUS_PREFIX) and not any(fnmatchcase(own, each) for own in OURS):
            yield (
                f"{name}: {branch} requires the status {each}, which nobody sets, so no pull "
                f"request can be merged; require {', '.join(OURS)} instead"
            )
    for each in protection.unset:
        yield (
            f"{name}: {branch} requires the status {each}, which nothing set on its newest commit; "
            "if nothing sets it on pull requests either, none can be merged"
        )
    if protection.unknown and not protection.required:
        yield f"{name}: not checked which statuses {branch} requires: {protection.unknown}"
