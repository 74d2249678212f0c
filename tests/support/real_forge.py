"""A real forge, for the contract suite: what one person, whose token is given, can do on it.

MLFLOW_GITOPS_TEST_FORGE_URL is the API's address, _KIND the forge's kind, _TOKEN a token that may
write the repository, _REPOSITORY its Git address. Branches have names of their own and are deleted
at the end, with which the forge closes what is still proposed from them. What needs a second
person, or an answer that a forge does not give on demand, skips the test.
"""

from __future__ import annotations

import base64
import os
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, NoReturn
from urllib.parse import quote, urlsplit

import pytest
import requests

from mlflow_gitops.pull_requests import CommitStatus, Verdict
from tests.support.forge_host import Answer, How, Update
from tests.support.git import Person

__all__ = ["CALLS", "Call", "RealForge", "real_forge", "variable"]

SECONDS = 60
VERDICTS: Mapping[str, Verdict] = {"success": "success", "pending": "pending", "running": "pending"}


@dataclass(frozen=True)
class Call:
    """One request of an API; `{r}` is the repository, `{n}` a number or commit, `{x}` a text."""

    verb: str
    path: str
    fields: Mapping[str, Any] = field(default_factory=dict)

    def filled(self, repository: str, number: object, text: str) -> tuple[str, dict[str, Any]]:
        values = {"r": repository, "n": str(number), "x": text}
        return self.path.format(**values), {
            name: [text] if each == ["{x}"] else each.format(**values)
            for name, each in self.fields.items()
        }


ISSUE = "/repos/{r}/issues/{n}"
PULL = "/repos/{r}/pulls/{n}"
REQUEST = "/projects/{r}/merge_requests/{n}"
SHARED = {
    "close": Call("PATCH", PULL, {"state": "closed"}),
    "say": Call("POST", f"{ISSUE}/comments", {"body": "{x}"}),
    "comments": Call("GET", f"{ISSUE}/comments"),
    "label": Call("POST", f"{ISSUE}/labels", {"labels": ["{x}"]}),
    "statuses": Call("GET", "/repos/{r}/commits/{n}/statuses"),
}
GITEA = {
    **SHARED,
    "new label": Call("POST", "/repos/{r}/labels", {"name": "{x}", "color": "#ededed"}),
    "merge": Call("POST", f"{PULL}/merge", {"do": "{x}"}),
}
CALLS: Mapping[str, Mapping[str, Call]] = {
    "github": {**SHARED, "merge": Call("PUT", f"{PULL}/merge", {"merge_method": "{x}"})},
    "gitea": GITEA,
    "forgejo": GITEA,
    "gitlab": {
        "close": Call("PUT", REQUEST, {"state_event": "close"}),
        "say": Call("POST", f"{REQUEST}/notes", {"body": "{x}"}),
        "comments": Call("GET", f"{REQUEST}/notes"),
        "label": Call("PUT", REQUEST, {"add_labels": "{x}"}),
        "statuses": Call("GET", "/projects/{r}/repository/commits/{n}/statuses"),
        "merge": Call("PUT", f"{REQUEST}/merge"),
    },
}


def variable(name: str) -> str:
    return os.environ.get(f"MLFLOW_GITOPS_TEST_FORGE_{name}", "")


@dataclass
class RealForge:
    """Implements `forge_host.Host`. `remote` is a Git address, without credentials."""

    tells_conflicts: ClassVar[bool] = True

    kind: str
    url: str
    token: str
    remote: str
    folder: Path
    colleagues: tuple[str, ...] = ()
    base: str = ""
    branch: str = ""
    _people: int = 0

    def __post_init__(self) -> None:
        name = uuid.uuid4().hex[:12]
        self.base = f"mlflow-gitops-test/{name}/base"
        self.branch = f"mlflow-gitops-test/{name}/branch"
        self.person(self.base).commits({"a.yaml": "uri: 1\n"})
        proposer = self.person(self.branch)
        proposer.run("fetch", "--quiet", "origin", self.base)
        proposer.run("push", "--quiet", "origin", f"FETCH_HEAD:refs/heads/{self.branch}")
        proposer.commits({"a.yaml": "uri: 2\n"})

    @property
    def repository(self) -> str:
        parts = urlsplit(self.remote)
        names = parts.path.strip("/").removesuffix(".git").split("/")
        return "/".join(names[-2:] if parts.scheme in ("", "file") else names)

    @cached_property
    def me(self) -> str:
        found = requests.get(f"{self.url}/user", headers=self._headers(), timeout=SECONDS).json()
        return str(found.get("login") or found["username"])

    @property
    def may_write(self) -> bool:
        return True

    @may_write.setter
    def may_write(self, value: bool) -> None:
        _skip("another token would be needed")

    @property
    def answers(self) -> list[Answer]:
        _skip("a real forge gives no answer on demand")

    @property
    def write_answers(self) -> list[Answer]:
        _skip("a real forge gives no answer on demand")

    @property
    def seen(self) -> list[str]:
        _skip("what a real forge was asked is not seen")

    def merge(self, number: int, by: str = "", how: How = "merge") -> str:
        self._is_me(by)
        if self.kind == "gitlab" and how != "merge":
            _skip("its project's settings say how GitLab merges")
        self._call("merge", number, how)
        return self.head(self.base)

    def close(self, number: int, by: str = "", comment: str = "") -> None:
        if comment:
            self.say(number, comment, by)
        self._is_me(by)
        self._call("close", number)

    def say(self, number: int, text: str, by: str = "") -> None:
        self._is_me(by)
        self._call("say", number, text)

    def passes(self, minutes: int) -> None:
        _skip(f"it would take {minutes} minutes")

    def approve(self, number: int, by: str = "") -> None:
        _skip("nobody approves what is their own")

    def request_changes(self, number: int, by: str = "") -> None:
        _skip("nobody asks themselves for changes")

    def label(self, number: int, name: str) -> None:
        if "new label" in CALLS[self.kind]:
            self._call("new label", number, name)
        self._call("label", number, name)

    def propose_from_fork(self) -> int:
        _skip("it needs a fork")

    def reviewers(self, number: int) -> list[str]:
        _skip("it needs a second person")

    def comments(self, number: int) -> list[str]:
        return [each["body"] for each in self._call("comments", number) if not each.get("system")]

    def statuses(self, commit: str) -> list[CommitStatus]:
        found = self._call("statuses", commit)
        found.sort(key=lambda each: each["id"])
        return [
            CommitStatus(
                each.get("context") or each["name"],
                VERDICTS.get(each.get("state") or each["status"], "failure"),
                each["description"],
                each.get("target_url") or "",
            )
            for each in found
        ]

    def update_branch(self, number: int, how: Update = "merge") -> str:
        """By Git: nothing but the branch changes."""
        person = self.person(self.branch)
        return person.merges(self.base) if how == "merge" else person.rebases(self.base)

    def person(self, branch: str) -> Person:
        self._people += 1
        person = Person(self.folder / f"person-{self._people}", self.remote, branch)
        if urlsplit(self.remote).scheme in ("http", "https"):
            pair = base64.b64encode(f"x-access-token:{self.token}".encode()).decode()
            person.run("config", "http.extraHeader", f"Authorization: Basic {pair}")
        return person

    def head(self, branch: str) -> str:
        return self.person(branch).run("ls-remote", "origin", f"refs/heads/{branch}").split()[0]

    def ends(self) -> None:
        for branch in (self.branch, self.base):
            self.person(branch).run("push", "--quiet", "origin", f":refs/heads/{branch}")

    def _is_me(self, by: str) -> None:
        if by not in ("", self.me):
            _skip("it needs a second person")

    def _call(self, name: str, number: object, text: str = "") -> Any:
        call = CALLS[self.kind][name]
        repository = quote(self.repository, safe="") if self.kind == "gitlab" else self.repository
        path, fields = call.filled(repository, number, text)
        answer = requests.request(
            call.verb,
            f"{self.url}{path}",
            json=fields or None,
            headers=self._headers(),
            timeout=SECONDS,
        )
        assert answer.ok, f"{call.verb} {path}: {answer.status_code}"
        return answer.json() if answer.content else None

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}


def _skip(reason: str) -> NoReturn:
    pytest.skip(reason)


@contextmanager
def real_forge(folder: Path) -> Iterator[RealForge]:
    """The one that the environment names."""
    host = RealForge(
        variable("KIND"),
        variable("URL").rstrip("/"),
        variable("TOKEN"),
        variable("REPOSITORY"),
        folder,
    )
    try:
        yield host
    finally:
        host.ends()
