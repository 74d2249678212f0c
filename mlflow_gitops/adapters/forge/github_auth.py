"""Who speaks to GitHub: a token's user, or an app's installation whose tokens live for an hour.

A token is asked for at each request, so that it may be rotated; an installation's is fetched when
it is first needed, kept, and renewed before it expires. No key and no token is in an error.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from threading import Lock
from urllib.parse import quote

from mlflow_gitops.adapters.forge import failures
from mlflow_gitops.adapters.forge.github_client import (
    AppAuth,
    AppAuthToken,
    Auth,
    GitHubClient,
)
from mlflow_gitops.adapters.forge.network import talking
from mlflow_gitops.config.github_app import GitHubApp
from mlflow_gitops.errors import ConfigError, ForgeError

__all__ = ["Installation", "Rotating"]

RENEWED = 300  # seconds before it expires
NEEDED = {"contents": "read", "pull_requests": "write", "statuses": "write"}
ENOUGH = {"read": ("read", "write", "admin"), "write": ("write", "admin")}
KEY = "MLFLOW_GITOPS_GITHUB_APP_KEY"
APP_RIGHTS = (
    "give the app the repository permissions `contents`, `pull requests` and `commit statuses`: "
    "write, and accept them in its installation"
)


class Rotating(Auth):
    """Reads the token for each request."""

    def __init__(self, read: Callable[[], str]) -> None:
        self._read = read

    def forget(self) -> None:
        """Nothing is kept."""

    @property
    def token_type(self) -> str:
        return "token"

    @property
    def token(self) -> str:
        found = self._read()
        if not found:
            raise failures.no_token()
        return found


class Installation(Auth):
    """An app's, of the repository `<owner>/<name>`. Its tokens are for that repository alone."""

    def __init__(
        self,
        app: GitHubApp,
        api_url: str,
        repository: str,
        *,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._app = app
        self._api_url = api_url
        self._repository = repository
        self._where = f"{api_url.rstrip('/')}/repos/{quote(repository)}"
        self._now = now
        self._lock = Lock()
        self._kept, self._until = "", 0.0

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._app.id!r}, {self._where!r})"

    @property
    def token_type(self) -> str:
        return "token"

    @property
    def token(self) -> str:
        with self._lock:
            if self._now() >= self._until:
                self._kept, self._until = self._fetched()
            return self._kept

    def forget(self) -> None:
        """It was refused before its time: the next request has another."""
        with self._lock:
            self._until = 0.0

    def account(self) -> str:
        """The name under which the app acts."""
        return f"{self._as_app().get('/app')['slug']}[bot]"

    def _fetched(self) -> tuple[str, float]:
        """A token, and until when it is used."""
        client, name = self._as_app(), self._repository.partition("/")[2]
        with self._installed():
            number = self._app.installation or self._installation(client)
            path = f"/app/installations/{number}/access_tokens"
            made = client.send("POST", path, {"repositories": [name]})
            self._check(made.get("permissions") or {})
            ends = datetime.fromisoformat(made["expires_at"]).timestamp()
            return str(made["token"]), ends - RENEWED

    def _installation(self, client: GitHubClient) -> str:
        return str(client.get(f"/repos/{quote(self._repository)}/installation")["id"])

    def _check(self, granted: Mapping[str, str]) -> None:
        lacking = [n for n, need in NEEDED.items() if granted.get(n) not in ENOUGH[need]]
        if lacking:
            names = ", ".join(f"`{name.replace('_', ' ')}`" for name in lacking)
            raise ForgeError(
                f"the app lacks permissions in its installation: {names}",
                where=self._where,
                hint=APP_RIGHTS,
            )

    @contextmanager
    def _installed(self) -> Iterator[None]:
        """Says in an app's words what GitHub refuses it."""
        with talking(GitHubClient.name, lambda: self._where):
            try:
                yield
            except failures.AnswerError as error:
                if error.status == 401:
                    raise ConfigError(
                        f"GitHub does not take what the app {self._app.id} signs: it is another "
                        "app's key, or the clock of this machine is wrong",
                        where=KEY,
                        hint="make a private key in the app's settings and set it there, or set "
                        "the clock",
                    ) from None
                if error.status in (404, 422):
                    raise ForgeError(
                        f"there is no app {self._app.id}, or it is not installed on the repository",
                        where=self._where,
                        hint="install it there; MLFLOW_GITOPS_GITHUB_APP_ID is its number, and "
                        "MLFLOW_GITOPS_GITHUB_APP_INSTALLATION may stay unset",
                    ) from None
                raise

    def _as_app(self) -> GitHubClient:
        return GitHubClient(self._api_url, "", AppAuthToken(self._signed()))

    def _signed(self) -> str:
        key = self._app.key()
        try:
            return AppAuth(self._app.id, key).create_jwt()
        except Exception:  # of three libraries, and they may quote the key
            raise ConfigError(
                "the app's private key cannot be used",
                where=KEY,
                hint="set it to the PEM file that the app's settings gave, without a passphrase",
            ) from None
