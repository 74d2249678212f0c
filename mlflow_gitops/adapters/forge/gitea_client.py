"""Asks Gitea or Forgejo: each request once, nothing followed, errors for people.

With requests itself: the generated client for this API repeats writes that failed and follows
redirects, and its errors drop what a rate limit says.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import requests

from mlflow_gitops.adapters.forge import failures
from mlflow_gitops.adapters.forge.network import talking

__all__ = ["PAGE", "RIGHTS", "GiteaClient"]

PAGE = 50  # the most that a server gives where nobody set it otherwise
PAGES = 20
RIGHTS = (
    "give the token the scopes `repository` and `issue`: read and write, and its user the right to "
    "write to the repository"
)

Json = Mapping[str, Any]


class _Token(requests.auth.AuthBase):
    """In place of what ~/.netrc has for the host, which requests would send instead."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"token {self._token}"
        return request


class GiteaClient:
    """`api_url` ends in /api/v1; `root` is the path below it that all the others start with."""

    name = "Gitea or Forgejo"

    def __init__(self, api_url: str, root: str, token: Callable[[], str], timeout: float) -> None:
        self.where = f"{api_url.rstrip('/')}{root}"
        self._token = token
        self._timeout = timeout
        self._local = threading.local()

    def get(self, path: str, query: Mapping[str, object] | None = None) -> Any:
        return self._ask("GET", path, params=dict(query or {}))[0]

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
            answer, headers = self._ask("GET", path, params=wanted)
            part = (answer[key] if key else answer) or []
            if not isinstance(part, list):
                raise failures.not_the_api(self.name, where=self.where)
            yield from part
            seen += len(part)
            if not part or (is_counted and seen >= int(headers.get("X-Total-Count", seen + 1))):
                return

    def send(self, verb: str, path: str, fields: Mapping[str, object]) -> Any:
        return self._ask(verb, path, json=dict(fields))[0]

    def _ask(self, verb: str, path: str, **data: Any) -> tuple[Any, Mapping[str, str]]:
        with talking(self.name, self.where):
            token = self._token()
            if not token:
                raise failures.no_token()
            answer = self._session().request(
                verb,
                self.where + path,
                auth=_Token(token),
                allow_redirects=False,
                timeout=self._timeout,
                **data,
            )
            if answer.status_code >= 300:
                said = _said(answer)
                raise failures.failed(
                    answer.status_code, answer.headers, said, where=self.where, rights=RIGHTS
                )
            return (answer.json() if answer.content else None), answer.headers

    def _session(self) -> requests.Session:
        """This thread's."""
        session: requests.Session | None = getattr(self._local, "session", None)
        if session is None:
            session = self._local.session = requests.Session()
            session.headers.update({"User-Agent": "mlflow-gitops", "Accept": "application/json"})
        return session


def _said(answer: requests.Response) -> str:
    """The message; never a page that is not the API's."""
    try:
        data = answer.json()
    except ValueError:
        return ""
    return str(data.get("message", "")) if isinstance(data, Mapping) else ""
