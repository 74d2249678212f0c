"""Asks Azure DevOps Services or Server, and follows their pages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import requests

from mlflow_gitops.adapters.forge import failures
from mlflow_gitops.adapters.forge.rest import Json, RestClient, basic

__all__ = ["PREVIEW", "RIGHTS", "AzureClient"]

PAGE = 100
PAGES = 10
VERSION = "6.0"  # Azure DevOps Server 2020 and later ones know it
PREVIEW = {"api-version": "6.0-preview.1"}  # for what was not released in that version
RIGHTS = (
    "give the token the scopes Code (read, write and status), and its user `Contribute`, `Create "
    "branch` and `Contribute to pull requests` in the repository"
)


class AzureClient(RestClient):
    """`collection` is the address of the organization or collection; paths are below the
    repository, unless they begin with `collection`.
    """

    name = "Azure DevOps"
    rights = RIGHTS

    def __init__(
        self,
        collection: str,
        project: str,
        repository: str,
        token: Callable[[], str],
        timeout: float,
    ) -> None:
        self.collection = collection
        self.project = f"{collection}/{quote(project, safe='')}"
        self.web = f"{self.project}/_git/{quote(repository, safe='')}"
        root = f"{self.project}/_apis/git/repositories/{quote(repository, safe='')}"
        super().__init__(root, token, timeout)

    def authorization(self, token: str) -> str:
        """A personal access token is a password without a user; one of Entra ID is a JWT."""
        is_jwt = token.startswith("eyJ") and token.count(".") == 2
        return f"Bearer {token}" if is_jwt else basic(f":{token}")

    def is_sign_in(self, answer: requests.Response) -> bool:
        """Azure DevOps shows its page for that, or leads to it."""
        leads = answer.status_code == 302 and "_signin" in answer.headers.get("Location", "")
        return answer.status_code == 203 or leads

    def ask(self, verb: str, path: str, **data: Any) -> tuple[Any, Any]:
        params = {"api-version": VERSION, **data.pop("params", {})}
        return super().ask(verb, path, params=params, **data)

    def rows(self, path: str, query: Json | None = None) -> list[Json]:
        """Return the list of an answer that has no pages."""
        found = self.get(path, query)["value"]
        if not isinstance(found, list):
            raise failures.not_the_api(self.name, where=self.asked)
        return found

    def pages(self, path: str, query: Json, names: tuple[str, str]) -> list[Json]:
        """All of a list; of a very long one the first thousand. `names` are those of the
        parameters for a page's size and for how many rows to skip.
        """
        found: list[Json] = []
        for page in range(PAGES):
            part = self.rows(path, {**query, names[0]: PAGE, names[1]: page * PAGE})
            found += part
            if len(part) < PAGE:
                break
        return found

    def post(self, path: str, fields: Json, query: Json | None = None) -> Any:
        return self.ask("POST", path, json=dict(fields), params=dict(query or {}))[0]
