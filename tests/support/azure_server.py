"""Azure DevOps's REST API on loopback, as far as pull requests go. Implements `forge_host.Host`.

`KNOWN` has the query and body fields that Microsoft's specification names for each path (version
6.0 of MicrosoftDocs/vsts-rest-api-specs), with the version that it wants; another one is a fault.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlflow_gitops.pull_requests import CommitStatus
from tests.support.forge_host import Asked, How, LocalForge, Reply, serving

__all__ = ["TOKEN", "AzureServer", "azure_server"]

TOKEN = "s3cr3tpat0ftheforge9f2b7c5d1e8a4f6b0c2d4e6f8a1b3c5d7"
OURS = "mlflow-gitops"
HEADS = "refs/heads/"
IDS = {OURS: "id-0", "rita": "id-1", "raj": "id-2", "risk": "id-team"}
ROOT = "/org/ml/_apis/git/repositories/manifests"
PULL = rf"{ROOT}/pullRequests/\d+"
GIT_RIGHTS = "2e9eb7ed-3c0a-47d4-87c1-0ffdd275fd87"
RELEASED, PREVIEW = "6.0", "6.0-preview.1"
STATUS = {"state", "description", "targetUrl", "context"}
CRITERIA = {f"searchCriteria.{name}" for name in ("sourceRefName", "targetRefName", "status")}
KNOWN: Mapping[str, tuple[str, set[str]]] = {
    rf"GET {ROOT}": (RELEASED, set()),
    rf"GET {ROOT}/pullRequests": (RELEASED, CRITERIA | {"$skip", "$top"}),
    rf"POST {ROOT}/pullRequests": (
        RELEASED,
        {"sourceRefName", "targetRefName", "title", "description", "labels", "reviewers"},
    ),
    rf"GET {PULL}": (RELEASED, set()),
    rf"PATCH {PULL}": (RELEASED, {"title", "description", "status"}),
    rf"GET {PULL}/labels": (PREVIEW, set()),
    rf"POST {PULL}/labels": (PREVIEW, {"name"}),
    rf"GET {PULL}/iterations": (RELEASED, set()),
    rf"GET {PULL}/iterations/\d+/statuses": (PREVIEW, set()),
    rf"POST {PULL}/iterations/\d+/statuses": (PREVIEW, STATUS),
    rf"GET {PULL}/threads": (RELEASED, set()),
    rf"POST {PULL}/threads": (RELEASED, {"comments", "status"}),
    rf"PUT {PULL}/reviewers/[\w-]+": (RELEASED, {"id", "vote"}),
    rf"GET {ROOT}/commits/[0-9a-f]+/statuses": (RELEASED, {"top", "skip", "latestOnly"}),
    rf"POST {ROOT}/commits/[0-9a-f]+/statuses": (RELEASED, STATUS),
    rf"POST {ROOT}/pullrequestquery": (RELEASED, {"queries"}),
    r"GET /org/ml/_apis/git/policy/configurations": (PREVIEW, {"repositoryId", "refName"}),
    r"GET /org/_apis/identities": (RELEASED, {"searchFilter", "filterValue", "queryMembership"}),
    r"GET /org/_apis/projects/ml/teams/\w+": (RELEASED, set()),
    rf"GET /org/_apis/permissions/{GIT_RIGHTS}/\d+": (RELEASED, {"tokens"}),
    r"GET /org/_apis/connectionData": (PREVIEW, set()),
}
STATES: Any = {"succeeded": "success", "failed": "failure", "pending": "pending"}


@dataclass
class Pull:
    number: int
    title: str
    description: str
    branch: str
    base: str
    created: str
    status: str = "active"
    merge_commit: str = ""
    decided_at: str | None = None
    decided_by: str = ""
    is_fork: bool = False
    labels: list[str] = field(default_factory=list)
    votes: dict[str, int] = field(default_factory=dict)
    threads: list[dict[str, Any]] = field(default_factory=list)
    iterations: list[dict[str, Any]] = field(default_factory=list)

    @property
    def head(self) -> str:
        return str(self.iterations[-1]["sourceRefCommit"]["commitId"])


@dataclass
class AzureServer(LocalForge):
    """`of_iterations` are the statuses of pull requests, by number and iteration."""

    kind = "azure-devops"
    secret = TOKEN
    published = None

    repository: str = "org/ml/_git/manifests"
    pulls: list[Pull] = field(default_factory=list)
    sent: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    of_iterations: dict[tuple[int, int], list[dict[str, Any]]] = field(default_factory=dict)

    is_exempt: bool = False
    """Whether the token's user may pass policies."""

    # What people do

    def merge(self, number: int, by: str = "rita", how: How = "merge") -> str:
        pull = self._known(number)
        pull.merge_commit = self.merged(pull.branch, pull.base, how, pull.title, number)
        pull.status, pull.decided_at, pull.decided_by = "completed", self.now(), by
        return pull.merge_commit

    def close(self, number: int, by: str = "rita", comment: str = "") -> None:
        if comment:
            self.say(number, comment, by)
        pull = self._known(number)
        pull.status, pull.decided_at, pull.decided_by = "abandoned", self.now(), by

    def say(self, number: int, text: str, by: str = "rita") -> None:
        self._thread(self._known(number), text, by)

    def approve(self, number: int, by: str = "rita") -> None:
        self._vote(number, by, 10)

    def request_changes(self, number: int, by: str = "rita") -> None:
        self._vote(number, by, -10)

    def label(self, number: int, name: str) -> None:
        self._known(number).labels.append(name)

    def rewrite(self, number: int, *, title: str = "", body: str | None = None) -> None:
        pull = self._known(number)
        pull.title = title or pull.title
        pull.description = pull.description if body is None else body

    def unlabel(self, number: int, name: str) -> None:
        self._known(number).labels.remove(name)

    def unask(self, number: int, reviewer: str) -> None:
        del self._known(number).votes[reviewer.removeprefix("team:")]

    def propose_from_fork(self) -> int:
        theirs = Pull(len(self.pulls) + 1, "theirs", "", self.branch, self.base, self.now())
        theirs.is_fork = True
        self._iterate(theirs, self.head(self.base))
        self.pulls.append(theirs)
        return theirs.number

    def branches_of(self, number: int) -> tuple[str, str]:
        return self._known(number).branch, self._known(number).base

    # What became of it

    def reviewers(self, number: int) -> list[str]:
        names = self._known(number).votes
        return [f"team:{name}" if name == "risk" else name for name in names]

    def comments(self, number: int) -> list[str]:
        said = [comment for thread in self._known(number).threads for comment in thread["comments"]]
        return [each["content"] for each in said if each["commentType"] == "text"]

    def statuses(self, commit: str) -> list[CommitStatus]:
        return [_read(row) for row in self.sent.get(commit, [])]

    def statuses_of(self, number: int) -> list[CommitStatus]:
        """What a branch policy reads: those of the newest iteration."""
        pull = self._known(number)
        return [_read(row) for row in self.of_iterations.get((number, len(pull.iterations)), [])]

    # Answers

    def answer(self, asked: Asked) -> Reply:
        fields = _checked(asked)
        pair = b64encode(f":{self.token}".encode()).decode()
        if asked.headers.get("Authorization") != f"Basic {pair}":
            return 203, "Azure DevOps Services | Sign In"
        for pull in self.pulls:
            self._known(pull.number)
        if asked.path.endswith("/policy/configurations"):
            return 200, _list(self._policies())
        if asked.path.startswith("/org/_apis"):
            return self._of_collection(asked.path, fields)
        rest = asked.path.removeprefix(ROOT).split("/")[1:]
        match asked.verb, rest:
            case "GET", []:
                row = {"id": "id-repo", "name": "manifests", "project": {"id": "id-ml"}}
                return 200, {**row, "isDisabled": self.is_archived}
            case "GET", ["pullRequests"]:
                return 200, _list(self._found(fields))
            case "POST", ["pullRequests"]:
                return self._opened(fields)
            case "POST", ["pullrequestquery"]:
                return 200, {"results": [self._queried(each) for each in fields["queries"]]}
            case verb, ["commits", commit, "statuses"]:
                if verb == "POST":
                    row = _sent(self.sent.setdefault(commit, []), fields)
                    self.heard(commit)
                    return 201, row
                rows = {_read(row).name: row for row in self.sent.get(commit, [])}
                skip, top = int(fields.get("skip", 0)), int(fields.get("top", 1000))
                return 200, _list(list(rows.values())[skip : skip + top])
        number = int(rest[1])
        if number > len(self.pulls):
            return 404, {"message": "TF401180: The requested pull request was not found."}
        return self._pull(asked.verb, self.pulls[number - 1], rest[2:], fields)

    def _of_collection(self, path: str, fields: Mapping[str, Any]) -> Reply:
        match path.split("/")[3:]:
            case ["identities"]:
                known = [n for n in self.colleagues if n == fields["filterValue"]]
                return 200, _list([{"id": IDS[n], "providerDisplayName": n} for n in known])
            case ["projects", "ml", "teams", name]:
                there = name in IDS
                return (200, {"id": IDS[name]}) if there else (404, {"message": "no such team"})
            case ["permissions", _, rights]:
                assert fields["tokens"] == "repoV2/id-ml/id-repo"
                return 200, _list([self.is_exempt if rights == "128" else self.may_write])
        account = {"Account": {"$type": "System.String", "$value": f"{OURS}@example.com"}}
        return 200, {"authenticatedUser": {"providerDisplayName": OURS, "properties": account}}

    def _policies(self) -> list[dict[str, Any]]:
        blocking = {"isEnabled": True, "isBlocking": True}
        kind = {"id": "fa4e907d-c16b-4a4c-9dfa-4906e5d171dd", "displayName": "Minimum reviewers"}
        optional = {**blocking, "isBlocking": False, "type": kind, "settings": {}}
        found = [optional] if self.takes_pushes else [{**optional, "isBlocking": True}]
        kind = {"id": "cbdc66da-9728-4af8-aada-9a5a32e4a226", "displayName": "Status"}
        for context in self.required:
            genre, _, name = context.rpartition("/")
            settings = {"statusName": name, "statusGenre": genre or None}
            found.append({**blocking, "type": kind, "settings": settings})
        return found

    def _found(self, fields: Mapping[str, Any]) -> list[dict[str, Any]]:
        branch = fields.get("searchCriteria.sourceRefName")
        status = fields.get("searchCriteria.status", "active")
        found = [
            self._shown(each)
            for each in self.pulls[::-1]
            if branch in (None, HEADS + each.branch) and status in ("all", each.status)
        ]
        skip, top = int(fields.get("$skip", 0)), int(fields.get("$top", 101))
        return found[skip : skip + top]

    def _opened(self, fields: Mapping[str, Any]) -> Reply:
        branch = fields["sourceRefName"].removeprefix(HEADS)
        base = fields["targetRefName"].removeprefix(HEADS)
        there = [(p.branch, p.base, p.status, p.is_fork) for p in self.pulls]
        if (branch, base, "active", False) in there:
            said = (
                "TF401179: An active pull request for the source and target branch already exists."
            )
            return 409, {"message": said, "typeKey": "GitPullRequestExistsException"}
        assert len(fields["description"]) <= 4000
        number = len(self.pulls) + 1
        made = Pull(number, fields["title"], fields["description"], branch, base, self.now())
        made.labels = [each["name"] for each in fields["labels"]]
        self.pulls.append(made)
        return 201, self._shown(self._known(number))

    def _queried(self, query: Mapping[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for commit in query["items"]:
            for pull in self.pulls:
                if pull.merge_commit == commit and query["type"] == "lastMergeCommit":
                    found.setdefault(commit, []).append(self._shown(pull))
        return found

    def _pull(self, verb: str, pull: Pull, rest: list[str], fields: Mapping[str, Any]) -> Reply:
        match verb, rest:
            case "GET", []:
                return 200, self._shown(pull)
            case "PATCH", []:
                assert pull.status == "active", "an abandoned one cannot be edited"
                assert len(fields.get("description", "")) <= 4000
                if fields.get("status") == "abandoned":
                    self.close(pull.number, by=OURS)
                pull.title = fields.get("title", pull.title)
                pull.description = fields.get("description", pull.description)
                return 200, self._shown(pull)
            case "GET", ["labels"]:
                rows = [{"id": f"id-{n}", "name": n, "active": True} for n in pull.labels]
                return 200, _list(rows)
            case "POST", ["labels"]:
                pull.labels.append(fields["name"])
                return 200, {"id": "id", "name": fields["name"], "active": True}
            case "GET", ["iterations"]:
                return 200, _list(pull.iterations)
            case _, ["iterations", number, "statuses"]:
                rows = self.of_iterations.setdefault((pull.number, int(number)), [])
                return (200, _list(rows)) if verb == "GET" else (200, _sent(rows, fields))
            case "GET", ["threads"]:
                return 200, _list(pull.threads)
            case "POST", ["threads"]:
                self._thread(pull, fields["comments"][0]["content"], OURS)
                return 200, pull.threads[-1]
            case "PUT", ["reviewers", found]:
                assert found in IDS.values()
                name = next(name for name, each in IDS.items() if each == found)
                pull.votes.setdefault(name, fields["vote"])
                return 200, {**_user(name), "vote": pull.votes[name]}
        raise AssertionError((verb, rest))

    def _known(self, number: int) -> Pull:
        """Azure keeps an iteration of each head that an active one had."""
        pull = self.pulls[number - 1]
        if pull.status == "active" and not pull.is_fork:
            head = self.head(pull.branch)
            if not pull.iterations or pull.head != head:
                self._iterate(pull, head)
        return pull

    def _iterate(self, pull: Pull, head: str) -> None:
        made = {"id": len(pull.iterations) + 1, "createdDate": self.now()}
        pull.iterations.append({**made, "sourceRefCommit": {"commitId": head}})

    def _vote(self, number: int, by: str, vote: int) -> None:
        pull = self._known(number)
        pull.votes[by] = vote
        told = {
            "CodeReviewThreadType": "VoteUpdate",
            "CodeReviewVoteResult": str(vote),
            "CodeReviewVotedByIdentity": "1",
        }
        self._thread(pull, f"{by} voted {vote}", by, told)

    def _thread(
        self, pull: Pull, text: str, by: str, told: Mapping[str, str] | None = None
    ) -> None:
        time = self.now()
        kind = "system" if told else "text"
        said = {"id": 1, "author": _user(by), "content": text, "commentType": kind}
        values = {name: {"$type": "System.String", "$value": v} for name, v in (told or {}).items()}
        thread = {
            "id": len(pull.threads) + 1,
            "publishedDate": time,
            "comments": [{**said, "publishedDate": time}],
            "properties": values or None,
            "identities": {"1": _user(by)} if told else None,
        }
        pull.threads.append(thread)

    def _shown(self, pull: Pull) -> dict[str, Any]:
        is_active = pull.status == "active"
        status = "succeeded"
        if is_active:
            status = "succeeded" if self.is_mergeable(pull.base, pull.head) else "conflicts"
            status = "queued" if self.looks() else status
        row = {
            "pullRequestId": pull.number,
            "status": pull.status,
            "title": pull.title,
            "description": pull.description,
            "sourceRefName": HEADS + pull.branch,
            "targetRefName": HEADS + pull.base,
            "createdBy": _user(OURS),
            "creationDate": pull.created,
            "mergeStatus": status,
            "lastMergeSourceCommit": {"commitId": pull.head},
            "reviewers": [{**_user(n), "vote": vote} for n, vote in pull.votes.items()],
            "repository": {"id": "id-repo", "project": {"id": "id-ml"}},
        }
        if pull.is_fork:
            row["forkSource"] = {"name": row["sourceRefName"], "repository": {"id": "id-fork"}}
        if not is_active:
            row |= {"closedBy": _user(pull.decided_by), "closedDate": pull.decided_at}
        if pull.merge_commit:
            row["lastMergeCommit"] = {"commitId": pull.merge_commit}
        return row


def _checked(asked: Asked) -> dict[str, Any]:
    """The fields. Raises AssertionError for what the specification does not name."""
    call = f"{asked.verb} {asked.path}"
    known = next((found for form, found in KNOWN.items() if re.fullmatch(form, call)), None)
    assert known is not None, f"{call}: Azure DevOps has no such path"
    fields = {**asked.query, **asked.body}
    assert fields.pop("api-version", "") == known[0], f"{call} has another version"
    unknown = fields.keys() - known[1]
    assert not unknown, f"{call} takes no {', '.join(sorted(unknown))}"
    return fields


def _sent(rows: list[dict[str, Any]], fields: Mapping[str, Any]) -> dict[str, Any]:
    rows.append({"id": len(rows) + 1, **fields})
    return rows[-1]


def _read(row: Mapping[str, Any]) -> CommitStatus:
    context = row["context"]
    name = "/".join(part for part in (context["genre"], context["name"]) if part)
    return CommitStatus(name, STATES[row["state"]], row["description"], row.get("targetUrl", ""))


def _list(rows: list[Any]) -> dict[str, Any]:
    return {"count": len(rows), "value": rows}


def _user(name: str) -> dict[str, Any]:
    return {"id": IDS[name], "uniqueName": name, "displayName": name.capitalize()} | (
        {"isContainer": True, "displayName": f"[ml]\\{name}"} if name == "risk" else {}
    )


@contextmanager
def azure_server(bare: Path, folder: Path) -> Iterator[AzureServer]:
    """Serve on a free loopback port until the block ends; `folder` is for people's clones."""
    server = AzureServer(bare, folder)
    with serving(server, "/org"):
        yield server
