"""Bitbucket Cloud's REST API. Implements `ports.Forge`.

What differs from GitHub's: hashes are shortened, whether there is a conflict is not told, an
approval names no commit, a declined pull request cannot be edited, and there are no labels
(`bitbucket_text`).
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Literal
from urllib.parse import quote

from mlflow_gitops.adapters.forge import failures
from mlflow_gitops.adapters.forge.bitbucket_cloud_client import RIGHTS, BitbucketCloudClient
from mlflow_gitops.adapters.forge.bitbucket_cloud_rows import (
    approvals_of,
    comments_of,
    decided_at,
    is_own,
    may_write,
    name_of,
    said_of,
)
from mlflow_gitops.adapters.forge.bitbucket_rows import builds, status_of
from mlflow_gitops.adapters.forge.bitbucket_text import read, written
from mlflow_gitops.adapters.forge.bodies import plain
from mlflow_gitops.adapters.forge.closing import was_said
from mlflow_gitops.adapters.forge.network import told
from mlflow_gitops.adapters.forge.not_again import NotAgain
from mlflow_gitops.adapters.forge.rest import Json
from mlflow_gitops.adapters.forge.statuses import own_statuses
from mlflow_gitops.adapters.forge.versions import utc
from mlflow_gitops.errors import ForgeError
from mlflow_gitops.pull_requests import (
    WITHDRAWN,
    CommitStatus,
    Draft,
    Protection,
    PullRequest,
)

__all__ = ["BitbucketCloudForge"]

log = logging.getLogger(__name__)

TIMEOUT = 30.0  # seconds for one request
STATES = ("OPEN", "MERGED", "DECLINED", "SUPERSEDED")
STATE_OF: dict[str, Literal["open", "closed", "merged"]] = {"OPEN": "open", "MERGED": "merged"}
HASH_LENGTH = 40
ACCOUNT_ID = re.compile(r"[0-9a-f]{24}|[0-9]+:[0-9a-f-]{36}")
OF_PULL = re.compile(r"\(pull request #(\d{1,9})\)")


class BitbucketCloudForge:
    """`repository` is `<workspace>/<name>`, `api_url` ends in /2.0. Safe for threads."""

    kind = "bitbucket-cloud"

    def __init__(
        self, repository: str, api_url: str, token: Callable[[], str], *, timeout: float = TIMEOUT
    ) -> None:
        self._workspace = quote(repository.partition("/")[0])
        self._web = f"https://bitbucket.org/{quote(repository)}"
        self._client = BitbucketCloudClient(api_url, repository, token, timeout)
        self._not_again = NotAgain()
        self._hashes: dict[str, str] = {}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._client.where!r})"

    # ports.Forge

    @told
    def newest(self, branch: str) -> PullRequest | None:
        name = branch.replace("\\", "\\\\").replace('"', '\\"')
        query = {"q": f'source.branch.name = "{name}"', "state": STATES, "sort": "-created_on"}
        found = self._client.pages("/pullrequests", query)
        ours = [row for row in found if is_own(row)]
        ours.sort(key=lambda row: (row["state"] == "OPEN", row["id"]), reverse=True)
        return self.get(ours[0]["id"]) if ours else None

    @told
    def get(self, number: int) -> PullRequest:
        row = self._client.get(f"/pullrequests/{number}")
        state = STATE_OF.get(row["state"], "closed")
        approved = [each["user"] for each in row["participants"] if each["approved"]]
        needs_past = approved or state != "open"
        past = self._client.pages(f"/pullrequests/{number}/activity") if needs_past else []
        body, labels = read(row["description"] or "")
        head, by = self._full(row["source"]["commit"]["hash"]), name_of(row.get("closed_by"))
        decided = "" if state == "open" else decided_at(past, row)
        merge = (row.get("merge_commit") or {}) if state == "merged" else {}
        approvals = approvals_of(approved, past, head)
        return PullRequest(
            number=int(row["id"]),
            url=row["links"]["html"]["href"],
            state=state,
            branch=row["source"]["branch"]["name"],
            base=row["destination"]["branch"]["name"],
            head=head,
            title=row["title"],
            body=body,
            labels=labels,
            author=name_of(row["author"]),
            approvals=tuple(replace(each, commit=self._full(each.commit)) for each in approvals),
            merge_commit=self._full(merge.get("hash", "")),
            decided_by="" if state == "open" else by,
            decided_at=decided,
            comment=said_of(row, past, by, decided) if state == "closed" else "",
            created=utc(row["created_on"]),
            updated=utc(row["updated_on"]),
            asked=(*map(name_of, row["reviewers"]), *self._not_again.of(number)),
        )

    def glance(self, number: int) -> PullRequest:
        return self.get(number)

    @told
    def open(self, branch: str, base: str, draft: Draft) -> PullRequest:
        """Look first: Bitbucket refuses no second one for a branch, but writes over the first."""
        there = self.newest(branch)
        if there is not None and there.state == "open":
            raise failures.just_opened(branch, where=there.url)
        fields = {
            "title": draft.title,
            "description": written(draft.body, draft.labels),
            "source": {"branch": {"name": branch}},
            "destination": {"branch": {"name": base}},
        }
        made = self._client.send("POST", "/pullrequests", fields)
        self._ask_reviewers(made, draft.reviewers)
        return self.get(made["id"])

    @told
    def update(self, pull: PullRequest, draft: Draft) -> None:
        now = self._client.get(f"/pullrequests/{pull.number}")
        _, there = read(now["description"] or "")
        text = written(draft.body, dict.fromkeys((*there, *draft.labels)))
        if (now["title"], plain(now["description"] or "")) != (draft.title, text):
            now = self._put(now, {"title": draft.title, "description": text})
        self._ask_reviewers(now, draft.reviewers)

    @told
    def withdraw(self, pull: PullRequest, comment: str) -> None:
        path = f"/pullrequests/{pull.number}"
        now = self._client.get(path)
        if now["state"] != "OPEN":
            return
        body, labels = read(now["description"] or "")
        text = written(body, dict.fromkeys((*labels, WITHDRAWN)))
        self._put(now, {"description": text})
        self.comment(pull.number, comment)
        self._client.send("POST", f"{path}/decline")

    @told
    def comment(self, number: int, text: str) -> None:
        path = f"/pullrequests/{number}"
        past = self._client.pages(f"{path}/activity")
        if not was_said(text, [each.text for each in comments_of(past)]):
            self._client.send("POST", f"{path}/comments", {"content": {"raw": text}})

    @told
    def set_statuses(
        self, commit: str, statuses: Sequence[CommitStatus], *, is_new: bool = False
    ) -> None:
        there = [] if is_new else self._client.pages(f"/commit/{commit}/statuses")
        for fields in builds(statuses, there, f"{self._web}/commits/{commit}"):
            self._client.send("POST", f"/commit/{commit}/statuses/build", fields)

    @told
    def verdicts(self, commit: str) -> Sequence[CommitStatus]:
        return own_statuses(map(status_of, self._client.pages(f"/commit/{commit}/statuses")))

    @told
    def of_commit(self, commit: str) -> PullRequest | None:
        """By the words of Bitbucket's own merges, else by its index, which may not be there."""
        message = self._client.get(f"/commit/{commit}", {"fields": "message"})["message"]
        numbers = [int(number) for number in OF_PULL.findall(message)[-1:]]
        try:
            rows = self._client.pages(f"/commit/{commit}/pullrequests") if not numbers else []
        except failures.AnswerError as error:
            if error.status != 404:
                raise
            rows = []
        for number in (*numbers, *(row["id"] for row in rows)):
            found = self._merged(number)
            if found is not None and (rows or found.merge_commit == commit):
                return found
        return None

    @told
    def protection(self, branch: str) -> Protection:
        """Bitbucket requires a number of builds, never one by its name."""
        try:
            rows = self._client.pages("/branch-restrictions", {"kind": "push"})
        except failures.AnswerError as error:
            if error.status not in (403, 404):
                raise
            return Protection(unknown="only a token with `repository:admin` sees restrictions")
        limits = [row for row in rows if fnmatchcase(branch, row.get("pattern") or "")]
        if not limits:
            return Protection()
        if any(row.get("groups") for row in limits):
            return Protection(unknown="some groups may push to it, and whose they are is not told")
        user = self._client.get(f"{self._client.api}/user")["uuid"]
        may_push = all(user in [each["uuid"] for each in row["users"]] for row in limits)
        return Protection("" if may_push else "a restriction names who may push to it")

    @told
    def check(self) -> str:
        answer, headers = self._client.ask("GET", "")
        scopes = [scope for scope in headers.get("X-OAuth-Scopes", "").split(", ") if scope]
        if scopes and not may_write(scopes):
            raise failures.lacks_scopes(scopes, where=self._client.asked, rights=RIGHTS)
        try:
            name = name_of(self._client.get(f"{self._client.api}/user"))
            below = f"user/workspaces/{self._workspace}/permissions/repositories"
            query = {"q": f'repository.full_name = "{answer["full_name"]}"'}
            rows = self._client.get(f"{self._client.api}/{below}", query)["values"]
        except failures.AnswerError:  # a repository's own token has no user
            return "a token"
        if not any(row["permission"] in ("write", "admin") for row in rows):
            raise failures.may_not_write(where=self._client.asked, rights=RIGHTS)
        return name

    # Parts

    def _merged(self, number: int) -> PullRequest | None:
        try:
            found = self.get(number)
        except failures.AnswerError as error:
            if error.status != 404:  # a message may name any number
                raise
            return None
        return found if found.state == "merged" else None

    def _full(self, part: str) -> str:
        """The whole hash, of which Bitbucket gives a part; the part where the commit is gone."""
        if not part or len(part) == HASH_LENGTH:
            return part
        if part not in self._hashes:
            try:
                found = self._client.get(f"/commit/{part}", {"fields": "hash"})["hash"]
            except failures.AnswerError as error:
                if error.status != 404:
                    raise
                return part
            self._hashes[part] = str(found)
        return self._hashes[part]

    def _put(self, row: Json, fields: Json) -> Json:
        """Change a pull request: what is not sent of these, Bitbucket would take away."""
        kept = {
            "title": row["title"],
            "description": row["description"] or "",
            "reviewers": [{"uuid": each["uuid"]} for each in row["reviewers"]],
        }
        made: Json = self._client.send("PUT", f"/pullrequests/{row['id']}", {**kept, **fields})
        return made

    def _ask_reviewers(self, row: Json, reviewers: Iterable[str]) -> None:
        """One by one: a reviewer whom Bitbucket refuses stops no delivery."""
        number = int(row["id"])
        names = {name_of(each).casefold() for each in row["reviewers"]}
        names |= {name.casefold() for name in self._not_again.of(number)}
        for reviewer in reviewers:
            if reviewer.casefold() in names:
                continue
            try:
                user = self._user(reviewer)
                there = [{"uuid": each["uuid"]} for each in row["reviewers"]]
                if any(user.items() <= each.items() for each in row["reviewers"]):
                    self._not_again.add(number, reviewer)  # there under another of its names
                    continue
                row = self._put(row, {"reviewers": [*there, user]})
            except ForgeError as error:
                self._not_again.add(number, reviewer)
                log.warning("no review is asked of %r: %s", reviewer, error.what)

    def _user(self, reviewer: str) -> dict[str, str]:
        """Raises ForgeError where the workspace has none of this name, or more than one."""
        if reviewer.startswith("{"):
            return {"uuid": reviewer}
        if ACCOUNT_ID.fullmatch(reviewer):
            return {"account_id": reviewer}
        members = self._client.pages(f"{self._client.api}/workspaces/{self._workspace}/members")
        name = reviewer.casefold()
        users = [each["user"] for each in members]
        found = [user["uuid"] for user in users if name_of(user).casefold() == name]
        if len(found) != 1:
            raise ForgeError(
                f"{len(found)} users of the workspace have this nickname",
                where=self._client.asked,
                hint="name the user's UUID in `reviewers`",
            )
        return {"uuid": str(found[0])}
