"""What fakes of the worker's reconciler share."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor

from mlflow_gitops import GitOpsError

__all__ = ["Ended", "OneByOne"]

Ended = Callable[[str, float | GitOpsError | None], None]


class OneByOne:
    """Many models at once are each on their own, side by side."""

    def reconcile(self, model: str, *, reason: str) -> float | None:
        raise NotImplementedError

    def reconcile_many(self, reasons: Mapping[str, str], ended: Ended) -> None:
        def run(model: str) -> None:
            try:
                found: float | GitOpsError | None = self.reconcile(model, reason=reasons[model])
            except GitOpsError as error:
                found = error
            ended(model, found)

        with ThreadPoolExecutor(len(reasons)) as pool:
            list(pool.map(run, reasons))

    def in_conflict(self) -> Collection[str]:
        return ()
