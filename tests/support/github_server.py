"""GitHub's REST API on loopback, as far as pull requests go. Implements `forge_host.Host`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt

from mlflow_gitops.pull_requests import CommitStatus
from tests.support.forge_host import Asked, How, LocalForge, Reply, serving
from tests.support.git import git
from tests.support.published import Published

__all__ = ["ENTERPRISE", "TOKEN", "GitHubServer", "Pull", "github_server"]

TOKEN = "ghp_s3cr3t-of-the-forge"
ROOT = "/repos/ml/manifests"
STRICT = "strict_required_status_checks_policy"
OURS = "mlflow-gitops"
API = Published(
    "npm",
    "@octokit/openapi",
    "23.0.2",
    "generated/api.github.com.json",
    "829b4bebb19a53133289f7b0bc819f4f1118115821db2ca9f25e9ee995a7da2a",
)
ENTERPRISE = replace(
    API,
    member="generated/ghes-3.17.json",
    sha256="b33124aa711a44f1de05c9ad49e7ef473b65cacfd0c8369fd8418ba798707dcb",
)
"""GitHub Enterprise Server, the oldest of the package."""


@dataclass
class Pull:
    number: int
    title: str
    body: str
    branch: str
    base: str
    state: str = "open"
    head: str = ""
    merge_commit: str | None = None
    merged_at: str | None = None
    closed_at: str | None = None
    decided_by: str = ""
    labels: list[str] = field(default_factory=list)
    reviewers: list[str] = field(default_factory=list)
    teams: list[str] = field(default_factory=list)
    comments: list[dict[str, Any]] = field(default_factory=list)
    reviews: list[dict[str, Any]] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    fork: str = ""


@dataclass
class App:
    """A GitHub App that is installed on the repository. `made` are the tokens that it has."""

    key: str
    """Its public key."""
    id: str = "4711"
    installation: int = 42
    is_installed: bool = True
    permissions: Mapping[str, str] = field(
        default_factory=lambda: {
            "contents": "write",
            "metadata": "read",
            "pull_requests": "write",
            "statuses": "write",
        }
    )
    made: list[str] = field(default_factory=list)

    def answer(self, path: str, given: str, body: Any) -> Reply:
        """To the app itself, which signs for who it is."""
        try:
            issuer = jwt.decode(given, self.key, algorithms=["RS256"])["iss"]
        except jwt.PyJWTError:
            return 401, {"message": "A JSON web token could not be decoded"}
        if issuer != self.id:
            return 404, {"message": "Integration not found"}
        if path == "/app":
            return 200, {"slug": "ml-gitops"}
        if not self.is_installed:
            return 404, {"message": "Not Found"}
        if path == f"{ROOT}/installation":
            return 200, {"id": self.installation}
        if path != f"/app/installations/{self.installation}/access_tokens":
            return 404, {"message": "Not Found"}
        if body["repositories"] != ["manifests"]:
            return 422, {"message": "There is at least one repository that is not accessible"}
        self.made.append(f"ghs_s3cr3t-{len(self.made)}")
        ends = (datetime.now(UTC) + timedelta(hours=1)).isoformat().replace("+00:00", "Z")
        return 201, {
            "token": self.made[-1],
            "expires_at": ends,
            "permissions": dict(self.permissions),
        }


@dataclass
class GitHubServer(LocalForge):
    kind = "github"
    secret = TOKEN
    published = API
    tells_protection = False  # of a classic one

    pulls: list[Pull] = field(default_factory=list)
    sent: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    """The statuses of each commit."""
    app: App | None = None
    scopes: str | None = None
    """Those of a classic token."""
    bypass: str = "never"

    # What people do

    def merge(self, number: int, by: str = "rita", how: How = "merge") -> str:
        pull = self.pulls[number - 1]
        pull.head = self.head(pull.branch)
        pull.merge_commit = self.merged(pull.branch, pull.base, how, pull.title, number)
        pull.state, pull.merged_at, pull.decided_by = "closed", self.now(), by
        return pull.merge_commit

    def close(self, number: int, by: str = "rita", comment: str = "") -> None:
        pull = self.pulls[number - 1]
        if comment:
            self.say(number, comment, by)
        pull.head = self.head(pull.branch)
        pull.state, pull.closed_at, pull.decided_by = "closed", self.now(), by

    def say(self, number: int, text: str, by: str = "rita") -> None:
        said = {"body": text, "user": {"login": by}, "created_at": self.now()}
        self.pulls[number - 1].comments.append(said)

    def approve(self, number: int, by: str = "rita") -> None:
        self.review(number, "APPROVED", by)

    def request_changes(self, number: int, by: str = "rita") -> None:
        self.review(number, "CHANGES_REQUESTED", by)

    def review(
        self, number: int, state: str, by: str = "rita", body: str = "", team: str = ""
    ) -> None:
        """Whoever was asked for it is not asked any more, nor is the `team` that `by` is of."""
        pull = self.pulls[number - 1]
        pull.reviewers = [each for each in pull.reviewers if each != by]
        pull.teams = [each for each in pull.teams if each != team]
        review = {"user": {"login": by}, "state": state, "commit_id": self.head(pull.branch)}
        pull.reviews.append({**review, "body": body, "submitted_at": self.now()})

    def label(self, number: int, name: str) -> None:
        self.pulls[number - 1].labels.append(name)

    def rewrite(self, number: int, *, title: str = "", body: str | None = None) -> None:
        pull = self.pulls[number - 1]
        pull.title, pull.body = title or pull.title, pull.body if body is None else body

    def unlabel(self, number: int, name: str) -> None:
        self.pulls[number - 1].labels.remove(name)

    def unask(self, number: int, reviewer: str) -> None:
        pull, team = self.pulls[number - 1], reviewer.removeprefix("team:")
        (pull.reviewers if team == reviewer else pull.teams).remove(team)
        key = "requested_reviewer" if team == reviewer else "requested_team"
        pull.events.append(_event("review_request_removed", key, team))

    def propose_from_fork(self) -> int:
        number = len(self.pulls) + 1
        fork = "mallory/manifests"
        theirs = Pull(number, "theirs", "", self.branch, self.base, fork=fork)
        theirs.head = self.head(self.base)
        self.pulls.append(theirs)
        return number

    def branches_of(self, number: int) -> tuple[str, str]:
        return self.pulls[number - 1].branch, self.pulls[number - 1].base

    def queue(self, number: int, onto: str = "") -> str:
        """The merge queue makes the branch of a group, on the base or on another group's head.

        Returns its commit.
        """
        branch, base = self.branches_of(number)
        start = onto or self.head(base)
        name = f"gh-readonly-queue/{base}/pr-{number}-{start}"
        git("update-ref", f"refs/heads/{name}", start, cwd=self.bare)
        return self.person(name).merges(branch)

    # What became of it

    def reviewers(self, number: int) -> list[str]:
        pull = self.pulls[number - 1]
        return [*pull.reviewers, *(f"team:{team}" for team in pull.teams)]

    def comments(self, number: int) -> list[str]:
        return [each["body"] for each in self.pulls[number - 1].comments]

    def statuses(self, commit: str) -> list[CommitStatus]:
        return [
            CommitStatus(
                each["context"], each["state"], each["description"], each.get("target_url") or ""
            )
            for each in self.sent.get(commit, [])
        ]

    # Answers

    def answer(self, asked: Asked) -> Reply:
        verb, path = asked.verb, asked.path
        fields = {**asked.query, **asked.body}
        given = asked.headers.get("Authorization", "").split(" ")[-1]
        if self.app and (path.startswith("/app") or path == f"{ROOT}/installation"):
            return self.app.answer(path, given, asked.body)
        if given != self.token and not (self.app and given in self.app.made):
            return 401, {"message": "Bad credentials", "status": "401"}
        rest = path.removeprefix(ROOT).split("/")[1:]
        if path == "/user" and given.startswith("ghs_"):
            return 403, {"message": "Resource not accessible by integration", "status": "403"}
        if path == "/user":
            return 200, {"login": OURS}
        if not rest:
            if self.scopes is not None:
                self.headers["X-OAuth-Scopes"] = self.scopes
            row = {"full_name": self.repository, "permissions": {"push": self.may_write}}
            return 200, {**row, "archived": self.is_archived}
        if rest[0] in ("branches", "rules", "rulesets"):
            return 200, self._protected(rest)
        if rest[0] in ("commits", "statuses"):
            return self._of_commit(verb, rest, fields)
        if len(rest) == 1:
            return self._pulls(verb, fields)
        number = int(rest[1])
        if number > len(self.pulls):
            return 404, {"message": "Not Found"}
        return self._pull(verb, rest[0], self.pulls[number - 1], rest[2:], fields)

    def _protected(self, rest: list[str]) -> object:
        if rest[0] == "branches":
            commit = {"sha": self.head(self.base)}
            return {"name": self.base, "commit": commit, "protected": self.hides}
        if rest[0] == "rulesets":
            return {"id": int(rest[1]), "current_user_can_bypass": self.bypass}
        rules: list[Any] = []
        if self.required:
            checks = [{"context": name} for name in self.required]
            fields = {"required_status_checks": checks, STRICT: False}
            rules.append({"type": "required_status_checks", "ruleset_id": 5, "parameters": fields})
        if not self.takes_pushes:
            rules.append({"type": "pull_request", "ruleset_id": 6})
        return rules

    def _pulls(self, verb: str, fields: Mapping[str, Any]) -> Reply:
        if verb == "GET":
            owner, _, branch = fields["head"].partition(":")
            assert owner == "ml"
            found = [p for p in self.pulls if p.branch == branch]
            return 200, [self._listed(p) for p in reversed(found)]
        branch, base = fields["head"], fields["base"]
        if any(p.branch == branch and p.state == "open" and not p.fork for p in self.pulls):
            said = f"A pull request already exists for ml:{branch}."
            return 422, {"message": "Validation Failed", "errors": [{"message": said}]}
        self.head(branch)
        number = len(self.pulls) + 1
        self.pulls.append(Pull(number, fields["title"], fields["body"], branch, base))
        return 201, self._shown(self.pulls[-1])

    def _pull(
        self, verb: str, kind: str, pull: Pull, rest: list[str], fields: Mapping[str, Any]
    ) -> Reply:
        match verb, rest:
            case "GET", []:
                return 200, self._issue(pull) if kind == "issues" else self._shown(pull)
            case "PATCH", []:
                if fields.get("state") == "closed":
                    self.close(pull.number, by=OURS)
                pull.title = fields.get("title", pull.title)
                pull.body = fields.get("body", pull.body)
                return 200, self._shown(pull)
            case "PUT", ["merge"]:
                made = self.merge(pull.number, by=OURS, how=fields["merge_method"])
                return 200, {"sha": made, "merged": True}
            case "GET", ["reviews"]:
                return 200, pull.reviews
            case "GET", ["comments"]:
                return 200, pull.comments
            case "GET", ["events"]:
                return 200, pull.events
            case "POST", ["comments"]:
                self.say(pull.number, fields["body"], by=OURS)
                return 201, pull.comments[-1]
            case "POST", ["labels"]:
                pull.labels += [label for label in fields["labels"] if label not in pull.labels]
                return 200, [{"name": label} for label in pull.labels]
            case "POST", ["requested_reviewers"]:
                wanted = fields.get("reviewers", [])
                if not set(wanted) <= set(self.colleagues):
                    said = "Reviews may only be requested from collaborators."
                    return 422, {"message": said}
                teams = fields.get("team_reviewers", [])
                pull.reviewers += wanted
                pull.teams += teams
                asked = [("requested_reviewer", each) for each in wanted]
                asked += [("requested_team", each) for each in teams]
                pull.events += [_event("review_requested", *each) for each in asked]
                return 201, self._listed(pull)
        raise AssertionError((verb, kind, rest))

    def _of_commit(self, verb: str, rest: list[str], fields: Mapping[str, Any]) -> Reply:
        commit = rest[1]
        if rest[-1] == "pulls":
            return 200, [self._listed(p) for p in self.pulls if p.merge_commit == commit]
        if rest[-1] == "statuses":
            return 200, [{"id": n, **each} for n, each in enumerate(self.sent.get(commit, []))]
        if rest[-1] == "check-runs":
            return 200, {"total_count": 0, "check_runs": []}
        if verb == "GET":
            newest = list({each["context"]: each for each in self.sent.get(commit, [])}.values())
            page, size = int(fields.get("page", 1)), int(fields.get("per_page", 30))
            return 200, {"statuses": newest[(page - 1) * size : page * size], "sha": commit}
        assert fields["state"] in ("success", "failure", "pending", "error")
        assert len(fields["description"]) <= 140
        self.sent.setdefault(commit, []).append(dict(fields))
        self.heard(commit)
        return 201, dict(fields)

    def _issue(self, pull: Pull) -> dict[str, Any]:
        return {
            "number": pull.number,
            "state": pull.state,
            "closed_by": _user(pull.decided_by),
            "labels": [{"name": label} for label in pull.labels],
        }

    def _listed(self, pull: Pull) -> dict[str, Any]:
        """As in a list."""
        here = {"full_name": self.repository}
        return {
            "number": pull.number,
            "html_url": f"https://github.example.com/{self.repository}/pull/{pull.number}",
            "state": pull.state,
            "title": pull.title,
            "body": pull.body,
            "user": _user(OURS),
            "labels": [{"name": label} for label in pull.labels],
            "requested_reviewers": [_user(each) for each in pull.reviewers],
            "requested_teams": [{"slug": each} for each in pull.teams],
            "head": {
                "ref": pull.branch,
                "sha": self._head(pull),
                "repo": {"full_name": pull.fork} if pull.fork else here,
            },
            "base": {"ref": pull.base, "repo": here},
            "merge_commit_sha": pull.merge_commit,
            "merged_at": pull.merged_at,
            "closed_at": pull.merged_at or pull.closed_at,
            "created_at": "2026-11-23T10:00:00Z",
            "updated_at": "2026-11-23T10:00:00Z",
        }

    def _shown(self, pull: Pull) -> dict[str, Any]:
        """One by itself."""
        is_open = pull.state == "open"
        is_known = is_open and not self.looks()
        mergeable = self.is_mergeable(pull.base, self._head(pull)) if is_known else None
        by = _user(pull.decided_by) if pull.merged_at else None
        return {**self._listed(pull), "mergeable": mergeable, "merged_by": by}

    def _head(self, pull: Pull) -> str:
        is_here = pull.state == "open" and not pull.fork
        return self.head(pull.branch) if is_here else pull.head


def _event(kind: str, key: str, name: str) -> dict[str, Any]:
    whom = {"slug": name} if key == "requested_team" else {"login": name}
    return {"event": kind, "review_requester": {"login": OURS}, key: whom}


def _user(name: str) -> dict[str, str] | None:
    return {"login": name} if name else None


@contextmanager
def github_server(bare: Path, folder: Path) -> Iterator[GitHubServer]:
    """Serve on a free loopback port until the block ends; `folder` is for people's clones."""
    server = GitHubServer(bare, folder)
    with serving(server):
        yield server
