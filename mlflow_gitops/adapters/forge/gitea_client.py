"""Asks Gitea or Forgejo, and follows their pages."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from mlflow_gitops.adapters.forge import failures
from mlflow_gitops.adapters.forge.rest import Json, RestClient

__all__ = ["PAGE", "RIGHTS", "GiteaClient"]

PAGE = 50  # the most that a server gives where nobody set it otherwise
PAGES = 20
RIGHTS = (
    "give the token the scopes `repository` and `issue`: read and write, and its user the right to "
    "write to the repository"
)


class GiteaClient(RestClient):
    """`api_url` ends in /api/v1; `root` is the path below it that all the others start with."""

    name = "Gitea or Forgejo"
    rights = RIGHTS

    def __init__(self, api_url: str, root: str, token: Callable[[], str], timeout: float) -> None:
        super().__init__(f"{api_url.rstrip('/')}{root}", token, timeout)

    def authorization(self, token: str) -> str:
        return f"token {token}"

    def pages(
        self, path: str, key: str = "", *, is_counted: bool = True, **query: object
    ) -> Iterator[Json]:
        """A list, which may stand below `key`, one by one: at most its first PAGES pages.

        A server may give shorter pages than are asked for: the end is where X-Total-Count says it,
        or at an empty page where that header is missing or counts no list (not `is_counted`).
        """
        seen = 0
        for page in range(1, PAGES + 1):
            wanted = {**query, "limit": PAGE, "page": page}
            answer, headers = self.ask("GET", path, params=wanted)
            part = (answer[key] if key else answer) or []
            if not isinstance(part, list):
                raise failures.not_the_api(self.name, where=self.asked)
            yield from part
            seen += len(part)
            if not part or (is_counted and seen >= int(headers.get("X-Total-Count", seen + 1))):
                return
