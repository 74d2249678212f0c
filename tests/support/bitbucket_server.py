"""Bitbucket Data Center's REST API on loopback, as far as pull requests go.

Implements `forge_host.Host`. `KNOWN` has the query and body fields that each path takes; a
request with another one is a fault. The table was not checked against a description of the API.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from mlflow_gitops.adapters.forge.bitbucket_text import read, written
from mlflow_gitops.pull_requests import CommitStatus
from tests.support.forge_host import Asked, How, LocalForge, Reply, serving

__all__ = ["TOKEN", "BitbucketServer", "bitbucket_server"]

TOKEN = "s3cr3t0fTheForgeNjE2MTIzNDU2Nzg5"
OURS = "mlflow-gitops"
HEADS = "refs/heads/"
REST = "/bitbucket/rest"
BELOW = "projects/ml/repos/manifests"
ROOT = f"{REST}/api/1.0/{BELOW}"
BUILDS = f"{REST}/build-status/1.0/commits"
PULL = rf"{ROOT}/pull-requests/\d+"
PAGED = {"limit", "start"}
KNOWN: Mapping[str, set[str]] = {
    rf"GET {ROOT}": set(),
    rf"GET {ROOT}/pull-requests": {"at", "direction", "state", "order", *PAGED},
    rf"POST {ROOT}/pull-requests": {"title", "description", "fromRef", "toRef", "reviewers"},
    rf"GET {PULL}": set(),
    rf"PUT {PULL}": {"version", "title", "description", "reviewers", "toRef"},
    rf"GET {PULL}/activities": {"fromId", "fromType", *PAGED},
    rf"GET {PULL}/merge": set(),
    rf"POST {PULL}/comments": {"text"},
    rf"POST {PULL}/decline": {"version", "comment"},
    rf"POST {PULL}/participants": {"user", "role"},
    rf"GET {ROOT}/commits/[0-9a-f]+/pull-requests": PAGED,
    rf"GET {ROOT}/branches": {"filterText", "orderBy", *PAGED},
    rf"GET {REST}/branch-permissions/2.0/{BELOW}/restrictions": {"matcherType", "type", *PAGED},
    rf"GET {REST}/required-builds/latest/{BELOW}/conditions": PAGED,
    rf"GET {REST}/api/1.0/repos": {"name", "projectname", "projectkey", "permission", *PAGED},
    rf"GET {BUILDS}/[0-9a-f]+": {"orderBy", *PAGED},
    rf"POST {ROOT}/commits/[0-9a-f]+/builds": {
        *("key", "name", "state", "description", "url", "parent", "ref"),
    },
}
STATES: Any = {"SUCCESSFUL": "success", "FAILED": "failure", "INPROGRESS": "pending"}


@dataclass
class Pull:
    number: int
    title: str
    description: str
    branch: str
    base: str
    created: int
    state: str = "OPEN"
    version: int = 0
    head: str = ""
    merge_commit: str = ""
    closed: int | None = None
    is_fork: bool = False
    reviewers: list[str] = field(default_factory=list)
    verdicts: dict[str, tuple[str, str]] = field(default_factory=dict)
    activities: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class BitbucketServer(LocalForge):
    """It is below the path /bitbucket. `verdicts` are each person's, with the commit."""

    kind = "bitbucket-data-center"
    secret = TOKEN
    published = None
    tells_protection = False

    repository: str = "bitbucket/scm/ml/manifests"
    pulls: list[Pull] = field(default_factory=list)
    sent: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    # What people do

    def merge(self, number: int, by: str = "rita", how: How = "merge") -> str:
        pull = self._known(number)
        pull.merge_commit = self.merged(pull.branch, pull.base, how, pull.title, number)
        self._decide(pull, "MERGED", by)
        return pull.merge_commit

    def close(self, number: int, by: str = "rita", comment: str = "") -> None:
        if comment:
            self.say(number, comment, by)
        self._decide(self._known(number), "DECLINED", by)

    def say(self, number: int, text: str, by: str = "rita") -> None:
        pull = self._known(number)
        self._act(pull, "COMMENTED", by)
        time = pull.activities[-1]["createdDate"]
        pull.activities[-1]["comment"] = {"text": text, "author": _user(by), "createdDate": time}

    def approve(self, number: int, by: str = "rita") -> None:
        self._verdict(number, by, "APPROVED", "APPROVED")

    def request_changes(self, number: int, by: str = "rita") -> None:
        self._verdict(number, by, "NEEDS_WORK", "REVIEWED")

    def label(self, number: int, name: str) -> None:
        """Somebody writes it into the text, where the tool keeps its own."""
        pull = self._known(number)
        body, labels = read(pull.description)
        pull.description = written(body, (*labels, name))
        pull.version += 1

    def rewrite(self, number: int, *, title: str = "", body: str | None = None) -> None:
        """The labels are a part of the text, at its end."""
        pull = self._known(number)
        pull.title, pull.version = title or pull.title, pull.version + 1
        if body is not None:
            pull.description = written(body, read(pull.description)[1])

    def unlabel(self, number: int, name: str) -> None:
        pull = self._known(number)
        body, labels = read(pull.description)
        pull.description = written(body, [each for each in labels if each != name])
        pull.version += 1

    def unask(self, number: int, reviewer: str) -> None:
        pull = self._known(number)
        pull.reviewers.remove(reviewer)
        pull.version += 1

    def propose_from_fork(self) -> int:
        number = len(self.pulls) + 1
        theirs = Pull(number, "theirs", "", self.branch, self.base, self._milliseconds())
        theirs.is_fork, theirs.head = True, self.head(self.base)
        self.pulls.append(theirs)
        return number

    def branches_of(self, number: int) -> tuple[str, str]:
        return self._known(number).branch, self._known(number).base

    # What became of it

    def reviewers(self, number: int) -> list[str]:
        return list(self._known(number).reviewers)

    def comments(self, number: int) -> list[str]:
        said = [each.get("comment") for each in self._known(number).activities]
        return [each["text"] for each in said if each]

    def statuses(self, commit: str) -> list[CommitStatus]:
        """Without the page that the tool gives to those that have none."""
        page = f"{self.url}/{BELOW}/commits/{commit}"
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
            return 401, _error("Authentication failed.", "AuthenticationException")
        self.headers["X-AUSERNAME"] = OURS
        for pull in self.pulls:
            self._known(pull.number)
        if asked.path.startswith(BUILDS):
            sent = self.sent.get(asked.path.rpartition("/")[2], [])
            return 200, self._page(list({each["key"]: each for each in sent}.values()), fields)
        if asked.path == f"{REST}/api/1.0/repos":
            assert fields["permission"] == "REPO_WRITE"
            return 200, self._page([{"id": 7}] if self.may_write else [], fields)
        if asked.path.endswith("/restrictions"):
            if self.hides:
                return 401, _error("You are not permitted to access this resource", "Authorisation")
            matcher = {"id": HEADS + self.base, "type": {"id": "BRANCH"}}
            row = {"type": "pull-request-only", "matcher": matcher, "users": [], "groups": []}
            return 200, self._page([] if self.takes_pushes else [row], fields)
        if asked.path.endswith("/conditions"):
            matcher = {"id": "ANY_REF_MATCHER_ID", "type": {"id": "ANY_REF"}}
            row = {"buildParentKeys": list(self.required), "refMatcher": matcher}
            return 200, self._page([row], fields)
        rest = asked.path.removeprefix(ROOT).split("/")[1:]
        match asked.verb, rest:
            case "GET", []:
                row = {"id": 7, "slug": "manifests", "name": "manifests"}
                return 200, {**row, "archived": self.is_archived}
            case "GET", ["branches"]:
                row = {"displayId": self.base, "latestCommit": self.head(self.base)}
                return 200, self._page([row], fields)
            case "POST", ["pull-requests"]:
                return self._opened(fields)
            case "GET", ["pull-requests"]:
                assert (fields["state"], fields["direction"]) == ("ALL", "OUTGOING")
                found = [each for each in self.pulls[::-1] if HEADS + each.branch == fields["at"]]
                return 200, self._page([self._shown(each) for each in found], fields)
            case "POST", ["commits", commit, "builds"]:
                assert fields["url"].startswith(("https://", "http://"))
                self.sent.setdefault(commit, []).append(dict(fields))
                self.heard(commit)
                return 204, None
            case "GET", ["commits", commit, "pull-requests"]:
                found = [each for each in self.pulls if commit == each.merge_commit]
                return 200, self._page([self._shown(each) for each in found], fields)
        if int(rest[1]) > len(self.pulls):
            return 404, _error("No such pull request.", "NoSuchPullRequestException")
        return self._pull(asked.verb, self.pulls[int(rest[1]) - 1], rest[2:], fields)

    def _opened(self, fields: Mapping[str, Any]) -> Reply:
        here = {"slug": "manifests", "project": {"key": "ml"}}
        assert fields["fromRef"]["repository"] == fields["toRef"]["repository"] == here
        branch = fields["fromRef"]["id"].removeprefix(HEADS)
        base = fields["toRef"]["id"].removeprefix(HEADS)
        there = [(p.branch, p.base, p.state, p.is_fork) for p in self.pulls]
        if (branch, base, "OPEN", False) in there:
            said = "Only one pull request may be open for a given source and target branch"
            return 409, _error(said, "DuplicatePullRequestException")
        assert len(fields["title"]) <= 255
        assert len(fields["description"]) <= 32_768
        number = len(self.pulls) + 1
        made = Pull(
            number, fields["title"], fields["description"], branch, base, self._milliseconds()
        )
        self.pulls.append(made)
        return 201, self._shown(self._known(number))

    def _pull(self, verb: str, pull: Pull, rest: list[str], fields: Mapping[str, Any]) -> Reply:
        if "version" in fields and int(fields["version"]) != pull.version:
            said = "You are attempting to modify a pull request based on out-of-date information."
            return 409, _error(said, "PullRequestOutOfDateException")
        match verb, rest:
            case "GET", []:
                return 200, self._shown(pull)
            case "PUT", []:
                assert pull.state == "OPEN", "a declined one cannot be edited"
                assert "version" in fields
                pull.reviewers = [each["user"]["name"] for each in fields.get("reviewers", [])]
                pull.title, pull.description = fields["title"], fields.get("description", "")
                pull.version += 1
                return 200, self._shown(pull)
            case "GET", ["activities"]:
                return 200, self._page(pull.activities[::-1], fields)
            case "GET", ["merge"]:
                is_fine = self.is_mergeable(pull.base, pull.head)
                outcome = "CLEAN" if is_fine else "CONFLICTED"
                if self.looks():
                    is_fine, outcome = True, "UNKNOWN"
                return 200, {"conflicted": not is_fine, "outcome": outcome, "vetoes": []}
            case "POST", ["comments"]:
                self.say(pull.number, fields["text"], by=OURS)
                return 201, pull.activities[-1]["comment"]
            case "POST", ["decline"]:
                self.close(pull.number, by=OURS)
                return 200, self._shown(pull)
            case "POST", ["participants"]:
                name = fields["user"]["name"]
                if name not in self.colleagues:
                    return 404, _error(f"No such user: {name}", "NoSuchUserException")
                pull.reviewers.append(name)
                return 200, {"user": _user(name), "role": "REVIEWER"}
        raise AssertionError((verb, rest))

    def _page(self, rows: list[Any], fields: Mapping[str, Any]) -> dict[str, Any]:
        start, size = int(fields.get("start", 0)), int(fields.get("limit", 25))
        is_last = start + size >= len(rows)
        found = {"values": rows[start : start + size], "isLastPage": is_last}
        return {**found, "nextPageStart": None if is_last else start + size}

    def _known(self, number: int) -> Pull:
        pull = self.pulls[number - 1]
        if pull.state == "OPEN" and not pull.is_fork and pull.head != self.head(pull.branch):
            pull.head = self.head(pull.branch)
            self._act(pull, "RESCOPED", OURS)
        return pull

    def _milliseconds(self) -> int:
        return int(datetime.fromisoformat(self.now()).timestamp() * 1000)

    def _act(self, pull: Pull, action: str, by: str) -> None:
        time = self._milliseconds()
        pull.activities.append({"action": action, "user": _user(by), "createdDate": time})

    def _decide(self, pull: Pull, state: str, by: str) -> None:
        self._act(pull, state, by)
        pull.state, pull.closed = state, pull.activities[-1]["createdDate"]
        pull.version += 1

    def _verdict(self, number: int, by: str, status: str, action: str) -> None:
        pull = self._known(number)
        pull.verdicts[by] = (status, pull.head)
        self._act(pull, action, by)

    def _shown(self, pull: Pull) -> dict[str, Any]:
        here = {"id": 7, "slug": "manifests", "project": {"key": "ML"}}
        source = {"id": 8, "slug": "manifests", "project": {"key": "~raj"}}
        shown = {
            "id": pull.number,
            "version": pull.version,
            "title": pull.title,
            "description": pull.description,
            "state": pull.state,
            "createdDate": pull.created,
            "updatedDate": pull.activities[-1]["createdDate"] if pull.activities else pull.created,
            "closedDate": pull.closed,
            "fromRef": {
                "id": HEADS + pull.branch,
                "latestCommit": pull.head,
                "repository": source if pull.is_fork else here,
            },
            "toRef": {"id": HEADS + pull.base, "repository": here},
            "author": {"user": _user(OURS)},
            "reviewers": [self._person(pull, name, "REVIEWER") for name in pull.reviewers],
            "participants": [
                self._person(pull, name, "PARTICIPANT")
                for name in pull.verdicts
                if name not in pull.reviewers
            ],
        }
        merge = {"mergeCommit": {"id": pull.merge_commit}} if pull.merge_commit else {}
        return {**shown, "properties": merge}

    def _person(self, pull: Pull, name: str, role: str) -> dict[str, Any]:
        status, commit = pull.verdicts.get(name, ("UNAPPROVED", ""))
        told = {"user": _user(name), "role": role, "status": status}
        seen = {"lastReviewedCommit": commit} if commit else {}
        return {**told, "approved": status == "APPROVED", **seen}


def _checked(asked: Asked) -> dict[str, Any]:
    """The fields. Raises AssertionError for what the documentation does not name."""
    call = f"{asked.verb} {asked.path}"
    known = next((f for form, f in KNOWN.items() if re.fullmatch(form, call)), None)
    assert known is not None, f"{call}: Bitbucket has no such path"
    fields = {**asked.query, **asked.body}
    unknown = fields.keys() - known
    assert not unknown, f"{call} takes no {', '.join(sorted(unknown))}"
    return fields


def _error(message: str, exception: str) -> dict[str, Any]:
    name = f"com.atlassian.bitbucket.{exception}"
    return {"errors": [{"context": None, "message": message, "exceptionName": name}]}


def _user(name: str) -> dict[str, str]:
    return {"name": name, "slug": name, "displayName": name.capitalize()}


@contextmanager
def bitbucket_server(bare: Path, folder: Path) -> Iterator[BitbucketServer]:
    """Serve on a free loopback port until the block ends; `folder` is for people's clones."""
    server = BitbucketServer(bare, folder)
    with serving(server, "/bitbucket"):
        yield server
