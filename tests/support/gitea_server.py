"""Gitea's and Forgejo's REST API on loopback, as far as pull requests go.

Implements `forge_host.Host`. Requests and replies are held to Gitea's description of its API.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlflow_gitops.pull_requests import CommitStatus
from tests.support.forge_host import Asked, How, LocalForge, Reply, serving
from tests.support.published import Published

__all__ = ["TOKEN", "GiteaServer", "gitea_server"]

TOKEN = "s3cr3t-0f-the-forge-10d2dc071b56940f"
ROOT = "/api/v1/repos/ml/manifests"
OURS = "mlflow-gitops"
HERE, FORK = 7, 8
API = Published(
    "go",
    "code.gitea.io/gitea",
    "v1.26.0",
    "templates/swagger/v1_json.tmpl",
    "ebf74c3f571746b70218fd9100e8dfe9755779a36aa1212ecbbcf6cc84e9fd73",
)


@dataclass
class Pull:
    number: int
    title: str
    body: str
    branch: str
    base: str
    created: str
    state: str = "open"
    head: str = ""
    source: int = HERE
    merge_commit: str | None = None
    merged_at: str | None = None
    closed_at: str | None = None
    decided_by: str = ""
    labels: list[int] = field(default_factory=list)
    reviewers: list[str] = field(default_factory=list)
    teams: list[str] = field(default_factory=list)
    reviews: list[dict[str, Any]] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class GiteaServer(LocalForge):
    """`labels` are the repository's, `shared` its organisation's, by number; None for a user's
    repository. `most` are the rows of a page that its administrator allows.
    """

    kind = "gitea"
    secret = TOKEN
    published = API

    pulls: list[Pull] = field(default_factory=list)
    sent: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    labels: dict[int, str] = field(default_factory=dict)
    shared: dict[int, str] | None = None
    most: int = 50
    knows_user: bool = True

    # What people do

    def merge_message(self, branch: str, base: str, title: str, number: int) -> str:
        return f"Merge pull request '{title}' (#{number}) from {branch} into {base}\n\n" + (
            self._reviewed(number)
        )

    def squash_message(self, title: str, number: int) -> str:
        return f"{title} (#{number})\n\n{self._reviewed(number)}"

    def _reviewed(self, number: int) -> str:
        by = dict.fromkeys(
            f"Reviewed-by: {each['user']['login']} <{each['user']['login']}@example.com>"
            for each in self.pulls[number - 1].reviews
            if each["state"] == "APPROVED"
        )
        on = f"Reviewed-on: https://gitea.example.com/{self.repository}/pulls/{number}"
        return "\n".join([on, *by])

    def merge(self, number: int, by: str = "rita", how: How = "merge") -> str:
        pull = self.pulls[number - 1]
        pull.head = self.head(pull.branch)
        pull.merge_commit = self.merged(pull.branch, pull.base, how, pull.title, number)
        pull.state, pull.merged_at, pull.decided_by = "closed", self.now(), by
        self._event(pull, "merge_pull", by)
        return pull.merge_commit

    def close(self, number: int, by: str = "rita", comment: str = "") -> None:
        pull = self.pulls[number - 1]
        if comment:
            self.say(number, comment, by)
        pull.head = self.head(pull.branch)
        self._event(pull, "close", by)
        pull.state, pull.closed_at = "closed", pull.events[-1]["created_at"]

    def say(self, number: int, text: str, by: str = "rita", kind: str = "comment") -> None:
        self._event(self.pulls[number - 1], kind, by, text)

    def approve(self, number: int, by: str = "rita") -> None:
        self._review(number, "APPROVED", by)

    def request_changes(self, number: int, by: str = "rita") -> None:
        self._review(number, "REQUEST_CHANGES", by)

    def label(self, number: int, name: str) -> None:
        self.pulls[number - 1].labels.append(self._make_label(name))

    def rewrite(self, number: int, *, title: str = "", body: str | None = None) -> None:
        pull = self.pulls[number - 1]
        pull.title, pull.body = title or pull.title, pull.body if body is None else body

    def unlabel(self, number: int, name: str) -> None:
        self.pulls[number - 1].labels.remove(self._make_label(name))

    def unask(self, number: int, reviewer: str) -> None:
        pull, team = self.pulls[number - 1], reviewer.removeprefix("team:")
        (pull.reviewers if team == reviewer else pull.teams).remove(team)
        whom = {"assignee": _user(team)} if team == reviewer else {"assignee_team": {"name": team}}
        self._event(pull, "review_request", "raj", removed_assignee=True, **whom)

    def propose_from_fork(self) -> int:
        number = len(self.pulls) + 1
        theirs = Pull(number, "theirs", "", self.branch, self.base, self.now(), source=FORK)
        theirs.head = self.head(self.base)
        self.pulls.append(theirs)
        return number

    def branches_of(self, number: int) -> tuple[str, str]:
        return self.pulls[number - 1].branch, self.pulls[number - 1].base

    # What became of it

    def reviewers(self, number: int) -> list[str]:
        pull = self.pulls[number - 1]
        return [*pull.reviewers, *(f"team:{team}" for team in pull.teams)]

    def comments(self, number: int) -> list[str]:
        events = self.pulls[number - 1].events
        return [each["body"] for each in events if each["type"] == "comment"]

    def statuses(self, commit: str) -> list[CommitStatus]:
        return [
            CommitStatus(
                each["context"], each["status"], each["description"], each["target_url"] or ""
            )
            for each in self.sent.get(commit, [])
        ]

    # Answers

    def answer(self, asked: Asked) -> Reply:
        if asked.headers.get("Authorization") != f"token {self.token}":
            return 401, {"message": "invalid username, password or token", "url": ""}
        fields = {**asked.query, **(asked.body or {})}
        if asked.path == "/api/v1/user":
            return (200, _user(OURS)) if self.knows_user else (403, {"message": "no scope"})
        if asked.path == "/api/v1/orgs/ml/labels":
            if self.shared is None:
                return 404, {"message": "GetOrgByName", "errors": []}
            return 200, self._page(_shown_labels(self.shared), fields)
        rest = asked.path.removeprefix(ROOT).split("/")[1:]
        if not rest:
            rights = {"push": self.may_write, "pull": True, "admin": False}
            return 200, {"permissions": rights, "archived": self.is_archived}
        if rest[0] == "branches":
            return 200, {
                "name": self.base,
                "commit": {"id": self.head(self.base)},
                "protected": bool(self.required) or not self.takes_pushes,
                "user_can_push": self.takes_pushes,
                "enable_status_check": bool(self.required),
                "status_check_contexts": list(self.required),
            }
        if rest[0] == "labels":
            return self._labels(asked.verb, fields)
        if rest[0] in ("commits", "statuses"):
            return self._of_commit(asked.verb, rest, fields)
        if len(rest) == 1:
            return self._pulls(asked.verb, fields)
        if int(rest[1]) > len(self.pulls):
            return 404, {"message": "pull request does not exist", "errors": []}
        return self._pull(asked.verb, self.pulls[int(rest[1]) - 1], rest[2:], fields)

    def _labels(self, verb: str, fields: Mapping[str, Any]) -> Reply:
        if verb == "GET":
            return 200, self._page(_shown_labels(self.labels), fields)
        number = self._make_label(fields["name"])
        return 201, _shown_labels({number: fields["name"]})[0]

    def _pulls(self, verb: str, fields: Mapping[str, Any]) -> Reply:
        if verb == "GET":
            found = [p for p in reversed(self.pulls) if p.state == fields["state"]]
            return 200, self._page([self._shown(each) for each in found], fields)
        branch, base = fields["head"], fields["base"]
        if any((p.branch, p.state, p.source) == (branch, "open", HERE) for p in self.pulls):
            return 409, {"message": "pull request already exists for these targets", "url": ""}
        number = len(self.pulls) + 1
        made = Pull(number, fields["title"], fields["body"], branch, base, self.now())
        made.labels = list(fields["labels"])
        self.pulls.append(made)
        return 201, self._shown(made)

    def _pull(self, verb: str, pull: Pull, rest: list[str], fields: Mapping[str, Any]) -> Reply:
        match verb, rest:
            case "GET", []:
                return 200, self._shown(pull)
            case "PATCH", []:
                if fields.get("state") == "closed":
                    self.close(pull.number, by=OURS)
                pull.title = fields.get("title", pull.title)
                pull.body = fields.get("body", pull.body)
                return 201, self._shown(pull)
            case "GET", ["commits"]:
                return 200, [{"sha": pull.head}]
            case "GET", ["reviews"]:
                asked = [_review(0, "REQUEST_REVIEW", each) for each in pull.reviewers]
                return 200, self._page([*asked, *pull.reviews], fields)
            case "GET", ["timeline"]:
                since = fields.get("since", "")
                found = self._page([e for e in pull.events if e["created_at"] >= since], fields)
                shown = [each for each in found if each["type"] != "code"]
                self.headers["X-Total-Count"] = str(len(shown))  # of the page alone
                return 200, shown
            case "POST", ["comments"]:
                self.say(pull.number, fields["body"], by=OURS)
                return 201, {"body": fields["body"]}
            case "POST", ["labels"]:
                known = self.labels | (self.shared or {})
                assert set(fields["labels"]) <= known.keys(), fields
                pull.labels += [each for each in fields["labels"] if each not in pull.labels]
                return 200, _shown_labels({each: known[each] for each in pull.labels})
            case "POST", ["requested_reviewers"]:
                wanted = fields.get("reviewers", [])
                if not set(wanted) <= set(self.colleagues):
                    return 404, {"message": f"user does not exist [name: {wanted[0]}]"}
                teams = fields.get("team_reviewers", [])
                pull.reviewers += wanted
                pull.teams += teams
                for user in wanted:
                    self._event(pull, "review_request", OURS, assignee=_user(user))
                for team in teams:
                    self._event(pull, "review_request", OURS, assignee_team={"name": team})
                return 201, []
        raise AssertionError((verb, rest))

    def _of_commit(self, verb: str, rest: list[str], fields: Mapping[str, Any]) -> Reply:
        commit = rest[1]
        if rest[-1] == "pull":
            found = [p for p in self.pulls if p.merge_commit == commit]
            missing = {"message": "pull request does not exist", "errors": []}
            return (200, self._shown(found[0])) if found else (404, missing)
        if verb == "GET":
            newest = list({each["context"]: each for each in self.sent.get(commit, [])}.values())
            return 200, {"sha": commit, "statuses": self._page(newest, fields)}
        row = {
            "context": fields["context"],
            "status": fields["state"],
            "description": fields["description"],
            "target_url": fields.get("target_url", ""),
        }
        self.sent.setdefault(commit, []).append(row)
        self.heard(commit)
        return 201, row

    def _page(self, rows: list[Any], fields: Mapping[str, Any]) -> list[Any]:
        page, size = int(fields.get("page", 1)), min(int(fields.get("limit", 30)), self.most)
        self.headers["X-Total-Count"] = str(len(rows))
        return rows[(page - 1) * size : page * size]

    def _make_label(self, name: str) -> int:
        number = next((n for n, each in self.labels.items() if each == name), 0)
        number = number or 100 + len(self.labels)
        self.labels[number] = name
        return number

    def _review(self, number: int, state: str, by: str) -> None:
        """Whoever was asked for it is not asked any more."""
        pull = self.pulls[number - 1]
        pull.reviewers = [each for each in pull.reviewers if each != by]
        made = _review(len(pull.reviews) + 1, state, by, self.head(pull.branch), self.now())
        pull.reviews.append(made)

    def _event(self, pull: Pull, kind: str, by: str, text: str = "", **more: Any) -> None:
        event = {"type": kind, "user": _user(by), "body": text, "created_at": self.now()}
        pull.events.append({"id": len(pull.events) + 1, **event, **more})

    def _shown(self, pull: Pull) -> dict[str, Any]:
        """A closed one shows the branch's head of now; a deleted branch has another `ref`."""
        is_here = pull.source == HERE
        known = is_here and self.has(pull.branch)
        head = self.head(pull.branch) if known else pull.head
        is_open = pull.state == "open"
        is_draft = pull.title.startswith("WIP:")
        is_fine = is_open and not is_draft and self.is_mergeable(pull.base, head)
        if is_fine and self.looks():
            is_fine = False
        names = self.labels | (self.shared or {})
        return {
            "number": pull.number,
            "html_url": f"https://gitea.example.com/{self.repository}/pulls/{pull.number}",
            "state": pull.state,
            "title": pull.title,
            "body": pull.body,
            "user": _user(OURS),
            "labels": _shown_labels({each: names[each] for each in pull.labels}),
            "requested_reviewers": [_user(each) for each in pull.reviewers],
            "requested_reviewers_teams": [{"name": each} for each in pull.teams],
            "head": {
                "label": pull.branch,
                "ref": pull.branch if known or not is_here else f"refs/pull/{pull.number}/head",
                "sha": head,
                "repo_id": pull.source,
            },
            "base": {"label": pull.base, "ref": pull.base, "repo_id": HERE},
            "draft": is_draft,
            "mergeable": is_fine,
            "merged": pull.merged_at is not None,
            "merged_at": pull.merged_at,
            "merged_by": _user(pull.decided_by) if pull.merged_at else None,
            "merge_commit_sha": pull.merge_commit,
            "closed_at": pull.merged_at or pull.closed_at,
            "created_at": pull.created,
            "updated_at": pull.created,
        }


def _review(
    number: int, state: str, by: str, commit: str = "", time: str = "2026-11-23T10:00:00Z"
) -> dict[str, Any]:
    made = {"id": number, "user": _user(by), "state": state, "commit_id": commit}
    return {**made, "submitted_at": time, "dismissed": False, "stale": False, "body": ""}


def _shown_labels(labels: Mapping[int, str]) -> list[dict[str, Any]]:
    return [{"id": number, "name": name} for number, name in labels.items()]


def _user(name: str) -> dict[str, str]:
    return {"login": name}


@contextmanager
def gitea_server(bare: Path, folder: Path) -> Iterator[GiteaServer]:
    """Serve on a free loopback port until the block ends; `folder` is for people's clones."""
    server = GiteaServer(bare, folder)
    with serving(server, "/api/v1"):
        yield server
