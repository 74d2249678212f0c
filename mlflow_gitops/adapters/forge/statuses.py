"""Commit statuses as GitHub's and Gitea's APIs take them, where they say something new. PURE."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from mlflow_gitops.pull_requests import CommitStatus

__all__ = ["news"]


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
