"""GitLab's REST API, on gitlab.com and self-managed. Implements `ports.Forge`.

A merge request is a pull request here, its `iid` the number. Nobody but users can be asked for a
review.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import quote

from mlflow_gitops.adapters.forge import failures
from mlflow_gitops.adapters.forge.bodies import shortened
from mlflow_gitops.adapters.forge.closing import Comment, closing_comment, was_said
from mlflow_gitops.adapters.forge.gitlab_client import RIGHTS, GitLabClient
from mlflow_gitops.adapters.forge.gitlab_rows import (
    approvals_of,
    inert,
    is_own,
    made_by,
    name_of,
    pull_of,
)
from mlflow_gitops.adapters.forge.network import told
from mlflow_gitops.adapters.forge.not_again import NotAgain
from mlflow_gitops.adapters.forge.statuses import own_statuses
from mlflow_gitops.errors import ForgeError
from mlflow_gitops.pull_requests import (
    WITHDRAWN,
    Approval,
    CommitStatus,
    Draft,
    Protection,
    PullRequest,
)

__all__ = ["GitLabForge"]

log = logging.getLogger(__name__)

TIMEOUT = 30.0  # seconds for one request
BODY_LIMIT = 1_000_000  # characters; GitLab takes 1,048,576
TEXT_LIMIT = 255  # characters of a status
DEVELOPER = 30
TEAM = "team:"
REFUSED = "Cannot transition status"
VERDICTS: Mapping[str, str] = {"success": "success", "failure": "failed", "pending": "pending"}

Json = Mapping[str, Any]


class GitLabForge:
    """`project` is its path with all groups, `url` the instance's address. Safe for threads."""

    kind = "gitlab"

    def __init__(
        self, project: str, url: str, token: Callable[[], str], *, timeout: float = TIMEOUT
    ) -> None:
        root = f"/projects/{quote(project, safe='')}"
        self._not_again = NotAgain()
        self._client = GitLabClient(url, root, token, timeout)
        self._anywhere = GitLabClient(url, "", token, timeout)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._client.where!r})"

    # ports.Forge

    @told
    def newest(self, branch: str) -> PullRequest | None:
        query = {"source_branch": branch, "scope": "all", "state": "all"}
        found = self._client.pages("/merge_requests", **query, order_by="created_at", sort="desc")
        ours = [row for row in found if row["source_branch"] == branch and is_own(row)]
        ours.sort(key=lambda row: (row["state"] in ("opened", "locked"), row["iid"]), reverse=True)
        return self.get(ours[0]["iid"]) if ours else None

    @told
    def get(self, number: int) -> PullRequest:
        row = self._client.get(f"/merge_requests/{number}")
        found = pull_of(row, self._approvals(row), self._said(row))
        return replace(found, asked=(*found.asked, *self._not_again.of(number)))

    @told
    def glance(self, number: int) -> PullRequest:
        row = self._client.get(f"/merge_requests/{number}")
        return pull_of(row, (), "") if row["state"] == "opened" else self.get(number)

    @told
    def open(self, branch: str, base: str, draft: Draft) -> PullRequest:
        fields = {
            "source_branch": branch,
            "target_branch": base,
            "title": draft.title,
            "description": _body(draft),
            "labels": ",".join(draft.labels),
            "reviewer_ids": self._users(draft.reviewers),
        }
        try:
            made = self._client.send("post", "/merge_requests", fields)
        except failures.NotTakenError as error:
            if error.status != 409:
                raise
            raise failures.just_opened(branch, where=self._client.where) from None
        return self.get(made["iid"])

    @told
    def update(self, pull: PullRequest, draft: Draft) -> None:
        path = f"/merge_requests/{pull.number}"
        now = self._client.get(path)
        asked = {name_of(user): user["id"] for user in now["reviewers"]}
        missing = [each for each in draft.labels if each not in now["labels"]]
        added = self._users([each for each in draft.reviewers if each not in asked])
        wanted: dict[str, object] = {"title": draft.title, "description": _body(draft)}
        fields = {key: value for key, value in wanted.items() if (now[key] or "") != value}
        if missing:
            fields["add_labels"] = ",".join(missing)
        if added:
            fields["reviewer_ids"] = [*asked.values(), *added]
        if fields:
            self._client.send("put", path, fields)
        there = {*asked, *self._asked(pull.number)} if added else set(asked)
        for each in draft.reviewers:
            if each not in there:
                self._not_again.add(pull.number, each)

    @told
    def withdraw(self, pull: PullRequest, comment: str) -> None:
        path = f"/merge_requests/{pull.number}"
        now = self._client.get(path)
        if now["state"] not in ("opened", "locked"):
            return
        if WITHDRAWN not in now["labels"]:
            self._client.send("put", path, {"add_labels": WITHDRAWN})
        self.comment(pull.number, comment)
        self._client.send("put", path, {"state_event": "close"})

    @told
    def comment(self, number: int, text: str) -> None:
        body = inert(text)
        if not was_said(body, [note["body"] for note in self._notes(number)]):
            path = f"/merge_requests/{number}/notes"
            self._client.send("post", path, {"body": body})

    @told
    def set_statuses(
        self, commit: str, statuses: Sequence[CommitStatus], *, is_new: bool = False
    ) -> None:
        rows = [] if is_new else self._statuses(commit)
        told = {row["name"]: (row["status"], row["description"] or "") for row in rows}
        for status in statuses:
            verdict, text = VERDICTS[status.verdict], status.text[:TEXT_LIMIT]
            if told.get(status.name) == (verdict, text):
                continue
            fields = {"state": verdict, "name": status.name, "description": text}
            more = {"target_url": status.url} if status.url else {}
            try:
                self._client.send("post", f"/statuses/{commit}", {**fields, **more})
            except failures.NotTakenError as error:
                if error.status == 409:  # another update of this commit's statuses is under way
                    raise failures.busy(where=self._client.where) from None
                is_same = told.get(status.name, ("", ""))[0] == verdict
                if not is_same or error.status != 400 or REFUSED not in error.what:
                    raise
                # GitLab refuses `pending` for what is pending, whatever its text says
                log.info("%s keeps its text: %s", status.name, error.what)

    @told
    def verdicts(self, commit: str) -> Sequence[CommitStatus]:
        rows = self._statuses(commit)
        return own_statuses((row["name"], row["status"], row["description"]) for row in rows)

    @told
    def of_commit(self, commit: str) -> PullRequest | None:
        rows = self._client.pages(f"/repository/commits/{commit}/merge_requests")
        merged = [row for row in rows if row["state"] == "merged" and is_own(row)]
        merged.sort(key=lambda row: (commit in made_by(row), row["iid"]))
        return self.get(merged[-1]["iid"]) if merged else None

    @told
    def protection(self, branch: str) -> Protection:
        """GitLab requires a whole pipeline, never statuses by their names."""
        row = self._client.get(f"/repository/branches/{quote(branch, safe='')}")
        refuses = "" if row["can_push"] else "it is protected, and this user may not push to it"
        return Protection(refuses)

    @told
    def check(self) -> str:
        row = self._client.get("")
        rights = row["permissions"]
        if row.get("archived"):
            raise failures.read_only(where=self._client.asked)
        self._check_scopes()
        levels = [(rights.get(key) or {}).get("access_level") or 0 for key in ACCESS]
        try:
            user = self._anywhere.get("/user")
        except ForgeError:
            user = {"username": "a token"}
        if max(levels) < DEVELOPER and not user.get("is_admin"):
            raise failures.may_not_write(where=self._client.asked, rights=RIGHTS)
        return name_of(user)

    # Parts

    def _statuses(self, commit: str) -> list[Json]:
        """Those of its newest pipeline: GitLab asks for no others before it merges, and adds to it
        what is sent. A pipeline may start after ours were sent.
        """
        rows = self._client.pages(f"/repository/commits/{commit}/statuses")
        newest = max((row.get("pipeline_id") or 0 for row in rows), default=0)
        return [row for row in rows if (row.get("pipeline_id") or 0) == newest]

    def _check_scopes(self) -> None:
        """A token of OAuth, or of an old GitLab, does not tell them."""
        try:
            token = self._anywhere.get("/personal_access_tokens/self")
        except failures.AnswerError as error:
            if error.status not in (400, 403, 404):
                raise
            return
        if "api" not in token["scopes"]:
            raise failures.lacks_scopes(token["scopes"], where=self._anywhere.asked, rights=RIGHTS)

    def _asked(self, number: int) -> list[str]:
        row = self._client.get(f"/merge_requests/{number}")
        return [name_of(user) for user in row["reviewers"]]

    def _approvals(self, row: Json) -> tuple[Approval, ...]:
        path = f"/merge_requests/{row['iid']}"
        given = self._client.get(f"{path}/approvals")["approved_by"]
        if not given:
            return ()
        is_timed = all(each.get("approved_at") for each in given)
        notes = [] if is_timed else self._notes(row["iid"])
        versions = self._client.pages(f"{path}/versions")
        return approvals_of(given, notes, versions, str(row["sha"] or ""))

    def _said(self, row: Json) -> str:
        """At its closing, by whoever closed it."""
        if row["state"] != "closed" or not row["closed_at"]:
            return ""
        said = [
            Comment(name_of(note["author"]), note["created_at"], note["body"])
            for note in self._notes(row["iid"])
            if not note["system"]
        ]
        return closing_comment(said, name_of(row["closed_by"]), row["closed_at"])

    def _notes(self, number: int) -> list[Json]:
        """The oldest first."""
        path = f"/merge_requests/{number}/notes"
        found = self._client.pages(path, order_by="created_at", sort="desc")
        return found[::-1]

    def _users(self, names: Sequence[str]) -> list[int]:
        """Whom GitLab does not know stops no delivery."""
        found = []
        for name in names:
            rows = [] if name.startswith(TEAM) else self._named(name)
            if rows:
                found.append(int(rows[0]["id"]))
            else:
                log.warning("no review is asked of %r: GitLab has no such user", name)
        return found

    def _named(self, name: str) -> list[Json]:
        rows: list[Json] = self._anywhere.get("/users", {"username": name})
        return [row for row in rows if name_of(row).casefold() == name.casefold()]


ACCESS = ("project_access", "group_access")


def _body(draft: Draft) -> str:
    return inert(shortened(draft.body, BODY_LIMIT))
