"""GitHub's REST API on loopback, as far as pull requests go, over a real bare repository.

Branches, heads, conflicts and merges are Git's own. A request, or a field of one, that GitHub's
documentation does not name for its path is an error. Paths and fields: docs.github.com/en/rest
(pulls, issues, commits/statuses), API version 2022-11-28.
"""

from __future__ import annotations

import json
import re
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.support.git import Person, git

__all__ = ["TOKEN", "GitHubServer", "github_server"]

TOKEN = "ghp_s3cr3t-of-the-forge"
ROOT = "/repos/ml/manifests"
PULL_FIELDS = {"title", "head", "base", "body", "maintainer_can_modify", "draft", "issue"}
KNOWN: Mapping[str, set[str]] = {
    r"GET /user": set(),
    rf"GET {ROOT}": set(),
    rf"GET {ROOT}/pulls": {"state", "head", "base", "sort", "direction", "per_page", "page"},
    rf"POST {ROOT}/pulls": PULL_FIELDS,
    rf"GET {ROOT}/pulls/\d+": set(),
    rf"PATCH {ROOT}/pulls/\d+": {"title", "body", "state", "base", "maintainer_can_modify"},
    rf"GET {ROOT}/pulls/\d+/reviews": {"per_page", "page"},
    rf"POST {ROOT}/pulls/\d+/requested_reviewers": {"reviewers", "team_reviewers"},
    rf"GET {ROOT}/issues/\d+": set(),
    rf"GET {ROOT}/issues/\d+/comments": {"since", "per_page", "page"},
    rf"POST {ROOT}/issues/\d+/comments": {"body"},
    rf"POST {ROOT}/issues/\d+/labels": {"labels"},
    rf"GET {ROOT}/commits/[0-9a-f]+/status": {"per_page", "page"},
    rf"GET {ROOT}/commits/[0-9a-f]+/pulls": {"per_page", "page"},
    rf"POST {ROOT}/statuses/[0-9a-f]+": {"state", "target_url", "description", "context"},
}


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
    comments: list[str] = field(default_factory=list)
    reviews: list[dict[str, Any]] = field(default_factory=list)
    fork: str = ""


@dataclass
class GitHubServer:
    """`answers` are given to the next requests instead: status, headers and body. `users` may be
    asked for a review. `seen` are all requests, `sent` the verb and path of those that write.
    """

    bare: Path
    folder: Path
    token: str = TOKEN
    url: str = ""
    users: set[str] = field(default_factory=lambda: {"rita", "raj"})
    pulls: list[Pull] = field(default_factory=list)
    statuses: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    answers: list[tuple[int, Mapping[str, str], str]] = field(default_factory=list)
    seen: list[str] = field(default_factory=list)
    permissions: Mapping[str, bool] = field(default_factory=lambda: {"push": True})
    _people: int = 0

    # What people do

    def merge(self, number: int, by: str = "rita", how: str = "merge") -> str:
        pull = self.pulls[number - 1]
        person = self.person(pull.base)
        person.updates()
        source = f"origin/{pull.branch}"
        if how == "merge":
            title = f"Merge pull request #{number} from ml/{pull.branch}"
            person.run("merge", "--quiet", "--no-ff", "-m", title, source)
        elif how == "squash":
            person.run("merge", "--quiet", "--squash", source)
            person.run("commit", "--quiet", "-m", f"{pull.title} (#{number})")
        else:
            person.run("cherry-pick", f"origin/{pull.base}..{source}")
        pull.head = self.head(pull.branch)
        pull.merge_commit = person.pushes()
        pull.state, pull.merged_at, pull.decided_by = "closed", "2026-11-23T11:00:00Z", by
        return pull.merge_commit

    def close(self, number: int, by: str = "rita", comment: str = "") -> None:
        pull = self.pulls[number - 1]
        pull.head = self.head(pull.branch)
        pull.state, pull.closed_at, pull.decided_by = "closed", "2026-11-23T11:00:00Z", by
        pull.comments += [comment] if comment else []

    def review(self, number: int, state: str, by: str = "rita") -> None:
        pull = self.pulls[number - 1]
        review = {"user": {"login": by}, "state": state, "commit_id": self.head(pull.branch)}
        pull.reviews.append({**review, "submitted_at": "2026-11-23T10:59:00Z"})

    def person(self, branch: str) -> Person:
        self._people += 1
        return Person(self.folder / f"person-{self._people}", str(self.bare), branch)

    def head(self, branch: str) -> str:
        return git("rev-parse", f"refs/heads/{branch}", cwd=self.bare)

    # Answers

    def answer(
        self, verb: str, path: str, fields: Mapping[str, Any], authorization: str
    ) -> tuple[int, object]:
        self.seen.append(f"{verb} {path}")
        if authorization.split(" ")[-1] != self.token:
            return 401, {"message": "Bad credentials", "status": "401"}
        known = [allowed for form, allowed in KNOWN.items() if re.fullmatch(form, f"{verb} {path}")]
        if not known:
            return 404, {"message": f"unknown to this server: {verb} {path}"}
        assert set(fields) <= known[0], f"{verb} {path}: {sorted(set(fields) - known[0])}"
        rest = path.removeprefix(ROOT).split("/")[1:]
        if path == "/user":
            return 200, {"login": "mlflow-gitops"}
        if not rest:
            return 200, {"full_name": "ml/manifests", "permissions": dict(self.permissions)}
        if rest[0] in ("commits", "statuses"):
            return self._of_commit(verb, rest, fields)
        if len(rest) == 1:
            return self._pulls(verb, fields)
        number = int(rest[1])
        if number > len(self.pulls):
            return 404, {"message": "Not Found"}
        return self._pull(verb, rest[0], self.pulls[number - 1], rest[2:], fields)

    def _pulls(self, verb: str, fields: Mapping[str, Any]) -> tuple[int, object]:
        if verb == "GET":
            owner, _, branch = fields["head"].partition(":")
            assert owner == "ml"
            found = [p for p in self.pulls if p.branch == branch]
            return 200, [self._shown(p) for p in reversed(found)]
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
    ) -> tuple[int, object]:
        match verb, rest:
            case "GET", []:
                shown = self._shown(pull)
                by = {"login": pull.decided_by} if pull.decided_by else None
                return 200, {**shown, "closed_by": by} if kind == "issues" else shown
            case "PATCH", []:
                if fields.get("state") == "closed":
                    self.close(pull.number, by="mlflow-gitops")
                pull.title, pull.body = (
                    fields.get("title", pull.title),
                    fields.get("body", pull.body),
                )
                return 200, self._shown(pull)
            case "GET", ["reviews"]:
                return 200, pull.reviews
            case "GET", ["comments"]:
                return 200, [{"body": text} for text in pull.comments]
            case "POST", ["comments"]:
                pull.comments.append(fields["body"])
                return 201, {"body": fields["body"]}
            case "POST", ["labels"]:
                pull.labels += [label for label in fields["labels"] if label not in pull.labels]
                return 200, [{"name": label} for label in pull.labels]
            case "POST", ["requested_reviewers"]:
                wanted = fields.get("reviewers", [])
                if not set(wanted) <= self.users:
                    said = "Reviews may only be requested from collaborators."
                    return 422, {"message": said}
                pull.reviewers += wanted
                pull.teams += fields.get("team_reviewers", [])
                return 201, self._shown(pull)
        raise AssertionError((verb, kind, rest))

    def _of_commit(
        self, verb: str, rest: list[str], fields: Mapping[str, Any]
    ) -> tuple[int, object]:
        commit = rest[1]
        if rest[-1] == "pulls":
            return 200, [self._shown(p) for p in self.pulls if p.merge_commit == commit]
        if verb == "GET":
            newest = {each["context"]: each for each in self.statuses.get(commit, [])}
            return 200, {"statuses": list(newest.values()), "sha": commit}
        assert fields["state"] in ("success", "failure", "pending", "error")
        assert len(fields["description"]) <= 140
        self.statuses.setdefault(commit, []).append(dict(fields))
        return 201, dict(fields)

    def _shown(self, pull: Pull) -> dict[str, Any]:
        here = {"full_name": "ml/manifests"}
        head = self.head(pull.branch) if pull.state == "open" else pull.head
        return {
            "number": pull.number,
            "html_url": f"https://github.example.com/ml/manifests/pull/{pull.number}",
            "state": pull.state,
            "title": pull.title,
            "body": pull.body,
            "user": {"login": "mlflow-gitops"},
            "labels": [{"name": label} for label in pull.labels],
            "requested_reviewers": [{"login": each} for each in pull.reviewers],
            "requested_teams": [{"slug": each} for each in pull.teams],
            "head": {
                "ref": pull.branch,
                "sha": head,
                "repo": {"full_name": pull.fork} if pull.fork else here,
            },
            "base": {"ref": pull.base, "repo": here},
            "mergeable": self._mergeable(pull.base, head) if pull.state == "open" else None,
            "merge_commit_sha": pull.merge_commit,
            "merged_by": {"login": pull.decided_by} if pull.merged_at else None,
            "merged_at": pull.merged_at,
            "closed_at": pull.merged_at or pull.closed_at,
            "created_at": "2026-11-23T10:00:00Z",
            "updated_at": "2026-11-23T10:00:00Z",
        }

    def _mergeable(self, base: str, head: str) -> bool:
        command = ["git", "merge-tree", "--write-tree", f"refs/heads/{base}", head]
        return subprocess.run(command, cwd=self.bare, capture_output=True).returncode == 0


@contextmanager
def github_server(bare: Path, folder: Path) -> Iterator[GitHubServer]:
    """Serve on a free loopback port until the block ends; `folder` is for people's clones."""
    owner = GitHubServer(bare, folder)
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            sent = json.loads(self.rfile.read(length)) if length else {}
            parts = urlsplit(self.path)
            query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
            with lock:
                if owner.answers:
                    status, headers, text = owner.answers.pop(0)
                else:
                    token = self.headers.get("Authorization", "")
                    status, found = owner.answer(self.command, parts.path, {**query, **sent}, token)
                    headers, text = {"Content-Type": "application/json"}, json.dumps(found)
            data = text.encode()
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *args: Any) -> None:
            pass

        do_GET = do_POST = do_PATCH = answer  # noqa: N815

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    owner.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield owner
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
