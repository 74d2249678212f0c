"""GitLab's REST API on loopback, as far as merge requests go. Implements `forge_host.Host`.

No registry has GitLab's description of its API: `KNOWN` has the attributes that its documentation
names for each path (doc/api of GitLab 18), and a request with another one is a fault.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlflow_gitops.pull_requests import CommitStatus
from tests.support.forge_host import Asked, How, LocalForge, Reply, serving
from tests.support.git import git

__all__ = ["TOKEN", "GitLabServer", "MergeRequest", "gitlab_server"]

TOKEN = "glpat-s3cr3t-of-the-forge"
OURS = "mlflow-gitops"
HERE, FORK = 7, 8
IDS = {OURS: 1, "rita": 2, "raj": 3}
PAGED = {"page", "per_page"}
PROJECT = "/api/v4/projects/ml%2Fmanifests"
KNOWN: Mapping[str, set[str]] = {
    r"GET /api/v4/user": set(),
    r"GET /api/v4/personal_access_tokens/self": set(),
    rf"GET {PROJECT}/repository/branches/\w+": set(),
    r"GET /api/v4/users": {"username", "search", "active"} | PAGED,
    rf"GET {PROJECT}": {"statistics", "license"},
    rf"GET {PROJECT}/merge_requests": {
        *("state", "order_by", "sort", "scope", "source_branch", "target_branch", "labels"),
        *("view", "author_username", "source_project_id", *PAGED),
    },
    rf"POST {PROJECT}/merge_requests": {
        *("source_branch", "target_branch", "title", "description", "labels", "reviewer_ids"),
        *("assignee_ids", "remove_source_branch", "squash", "target_project_id"),
    },
    rf"GET {PROJECT}/merge_requests/\d+": {"include_diverged_commits_count", "render_html"},
    rf"PUT {PROJECT}/merge_requests/\d+": {
        *("title", "description", "add_labels", "remove_labels", "labels", "reviewer_ids"),
        *("state_event", "target_branch", "assignee_ids", "squash"),
    },
    rf"GET {PROJECT}/merge_requests/\d+/approvals": set(),
    rf"GET {PROJECT}/merge_requests/\d+/versions": PAGED,
    rf"GET {PROJECT}/merge_requests/\d+/notes": {"sort", "order_by"} | PAGED,
    rf"POST {PROJECT}/merge_requests/\d+/notes": {"body", "created_at", "internal"},
    rf"GET {PROJECT}/repository/commits/[0-9a-f]+/merge_requests": {"state"} | PAGED,
    rf"GET {PROJECT}/repository/commits/[0-9a-f]+/statuses": {
        *("ref", "stage", "name", "all", "pipeline_id", "order_by", "sort", *PAGED),
    },
    rf"POST {PROJECT}/statuses/[0-9a-f]+": {
        *("state", "name", "context", "ref", "description", "target_url", "coverage"),
        "pipeline_id",
    },
}


@dataclass
class MergeRequest:
    iid: int
    title: str
    description: str
    branch: str
    base: str
    created: str
    state: str = "opened"
    head: str = ""
    merge_commit: str | None = None
    squash_commit: str | None = None
    decided_at: str | None = None
    decided_by: str = ""
    source_project: int = HERE
    labels: list[str] = field(default_factory=list)
    reviewers: list[str] = field(default_factory=list)
    notes: list[dict[str, Any]] = field(default_factory=list)
    approved: dict[str, str] = field(default_factory=dict)
    versions: list[dict[str, Any]] = field(default_factory=list)
    pipeline: dict[str, Any] | None = None


@dataclass
class GitLabServer(LocalForge):
    """`tells_times` is whether an approval says when it was given, as newer GitLabs do.
    `is_idempotent` is whether a pending status may be sent again, which GitLab refuses;
    `knows_user` whether the token may ask whose it is; `scopes` are its own, None where this
    GitLab does not tell them.
    """

    kind = "gitlab"
    secret = TOKEN
    refs = "merge-requests"
    published = None
    names_required = False

    requests: list[MergeRequest] = field(default_factory=list)
    sent: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    jobs: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    """What the project's own pipelines run for a commit: a job in each here."""
    tells_times: bool = True
    is_idempotent: bool = True
    knows_user: bool = True
    scopes: tuple[str, ...] | None = ("api",)
    has_merge_commits: bool = True
    """Whether a squash is merged with a merge commit, as new projects do; else fast-forward."""

    # What people do

    def merge(self, number: int, by: str = "rita", how: How = "merge") -> str:
        found = self._known(number)
        found.head = self.head(found.branch)
        made = self.merged(found.branch, found.base, how, found.title, number)
        if how == "merge":
            found.merge_commit = made
        elif how == "squash":
            found.squash_commit = made
            if self.has_merge_commits:
                made = found.merge_commit = self._with_merge_commit(found, made)
        else:  # rebased, then fast-forward: the merge request's own head is in the base
            found.head = made
        found.state, found.decided_at, found.decided_by = "merged", self.now(), by
        return made

    def merge_message(self, branch: str, base: str, title: str, number: int) -> str:
        see = f"See merge request {self.repository}!{number}"
        return f"Merge branch '{branch}' into '{base}'\n\n{title}\n\n{see}"

    def squash_message(self, title: str, number: int) -> str:
        del number
        return title

    def _with_merge_commit(self, found: MergeRequest, squash: str) -> str:
        message = self.merge_message(found.branch, found.base, found.title, found.iid)
        parents = ("-p", f"{squash}^", "-p", squash)
        made = git("commit-tree", f"{squash}^{{tree}}", *parents, "-m", message, cwd=self.bare)
        git("update-ref", f"refs/heads/{found.base}", made, cwd=self.bare)
        return made

    def close(self, number: int, by: str = "rita", comment: str = "") -> None:
        found = self._known(number)
        if comment:
            self.say(number, comment, by)
        found.head = self.head(found.branch)
        found.state, found.decided_at, found.decided_by = "closed", self.now(), by
        self._note(found, "closed", by, system=True)

    def say(self, number: int, text: str, by: str = "rita") -> None:
        self._note(self._known(number), text, by)

    def approve(self, number: int, by: str = "rita") -> None:
        found = self._known(number)
        self._note(found, "approved this merge request", by, system=True)
        found.approved[by] = found.notes[-1]["created_at"]

    def request_changes(self, number: int, by: str = "rita") -> None:
        found = self._known(number)
        found.approved.pop(by, None)
        self._note(found, "requested changes", by, system=True)

    def label(self, number: int, name: str) -> None:
        self._known(number).labels.append(name)

    def rewrite(self, number: int, *, title: str = "", body: str | None = None) -> None:
        found = self._known(number)
        found.title = title or found.title
        found.description = found.description if body is None else body

    def unlabel(self, number: int, name: str) -> None:
        self._known(number).labels.remove(name)

    def unask(self, number: int, reviewer: str) -> None:
        self._known(number).reviewers.remove(reviewer)

    def propose_from_fork(self) -> int:
        number = len(self.requests) + 1
        theirs = MergeRequest(number, "theirs", "", self.branch, self.base, self.now())
        theirs.source_project, theirs.head = FORK, self.head(self.base)
        self.requests.append(theirs)
        return number

    def branches_of(self, number: int) -> tuple[str, str]:
        return self._known(number).branch, self._known(number).base

    def runs(self, commit: str) -> int:
        """The project's own pipeline starts. Returns its number."""
        number = 100 + sum(map(len, self.jobs.values()))
        job = {"name": "build", "status": "running", "description": None, "pipeline_id": number}
        self.jobs.setdefault(commit, []).append(job)
        return number

    def tries(self, number: int, kind: str = "train") -> str:
        """A merge train (or `merge` for a merged result) makes its commit, with a pipeline.

        Returns the commit.
        """
        branch, base = self.branches_of(number)
        name = f"{kind}-{number}"
        git("update-ref", f"refs/heads/{name}", f"refs/heads/{base}", cwd=self.bare)
        made = self.person(name).merges(branch)
        ref = f"refs/merge-requests/{number}/{kind}"
        git("update-ref", ref, made, cwd=self.bare)
        git("update-ref", "-d", f"refs/heads/{name}", cwd=self.bare)
        self._known(number).pipeline = {"id": 5, "sha": made, "ref": ref, "status": "running"}
        return made

    # What became of it

    def reviewers(self, number: int) -> list[str]:
        return list(self._known(number).reviewers)

    def comments(self, number: int) -> list[str]:
        return [each["body"] for each in self._known(number).notes if not each["system"]]

    def statuses(self, commit: str) -> list[CommitStatus]:
        verdicts: Any = {"success": "success", "failed": "failure", "pending": "pending"}
        return [
            CommitStatus(
                each["name"],
                verdicts[each["status"]],
                each["description"],
                each["target_url"] or "",
            )
            for each in self.sent.get(commit, [])
        ]

    # Answers

    def answer(self, asked: Asked) -> Reply:
        _check(asked)
        if asked.headers.get("PRIVATE-TOKEN") != self.token:
            return 401, {"message": "401 Unauthorized"}
        fields = {**asked.query, **asked.body}
        if asked.path == "/api/v4/user" and not self.knows_user:
            return 403, {"error": "insufficient_scope"}
        if asked.path == "/api/v4/personal_access_tokens/self":
            known = self.scopes is not None
            return (200, {"scopes": self.scopes}) if known else (404, {"message": "404 Not Found"})
        if asked.path == "/api/v4/user":
            return 200, {**_user(OURS), "is_admin": False}
        if asked.path == "/api/v4/users":
            name = fields["username"]
            return 200, [_user(name)] if name in self.colleagues else []
        rest = asked.path.removeprefix(PROJECT).split("/")[1:]
        if not rest:
            level = {"access_level": 30 if self.may_write else 20}
            access = {"project_access": level, "group_access": None}
            row = {"id": HERE, "path_with_namespace": "ml/manifests", "permissions": access}
            return 200, {**row, "archived": self.is_archived}
        if rest[:2] == ["repository", "branches"]:
            return 200, {"name": self.base, "can_push": self.takes_pushes}
        if rest[0] in ("repository", "statuses"):
            return self._of_commit(asked.verb, rest, fields)
        if len(rest) == 1:
            return self._list(asked.verb, fields)
        if int(rest[1]) > len(self.requests):
            return 404, {"message": "404 Not found"}
        return self._one(asked.verb, self._known(int(rest[1])), rest[2:], fields)

    def _list(self, verb: str, fields: Mapping[str, Any]) -> Reply:
        if verb == "GET":
            found = [r for r in self.requests if r.branch == fields["source_branch"]]
            return 200, _page([self._listed(each) for each in reversed(found)], fields)
        branch = fields["source_branch"]
        theirs = [r for r in self.requests if (r.branch, r.source_project) == (branch, HERE)]
        for each in theirs:
            if each.state == "opened":
                said = "Another open merge request already exists for this source branch"
                return 409, {"message": [f"{said}: !{each.iid}"]}
        number = len(self.requests) + 1
        made = MergeRequest(
            number,
            fields["title"],
            fields["description"],
            branch,
            fields["target_branch"],
            self.now(),
        )
        made.labels = [label for label in fields["labels"].split(",") if label]
        self._ask(made, fields["reviewer_ids"])
        self.requests.append(made)
        return 201, self._shown(made)

    def _one(
        self, verb: str, found: MergeRequest, rest: list[str], fields: Mapping[str, Any]
    ) -> Reply:
        match verb, rest:
            case "GET", []:
                return 200, self._shown(found)
            case "PUT", []:
                found.title = fields.get("title", found.title)
                found.description = fields.get("description", found.description)
                added = [each for each in fields.get("add_labels", "").split(",") if each]
                found.labels += [label for label in added if label not in found.labels]
                if "reviewer_ids" in fields:
                    self._ask(found, fields["reviewer_ids"])
                if fields.get("state_event") == "close":
                    self.close(found.iid, by=OURS)
                return 200, self._shown(found)
            case "GET", ["approvals"]:
                timed = {"approved_at"} if self.tells_times else set()
                rows = [
                    {"user": _user(by), **({"approved_at": at} if timed else {})}
                    for by, at in found.approved.items()
                ]
                return 200, {"iid": found.iid, "approved_by": rows, "approved": bool(rows)}
            case "GET", ["versions"]:
                self._shown(found)
                return 200, _page(found.versions[::-1], fields)
            case "GET", ["notes"]:
                return 200, _page(found.notes[::-1], fields)
            case "POST", ["notes"]:
                self._note(found, fields["body"], OURS)
                return 201, found.notes[-1]
        raise AssertionError((verb, rest))

    def _of_commit(self, verb: str, rest: list[str], fields: Mapping[str, Any]) -> Reply:
        if rest[-1] == "merge_requests":
            found = [
                self._listed(each)
                for each in self.requests
                if rest[2] in (each.merge_commit, each.squash_commit, each.head)
                and each.state == "merged"
            ]
            return 200, _page(found, fields)
        if verb == "GET":
            rows = [*self.sent.get(rest[2], []), *self.jobs.get(rest[2], [])]
            newest = {(each["name"], each["pipeline_id"]): each for each in rows}
            return 200, _page(list(newest.values()), fields)
        assert fields["state"] in ("pending", "running", "success", "failed", "canceled")
        assert len(fields["description"]) <= 255
        jobs = self.jobs.get(rest[1])
        pipeline = jobs[-1]["pipeline_id"] if jobs else 7  # an external one is made
        key = (fields["name"], pipeline)
        sent = self.sent.get(rest[1], [])
        before = [each for each in sent if (each["name"], each["pipeline_id"]) == key]
        is_pending = bool(before) and before[-1]["status"] == "pending"
        if is_pending and fields["state"] == "pending" and not self.is_idempotent:
            return 400, {"message": "Cannot transition status via :enqueue from :pending"}
        row = {
            "sha": rest[1],
            "pipeline_id": pipeline,
            "status": fields["state"],
            "name": fields["name"],
            "description": fields["description"],
            "target_url": fields.get("target_url"),
            "author": _user(OURS),
        }
        self.sent.setdefault(rest[1], []).append(row)
        self.heard(rest[1])
        return 201, row

    def _known(self, number: int) -> MergeRequest:
        return self.requests[number - 1]

    def _ask(self, found: MergeRequest, ids: list[int]) -> None:
        names = {number: name for name, number in IDS.items()}
        found.reviewers = [names[each] for each in ids]

    def _note(self, found: MergeRequest, text: str, by: str, *, system: bool = False) -> None:
        note = {"body": text, "author": _user(by), "created_at": self.now(), "system": system}
        found.notes.append({"id": len(found.notes) + 1, **note})

    def _listed(self, found: MergeRequest) -> dict[str, Any]:
        """GitLab looks at the branch, and keeps a version of each head that it saw."""
        is_open = found.state == "opened"
        is_here = found.source_project == HERE
        head = self.head(found.branch) if is_open and is_here else found.head
        if is_open and (not found.versions or found.versions[-1]["head_commit_sha"] != head):
            version = {"id": len(found.versions) + 1, "head_commit_sha": head}
            found.versions.append({**version, "created_at": self.now()})
        return {
            "id": 1000 + found.iid,
            "iid": found.iid,
            "project_id": HERE,
            "title": found.title,
            "description": found.description,
            "state": found.state,
            "web_url": f"https://gitlab.example.com/ml/manifests/-/merge_requests/{found.iid}",
            "source_branch": found.branch,
            "target_branch": found.base,
            "source_project_id": found.source_project,
            "target_project_id": HERE,
            "sha": head,
            "author": _user(OURS),
            "labels": list(found.labels),
            "reviewers": [_user(each) for each in found.reviewers],
            "merge_commit_sha": found.merge_commit,
            "squash_commit_sha": found.squash_commit,
            "merge_user": _user(found.decided_by) if found.state == "merged" else None,
            "merged_at": found.decided_at if found.state == "merged" else None,
            "closed_by": _user(found.decided_by) if found.state == "closed" else None,
            "closed_at": found.decided_at if found.state == "closed" else None,
            "created_at": found.created,
            "updated_at": found.created,
        }

    def _shown(self, found: MergeRequest) -> dict[str, Any]:
        row = self._listed(found)
        is_fine = found.state != "opened" or self.is_mergeable(found.base, row["sha"])
        status = "mergeable" if is_fine else "conflict"
        if found.state == "opened" and self.looks():
            is_fine, status = True, "checking"
        told = {"has_conflicts": not is_fine, "detailed_merge_status": status}
        return {**row, **told, "head_pipeline": found.pipeline}


def _check(asked: Asked) -> None:
    """Raises AssertionError for what GitLab's documentation does not name."""
    call = f"{asked.verb} {asked.path}"
    fields = next((f for known, f in KNOWN.items() if re.fullmatch(known, call)), None)
    assert fields is not None, f"{call}: GitLab has no such path"
    unknown = {*asked.query, *asked.body} - fields
    assert not unknown, f"{call} takes no {', '.join(sorted(unknown))}"


def _page(rows: list[Any], fields: Mapping[str, Any]) -> list[Any]:
    page, size = int(fields.get("page", 1)), int(fields.get("per_page", 20))
    return rows[(page - 1) * size : page * size]


def _user(name: str) -> dict[str, Any]:
    return {"id": IDS.get(name, 99), "username": name, "name": name.capitalize(), "state": "active"}


@contextmanager
def gitlab_server(bare: Path, folder: Path) -> Iterator[GitLabServer]:
    """Serve on a free loopback port until the block ends; `folder` is for people's clones."""
    server = GitLabServer(bare, folder)
    with serving(server):
        yield server
