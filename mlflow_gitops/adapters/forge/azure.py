"""Azure DevOps's REST API, Services and Server. Implements `ports.Forge`.

What differs from GitHub's: branch policies read the statuses of a pull request's iteration, not
those of a commit, so both are set; votes name no commit; a text may be of 4,000 characters only.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from urllib.parse import quote, urlsplit

from mlflow_gitops.adapters.forge import failures
from mlflow_gitops.adapters.forge.azure_client import PREVIEW, RIGHTS, AzureClient
from mlflow_gitops.adapters.forge.azure_rows import (
    HEADS,
    OF_VERDICT,
    STATES,
    TEAM,
    approvals_of,
    comments_of,
    name_of,
    pull_of,
    status_of,
)
from mlflow_gitops.adapters.forge.bodies import plain, shortened
from mlflow_gitops.adapters.forge.closing import closing_comment, was_said
from mlflow_gitops.adapters.forge.network import told
from mlflow_gitops.adapters.forge.not_again import NotAgain
from mlflow_gitops.adapters.forge.rest import Json
from mlflow_gitops.adapters.forge.statuses import news, own_statuses
from mlflow_gitops.errors import ForgeError
from mlflow_gitops.pull_requests import WITHDRAWN, CommitStatus, Draft, Protection, PullRequest

__all__ = ["AzureForge"]

log = logging.getLogger(__name__)

TIMEOUT = 30.0  # seconds for one request
BODY_LIMIT = 4_000  # characters
TEXT_LIMIT = 255  # characters of a status
IDENTITIES = "https://vssps.dev.azure.com"  # where Azure DevOps Services knows its users
GIT_RIGHTS = "2e9eb7ed-3c0a-47d4-87c1-0ffdd275fd87"  # the namespace of Git's permissions
CONTRIBUTE = 4 | 16 | 16384  # write, create a branch, contribute to pull requests
EXEMPT = 128  # to pass policies when pushing
STATUS_POLICY = "cbdc66da-9728-4af8-aada-9a5a32e4a226"
LISTED = ("$top", "$skip")
STATUSES = ("top", "skip")
DUPLICATE = "TF401179"


class AzureForge:
    """`collection` is the address of the organization or collection. Safe for threads."""

    kind = "azure-devops"

    def __init__(
        self,
        collection: str,
        project: str,
        repository: str,
        token: Callable[[], str],
        *,
        timeout: float = TIMEOUT,
    ) -> None:
        self._not_again = NotAgain()
        self._client = AzureClient(collection, project, repository, token, timeout)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._client.where!r})"

    # ports.Forge

    @told
    def newest(self, branch: str) -> PullRequest | None:
        found = self._pulls({"sourceRefName": HEADS + branch, "status": "all"})
        ours = [row for row in found if not row.get("forkSource")]
        ours.sort(key=lambda row: (row["status"] == "active", row["pullRequestId"]), reverse=True)
        return self.get(ours[0]["pullRequestId"]) if ours else None

    @told
    def get(self, number: int) -> PullRequest:
        path = f"/pullRequests/{number}"
        row = self._client.get(path)
        is_closed = STATES[row["status"]] == "closed"
        has_votes = any(each["vote"] > 0 for each in row["reviewers"])
        threads = self._client.rows(f"{path}/threads") if is_closed or has_votes else []
        iterations = self._client.rows(f"{path}/iterations") if has_votes else []
        found = pull_of(row, self._client.web, self._labels(number))
        said = closing_comment(comments_of(threads), found.decided_by, found.decided_at)
        return replace(
            found,
            approvals=approvals_of(row["reviewers"], threads, iterations, found.head),
            comment=said if is_closed else "",
            asked=(*found.asked, *self._not_again.of(number)),
        )

    def glance(self, number: int) -> PullRequest:
        return self.get(number)

    @told
    def open(self, branch: str, base: str, draft: Draft) -> PullRequest:
        fields = {
            "sourceRefName": HEADS + branch,
            "targetRefName": HEADS + base,
            "title": draft.title,
            "description": shortened(draft.body, BODY_LIMIT),
            "labels": [{"name": label} for label in draft.labels],
        }
        try:
            made = self._client.post("/pullRequests", fields)
        except failures.NotTakenError as error:
            if DUPLICATE not in error.what:
                raise
            raise failures.just_opened(branch, where=error.where) from None
        self._ask_reviewers(made["pullRequestId"], draft.reviewers, ())
        return self.get(made["pullRequestId"])

    @told
    def update(self, pull: PullRequest, draft: Draft) -> None:
        path = f"/pullRequests/{pull.number}"
        now = self._client.get(path)
        wanted = {"title": draft.title, "description": shortened(draft.body, BODY_LIMIT)}
        there = {key: plain(now.get(key) or "") for key in wanted}
        fields = {key: text for key, text in wanted.items() if plain(text) != there[key]}
        if fields:
            self._client.send("PATCH", path, fields)
        labels = self._labels(pull.number)
        self._label(pull.number, [label for label in draft.labels if label not in labels])
        self._ask_reviewers(pull.number, draft.reviewers, now["reviewers"])

    @told
    def withdraw(self, pull: PullRequest, comment: str) -> None:
        path = f"/pullRequests/{pull.number}"
        if self._client.get(path)["status"] != "active":
            return
        self._label(pull.number, [WITHDRAWN])
        self.comment(pull.number, comment)
        self._client.send("PATCH", path, {"status": "abandoned"})

    @told
    def comment(self, number: int, text: str) -> None:
        path = f"/pullRequests/{number}/threads"
        if not was_said(text, [each.text for each in comments_of(self._client.rows(path))]):
            said = {"content": text, "commentType": "text", "parentCommentId": 0}
            self._client.post(path, {"comments": [said], "status": "closed"})

    @told
    def set_statuses(
        self, commit: str, statuses: Sequence[CommitStatus], *, is_new: bool = False
    ) -> None:
        """On the commit, and on the iteration of the pull request that it is the head of."""
        there = [] if is_new else self._of_commit(commit)
        self._tell(f"/commits/{commit}/statuses", there, statuses)
        for pull in self._pulls({"status": "active"}):
            if (pull.get("lastMergeSourceCommit") or {}).get("commitId") != commit:
                continue
            path = f"/pullRequests/{pull['pullRequestId']}"
            for each in self._client.rows(f"{path}/iterations")[::-1]:
                if each["sourceRefCommit"]["commitId"] == commit:
                    of_it = f"{path}/iterations/{each['id']}/statuses"
                    there = [] if is_new else self._client.rows(of_it, PREVIEW)
                    self._tell(of_it, there, statuses, PREVIEW)
                    break

    @told
    def verdicts(self, commit: str) -> Sequence[CommitStatus]:
        return own_statuses(map(status_of, self._of_commit(commit)))

    @told
    def of_commit(self, commit: str) -> PullRequest | None:
        queries = [{"type": kind, "items": [commit]} for kind in ("lastMergeCommit", "commit")]
        answer = self._client.post("/pullrequestquery", {"queries": queries})
        found = [row for result in answer["results"] for row in result.get(commit, ())]
        merged = [row["pullRequestId"] for row in found if row["status"] == "completed"]
        return self.get(merged[0]) if merged else None

    @told
    def protection(self, branch: str) -> Protection:
        """The branch's policies; one that blocks wants a pull request."""
        repository = self._client.get("")
        query = {"repositoryId": repository["id"], "refName": HEADS + branch, **PREVIEW}
        path = f"{self._client.project}/_apis/git/policy/configurations"
        blocking = [e for e in self._client.rows(path, query) if e["isEnabled"] and e["isBlocking"]]
        settings = [each["settings"] for each in blocking if each["type"]["id"] == STATUS_POLICY]
        names = [(each.get("statusGenre"), each["statusName"]) for each in settings]
        required = tuple("/".join(part for part in name if part) for name in names)
        if not blocking or self._may(EXEMPT, repository):
            return Protection("", required)
        return Protection(f"the policy {blocking[0]['type']['displayName']!r}", required)

    @told
    def check(self) -> str:
        repository = self._client.get("")
        if repository.get("isDisabled"):
            raise failures.read_only(where=self._client.asked)
        if not self._may(CONTRIBUTE, repository):
            raise failures.may_not_write(where=self._client.asked, rights=RIGHTS)
        path = f"{self._client.collection}/_apis/connectionData"
        user = self._client.get(path, PREVIEW)["authenticatedUser"]
        account = ((user.get("properties") or {}).get("Account") or {}).get("$value")
        return str(account or user["providerDisplayName"])

    # Parts

    def _may(self, rights: int, repository: Json) -> bool:
        token = f"repoV2/{repository['project']['id']}/{repository['id']}"
        path = f"{self._client.collection}/_apis/permissions/{GIT_RIGHTS}/{rights}"
        return all(self._client.rows(path, {"tokens": token}))

    def _pulls(self, criteria: Mapping[str, str]) -> list[Json]:
        """The newest first."""
        query = {f"searchCriteria.{key}": each for key, each in criteria.items()}
        return self._client.pages("/pullRequests", query, LISTED)

    def _labels(self, number: int) -> list[str]:
        rows = self._client.rows(f"/pullRequests/{number}/labels", PREVIEW)
        return [row["name"] for row in rows if row.get("active", True)]

    def _label(self, number: int, names: Iterable[str]) -> None:
        for name in names:
            self._client.post(f"/pullRequests/{number}/labels", {"name": name}, PREVIEW)

    def _of_commit(self, commit: str) -> list[Json]:
        path = f"/commits/{commit}/statuses"
        return self._client.pages(path, {"latestOnly": "true"}, STATUSES)

    def _tell(
        self,
        path: str,
        there: Iterable[Json],
        statuses: Iterable[CommitStatus],
        query: Json | None = None,
    ) -> None:
        """`there` are the statuses that the path has."""
        rows = map(status_of, sorted(there, key=lambda each: each["id"]))
        known = {name: (verdict, text) for name, verdict, text in rows}
        for each in news(statuses, known, TEXT_LIMIT):
            genre, _, name = each["context"].rpartition("/")
            fields = {
                "state": OF_VERDICT[each["state"]],
                "description": each["description"],
                "context": {"genre": genre, "name": name},
            }
            url = each.get("target_url")
            self._client.post(path, {**fields, "targetUrl": url} if url else fields, query)

    def _ask_reviewers(self, number: int, reviewers: Iterable[str], there: Iterable[Json]) -> None:
        """One by one: a reviewer whom Azure DevOps does not know stops no delivery."""
        names = {name_of(each).casefold() for each in there}
        names |= {name.casefold() for name in self._not_again.of(number)}
        ids = {each["id"] for each in there}
        for reviewer in reviewers:
            if reviewer.casefold() in names:
                continue
            try:
                found = self._id_of(reviewer)
                if found not in ids:
                    path = f"/pullRequests/{number}/reviewers/{found}"
                    self._client.send("PUT", path, {"id": found, "vote": 0})
                else:  # under another of its names
                    self._not_again.add(number, reviewer)
            except ForgeError as error:
                self._not_again.add(number, reviewer)
                log.warning("no review is asked of %r: %s", reviewer, error.what)

    def _id_of(self, reviewer: str) -> str:
        """Raises ForgeError where there is none, or more than one."""
        collection = self._client.collection
        if reviewer.startswith(TEAM):
            project = urlsplit(self._client.project).path.rpartition("/")[2]
            name = quote(reviewer.removeprefix(TEAM), safe="")
            path = f"{collection}/_apis/projects/{project}/teams/{name}"
            return str(self._client.get(path)["id"])
        host = collection.replace("https://dev.azure.com", IDENTITIES, 1)
        query = {"searchFilter": "General", "filterValue": reviewer, "queryMembership": "None"}
        found = self._client.rows(f"{host}/_apis/identities", query)
        people = [each["id"] for each in found if not each.get("isContainer")]
        if len(people) != 1:
            raise ForgeError(
                f"{len(people)} users have this name",
                where=self._client.asked,
                hint="name the user's address in `reviewers`",
            )
        return str(people[0])
