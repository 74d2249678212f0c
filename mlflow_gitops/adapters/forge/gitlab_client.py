"""Asks GitLab, through python-gitlab: each request once, nothing followed, errors for people.

python-gitlab waits for rate limits and repeats writes by itself: both are switched off. It holds
one token for good; here it is read for each request.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

import requests

from mlflow_gitops.adapters.forge import failures
from mlflow_gitops.adapters.forge.network import talking
from mlflow_gitops.errors import ConfigError, GitOpsError

try:
    import gitlab
except ImportError as missing:
    raise ConfigError(
        "pull requests on GitLab need python-gitlab",
        where="this installation",
        hint="pip install 'mlflow-gitops[gitlab]'",
    ) from missing

__all__ = ["PAGE", "RIGHTS", "GitLabClient"]

PAGE = 100
PAGES = 10
RIGHTS = "give the token the scope `api`, and in the project the role Developer or a higher one"
ONCE: Mapping[str, Any] = {
    "max_retries": 0,
    "retry_transient_errors": False,
    "obey_rate_limit": False,
}

Json = Mapping[str, Any]


class GitLabClient:
    """`url` is the instance's address, `root` the path of the API that all others start with."""

    name = "GitLab"

    def __init__(self, url: str, root: str, token: Callable[[], str], timeout: float) -> None:
        self._url = url.rstrip("/").removesuffix("/api/v4")
        self._root = root
        self._token = token
        self._timeout = timeout
        self._local = threading.local()
        self.where = f"{self._url}/api/v4{root}"

    @property
    def asked(self) -> str:
        """The last request of this thread, for errors: its verb and address, without a query."""
        return str(getattr(self._local, "asked", self.where))

    def get(self, path: str, query: Mapping[str, object] | None = None) -> Any:
        return self._ask("get", path, {"query_data": dict(query or {})})

    def pages(self, path: str, **query: object) -> list[Json]:
        """All of a list; of a very long one the first thousand."""
        found: list[Json] = []
        for page in range(1, PAGES + 1):
            part = self.get(path, {**query, "per_page": PAGE, "page": page})
            if not isinstance(part, list):
                raise failures.not_the_api("GitLab", where=self.asked)
            found += part
            if len(part) < PAGE:
                break
        return found

    def send(self, verb: str, path: str, fields: Mapping[str, object]) -> Any:
        return self._ask(verb, path, {"post_data": dict(fields)})

    def _ask(self, verb: str, path: str, data: Mapping[str, Any]) -> Any:
        self._local.asked = f"{verb.upper()} {self.where}{path}"
        with talking(self.name, lambda: self.asked):
            token = self._token()
            if not token:
                raise failures.no_token()
            session = self._session()
            client = gitlab.Gitlab(
                self._url,
                private_token=token,
                timeout=self._timeout,
                session=session,
                user_agent="mlflow-gitops",
            )
            try:
                answer = client.http_request(verb, self._root + path, **data, **ONCE)
            except (gitlab.GitlabHttpError, gitlab.GitlabAuthenticationError) as error:
                raise self._failed(error) from None
            return answer.json() if isinstance(answer, requests.Response) else None

    def _failed(self, error: gitlab.GitlabError) -> GitOpsError:
        """`error_message` is bytes where it is a page, not the API's words."""
        said: object = error.error_message
        words = "" if isinstance(said, bytes) else _flat(said)
        headers: Mapping[str, str] = self._local.headers
        status = error.response_code or 500
        return failures.failed(status, headers, words, where=self.asked, rights=RIGHTS)

    def _session(self) -> requests.Session:
        """This thread's; a redirect is an error, and its address is told."""
        self._local.headers = {}
        session: requests.Session | None = getattr(self._local, "session", None)
        if session is None:
            session = self._local.session = requests.Session()
            session.hooks["response"].append(self._answered)
        return session

    def _answered(self, response: requests.Response, **_: object) -> None:
        self._local.headers = dict(response.headers)
        if 300 <= response.status_code < 400:
            response.close()
            raise failures.moved(response.headers.get("Location", ""), where=self.asked)


def _flat(said: object) -> str:
    """GitLab's words: a text, a list of them, or lists by field."""
    if isinstance(said, Mapping):
        return "; ".join(f"{key}: {_flat(value)}" for key, value in said.items())
    if isinstance(said, list):
        return "; ".join(map(_flat, said))
    return str(said)
