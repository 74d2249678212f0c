"""A Gitea of one's own, for tests that need a real forge with several people.

GITEA_BINARY names the program; docs/forges.md says how to build it. Its folder has to hold Gitea's
`templates` and `options`, or GITEA_STATIC_ROOT names the folder that does.
"""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

from tests.support.git import Person

__all__ = ["BOT", "PEOPLE", "GiteaRepository", "RealGitea", "binary", "real_gitea"]

BOT = "mlflow-gitops"
PEOPLE = ("rita", "raj")
PASSWORD = "correct-horse-10d2dc07"
SECONDS = 60
SETTINGS = """RUN_USER = {user}
RUN_MODE = prod
WORK_PATH = {folder}
[server]
HTTP_ADDR = 127.0.0.1
HTTP_PORT = {port}
ROOT_URL = http://127.0.0.1:{port}/
DISABLE_SSH = true
OFFLINE_MODE = true
STATIC_ROOT_PATH = {static}
[database]
DB_TYPE = sqlite3
[security]
INSTALL_LOCK = true
SECRET_KEY = {secret}
INTERNAL_TOKEN = {token}
PASSWORD_HASH_ALGO = pbkdf2$10$50
[service]
DISABLE_REGISTRATION = true
[log]
LEVEL = Error
[indexer]
ISSUE_INDEXER_TYPE = db
[actions]
ENABLED = false
"""


def binary() -> str:
    return os.environ.get("GITEA_BINARY", "")


@dataclass
class GiteaRepository:
    """One repository. `number` counts people's clones."""

    server: RealGitea
    name: str
    folder: Path
    _people: int = 0

    @property
    def remote(self) -> str:
        return f"{self.server.url}/{self.name}.git"

    def merge(self, number: int, by: str = "rita") -> None:
        """Gitea refuses for a moment while it still looks whether there is a conflict."""
        for _ in range(50):
            answer = self.asks(by, "POST", f"/pulls/{number}/merge", Do="squash")
            if answer.ok:
                return
            time.sleep(0.1)
        raise AssertionError(answer.text)

    def approve(self, number: int, by: str = "rita") -> None:
        made = self.asks(by, "POST", f"/pulls/{number}/reviews", event="APPROVED", body="good")
        assert made.ok, made.text

    def comments(self, number: int) -> list[str]:
        return [each["body"] for each in self.asks(BOT, "GET", f"/issues/{number}/comments").json()]

    def person(self, branch: str) -> Person:
        self._people += 1
        url = self.remote.replace("://", f"://rita:{PASSWORD}@")
        return Person(self.folder / f"person-{self._people}", url, branch)

    def asks(self, by: str, verb: str, path: str, **fields: object) -> requests.Response:
        return self.server.asks(by, verb, f"/repos/{self.name}{path}", **fields)


@dataclass
class RealGitea:
    url: str
    folder: Path
    token: str = ""
    _made: int = field(default=0)

    @property
    def api(self) -> str:
        return f"{self.url}/api/v1"

    def repository(self) -> GiteaRepository:
        """A new one with a README, which everybody may write to.

        Gitea learns of a first push in its own time, and denies until then that it has pulls.
        """
        self._made += 1
        name, owner = f"manifests{self._made}", PEOPLE[0]  # without "-", which markers escape
        made = self.asks(
            owner, "POST", "/user/repos", name=name, auto_init=True, default_branch="main"
        )
        assert made.ok, made.text
        for other in (BOT, *PEOPLE[1:]):
            path = f"/repos/{owner}/{name}/collaborators/{other}"
            assert self.asks(owner, "PUT", path, permission="write").ok
        return GiteaRepository(self, f"{owner}/{name}", self.folder / name)

    def asks(self, by: str, verb: str, path: str, **fields: object) -> requests.Response:
        body: dict[str, Any] | None = dict(fields) or None
        url = f"{self.api}{path}"
        return requests.request(verb, url, json=body, auth=(by, PASSWORD), timeout=SECONDS)


@contextmanager
def real_gitea(folder: Path) -> Iterator[RealGitea]:
    """Serve on a free loopback port until the block ends."""
    user = "nobody" if os.getuid() == 0 else pwd.getpwuid(os.getuid()).pw_name
    with tempfile.TemporaryDirectory(prefix="gitea-") as made:  # pytest's folders are root's alone
        yield from _serve(user, Path(made), folder)


def _serve(user: str, home: Path, folder: Path) -> Iterator[RealGitea]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = home / "app.ini"
    static = os.environ.get("GITEA_STATIC_ROOT") or str(Path(binary()).resolve().parent)
    secrets = {"secret": os.urandom(16).hex(), "token": _internal_token()}
    names = {"user": user, "folder": home, "port": port, "static": static}
    settings.write_text(SETTINGS.format(**names, **secrets))
    if os.getuid() == 0:  # Gitea refuses to run as root
        shutil.chown(home, user)
        shutil.chown(settings, user)
    base = [binary(), "--config", str(settings)]
    environ = {**os.environ, "HOME": str(home), "GITEA_WORK_DIR": str(home)}

    def run(*arguments: str) -> str:
        done = subprocess.run(
            [*base, *arguments], env=environ, user=_user(user), capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.strip()

    run("migrate")
    for name in (BOT, *PEOPLE):
        account = ("--username", name, "--password", PASSWORD, "--email", f"{name}@example.com")
        run("admin", "user", "create", *account, "--must-change-password=false")
    scopes = ("--raw", "--scopes", "write:repository,write:issue,read:user")
    server = RealGitea(f"http://127.0.0.1:{port}", folder)
    server.token = run("admin", "user", "generate-access-token", "--username", BOT, *scopes)
    with (home / "log.txt").open("w") as log:
        process = subprocess.Popen(
            [*base, "web"], env=environ, user=_user(user), stdout=log, stderr=log
        )
        try:
            _wait(server, process, home / "log.txt")
            yield server
        finally:
            process.terminate()
            process.wait(SECONDS)


def _user(name: str) -> str | None:
    return name if os.getuid() == 0 else None


def _internal_token() -> str:
    done = subprocess.run(
        [binary(), "generate", "secret", "INTERNAL_TOKEN"], capture_output=True, text=True
    )
    return done.stdout.strip()


def _wait(server: RealGitea, process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(SECONDS * 10):
        try:
            if requests.get(f"{server.api}/version", timeout=SECONDS).ok:
                return
        except requests.RequestException:
            pass
        assert process.poll() is None, log.read_text()
        time.sleep(0.1)
    raise AssertionError(log.read_text())
