"""Commit statuses as the forges' APIs take and give them. PURE."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase

from mlflow_gitops.pull_requests import CommitStatus, Verdict

__all__ = ["is_foreign", "news", "own_statuses", "unset"]

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


def is_foreign(name: str) -> bool:
    """Whether others set the status of this name, or of this pattern."""
    return not name.startswith(OURS) and not fnmatchcase(OURS, name)


def unset(required: Iterable[str], there: Iterable[str]) -> tuple[str, ...]:
    """Return those of the required names, or patterns, that others should set and did not."""
    known = list(there)
    return tuple(
        name
        for name in required
        if is_foreign(name) and not any(fnmatchcase(each, name) for each in known)
    )
