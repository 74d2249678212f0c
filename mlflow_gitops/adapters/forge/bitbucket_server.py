"""Bitbucket Data Center's REST API. Implements `ports.Forge`.

What differs from GitHub's: each write names the version that it changes, who decided is in the
activities alone, times are numbers, and there are no labels (`bitbucket_text`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Literal
from urllib.parse import quote

from mlflow_gitops.adapters.forge import failures
from mlflow_gitops.adapters.forge.bitbucket_rows import builds, status_of
from mlflow_gitops.adapters.forge.bitbucket_server_client import RIGHTS, BitbucketServerClient
from mlflow_gitops.adapters.forge.bitbucket_server_rows import (
    HEADS,
    approvals_of,
    comments_of,
    is_own,
    matches,
    name_of,
    time_of,
)
from mlflow_gitops.adapters.forge.bitbucket_text import read, written
from mlflow_gitops.adapters.forge.bodies import plain
from mlflow_gitops.adapters.forge.closing import closing_comment, was_said
from mlflow_gitops.adapters.forge.network import told
from mlflow_gitops.adapters.forge.not_again import NotAgain
from mlflow_gitops.adapters.forge.rest import Json
from mlflow_gitops.adapters.forge.statuses import own_statuses, unset
from mlflow_gitops.errors import ForgeError
from mlflow_gitops.pull_requests import (
    WITHDRAWN,
    CommitStatus,
    Draft,
    Protection,
    PullRequest,
)

__all__ = ["BitbucketServerForge"]

log = logging.getLogger(__name__)

TIMEOUT = 30.0  # seconds for one request
TEAM = "team:"
NO_PUSH = ("read-only", "pull-request-only")
DUPLICATE = "Only one pull request may be open"
STATE_OF: dict[str, Literal["open", "closed", "merged"]] = {"OPEN": "open", "MERGED": "merged"}


class BitbucketServerForge:
    """`base` is the server's address, `project` a key or `~user`. Safe for threads."""

    kind = "bitbucket-data-center"

    def __init__(
        self,
        base: str,
        project: str,
        repository: str,
        token: Callable[[], str],
        *,
        timeout: float = TIMEOUT,
    ) -> None:
        self._project, self._repository = project, repository
        self._client = BitbucketServerClient(base, project, repository, token, timeout)
        self._builds = f"{self._client.rest}/build-status/1.0/commits"
        self._not_again = NotAgain()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._client.where!r})"

    # ports.Forge

    @told
    def newest(self, branch: str) -> PullRequest | None:
        query = {"at": HEADS + branch, "direction": "OUTGOING", "state": "ALL", "order": "NEWEST"}
        found = self._client.pages("/pull-requests", query)
        ours = [row for row in found if is_own(row)]
        ours.sort(key=lambda row: (row["state"] == "OPEN", row["id"]), reverse=True)
        return self.get(ours[0]["id"]) if ours else None

    @told
    def get(self, number: int) -> PullRequest:
        path = f"/pull-requests/{number}"
        row = self._client.get(path)
        state = STATE_OF.get(row["state"], "closed")
        people = [*row["reviewers"], *row["participants"]]
        approved = [each for each in people if each["approved"]]
        needs_past = approved or state != "open"
        past = self._client.pages(f"{path}/activities") if needs_past else []
        decided = next((each for each in past if each["action"] == row["state"]), None)
        by = name_of(decided["user"]) if decided else ""
        at = time_of(decided["createdDate"] if decided else row.get("closedDate"))
        body, labels = read(row.get("description") or "")
        merge = (row.get("properties") or {}).get("mergeCommit") or {}
        return PullRequest(
            number=int(row["id"]),
            url=f"{self._client.web}/pull-requests/{row['id']}",
            state=state,
            branch=row["fromRef"]["id"].removeprefix(HEADS),
            base=row["toRef"]["id"].removeprefix(HEADS),
            head=row["fromRef"]["latestCommit"],
            title=row["title"],
            body=body,
            labels=labels,
            author=name_of(row["author"]["user"]),
            approvals=tuple(approvals_of(approved, past, row["fromRef"]["latestCommit"])),
            mergeable=self._mergeable(path) if state == "open" else None,
            merge_commit=str(merge.get("id") or "") if state == "merged" else "",
            decided_by=by,
            decided_at=at,
            comment=closing_comment(comments_of(past), by, at) if state == "closed" else "",
            created=time_of(row["createdDate"]),
            updated=time_of(row["updatedDate"]),
            asked=(*(name_of(e["user"]) for e in row["reviewers"]), *self._not_again.of(number)),
        )

    def glance(self, number: int) -> PullRequest:
        return self.get(number)

    @told
    def open(self, branch: str, base: str, draft: Draft) -> PullRequest:
        here = {"slug": self._repository, "project": {"key": self._project}}
        fields = {
            "title": draft.title,
            "description": written(draft.body, draft.labels),
            "fromRef": {"id": HEADS + branch, "repository": here},
            "toRef": {"id": HEADS + base, "repository": here},
        }
        try:
            made = self._client.send("POST", "/pull-requests", fields)
        except failures.NotTakenError as error:
            if DUPLICATE not in error.what:
                raise
            raise failures.just_opened(branch, where=error.where) from None
        self._ask_reviewers(made, draft.reviewers)
        return self.get(made["id"])

    @told
    def update(self, pull: PullRequest, draft: Draft) -> None:
        now = self._client.get(f"/pull-requests/{pull.number}")
        _, there = read(now.get("description") or "")
        text = written(draft.body, dict.fromkeys((*there, *draft.labels)))
        if (now["title"], plain(now.get("description") or "")) != (draft.title, text):
            self._put(now, draft.title, text)
        self._ask_reviewers(now, draft.reviewers)

    @told
    def withdraw(self, pull: PullRequest, comment: str) -> None:
        path = f"/pull-requests/{pull.number}"
        now = self._client.get(path)
        if now["state"] != "OPEN":
            return
        body, labels = read(now.get("description") or "")
        made = self._put(now, now["title"], written(body, dict.fromkeys((*labels, WITHDRAWN))))
        self.comment(pull.number, comment)
        self._change("POST", f"{path}/decline?version={made['version']}", {})

    @told
    def comment(self, number: int, text: str) -> None:
        path = f"/pull-requests/{number}"
        past = self._client.pages(f"{path}/activities")
        if not was_said(text, [each.text for each in comments_of(past)]):
            self._client.send("POST", f"{path}/comments", {"text": text})

    @told
    def set_statuses(
        self, commit: str, statuses: Sequence[CommitStatus], *, is_new: bool = False
    ) -> None:
        there = [] if is_new else self._client.pages(f"{self._builds}/{commit}")
        for fields in builds(statuses, there, f"{self._client.web}/commits/{commit}"):
            build = {**fields, "parent": fields["key"]}  # by which required builds know it
            self._client.send("POST", f"/commits/{commit}/builds", build)

    @told
    def verdicts(self, commit: str) -> Sequence[CommitStatus]:
        return own_statuses(map(status_of, self._client.pages(f"{self._builds}/{commit}")))

    @told
    def of_commit(self, commit: str) -> PullRequest | None:
        rows = self._client.pages(f"/commits/{commit}/pull-requests")
        merged = [row["id"] for row in rows if row["state"] == "MERGED" and is_own(row)]
        return self.get(max(merged)) if merged else None

    @told
    def protection(self, branch: str) -> Protection:
        below = f"projects/{quote(self._project)}/repos/{quote(self._repository)}"
        required = self._required(below, branch)
        there: list[str] = []
        if required:
            heads = self._client.pages("/branches", {"filterText": branch})
            head = next(row["latestCommit"] for row in heads if row["displayId"] == branch)
            rows = self._client.pages(f"{self._builds}/{head}")
            there = [row.get("parent") or row["key"] for row in rows]
        missing = unset(required, there)
        path = f"{self._client.rest}/branch-permissions/2.0/{below}/restrictions"
        try:
            rows = self._client.pages(path)
        except failures.AnswerError as error:
            if error.status not in (401, 403):
                raise
            unknown = "only a token of an administrator sees the branch's permissions"
            return Protection("", required, missing, unknown)
        limits = [r for r in rows if r["type"] in NO_PUSH and matches(r["matcher"], branch)]
        _, headers = self._client.ask("GET", "")
        user = headers.get("X-AUSERNAME", "")
        if all(user in map(name_of, row.get("users") or ()) for row in limits):
            return Protection("", required, missing)
        if any(row.get("groups") for row in limits):
            unknown = "some groups may push to it, and whose they are is not told"
            return Protection("", required, missing, unknown)
        return Protection("its permissions want a pull request", required, missing)

    @told
    def check(self) -> str:
        answer, headers = self._client.ask("GET", "")
        if answer.get("archived"):
            raise failures.read_only(where=self._client.asked)
        query = {"name": answer["name"], "permission": "REPO_WRITE"}
        writable = self._client.pages(f"{self._client.rest}/api/1.0/repos", query)
        if answer["id"] not in {row["id"] for row in writable}:
            raise failures.may_not_write(where=self._client.asked, rights=RIGHTS)
        return str(headers.get("X-AUSERNAME") or "a token")

    # Parts

    def _required(self, below: str, branch: str) -> tuple[str, ...]:
        """The keys of required builds, where this Bitbucket has them."""
        try:
            rows = self._client.pages(
                f"{self._client.rest}/required-builds/latest/{below}/conditions"
            )
        except failures.AnswerError as error:
            if error.status not in (401, 403, 404):
                raise
            return ()
        keys = [row["buildParentKeys"] for row in rows if matches(row["refMatcher"], branch)]
        return tuple(dict.fromkeys(key for each in keys for key in each))

    def _mergeable(self, path: str) -> bool | None:
        """Whether there is no conflict: what else keeps it from being merged does not matter."""
        found = self._client.get(f"{path}/merge")
        if found.get("outcome") == "UNKNOWN":
            return None
        return not found["conflicted"]

    def _put(self, row: Json, title: str, text: str) -> Json:
        """Change a pull request: reviewers that are not sent, Bitbucket would take away."""
        fields = {
            "version": row["version"],
            "title": title,
            "description": text,
            "reviewers": [{"user": {"name": each["user"]["name"]}} for each in row["reviewers"]],
        }
        made: Json = self._change("PUT", f"/pull-requests/{row['id']}", fields)
        return made

    def _change(self, verb: str, path: str, fields: Json) -> Json:
        try:
            made: Json = self._client.send(verb, path, fields)
        except failures.NotTakenError as error:
            if error.status != 409:
                raise
            raise failures.busy(where=error.where) from None  # somebody changed it meanwhile
        return made

    def _ask_reviewers(self, row: Json, reviewers: Iterable[str]) -> None:
        """One by one: a reviewer whom Bitbucket refuses stops no delivery."""
        number = int(row["id"])
        names = {name_of(each["user"]).casefold() for each in row["reviewers"]}
        names |= {name.casefold() for name in self._not_again.of(number)}
        for reviewer in reviewers:
            if reviewer.casefold() in names:
                continue
            try:
                if reviewer.startswith(TEAM):
                    raise ForgeError(
                        "Bitbucket asks no groups for a review", where=self._client.where
                    )
                fields = {"user": {"name": reviewer}, "role": "REVIEWER"}
                self._client.send("POST", f"/pull-requests/{number}/participants", fields)
            except ForgeError as error:
                self._not_again.add(number, reviewer)
                log.warning("no review is asked of %r: %s", reviewer, error.what)
