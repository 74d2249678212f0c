"""GitHub's and GitHub Enterprise's REST API, through PyGithub. Implements `ports.Forge`.

PyGithub sends the requests, follows pages' rules and tells errors apart; its objects are not
used, since they ask for missing parts by themselves. A write is never sent twice.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal
from urllib.parse import quote

from mlflow_gitops.adapters.forge import failures
from mlflow_gitops.adapters.forge.bodies import plain, shortened
from mlflow_gitops.adapters.forge.closing import Comment, closing_comment, said_since, was_said
from mlflow_gitops.adapters.forge.github_auth import Installation, Rotating
from mlflow_gitops.adapters.forge.github_client import PAGE, RIGHTS, TIMEOUT, GitHubClient
from mlflow_gitops.adapters.forge.network import told
from mlflow_gitops.adapters.forge.not_again import NotAgain
from mlflow_gitops.adapters.forge.statuses import is_foreign, news, own_statuses, unset
from mlflow_gitops.pull_requests import (
    WITHDRAWN,
    Approval,
    CommitStatus,
    Draft,
    Protection,
    PullRequest,
)

__all__ = ["GitHubForge"]

log = logging.getLogger(__name__)

BODY_LIMIT = 65_000  # characters; GitHub takes 65,536
APP_TOKEN = "ghs_"  # how the token of an app's installation begins; it has no user  # noqa: S105
TEXT_LIMIT = 140  # characters of a status
TEAM = "team:"

NO_PUSH = ("pull_request", "required_status_checks", "update", "merge_queue")
"""The rules of a ruleset that a direct push does not fulfil."""

Json = Mapping[str, Any]


class GitHubForge:
    """`repository` is `<owner>/<name>`, `api_url` the API's address. Safe for threads."""

    kind = "github"

    def __init__(
        self,
        repository: str,
        api_url: str,
        auth: Rotating | Installation,
        *,
        timeout: int = TIMEOUT,
    ) -> None:
        self._owner = repository.partition("/")[0]
        root = f"/repos/{quote(repository)}"
        self._auth = auth
        self._not_again = NotAgain()
        self._client = GitHubClient(api_url, root, auth, timeout, refused=auth.forget)
        self._anywhere = GitHubClient(api_url, "", auth, timeout)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._client.where!r})"

    # ports.Forge

    @told
    def newest(self, branch: str) -> PullRequest | None:
        query = {"head": f"{self._owner}:{branch}", "state": "all", "sort": "created"}
        found = self._client.get("/pulls", {**query, "direction": "desc", "per_page": PAGE})
        ours = [pull for pull in found if pull["head"]["ref"] == branch and self._is_here(pull)]
        ours.sort(key=lambda pull: (pull["state"] == "open", pull["number"]), reverse=True)
        return self.get(ours[0]["number"]) if ours else None

    @told
    def get(self, number: int) -> PullRequest:
        return self._whole(self._client.get(f"/pulls/{number}"))

    @told
    def glance(self, number: int) -> PullRequest:
        pull = self._client.get(f"/pulls/{number}")
        is_open = pull["state"] == "open"
        return self._with(pull, [], "", "") if is_open else self._whole(pull)

    @told
    def open(self, branch: str, base: str, draft: Draft) -> PullRequest:
        fields = {
            "title": draft.title,
            "head": branch,
            "base": base,
            "body": shortened(draft.body, BODY_LIMIT),
        }
        try:
            made = self._client.send("POST", "/pulls", fields)
        except failures.NotTakenError as error:
            if "already exists" not in error.what:
                raise
            raise failures.just_opened(branch, where=self._client.where) from None
        self._add(made["number"], draft, labels=(), asked=())
        return self.get(made["number"])

    @told
    def update(self, pull: PullRequest, draft: Draft) -> None:
        fields = {"title": draft.title, "body": shortened(draft.body, BODY_LIMIT)}
        if any(plain(fields[name]) != plain(getattr(pull, name)) for name in fields):
            self._client.send("PATCH", f"/pulls/{pull.number}", fields)
        now = self._client.get(f"/pulls/{pull.number}")
        asked = [*_asked(now), *_reviewers(self._reviews(pull.number))]
        for team in self._answered(pull.number, draft.reviewers, asked):
            self._not_again.add(pull.number, team)
            asked.append(team)
        self._add(pull.number, draft, labels=_labels(now), asked=asked)

    @told
    def withdraw(self, pull: PullRequest, comment: str) -> None:
        now = self._client.get(f"/pulls/{pull.number}")
        if now["state"] != "open":
            return
        if WITHDRAWN not in _labels(now):  # else it came no further the last time
            self._client.send("POST", f"/issues/{pull.number}/labels", {"labels": [WITHDRAWN]})
        self.comment(pull.number, comment)
        self._client.send("PATCH", f"/pulls/{pull.number}", {"state": "closed"})

    @told
    def comment(self, number: int, text: str) -> None:
        path = f"/issues/{number}/comments"
        if not was_said(text, [each["body"] or "" for each in self._client.pages(path)]):
            self._client.send("POST", path, {"body": text})

    @told
    def set_statuses(
        self, commit: str, statuses: Sequence[CommitStatus], *, is_new: bool = False
    ) -> None:
        path = f"/commits/{commit}/status"
        there = [] if is_new else self._client.pages(path, "statuses")
        told = {each["context"]: (each["state"], each["description"]) for each in there}
        for fields in news(statuses, told, TEXT_LIMIT):
            self._client.send("POST", f"/statuses/{commit}", fields)

    @told
    def verdicts(self, commit: str) -> Sequence[CommitStatus]:
        there = self._client.pages(f"/commits/{commit}/status", "statuses")
        return own_statuses((e["context"], e["state"], e["description"]) for e in there)

    @told
    def of_commit(self, commit: str) -> PullRequest | None:
        found = self._client.get(f"/commits/{commit}/pulls", {"per_page": PAGE})
        merged = [pull for pull in found if pull["merged_at"]]
        merged.sort(key=lambda pull: pull["merge_commit_sha"] == commit)
        return self.get(merged[-1]["number"]) if merged else None

    @told
    def protection(self, branch: str) -> Protection:
        """Classic protection and rulesets; of the first only administrators see all."""
        name = quote(branch, safe="")
        row = self._client.get(f"/branches/{name}")
        rules = self._client.pages(f"/rules/branches/{name}")
        checks = (row.get("protection") or {}).get("required_status_checks") or {}
        is_checked = checks.get("enforcement_level", "off") != "off"
        contexts = checks["contexts"] if is_checked else ()
        required = tuple(dict.fromkeys([*contexts, *_required_by(rules)]))
        refuses = "it requires statuses" if is_checked else ""
        unknown = ""
        if not refuses:
            sets = dict.fromkeys(each["ruleset_id"] for each in rules if each["type"] in NO_PUSH)
            if any(not self._passes(number) for number in sets):
                refuses = "a ruleset wants a pull request, or statuses"
            elif row["protected"] and not rules:
                unknown = "GitHub shows a classic protection to administrators only"
        there: list[str] = []
        if any(map(is_foreign, required)):
            path = f"/commits/{row['commit']['sha']}"
            there = [e["context"] for e in self._client.pages(f"{path}/status", "statuses")]
            runs = self._client.pages(f"{path}/check-runs", "check_runs")
            there += [each["name"] for each in runs]
        return Protection(refuses, required, unset(required, there), unknown)

    @told
    def check(self) -> str:
        row = self._client.get("")
        if "full_name" not in row:
            raise failures.not_the_api(self._client.name, where=self._client.asked)
        scopes = self._client.scopes
        if row.get("archived"):
            raise failures.read_only(where=self._client.asked)
        if scopes is not None and not {"repo", "public_repo"} & set(scopes):
            raise failures.lacks_scopes(scopes, where=self._client.asked, rights=RIGHTS)
        rights = row.get("permissions") or {}
        if isinstance(self._auth, Installation):  # whose rights are looked at with each token
            return self._auth.account()
        of_app = self._auth.token.startswith(APP_TOKEN)
        if not (rights.get("push") or of_app):
            raise failures.may_not_write(where=self._client.asked, rights=RIGHTS)
        return "an app" if of_app else str(self._anywhere.get("/user")["login"])

    # Parts

    def _passes(self, ruleset: int) -> bool:
        """Whether the token's user may pass a ruleset; not where GitHub does not say so."""
        try:
            row = self._client.get(f"/rulesets/{ruleset}")
        except failures.AnswerError:
            return False
        return str(row.get("current_user_can_bypass")) == "always"

    def _whole(self, pull: Json) -> PullRequest:
        number, is_merged = pull["number"], bool(pull["merged_at"])
        reviews = self._reviews(number)
        by, comment = _login(pull["merged_by"]) if is_merged else "", ""
        if pull["state"] == "closed" and not is_merged:
            by = _login(self._client.get(f"/issues/{number}").get("closed_by"))
            comment = self._said(pull, by, reviews)
        return self._with(pull, reviews, by, comment)

    def _with(self, pull: Json, reviews: Sequence[Json], by: str, comment: str) -> PullRequest:
        number, is_merged = pull["number"], bool(pull["merged_at"])
        state: Literal["open", "closed", "merged"] = "merged" if is_merged else pull["state"]
        return PullRequest(
            number=number,
            url=pull["html_url"],
            state=state,
            branch=pull["head"]["ref"],
            base=pull["base"]["ref"],
            head=pull["head"]["sha"],
            title=pull["title"],
            body=pull["body"] or "",
            labels=tuple(_labels(pull)),
            author=_login(pull["user"]),
            approvals=_approvals(reviews),
            mergeable=pull["mergeable"],
            merge_commit=(pull["merge_commit_sha"] or "") if is_merged else "",
            decided_by=by,
            decided_at=(pull["merged_at"] or pull["closed_at"] or ""),
            comment=comment,
            created=pull["created_at"],
            updated=pull["updated_at"],
            asked=(*_asked(pull), *_reviewers(reviews), *self._not_again.of(number)),
        )

    def _reviews(self, number: int) -> list[Json]:
        return self._client.pages(f"/pulls/{number}/reviews")

    def _answered(self, number: int, wanted: Sequence[str], asked: Sequence[str]) -> Sequence[str]:
        """The teams that were asked and of which a member answered: GitHub then takes the request
        away, and nobody did.
        """
        known = {name.lower() for name in asked}
        teams = [t for t in wanted if t.startswith(TEAM) and t.lower() not in known]
        if not teams:
            return []
        last: dict[str, str] = {}
        for event in self._client.pages(f"/issues/{number}/events"):
            if slug := (event.get("requested_team") or {}).get("slug"):
                last[f"{TEAM}{slug}".lower()] = event["event"]
        return [team for team in teams if last.get(team.lower()) == "review_requested"]

    def _said(self, pull: Json, by: str, reviews: Sequence[Json]) -> str:
        """At its closing, as a comment or with a review."""
        closed = pull["closed_at"]
        path = f"/issues/{pull['number']}/comments"
        said = [
            Comment(_login(each["user"]), each["created_at"], each["body"] or "")
            for each in self._client.pages(path, since=said_since(closed))
        ]
        said += [
            Comment(_login(each["user"]), each["submitted_at"], each["body"])
            for each in reviews
            if each["body"] and each["state"] != "PENDING"
        ]
        return closing_comment(said, by, closed)

    def _add(self, number: int, draft: Draft, labels: Sequence[str], asked: Sequence[str]) -> None:
        """What is not there yet; GitHub tells no capitals from small letters. A reviewer whom it
        refuses stops no delivery.
        """
        named = {name.lower() for name in asked}
        there = {name.lower() for name in labels}
        missing = [label for label in draft.labels if label.lower() not in there]
        if missing:
            self._client.send("POST", f"/issues/{number}/labels", {"labels": missing})
        for reviewer in draft.reviewers:
            if reviewer.lower() in named:
                continue
            team = reviewer.removeprefix(TEAM)
            key = "reviewers" if team == reviewer else "team_reviewers"
            try:
                path = f"/pulls/{number}/requested_reviewers"
                self._client.send("POST", path, {key: [team]})
            except failures.NotTakenError as error:
                self._not_again.add(number, reviewer)
                log.warning("no review is asked of %r: %s", reviewer, error.what)

    def _is_here(self, pull: Json) -> bool:
        """Whether its branch is in the repository itself, and not in a fork."""
        source = pull["head"]["repo"]
        return bool(source) and source["full_name"] == pull["base"]["repo"]["full_name"]


def _required_by(rules: Iterable[Json]) -> Iterator[str]:
    for rule in rules:
        if rule["type"] == "required_status_checks":
            checks = rule["parameters"]["required_status_checks"]
            yield from (each["context"] for each in checks)


def _asked(pull: Json) -> list[str]:
    """Who is asked for a review and did not answer yet."""
    teams = [f"{TEAM}{each['slug']}" for each in pull["requested_teams"]]
    return [*(each["login"] for each in pull["requested_reviewers"]), *teams]


def _reviewers(reviews: Sequence[Json]) -> list[str]:
    return list(dict.fromkeys(_login(review["user"]) for review in reviews))


def _labels(pull: Json) -> list[str]:
    return [label["name"] for label in pull["labels"]]


def _login(user: Json | None) -> str:
    return str(user["login"]) if user else ""


def _approvals(reviews: Sequence[Json]) -> tuple[Approval, ...]:
    """The last verdict of each person, where it is an approval that was not dismissed."""
    last: dict[str, Json] = {}
    for review in reviews:
        if review["state"] in ("APPROVED", "CHANGES_REQUESTED", "DISMISSED"):
            last[_login(review["user"])] = review
    return tuple(
        Approval(by, review["commit_id"] or "", review["submitted_at"])
        for by, review in last.items()
        if review["state"] == "APPROVED"
    )
