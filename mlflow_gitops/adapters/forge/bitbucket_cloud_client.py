"""Asks Bitbucket Cloud, and follows its pages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from mlflow_gitops.adapters.forge import failures
from mlflow_gitops.adapters.forge.rest import Json, RestClient, basic

__all__ = ["RIGHTS", "BitbucketCloudClient"]

PAGE = 50  # the most that a list of pull requests gives
PAGES = 20
RIGHTS = (
    "give the token the scopes `repository:write` and `pullrequest:write` "
    "(`write:repository:bitbucket` and `write:pullrequest:bitbucket` of an API token)"
)


class BitbucketCloudClient(RestClient):
    """`api` is the API's address, `repository` is `<workspace>/<name>`."""

    name = "Bitbucket"
    rights = RIGHTS

    def __init__(self, api: str, repository: str, token: Callable[[], str], timeout: float) -> None:
        self.api = api.rstrip("/")
        super().__init__(f"{self.api}/repositories/{quote(repository)}", token, timeout)

    def authorization(self, token: str) -> str:
        """An access token speaks for itself, `<address>:<API token>` for a user."""
        return basic(token) if ":" in token else f"Bearer {token}"

    def said(self, data: Json) -> str:
        error = data.get("error")
        if not isinstance(error, dict):
            return ""
        texts = [str(error.get("message", "")), str(error.get("detail") or "")]
        return "; ".join(text for text in texts if text)

    def pages(self, path: str, query: Json | None = None) -> list[Json]:
        """All of a list; of a very long one the first thousand."""
        found: list[Json] = []
        answer = self.get(path, {**(query or {}), "pagelen": PAGE})
        for _ in range(PAGES):
            found += self._values(answer)
            following = str(answer.get("next") or "")
            if not following.startswith(f"{self.api}/"):  # no token goes elsewhere
                break
            answer = self.get(following)
        return found

    def _values(self, answer: Any) -> list[Json]:
        values = answer["values"]
        if not isinstance(values, list):
            raise failures.not_the_api(self.name, where=self.asked)
        return values
