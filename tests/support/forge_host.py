"""What people and the network do on a forge, whatever kind it is: what the contract suite needs.

`LocalForge` is what the local servers have in common: loopback HTTP over a real bare repository, so
that branches, heads, conflicts and merges are Git's own. A server is one class that answers its
forge's paths. What it cannot answer is a fault, and any fault fails the test at its end.
"""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol
from urllib.parse import parse_qsl, urlsplit

from mlflow_gitops.adapters.forge import open_forge
from mlflow_gitops.ports import Forge
from mlflow_gitops.pull_requests import CommitStatus
from tests.support.git import Person, git
from tests.support.in_thread import in_thread
from tests.support.openapi import description
from tests.support.published import Published

__all__ = [
    "BRANCH",
    "Answer",
    "Asked",
    "Host",
    "How",
    "LocalForge",
    "Reply",
    "Update",
    "When",
    "opened",
    "serving",
]

BRANCH = "mlflow-gitops/production/fraud-detector"

How = Literal["merge", "squash", "rebase", "fast-forward"]
"""A fast-forward needs a base that did not move."""

When = Literal["before", "after"]
Update = Literal["merge", "rebase"]
Answer = tuple[int, Mapping[str, str], str]
"""Status, headers and body, as they are sent."""
Reply = tuple[int, object]
"""Status, and what becomes JSON (None: no body)."""


class Host(Protocol):
    """A forge with one repository: `repository` on it, `remote` for Git, `url` for the API.

    `branch` is ahead of `base` by one commit, which changes `a.yaml`. `answers` are given to the
    next requests instead, `write_answers` to the next that are no GET. `seen` is each request's
    verb and path. Without `may_write` the token may only read. `me` merges, closes and comments,
    `colleagues` may review; `nobody` is no user.
    """

    kind: str
    url: str
    repository: str
    token: str
    remote: str
    base: str
    branch: str
    me: str
    colleagues: Sequence[str]
    tells_conflicts: ClassVar[bool]
    """Whether the forge says that a pull request is in conflict."""
    may_write: bool
    answers: list[Answer]
    write_answers: list[Answer]
    seen: list[str]

    def merge(self, number: int, by: str = "rita", how: How = "merge") -> str:
        """The commit that came to be in the base."""

    def close(self, number: int, by: str = "rita", comment: str = "") -> None: ...

    def say(self, number: int, text: str, by: str = "rita") -> None:
        """A comment."""

    def passes(self, minutes: int) -> None:
        """Time passes on the forge."""

    def approve(self, number: int, by: str = "rita") -> None: ...

    def request_changes(self, number: int, by: str = "rita") -> None: ...

    def label(self, number: int, name: str) -> None: ...

    def propose_from_fork(self) -> int:
        """Somebody's pull request from a branch of the same name in a fork."""

    def reviewers(self, number: int) -> list[str]:
        """Who is asked for a review; `team:<name>` for a team."""

    def comments(self, number: int) -> list[str]: ...

    def statuses(self, commit: str) -> list[CommitStatus]:
        """All that were ever sent for it, oldest first."""

    def person(self, branch: str) -> Person:
        """Somebody with a clone."""

    def head(self, branch: str) -> str: ...

    def has(self, branch: str) -> bool:
        return bool(git("for-each-ref", f"refs/heads/{branch}", cwd=self.bare))

    def update_branch(self, number: int, how: Update = "merge") -> str:
        """Somebody brings the pull request's branch up to its base. Returns the new head."""


def opened(host: Host) -> Forge:
    """The adapter for the host's repository."""
    identity = f"forge.example.com/{host.repository}"
    return open_forge(identity, host.kind, host.url, token=lambda: host.token)


@dataclass(frozen=True)
class Asked:
    """One request. `path` is as it was sent, with its escapes; `body` {} where there is none."""

    verb: str
    path: str
    query: Mapping[str, str]
    body: Any
    headers: Mapping[str, str]


@dataclass
class LocalForge:
    """What a local server has in common with the others; `folder` is for people's clones."""

    kind: ClassVar[str]
    secret: ClassVar[str]
    refs: ClassVar[str] = "pull"
    """Where it keeps the heads of pull requests."""
    me: ClassVar[str] = "rita"
    colleagues: ClassVar[Sequence[str]] = ("rita", "raj")
    tells_conflicts: ClassVar[bool] = True
    names_required: ClassVar[bool] = True
    """Whether statuses are required by their names, and the API tells them."""
    tells_protection: ClassVar[bool] = True
    """Whether everybody who may write sees how a branch is protected."""
    published: ClassVar[Published | None]
    """The description of its API, that requests and replies are held to where it is to be had."""

    bare: Path
    folder: Path
    url: str = ""
    repository: str = "ml/manifests"
    base: str = "main"
    branch: str = BRANCH
    may_write: bool = True
    is_archived: bool = False
    takes_pushes: bool = True
    """Whether the base takes direct pushes from the token's user."""
    required: tuple[str, ...] = ()
    """The statuses that a merge into the base needs."""
    hides: bool = False
    """Whether the token may not see how the base is protected."""
    answers: list[Answer] = field(default_factory=list)
    write_answers: list[Answer] = field(default_factory=list)
    seen: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    """Of the answer in hand, beside its type."""
    token: str = ""
    lags: int = 0
    """How often it still looks whether a pull request can be merged, each time it is asked."""
    is_wrong: bool = False
    """Whether it says that there is a conflict, of an older head or base."""
    cut: tuple[int, When] | None = None
    """The request of this number, as `seen` counts them, gets no answer: the connection is closed
    before it took effect, or after.
    """
    green: set[int] = field(default_factory=set)
    """Pull requests that it merges by itself once the `required` checks of their heads passed."""
    required: Sequence[str] = ()
    clock: datetime = datetime(2026, 11, 23, 10, tzinfo=UTC)
    _people: int = 0

    def __post_init__(self) -> None:
        self.token = self.token or self.secret

    @property
    def remote(self) -> str:
        return str(self.bare)

    def answer(self, asked: Asked) -> Reply:
        """What the forge answers; what its API requires beside it is filled in."""
        raise NotImplementedError

    def now(self) -> str:
        """ISO 8601 in UTC; a second later each time."""
        self.clock += timedelta(seconds=1)
        return self.clock.isoformat().replace("+00:00", "Z")

    def passes(self, minutes: int) -> None:
        self.clock += timedelta(minutes=minutes)

    def person(self, branch: str) -> Person:
        self._people += 1
        return Person(self.folder / f"person-{self._people}", str(self.bare), branch)

    def head(self, branch: str) -> str:
        return git("rev-parse", f"refs/heads/{branch}", cwd=self.bare)

    def has(self, branch: str) -> bool:
        return bool(git("for-each-ref", f"refs/heads/{branch}", cwd=self.bare))

    def update_branch(self, number: int, how: Update = "merge") -> str:
        branch, base = self.branches_of(number)
        person = self.person(branch)
        return person.merges(base) if how == "merge" else person.rebases(base)

    def branches_of(self, number: int) -> tuple[str, str]:
        """A pull request's own branch, and its base."""
        raise NotImplementedError

    def heard(self, commit: str) -> None:
        """A status came: what waited for it is merged at once."""
        passed = {each.name: each.verdict == "success" for each in self.statuses(commit)}
        for number in sorted(self.green):
            branch, _ = self.branches_of(number)
            if self.head(branch) == commit and all(passed.get(name) for name in self.required):
                self.green.discard(number)
                self.merge(number, self.me)

    # What the servers have of `Host`, and of people who take away what the tool wrote

    def merge(self, number: int, by: str = "rita", how: How = "merge") -> str:
        raise NotImplementedError

    def statuses(self, commit: str) -> list[CommitStatus]:
        raise NotImplementedError

    def rewrite(self, number: int, *, title: str = "", body: str | None = None) -> None:
        raise NotImplementedError

    def unlabel(self, number: int, name: str) -> None:
        raise NotImplementedError

    def unask(self, number: int, reviewer: str) -> None:
        raise NotImplementedError

    def looks(self) -> bool:
        """Whether it still looks, once less than before."""
        self.lags, is_looking = max(0, self.lags - 1), self.lags > 0
        return is_looking

    def is_mergeable(self, base: str, head: str) -> bool:
        if self.is_wrong:
            return False
        command = ["git", "merge-tree", "--write-tree", f"refs/heads/{base}", head]
        return subprocess.run(command, cwd=self.bare, capture_output=True).returncode == 0

    def merged(self, branch: str, base: str, how: How, title: str, number: int) -> str:
        """Merge in Git, as a forge does; the commit that came to be in the base."""
        self.keeps_head(number, branch)
        person = self.person(base)
        person.updates()
        source = f"origin/{branch}"
        if how == "merge":
            said = self.merge_message(branch, base, title, number)
            person.run("merge", "--quiet", "--no-ff", "-m", said, source)
        elif how == "squash":
            person.run("merge", "--quiet", "--squash", source)
            person.run("commit", "--quiet", "-m", self.squash_message(title, number))
        elif how == "fast-forward":
            person.run("merge", "--quiet", "--ff-only", source)
        else:
            person.run("cherry-pick", f"origin/{base}..{source}")
        return person.pushes()

    def keeps_head(self, number: int, branch: str) -> None:
        """The ref that holds the head, also when the branch is gone."""
        ref = f"refs/{self.refs}/{number}/head"
        git("update-ref", ref, f"refs/heads/{branch}", cwd=self.bare)

    def merge_message(self, branch: str, base: str, title: str, number: int) -> str:
        del base
        return f"Merge pull request #{number} from ml/{branch}\n\n{title}"

    def squash_message(self, title: str, number: int) -> str:
        """Without the messages of the commits, as many teams have it."""
        return f"{title} (#{number})"

    def reply(self, asked: Asked) -> Answer | None:
        """Return the answer to the next request; None where it is cut."""
        number, when = self.cut or (0, "before")
        if number != len(self.seen) + 1:
            return self._next(asked)
        if when == "before":
            self.seen.append(f"{asked.verb} {asked.path}")
        else:
            self._next(asked)
        return None

    def _next(self, asked: Asked) -> Answer:
        self.seen.append(f"{asked.verb} {asked.path}")
        canned = self.answers or (self.write_answers if asked.verb != "GET" else [])
        self.headers.clear()
        try:
            api = description(self.published) if self.published else None
            operation = api.operation(asked.verb, asked.path) if api else None
            if operation:
                operation.check_request(asked.query, asked.body)
            if canned:
                return canned.pop(0)
            status, found = self.answer(asked)
            if operation:
                found = operation.reply(status, found)
        except Exception as fault:  # whatever it is, it fails the test
            self.faults.append(f"{asked.verb} {asked.path}: {type(fault).__name__}: {fault}")
            return 418, {}, ""
        text = "" if found is None else json.dumps(found)
        return status, {"Content-Type": "application/json", **self.headers}, text


@contextmanager
def serving(forge: LocalForge, prefix: str = "") -> Iterator[None]:
    """Serve on a free loopback port until the block ends; the API's address ends in `prefix`."""
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        wbufsize = -1

        def answer(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else {}
            parts = urlsplit(self.path)
            query: dict[str, str] = {}
            for name, value in parse_qsl(parts.query, keep_blank_values=True):
                query[name] = f"{query[name]},{value}" if name in query else value
            asked = Asked(self.command, parts.path, query, body, dict(self.headers))
            with lock:
                found = forge.reply(asked)
            if found is None:
                self.close_connection = True
                return
            status, headers, text = found
            data = text.encode()
            self.send_response_only(status)
            for name, value in {"Date": self.date_time_string(), **headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *args: Any) -> None:
            pass

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = answer  # noqa: N815

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    forge.url = f"http://127.0.0.1:{server.server_address[1]}{prefix}"
    with in_thread(server):
        yield
    assert not forge.faults, "\n".join(forge.faults)
