"""Asks Bitbucket Data Center, and follows its pages."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import quote

from mlflow_gitops.adapters.forge import failures
from mlflow_gitops.adapters.forge.rest import Json, RestClient, basic

__all__ = ["RIGHTS", "BitbucketServerClient"]

PAGE = 100
PAGES = 10
RIGHTS = "give the HTTP access token the permission `Repository write`, and its user too"


class BitbucketServerClient(RestClient):
    """`base` is the server's address, with the path that it may be below."""

    name = "Bitbucket Data Center"
    rights = RIGHTS

    def __init__(
        self, base: str, project: str, repository: str, token: Callable[[], str], timeout: float
    ) -> None:
        below = f"projects/{quote(project)}/repos/{quote(repository)}"
        self.rest = f"{base}/rest"
        self.web = f"{base}/{below}"
        super().__init__(f"{self.rest}/api/1.0/{below}", token, timeout)

    def authorization(self, token: str) -> str:
        """An HTTP access token speaks for itself, `<user>:<password>` for a user."""
        return basic(token) if ":" in token else f"Bearer {token}"

    def said(self, data: Json) -> str:
        errors = data.get("errors")
        rows = errors if isinstance(errors, list) else []
        return "; ".join(str(row.get("message") or "") for row in rows if isinstance(row, dict))

    def pages(self, path: str, query: Json | None = None) -> list[Json]:
        """All of a list; of a very long one the first thousand."""
        found: list[Json] = []
        start: object = 0
        for _ in range(PAGES):
            answer = self.get(path, {**(query or {}), "limit": PAGE, "start": start})
            if not isinstance(answer["values"], list):
                raise failures.not_the_api(self.name, where=self.asked)
            found += answer["values"]
            if answer.get("isLastPage", True):
                break
            start = answer["nextPageStart"]
        return found
