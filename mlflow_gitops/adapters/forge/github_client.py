"""One request to GitHub's REST API through PyGithub, which authenticates it and paces the writes.

A write is never sent twice, and no redirect is followed: PyGithub would drop the query of a GET
and send it to a repository of another name. What comes back is JSON or a GitOpsError.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

import requests

from mlflow_gitops.adapters.forge import failures
from mlflow_gitops.adapters.forge.network import talking
from mlflow_gitops.errors import ConfigError
from mlflow_gitops.planning.messages import clean

try:
    import github
    from github.Auth import AppAuth, AppAuthToken, Auth
    from github.Requester import HTTPRequestsConnectionClass, HTTPSRequestsConnectionClass
except ImportError as missing:
    raise ConfigError(
        "pull requests on GitHub need PyGithub",
        where="this installation",
        hint="pip install 'mlflow-gitops[github]'",
    ) from missing

__all__ = [
    "PAGE",
    "RIGHTS",
    "TIMEOUT",
    "AppAuth",
    "AppAuthToken",
    "Auth",
    "GitHubClient",
    "talking",
]

TIMEOUT = 30  # seconds for one request
WRITES_APART = 1  # seconds: what GitHub asks for, to stay clear of its second rate limit
PAGE = 100
PAGES = 10
RIGHTS = "give the token `contents`, `pull requests` and `commit statuses`: write"

Json = Mapping[str, Any]
Connection = HTTPRequestsConnectionClass | HTTPSRequestsConnectionClass


class GitHubClient:
    """`root` is the path below the API's address that all the others start with. For threads.

    `refused` is called when the token is refused.
    """

    name = "GitHub"

    def __init__(
        self,
        api_url: str,
        root: str,
        auth: Auth,
        timeout: int = TIMEOUT,
        *,
        refused: Callable[[], None] = lambda: None,
    ) -> None:
        self._refused = refused
        self._api = urlsplit(api_url.rstrip("/"))
        self._root = root
        self._timeout = timeout
        self._local = threading.local()
        self.where = f"{api_url.rstrip('/')}{root}"
        self._requester = github.Github(
            auth=auth,
            base_url=api_url.rstrip("/"),
            timeout=timeout,
            user_agent="mlflow-gitops",
            retry=None,  # the queue waits, and a write is never repeated
            seconds_between_requests=None,
            seconds_between_writes=WRITES_APART,
            lazy=True,
        ).requester

    @property
    def asked(self) -> str:
        """The last request of this thread, for errors: its verb and address, without a query."""
        return str(getattr(self._local, "asked", self.where))

    @property
    def scopes(self) -> list[str] | None:
        """What the last answer of this thread says of the token; None where it has no scopes."""
        text = self._local.headers.get("x-oauth-scopes")
        return None if text is None else [part for part in text.split(", ") if part]

    def get(self, path: str, query: Mapping[str, object] | None = None) -> Any:
        return self._ask("GET", path, query=query)

    def pages(self, path: str, key: str = "", **query: object) -> list[Json]:
        """All of a list, which may stand below `key`; of a very long one the first thousand."""
        found: list[Json] = []
        for page in range(1, PAGES + 1):
            answer = self.get(path, {**query, "per_page": PAGE, "page": page})
            part = answer[key] if key else answer
            found += part
            if len(part) < PAGE:
                break
        return found

    def send(self, verb: str, path: str, fields: Mapping[str, object]) -> Any:
        return self._ask(verb, path, fields=fields)

    def _ask(
        self,
        verb: str,
        path: str,
        *,
        query: Mapping[str, object] | None = None,
        fields: Mapping[str, object] | None = None,
    ) -> Any:
        self._local.asked = f"{verb} {self.where}{path}"
        with talking(self.name, lambda: self.asked):
            status, headers, text = self._requester.requestJson(
                verb,
                self._root + path,
                parameters=dict(query or {}),
                input=None if fields is None else dict(fields),
                cnx=self._connection(),
            )
            self._local.headers = headers
            if status == 401:
                self._refused()
            if status >= 300:
                said = _said(text)
                raise failures.failed(status, headers, said, where=self.asked, rights=RIGHTS)
            return json.loads(text) if text else None

    def _connection(self) -> Connection:
        """This thread's: PyGithub keeps one for all, and the request in hand with it."""
        found: Connection | None = getattr(self._local, "connection", None)
        if found is None:
            secure = self._api.scheme == "https"
            kind = HTTPSRequestsConnectionClass if secure else HTTPRequestsConnectionClass
            host = self._api.hostname or ""
            found = kind(
                f"[{host}]" if ":" in host else host, self._api.port, timeout=self._timeout
            )
            found.session.hooks["response"].append(self._stays)
            self._local.connection = found
        return found

    def _stays(self, response: requests.Response, **_: object) -> None:
        if 300 <= response.status_code < 400:
            response.close()
            raise failures.moved(response.headers.get("Location", ""), where=self.asked)


def _said(text: str) -> str:
    """The message and those below it; never a page that is not the API's."""
    try:
        data = json.loads(text)
    except ValueError:
        return ""
    if not isinstance(data, Mapping):
        return ""
    texts = [str(data.get("message", ""))]
    errors = data.get("errors")
    for each in errors if isinstance(errors, list) else ():
        texts.append(str(each.get("message", "")) if isinstance(each, Mapping) else str(each))
    return clean("; ".join(text for text in texts if text), failures.LONGEST)
