"""Real Git for tests and benchmarks: bare repositories, a second person's clone, an HTTP server."""

from __future__ import annotations

import base64
import gzip
import os
import subprocess
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import ClassVar
from urllib.parse import unquote, urlsplit

__all__ = ["GitHttpServer", "Person", "git", "install_hook", "make_bare"]

AUTHOR = {
    "GIT_AUTHOR_NAME": "Grace",
    "GIT_AUTHOR_EMAIL": "grace@example.com",
    "GIT_COMMITTER_NAME": "Grace",
    "GIT_COMMITTER_EMAIL": "grace@example.com",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_TERMINAL_PROMPT": "0",
}

PUSH_ATTEMPTS = 20


def clean_environment() -> dict[str, str]:
    """The process's own, without the Git variables of whoever runs the tests."""
    return {k: v for k, v in os.environ.items() if not k.startswith("GIT_")} | AUTHOR


def git(*arguments: str, cwd: Path | str, stdin: bytes | None = None) -> str:
    """Run git and return what it prints, stripped. Raises CalledProcessError."""
    done = subprocess.run(
        ["git", *arguments],
        cwd=cwd,
        env=clean_environment(),
        input=stdin,
        stdin=subprocess.DEVNULL if stdin is None else None,
        capture_output=True,
        check=True,
    )
    return done.stdout.decode("utf-8", "replace").strip()


def make_bare(
    folder: Path, files: Mapping[str, str | bytes] | None = None, *, branch: str = "main"
) -> Path:
    """A bare repository at `folder` with one commit of `files`; without any, it stays empty."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    git("init", "--quiet", "--bare", "-b", branch, str(folder), cwd=folder.parent)
    if files:
        parts = [b"commit refs/heads/%s\n" % branch.encode()]
        parts.append(b"committer Grace <grace@example.com> 1700000000 +0000\ndata 5\nbegin\n")
        for path, text in files.items():
            data = text.encode() if isinstance(text, str) else text
            parts.append(b'M 100644 inline "%s"\ndata %d\n' % (path.encode(), len(data)))
            parts.append(data + b"\n")
        git("fast-import", "--quiet", cwd=folder, stdin=b"".join(parts))
    return folder


def install_hook(bare: Path, name: str, script: str) -> None:
    """A hook of the repository's server side, as a shell script."""
    hook = bare / "hooks" / name
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\n{script}\n")
    hook.chmod(0o755)


@dataclass
class Person:
    """Somebody with a clone of their own. Each act starts from the remote's newest state."""

    folder: Path
    url: str
    branch: str = "main"

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True)
        git("init", "--quiet", cwd=self.folder)
        git("remote", "add", "origin", self.url, cwd=self.folder)

    def commits(self, files: Mapping[str, str | bytes | None], message: str = "by hand") -> str:
        """Change files (None deletes), commit and push. Returns the commit.

        Where somebody else was faster it starts again.
        """
        for attempt in range(PUSH_ATTEMPTS):
            self.updates()
            self._writes(files)
            self.run("add", "--all")
            self.run("commit", "--quiet", "--cleanup=verbatim", "--allow-empty", "-m", message)
            try:
                return self.pushes()
            except subprocess.CalledProcessError:
                if attempt == PUSH_ATTEMPTS - 1:
                    raise
        raise AssertionError("not reached")

    def _writes(self, files: Mapping[str, str | bytes | None]) -> None:
        for path, text in files.items():
            place = self.folder / path
            if text is None:
                place.unlink()
                continue
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(text.encode() if isinstance(text, str) else text)

    def reverts(self, commit: str) -> str:
        self.updates()
        self.run("revert", "--no-edit", commit)
        return self.pushes()

    def merges(self, source: str = "main", files: Mapping[str, str] | None = None) -> str:
        """Merge a branch into this one, as a forge's "Update branch" does; push.

        `files` are what a person makes of it, beyond or instead of what Git does.
        """
        self.updates()
        merge = ("merge", "--quiet", "--no-ff", "--no-commit", f"origin/{source}")
        try:
            self.run(*merge)
        except subprocess.CalledProcessError:
            if files is None:
                raise
        self._writes(files or {})
        self.run("add", "--all")
        self.run("commit", "--quiet", "-m", f"Merge branch '{source}' into {self.branch}")
        return self.pushes()

    def rebases(self, base: str = "main") -> str:
        """Rebase this branch, as a forge's "Update with rebase" does; push."""
        self.updates()
        self.run("rebase", "--quiet", f"origin/{base}")
        return self.pushes("--force")

    def amends(self, files: Mapping[str, str]) -> str:
        """Put more into the branch's last commit, which keeps its message; push."""
        self.updates()
        self._writes(files)
        self.run("add", "--all")
        self.run("commit", "--quiet", "--amend", "--no-edit")
        return self.pushes("--force")

    def updates(self) -> None:
        self.run("fetch", "--quiet", "origin")
        if self.run("ls-remote", "--heads", "origin", self.branch):
            self.run("checkout", "--quiet", "-B", self.branch, f"origin/{self.branch}")
        else:
            self.run("checkout", "--quiet", "-B", self.branch)

    def pushes(self, *options: str) -> str:
        self.run("push", "--quiet", *options, "origin", f"HEAD:refs/heads/{self.branch}")
        return self.run("rev-parse", "HEAD")

    def run(self, *arguments: str) -> str:
        return git(*arguments, cwd=self.folder)


@dataclass
class GitHttpServer:
    """Git's smart HTTP on loopback, through `git http-backend`; serves what is below `root`.

    `users` maps user names to passwords; without any, everybody may push. `status` answers every
    request with that code instead; `moved_to` redirects there. Use it as a context manager.
    """

    root: Path
    users: Mapping[str, str] = field(default_factory=dict)
    status: int = 0
    moved_to: str = ""
    requests: list[tuple[str, str, str]] = field(default_factory=list)
    """Method, path and Authorization of each request, in order."""

    def __enter__(self) -> GitHttpServer:
        handler = type("Handler", (_Handler,), {"owner": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def url(self, name: str) -> str:
        """The URL of a repository folder below the root."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/{name}"

    def allows(self, authorization: str) -> bool:
        pairs = (f"{user}:{password}" for user, password in self.users.items())
        known = {f"Basic {base64.b64encode(pair.encode()).decode()}" for pair in pairs}
        return not self.users or authorization in known


class _Handler(BaseHTTPRequestHandler):
    owner: ClassVar[GitHttpServer]
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def do_GET(self) -> None:
        self._serve(b"")

    def do_POST(self) -> None:
        self._serve(self._body())

    def log_message(self, format: str, *args: object) -> None:
        """Quiet: the requests are kept by the server."""

    def _serve(self, body: bytes) -> None:
        authorization = self.headers.get("Authorization", "")
        self.owner.requests.append((self.command, self.path, authorization))
        if self.owner.status:
            self._answer(self.owner.status, {}, b"")
        elif self.owner.moved_to:
            self._answer(301, {"Location": self.owner.moved_to + self.path}, b"")
        elif not self.owner.allows(authorization):
            self._answer(401, {"WWW-Authenticate": 'Basic realm="git"'}, b"")
        else:
            self._answer(*self._backend(body))

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            body = b""
            while size := int(self.rfile.readline().split(b";")[0], 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.headers.get("Content-Encoding") == "gzip":
            return gzip.decompress(body)
        return body

    def _backend(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        parts = urlsplit(self.path)
        env = {k: v for k, v in clean_environment().items() if k not in AUTHOR} | {
            "GIT_PROJECT_ROOT": str(self.owner.root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            "GIT_CONFIG_GLOBAL": os.devnull,
            "REQUEST_METHOD": self.command,
            "PATH_INFO": unquote(parts.path),
            "QUERY_STRING": parts.query,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "REMOTE_ADDR": "127.0.0.1",
            "REMOTE_USER": "somebody",  # http-backend takes pushes from known users only
        }
        done = subprocess.run(["git", "http-backend"], env=env, input=body, capture_output=True)
        head, _, out = done.stdout.partition(b"\r\n\r\n")
        lines = (line.partition(": ") for line in head.decode("latin-1").split("\r\n") if line)
        headers = {name: value for name, _, value in lines}
        return int(headers.pop("Status", "200").split()[0]), headers, out

    def _answer(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
