"""Commit statuses as the forges' APIs take and give them. PURE."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from mlflow_gitops.pull_requests import CommitStatus, Verdict

__all__ = ["news", "own_statuses"]

OURS = "mlflow-gitops/"
VERDICTS: Mapping[str, Verdict] = {"success": "success", "failure": "failure", "failed": "failure"}


def own_statuses(rows: Iterable[tuple[str, str, str | None]]) -> list[CommitStatus]:
    """Return ours, from each row's name, verdict and text; other verdicts than these two wait."""
    return [
        CommitStatus(name, VERDICTS.get(verdict, "pending"), text or "")
        for name, verdict, text in rows
        if name.startswith(OURS)
    ]


def news(
    statuses: Iterable[CommitStatus], told: Mapping[str, tuple[str, str]], limit: int
) -> Iterator[Mapping[str, str]]:
    """What to send. `told` has the verdict and the text of each that is there, by name; texts are
    of at most `limit` characters.
    """
    for status in statuses:
        text = status.text[:limit]
        if told.get(status.name) == (status.verdict, text):
            continue
        fields = {"context": status.name, "state": status.verdict, "description": text}
        yield {**fields, "target_url": status.url} if status.url else fields
