"""What both Bitbuckets have in common: how they name a build's status. PURE."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from mlflow_gitops.adapters.forge.statuses import news
from mlflow_gitops.pull_requests import CommitStatus

__all__ = ["builds", "status_of"]

Json = Mapping[str, Any]
TEXT_LIMIT = 255  # characters of a status
KEY_LIMIT = 40
OF_VERDICT: Mapping[str, str] = {
    "success": "SUCCESSFUL",
    "failure": "FAILED",
    "pending": "INPROGRESS",
}
VERDICTS = {state: verdict for verdict, state in OF_VERDICT.items()}


def status_of(row: Json) -> tuple[str, str, str]:
    """Return a build's name, verdict and text."""
    state = str(row["state"])
    name = str(row.get("name") or row["key"])
    return name, VERDICTS.get(state, state), str(row.get("description") or "")


def builds(statuses: Iterable[CommitStatus], there: Iterable[Json], url: str) -> Iterator[Json]:
    """What to send, where `there` are the builds that the commit has; `url` is the page of those
    that have none of their own, since Bitbucket wants one.
    """
    known = {name: (verdict, text) for name, verdict, text in map(status_of, there)}
    for each in news(statuses, known, TEXT_LIMIT):
        yield {
            "key": _key(each["context"]),
            "name": each["context"],
            "state": OF_VERDICT[each["state"]],
            "description": each["description"],
            "url": each.get("target_url", url),
        }


def _key(name: str) -> str:
    """The name, or a shorter one for it."""
    if len(name) <= KEY_LIMIT:
        return name
    mark = hashlib.sha256(name.encode()).hexdigest()[:8]
    return f"{name[: KEY_LIMIT - len(mark) - 1]}-{mark}"
