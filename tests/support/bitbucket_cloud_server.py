"""Bitbucket Cloud's REST API on loopback, as far as pull requests go.

Implements `forge_host.Host`. `KNOWN` has the query and body fields that each path takes; a
request with another one is a fault. The table was not checked against a description of the API.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlflow_gitops.adapters.forge.bitbucket_text import read, written
from mlflow_gitops.pull_requests import CommitStatus
from tests.support.forge_host import Asked, How, LocalForge, Reply, serving
from tests.support.git import git

__all__ = ["TOKEN", "BitbucketCloudServer", "bitbucket_cloud_server"]

TOKEN = "ATCTT3xs3cr3t-0f-the-forge"
OURS = "mlflow-gitops"
IDS = {OURS: "{0}", "rita": "{1}", "raj": "{2}"}
ROOT = "/2.0/repositories/ml/manifests"
WEB = "https://bitbucket.org/ml/manifests"
PULL = rf"{ROOT}/pullrequests/\d+"
COMMIT = rf"{ROOT}/commit/[0-9a-f]+"
PAGED = {"pagelen", "page"}
CHANGED = {"title", "description", "reviewers", "destination", "source"}
KNOWN: Mapping[str, set[str]] = {
    rf"GET {ROOT}": set(),
    rf"GET {ROOT}/pullrequests": {"q", "state", "sort", *PAGED},
    rf"POST {ROOT}/pullrequests": CHANGED | {"close_source_branch", "draft"},
    rf"GET {PULL}": set(),
    rf"PUT {PULL}": CHANGED,
    rf"GET {PULL}/activity": PAGED,
    rf"POST {PULL}/comments": {"content"},
    rf"POST {PULL}/decline": set(),
    rf"GET {COMMIT}": {"fields"},
    rf"GET {COMMIT}/pullrequests": PAGED,
    rf"GET {COMMIT}/statuses": {"q", "sort", *PAGED},
    rf"POST {COMMIT}/statuses/build": {"key", "name", "state", "description", "url", "refname"},
    rf"GET {ROOT}/branch-restrictions": {"kind", "pattern", *PAGED},
    r"GET /2.0/user": set(),
    r"GET /2.0/user/workspaces/ml/permissions/repositories": {"q", "sort", *PAGED},
    r"GET /2.0/workspaces/ml/members": {"q", "fields", *PAGED},
}
STATES: Any = {"SUCCESSFUL": "success", "FAILED": "failure", "INPROGRESS": "pending"}


@dataclass
class Pull:
    number: int
    title: str
    description: str
    branch: str
    base: str
    created: str
    state: str = "OPEN"
    head: str = ""
    merge_commit: str = ""
    decided_by: str = ""
    updated: str = ""
    is_fork: bool = False
    reviewers: list[str] = field(default_factory=list)
    verdicts: dict[str, str] = field(default_factory=dict)
    activity: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class BitbucketCloudServer(LocalForge):
    """`knows_user` is whether the token is a user's; `has_index` whether commits are known by
    their pull requests, which takes an app that somebody has to install.
    """

    kind = "bitbucket-cloud"
    secret = TOKEN
    published = None
    tells_conflicts = False
    names_required = False
    tells_protection = False

    pulls: list[Pull] = field(default_factory=list)
    sent: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    knows_user: bool = True
    has_index: bool = True
    scopes: str = "pullrequest:write, repository:write"
    groups: list[dict[str, str]] = field(default_factory=list)
    """Who may push in spite of a restriction."""

    # What people do

    def merge(self, number: int, by: str = "rita", how: How = "merge") -> str:
        pull = self._known(number)
        pull.merge_commit = self.merged(pull.branch, pull.base, how, pull.title, number)
        pull.state, pull.decided_by = "MERGED", by
        self._update(pull, by)
        return pull.merge_commit

    def close(self, number: int, by: str = "rita", comment: str = "") -> None:
        if comment:
            self.say(number, comment, by)
        pull = self._known(number)
        pull.state, pull.decided_by = "DECLINED", by
        self._update(pull, by)

    def say(self, number: int, text: str, by: str = "rita") -> None:
        said = {"user": _user(by), "content": {"raw": text}, "created_on": self.now()}
        self._known(number).activity.append({"comment": {**said, "deleted": False}})

    def approve(self, number: int, by: str = "rita") -> None:
        self._verdict(number, by, "approved", "approval")

    def request_changes(self, number: int, by: str = "rita") -> None:
        self._verdict(number, by, "changes_requested", "changes_requested")

    def label(self, number: int, name: str) -> None:
        """Somebody writes it into the text, where the tool keeps its own."""
        pull = self._known(number)
        body, labels = read(pull.description)
        pull.description = written(body, (*labels, name))

    def rewrite(self, number: int, *, title: str = "", body: str | None = None) -> None:
        """The labels are a part of the text, at its end."""
        pull = self._known(number)
        pull.title = title or pull.title
        if body is not None:
            pull.description = written(body, read(pull.description)[1])

    def unlabel(self, number: int, name: str) -> None:
        pull = self._known(number)
        body, labels = read(pull.description)
        pull.description = written(body, [each for each in labels if each != name])

    def unask(self, number: int, reviewer: str) -> None:
        self._known(number).reviewers.remove(reviewer)

    def propose_from_fork(self) -> int:
        theirs = Pull(len(self.pulls) + 1, "theirs", "", self.branch, self.base, self.now())
        theirs.is_fork, theirs.head = True, self.head(self.base)
        self.pulls.append(theirs)
        return theirs.number

    def branches_of(self, number: int) -> tuple[str, str]:
        return self._known(number).branch, self._known(number).base

    # What became of it

    def reviewers(self, number: int) -> list[str]:
        return list(self._known(number).reviewers)

    def comments(self, number: int) -> list[str]:
        said = [each["comment"] for each in self._known(number).activity if "comment" in each]
        return [each["content"]["raw"] for each in said]

    def statuses(self, commit: str) -> list[CommitStatus]:
        """Without the page that the tool gives to those that have none."""
        page = f"{WEB}/commits/{commit}"
        return [
            CommitStatus(
                each["name"],
                STATES[each["state"]],
                each["description"],
                "" if each["url"] == page else each["url"],
            )
            for each in self.sent.get(commit, [])
        ]

    # Answers

    def answer(self, asked: Asked) -> Reply:
        fields = _checked(asked)
        if asked.headers.get("Authorization") != f"Bearer {self.token}":
            return 401, _error("Token is invalid, expired, or not supported for this endpoint.")
        for pull in self.pulls:
            self._known(pull.number)
        if not asked.path.startswith(ROOT):
            return self._of_user(asked, fields)
        rest = asked.path.removeprefix(ROOT).split("/")[1:]
        if not rest:
            if self.scopes:
                self.headers["X-OAuth-Scopes"] = self.scopes
            return 200, {"full_name": "ml/manifests", "uuid": "{7}"}
        if rest == ["branch-restrictions"]:
            if self.hides:
                return 403, _error("Your credentials lack one or more required privilege scopes.")
            row = {"kind": "push", "pattern": self.base, "users": [], "groups": self.groups}
            return 200, self._page([] if self.takes_pushes else [row], asked, fields)
        if rest[0] == "commit":
            return self._of_commit(asked, rest[1], rest[2:], fields)
        if len(rest) == 1:
            if asked.verb == "POST":
                return self._opened(fields)
            assert set(fields["state"].split(",")) == {"OPEN", "MERGED", "DECLINED", "SUPERSEDED"}
            found = [each for each in self.pulls[::-1] if f'"{each.branch}"' in fields["q"]]
            return 200, self._page([self._listed(each) for each in found], asked, fields)
        if int(rest[1]) > len(self.pulls):
            return 404, _error("No such pull request")
        return self._pull(asked, self.pulls[int(rest[1]) - 1], rest[2:], fields)

    def _of_user(self, asked: Asked, fields: Mapping[str, Any]) -> Reply:
        if not self.knows_user:
            return 403, _error("This API is only accessible with user credentials.")
        if asked.path.endswith("/members"):
            return 200, self._page([{"user": _user(each)} for each in IDS], asked, fields)
        if asked.path.endswith("/repositories"):
            assert fields["q"] == 'repository.full_name = "ml/manifests"'
            return 200, {"values": [{"permission": "write" if self.may_write else "read"}]}
        return 200, _user(OURS)

    def _opened(self, fields: Mapping[str, Any]) -> Reply:
        branch, base = fields["source"]["branch"]["name"], fields["destination"]["branch"]["name"]
        number = len(self.pulls) + 1
        made = Pull(number, fields["title"], fields["description"], branch, base, self.now())
        assert len(made.title) <= 255
        self.pulls.append(made)
        return 201, self._shown(self._known(number))

    def _pull(self, asked: Asked, pull: Pull, rest: list[str], fields: Mapping[str, Any]) -> Reply:
        match asked.verb, rest:
            case "GET", []:
                return 200, self._shown(pull)
            case "PUT", []:
                if pull.state != "OPEN":
                    return 400, _error("Only open pull requests can be mutated")
                names = {number: name for name, number in IDS.items()}
                wanted = [names.get(each["uuid"], "") for each in fields.get("reviewers", [])]
                if not set(wanted) <= set(self.colleagues):
                    return 400, _error("reviewers: malformed or unknown user")
                pull.reviewers = wanted  # without the field, they are taken away
                pull.title, pull.description = fields["title"], fields.get("description", "")
                return 200, self._shown(pull)
            case "GET", ["activity"]:
                return 200, self._page(pull.activity[::-1], asked, fields)
            case "POST", ["comments"]:
                self.say(pull.number, fields["content"]["raw"], by=OURS)
                return 201, pull.activity[-1]["comment"]
            case "POST", ["decline"]:
                self.close(pull.number, by=OURS)
                return 200, self._shown(pull)
        raise AssertionError((asked.verb, rest))

    def _of_commit(
        self, asked: Asked, commit: str, rest: list[str], fields: Mapping[str, Any]
    ) -> Reply:
        if not rest:
            if set(commit) == {"0"}:
                return 404, _error("Commit not found")
            shown = git("log", "-1", "--format=%H%n%B", commit, cwd=self.bare)
            found, _, message = shown.partition("\n")
            whole = {"hash": found, "message": message}
            return 200, {fields["fields"]: whole[fields["fields"]]} if "fields" in fields else whole
        if rest == ["pullrequests"]:
            if not self.has_index:
                return 404, _error("Pull request commit links are not installed")
            rows = [{"id": p.number} for p in self.pulls if p.merge_commit == commit]
            return 200, self._page(rows, asked, fields)
        sent = self.sent.setdefault(commit, [])
        if asked.verb == "GET":
            return 200, self._page(list({e["key"]: e for e in sent}.values()), asked, fields)
        assert len(fields["key"]) <= 40
        assert fields["url"].startswith("https://")
        sent.append(dict(fields))
        self.heard(commit)
        return 201, dict(fields)

    def _page(self, rows: list[Any], asked: Asked, fields: Mapping[str, Any]) -> dict[str, Any]:
        page, size = int(fields.get("page", 1)), int(fields.get("pagelen", 10))
        assert size <= 100
        found: dict[str, Any] = {"values": rows[(page - 1) * size : page * size]}
        if page * size < len(rows):
            host = self.url.removesuffix("/2.0")
            found["next"] = f"{host}{asked.path}?pagelen={size}&page={page + 1}"
        return found

    def _known(self, number: int) -> Pull:
        """Bitbucket notes each head that an open one had."""
        pull = self.pulls[number - 1]
        if pull.state == "OPEN" and not pull.is_fork:
            head = self.head(pull.branch)
            if pull.head != head:
                pull.head = head
                self._update(pull, OURS)
        return pull

    def _update(self, pull: Pull, by: str) -> None:
        pull.updated = self.now()
        source = {"commit": {"hash": pull.head[:12]}, "branch": {"name": pull.branch}}
        told = {"state": pull.state, "date": pull.updated, "author": _user(by), "source": source}
        pull.activity.append({"update": told})

    def _verdict(self, number: int, by: str, state: str, kind: str) -> None:
        pull = self._known(number)
        pull.verdicts[by] = state
        pull.activity.append({kind: {"user": _user(by), "date": self.now()}})

    def _listed(self, pull: Pull) -> dict[str, Any]:
        """Lists leave out who takes part."""
        here = {"full_name": "ml/manifests"}
        return {
            "id": pull.number,
            "state": pull.state,
            "title": pull.title,
            "description": pull.description,
            "author": _user(OURS),
            "source": {
                "branch": {"name": pull.branch},
                "commit": {"hash": pull.head[:12]},
                "repository": {"full_name": "raj/manifests"} if pull.is_fork else here,
            },
            "destination": {"branch": {"name": pull.base}, "repository": here},
            "merge_commit": {"hash": pull.merge_commit[:12]} if pull.merge_commit else None,
            "closed_by": _user(pull.decided_by) if pull.decided_by else None,
            "reason": "",
            "created_on": pull.created.replace("Z", ".123456+00:00"),
            "updated_on": (pull.updated or pull.created).replace("Z", ".123456+00:00"),
            "links": {"html": {"href": f"{WEB}/pull-requests/{pull.number}"}},
        }

    def _shown(self, pull: Pull) -> dict[str, Any]:
        participants = [
            {
                "user": _user(name),
                "role": "REVIEWER",
                "state": pull.verdicts.get(name),
                "approved": pull.verdicts.get(name) == "approved",
            }
            for name in dict.fromkeys([*pull.reviewers, *pull.verdicts])
        ]
        reviewers = [_user(name) for name in pull.reviewers]
        return {**self._listed(pull), "reviewers": reviewers, "participants": participants}


def _checked(asked: Asked) -> dict[str, Any]:
    """The fields. Raises AssertionError for what the documentation does not name."""
    call = f"{asked.verb} {asked.path}"
    known = next((f for form, f in KNOWN.items() if re.fullmatch(form, call)), None)
    assert known is not None, f"{call}: Bitbucket has no such path"
    fields = {**asked.query, **asked.body}
    unknown = fields.keys() - known
    assert not unknown, f"{call} takes no {', '.join(sorted(unknown))}"
    return fields


def _error(message: str) -> dict[str, Any]:
    return {"type": "error", "error": {"message": message}}


def _user(name: str) -> dict[str, str]:
    return {"uuid": IDS[name], "nickname": name, "display_name": name.capitalize()}


@contextmanager
def bitbucket_cloud_server(bare: Path, folder: Path) -> Iterator[BitbucketCloudServer]:
    """Serve on a free loopback port until the block ends; `folder` is for people's clones."""
    server = BitbucketCloudServer(bare, folder)
    with serving(server, "/2.0"):
        yield server
