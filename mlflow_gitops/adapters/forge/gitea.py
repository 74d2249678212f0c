"""The REST API that Gitea and Forgejo share. Implements `ports.Forge`.

What differs from GitHub's: labels go by number and have to be there, a list cannot be asked for by
branch, who closed a pull request is in its timeline alone, and a closed one shows the branch's
head of now.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal
from urllib.parse import quote

from mlflow_gitops.adapters.forge import failures
from mlflow_gitops.adapters.forge.bodies import shortened
from mlflow_gitops.adapters.forge.closing import Comment, closing_comment, said_since, was_said
from mlflow_gitops.adapters.forge.gitea_client import RIGHTS, GiteaClient
from mlflow_gitops.adapters.forge.network import told
from mlflow_gitops.adapters.forge.not_again import NotAgain
from mlflow_gitops.adapters.forge.statuses import is_foreign, news, own_statuses, unset
from mlflow_gitops.errors import ForgeError
from mlflow_gitops.pull_requests import (
    WITHDRAWN,
    Approval,
    CommitStatus,
    Draft,
    Protection,
    PullRequest,
)

__all__ = ["GiteaForge"]

log = logging.getLogger(__name__)

TIMEOUT = 30.0  # seconds for one request
BODY_LIMIT = 60_000  # characters; MySQL's column takes 65,535 bytes
TEXT_LIMIT = 255  # characters of a status
TEAM = "team:"
COLOR = "#ededed"
LOOKS, BETWEEN = 3, 1.0  # at whether it can be merged, and seconds between them

Json = Mapping[str, Any]


class GiteaForge:
    """`repository` is `<owner>/<name>`, `api_url` ends in /api/v1. Safe for threads."""

    def __init__(
        self,
        repository: str,
        api_url: str,
        token: Callable[[], str],
        *,
        kind: Literal["gitea", "forgejo"] = "gitea",
        timeout: float = TIMEOUT,
    ) -> None:
        self._kind = kind
        self._not_again = NotAgain()
        self._owner = repository.partition("/")[0]
        self._client = GiteaClient(api_url, f"/repos/{quote(repository)}", token, timeout)
        self._anywhere = GiteaClient(api_url, "", token, timeout)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._client.where!r})"

    # ports.Forge

    @property
    def kind(self) -> str:
        return self._kind

    @told
    def newest(self, branch: str) -> PullRequest | None:
        """Open ones first. Lists begin with what was opened last, where no other order is asked
        for; of very many only the newest are looked through.
        """
        for state in ("open", "closed"):
            for row in self._client.pages("/pulls", state=state):
                if _is_of(row, branch):
                    return self.get(row["number"])
        return None

    @told
    def get(self, number: int) -> PullRequest:
        return self._whole(self._settled(number))

    @told
    def glance(self, number: int) -> PullRequest:
        row = self._client.get(f"/pulls/{number}")
        return self._with(row, [], "", "") if row["state"] == "open" else self._whole(row)

    @told
    def open(self, branch: str, base: str, draft: Draft) -> PullRequest:
        fields = {
            "title": draft.title,
            "head": branch,
            "base": base,
            "body": shortened(draft.body, BODY_LIMIT),
            "labels": self._labels(draft.labels),
        }
        try:
            made = self._client.send("POST", "/pulls", fields)
        except failures.NotTakenError as error:
            if error.status != 409:
                raise
            raise failures.just_opened(branch, where=self._client.where) from None
        self._ask_reviewers(made["number"], draft.reviewers)
        return self.get(made["number"])

    @told
    def update(self, pull: PullRequest, draft: Draft) -> None:
        path = f"/pulls/{pull.number}"
        now = self._client.get(path)
        wanted = {"title": draft.title, "body": shortened(draft.body, BODY_LIMIT)}
        fields = {key: value for key, value in wanted.items() if (now[key] or "") != value}
        if fields:
            self._client.send("PATCH", path, fields)
        there = [label["name"] for label in now["labels"] or ()]
        missing = [each for each in draft.labels if each not in there]
        if missing:
            self._label(pull.number, missing)
        known = {each.casefold() for each in _asked(now, self._reviews(pull.number))}
        unasked = [each for each in draft.reviewers if each.casefold() not in known]
        before = self._asked_before(pull.number) if unasked else set()
        for each in before.intersection(unasked):
            self._not_again.add(pull.number, each)
        self._ask_reviewers(pull.number, [each for each in unasked if each not in before])

    @told
    def withdraw(self, pull: PullRequest, comment: str) -> None:
        now = self._client.get(f"/pulls/{pull.number}")
        if now["state"] != "open":
            return
        if WITHDRAWN not in (label["name"] for label in now["labels"] or ()):
            self._label(pull.number, [WITHDRAWN])
        self.comment(pull.number, comment)
        self._client.send("PATCH", f"/pulls/{pull.number}", {"state": "closed"})

    @told
    def comment(self, number: int, text: str) -> None:
        said = [each["body"] or "" for each in self._events(number)]
        if not was_said(text, said):
            self._client.send("POST", f"/issues/{number}/comments", {"body": text})

    @told
    def set_statuses(
        self, commit: str, statuses: Sequence[CommitStatus], *, is_new: bool = False
    ) -> None:
        path = f"/commits/{commit}/status"
        there = [] if is_new else self._client.pages(path, "statuses")
        told = {each["context"]: (each["status"], each["description"]) for each in there}
        for fields in news(statuses, told, TEXT_LIMIT):
            self._client.send("POST", f"/statuses/{commit}", fields)

    @told
    def verdicts(self, commit: str) -> Sequence[CommitStatus]:
        there = self._client.pages(f"/commits/{commit}/status", "statuses")
        return own_statuses((e["context"], e["status"], e["description"]) for e in there)

    @told
    def of_commit(self, commit: str) -> PullRequest | None:
        try:
            found = self._client.get(f"/commits/{commit}/pull")
        except failures.AnswerError as error:
            if error.status != 404:
                raise
            return None
        return self.get(found["number"]) if found["merged"] else None

    @told
    def protection(self, branch: str) -> Protection:
        row = self._client.get(f"/branches/{quote(branch)}")
        required = tuple(row.get("status_check_contexts") or ()) if _checks(row) else ()
        there: Iterable[str] = ()
        if any(is_foreign(name) for name in required):
            path = f"/commits/{row['commit']['id']}/status"
            there = [each["context"] for each in self._client.pages(path, "statuses")]
        refuses = "" if row["user_can_push"] else "its protection does not let this user push"
        return Protection(refuses, required, unset(required, there))

    @told
    def check(self) -> str:
        row = self._client.get("")
        if row.get("archived") or row.get("mirror"):
            raise failures.read_only(where=self._client.asked)
        if not (row["permissions"] or {}).get("push"):
            raise failures.may_not_write(where=self._client.asked, rights=RIGHTS)
        try:
            return _login(self._anywhere.get("/user"))
        except ForgeError:  # it may have no scope for that
            return "a token"

    # Parts

    def _settled(self, number: int) -> Json:
        """`mergeable` is false also while the server still looks: it is asked again shortly."""
        row: Json = self._client.get(f"/pulls/{number}")
        for _ in range(LOOKS - 1):
            if _is_mergeable(row) is not False:
                break
            time.sleep(BETWEEN)
            row = self._client.get(f"/pulls/{number}")
        return row

    def _whole(self, row: Json) -> PullRequest:
        is_merged = bool(row["merged"])
        by, comment = _login(row["merged_by"]) if is_merged else "", ""
        if row["state"] == "closed" and not is_merged:
            by, comment = self._closed(row)
        return self._with(row, self._reviews(row["number"]), by, comment)

    def _with(self, row: Json, reviews: Sequence[Json], by: str, comment: str) -> PullRequest:
        number, is_merged, is_open = row["number"], bool(row["merged"]), row["state"] == "open"
        state: Literal["open", "closed", "merged"] = "merged" if is_merged else row["state"]
        return PullRequest(
            number=number,
            url=row["html_url"],
            state=state,
            branch=_branch(row),
            base=row["base"]["ref"],
            head=row["head"]["sha"] if is_open else self._last_head(row),
            title=row["title"],
            body=row["body"] or "",
            labels=tuple(label["name"] for label in row["labels"] or ()),
            author=_login(row["user"]),
            approvals=_approvals(reviews),
            mergeable=_is_mergeable(row),
            merge_commit=(row["merge_commit_sha"] or "") if is_merged else "",
            decided_by=by,
            decided_at=row["merged_at"] or row["closed_at"] or "",
            comment=comment,
            created=row["created_at"] or "",
            updated=row["updated_at"] or "",
            asked=(*_asked(row, reviews), *self._not_again.of(number)),
        )

    def _last_head(self, row: Json) -> str:
        """Its branch may have moved on, or be gone."""
        query = {"limit": 1, "page": 1, "verification": "false", "files": "false"}
        found = self._client.get(f"/pulls/{row['number']}/commits", query)
        return str(found[0]["sha"]) if found else str(row["head"]["sha"])

    def _closed(self, row: Json) -> tuple[str, str]:
        """Who closed it, and with which words."""
        closed = row["closed_at"]
        events = list(self._events(row["number"], since=said_since(closed)) if closed else ())
        by = next((_login(each["user"]) for each in events[::-1] if each["type"] == "close"), "")
        said = [
            Comment(_login(each["user"]), each["created_at"], each["body"])
            for each in events
            if each["type"] in ("comment", "review") and each["body"]
        ]
        return by, closing_comment(said, by, closed or "")

    def _events(self, number: int, since: str | None = None) -> Iterator[Json]:
        return self._client.pages(f"/issues/{number}/timeline", is_counted=False, since=since)

    def _asked_before(self, number: int) -> set[str]:
        """Also a team of which a member answered: it is not among those who are asked now. Not
        those whose request somebody took away.
        """
        asked: set[str] = set()
        for event in self._events(number):
            if event["type"] != "review_request":
                continue
            team = event.get("assignee_team")
            who = f"{TEAM}{team['name']}" if team else _login(event.get("assignee"))
            if event.get("removed_assignee"):
                asked.discard(who)
            else:
                asked.add(who)
        return asked

    def _reviews(self, number: int) -> list[Json]:
        """The oldest first; those of people who are only asked for one are none yet."""
        rows = self._client.pages(f"/pulls/{number}/reviews")
        return sorted((r for r in rows if r["state"] != "REQUEST_REVIEW"), key=lambda r: r["id"])

    def _label(self, number: int, names: Sequence[str]) -> None:
        self._client.send("POST", f"/issues/{number}/labels", {"labels": self._labels(names)})

    def _labels(self, names: Sequence[str]) -> list[int]:
        """Their numbers; those that neither the repository nor its organisation has are made."""
        if not names:
            return []
        known = _numbers(self._client.pages("/labels"))
        if not set(names) <= known.keys():
            known = self._of_organisation() | known
        for name in names:
            if name not in known:
                made = self._client.send("POST", "/labels", {"name": name, "color": COLOR})
                known[name] = made["id"]
        return [known[name] for name in names]

    def _of_organisation(self) -> dict[str, int]:
        try:
            return _numbers(self._anywhere.pages(f"/orgs/{quote(self._owner)}/labels"))
        except failures.AnswerError as error:
            if error.status not in (403, 404):  # a user's repository, or no scope for it
                raise
            return {}

    def _ask_reviewers(self, number: int, reviewers: Iterable[str]) -> None:
        """One by one: a reviewer who cannot be one stops no delivery."""
        for reviewer in reviewers:
            name = reviewer.removeprefix(TEAM)
            key = "reviewers" if name == reviewer else "team_reviewers"
            try:
                path = f"/pulls/{number}/requested_reviewers"
                self._client.send("POST", path, {key: [name]})
            except failures.AnswerError as error:
                if error.status not in (404, 422):
                    raise
                self._not_again.add(number, reviewer)
                log.warning("no review is asked of %r: %s", reviewer, error.what)


def _checks(row: Json) -> bool:
    return bool(row["protected"] and row.get("enable_status_check"))


def _branch(row: Json) -> str:
    """`ref` is another one once the branch is deleted."""
    return str(row["head"]["label"] or row["head"]["ref"])


def _is_of(row: Json, branch: str) -> bool:
    return _branch(row) == branch and bool(row["head"]["repo_id"] == row["base"]["repo_id"])


def _asked(row: Json, reviews: Iterable[Json]) -> list[str]:
    people = [*(row.get("requested_reviewers") or ()), *(review["user"] for review in reviews)]
    teams = [f"{TEAM}{team['name']}" for team in row.get("requested_reviewers_teams") or ()]
    return [*dict.fromkeys(map(_login, people)), *teams]


def _is_mergeable(row: Json) -> bool | None:
    """Of work in progress it is false whether there is a conflict or not."""
    return bool(row["mergeable"]) if row["state"] == "open" and not row.get("draft") else None


def _login(user: Json | None) -> str:
    return str(user["login"]) if user else ""


def _numbers(labels: Iterable[Json]) -> dict[str, int]:
    return {label["name"]: label["id"] for label in labels}


def _approvals(reviews: Iterable[Json]) -> tuple[Approval, ...]:
    """The last verdict of each person, where it is an approval that was not dismissed."""
    last = {
        _login(review["user"]): review
        for review in reviews
        if review["state"] in ("APPROVED", "REQUEST_CHANGES")
    }
    return tuple(
        Approval(by, review["commit_id"] or "", review["submitted_at"] or "")
        for by, review in last.items()
        if review["state"] == "APPROVED" and not review["dismissed"]
    )
