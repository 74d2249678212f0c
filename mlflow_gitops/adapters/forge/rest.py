"""Asks a forge's REST API: each request once, no redirect followed, errors for people.

With requests itself: generated clients repeat writes that failed and follow redirects, and their
errors drop what a rate limit says.
"""

from __future__ import annotations

import threading
from base64 import b64encode
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import requests

from mlflow_gitops.adapters.forge import failures
from mlflow_gitops.adapters.forge.network import talking

__all__ = ["Json", "RestClient", "basic"]

Json = Mapping[str, Any]


class _Authorization(requests.auth.AuthBase):
    """In place of what ~/.netrc has for the host, which requests would send instead."""

    def __init__(self, value: str) -> None:
        self._value = value

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = self._value
        return request


class RestClient:
    """`where` is the address that all paths are below; a path may be a whole address instead."""

    name: ClassVar[str]
    rights: ClassVar[str]
    """What a token needs, for the hint of an error."""

    def __init__(self, where: str, token: Callable[[], str], timeout: float) -> None:
        self.where = where.rstrip("/")
        self._token = token
        self._timeout = timeout
        self._local = threading.local()

    def authorization(self, token: str) -> str:
        """Return the header's value for this token."""
        raise NotImplementedError

    def said(self, data: Json) -> str:
        """Return the forge's own words in the body of an error."""
        return str(data.get("message", ""))

    def is_sign_in(self, _answer: requests.Response) -> bool:
        """Whether the forge asks people to sign in, which it does where a token is refused."""
        return False

    @property
    def asked(self) -> str:
        """The last request of this thread, for errors: its verb and address, without a query."""
        return str(getattr(self._local, "asked", self.where))

    def get(self, path: str, query: Mapping[str, object] | None = None) -> Any:
        return self.ask("GET", path, params=dict(query or {}))[0]

    def send(self, verb: str, path: str, fields: Mapping[str, object] | None = None) -> Any:
        return self.ask(verb, path, json=dict(fields or {}))[0]

    def ask(self, verb: str, path: str, **data: Any) -> tuple[Any, Mapping[str, str]]:
        """Return what the body says, None where there is none, and the headers."""
        url = path if path.startswith(("http://", "https://")) else self.where + path
        asked = self._local.asked = f"{verb} {url}"
        with talking(self.name, lambda: asked):
            token = self._token()
            if not token:
                raise failures.no_token()
            answer = self._session().request(
                verb,
                url,
                auth=_Authorization(self.authorization(token)),
                allow_redirects=False,
                timeout=self._timeout,
                **data,
            )
            status = 401 if self.is_sign_in(answer) else answer.status_code
            if status >= 300:
                words, rights = self._words(answer), self.rights
                raise failures.failed(status, answer.headers, words, where=asked, rights=rights)
            return (answer.json() if answer.content else None), answer.headers

    def _words(self, answer: requests.Response) -> str:
        """Never a page that is not the API's."""
        try:
            data = answer.json()
        except ValueError:
            return ""
        return self.said(data) if isinstance(data, Mapping) else ""

    def _session(self) -> requests.Session:
        """This thread's."""
        session: requests.Session | None = getattr(self._local, "session", None)
        if session is None:
            session = self._local.session = requests.Session()
            session.headers.update({"User-Agent": "mlflow-gitops", "Accept": "application/json"})
        return session


def basic(user_and_password: str) -> str:
    return f"Basic {b64encode(user_and_password.encode()).decode('ascii')}"
