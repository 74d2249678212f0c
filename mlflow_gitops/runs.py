"""What the registry knows of how a model version came to be: values without I/O.

All texts are as people and libraries wrote them: they are shown escaped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from mlflow_gitops.state import EMPTY

__all__ = ["Dataset", "RunFacts"]


@dataclass(frozen=True, slots=True)
class Dataset:
    """A dataset that went into a run. `digest` is MLflow's, `context` is like "training"."""

    name: str
    digest: str
    context: str = ""


@dataclass(frozen=True, slots=True)
class RunFacts:
    """One version's run and logged model, where the registry still has them.

    `metrics` are the last values (a metric that is no finite number is left in as it is),
    `params` are texts. `url` leads to the run in MLflow's pages, `version_url` to the version, each
    "" where that is no web address. `source_commit` is the training code's Git commit, `source_url`
    its repository, `user` who ran it, `description` the version's; each "" where it is not known.
    `missing` says why there are no facts (the run was deleted, no run), "" where there are.
    """

    run_id: str = ""
    run_name: str = ""
    url: str = ""
    version_url: str = ""
    user: str = ""
    source_commit: str = ""
    source_url: str = ""
    description: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict)
    params: Mapping[str, str] = field(default_factory=lambda: EMPTY)
    datasets: Sequence[Dataset] = ()
    missing: str = ""
