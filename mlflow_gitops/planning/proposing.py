"""How a change is proposed: what our pull request may be made to say, and the words of it. PURE.

One branch for each service, and at most one open pull request from it. One that somebody approved,
or whose branch holds a commit that is not ours, is never rewritten: it is withdrawn and another
one is opened.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum

from mlflow_gitops.planning.decisions import in_force
from mlflow_gitops.planning.marker import marker, read_marker
from mlflow_gitops.planning.messages import SERVICE, clean, parse_trailers
from mlflow_gitops.planning.plan import Plan
from mlflow_gitops.pull_requests import PullRequest
from mlflow_gitops.state import State

__all__ = [
    "Step",
    "hold_told",
