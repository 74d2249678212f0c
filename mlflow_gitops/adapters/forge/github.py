"""GitHub's and GitHub Enterprise's REST API, through PyGithub. Implements `ports.Forge`.

PyGithub sends the requests, follows pages' rules and tells errors apart; its objects are not
used, since they ask for missing parts by themselves. A write is never sent twice.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import Any, Concatenate, Literal, ParamSpec, TypeVar
from urllib.parse import quote

from mlflow_gitops.adapters.forge.github_errors import talking
from mlflow_gitops.errors import ConfigError, ForgeError, TransientError
from mlflow_gitops.pull_requests import WITHDRAWN, Approval, CommitStatus, Draft, PullRequest

try:
    import github
except ImportError as missing:
    raise ConfigError(
        "pull requests on GitHub need PyGithub",
        where="this installation",
        hint="pip install 'mlflow-gitops[github]'",
    ) from missing

__all__ = ["GitHubForge"]

log = logging.getLogger(__name__)

TIMEOUT = 30  # seconds for one request
WRITES_APART = 1  # seconds: what GitHub asks for, to stay clear of its second rate limit
PAGE = 100
PAGES = 10
BODY_LIMIT = 65_000  # characters; GitHub takes 65,536
TEXT_LIMIT = 140  # characters of a status
CUT = "\n\n(cut here: the text was too long for the forge)\n\n"

Json = Mapping[str, Any]
P = ParamSpec("P")
R = TypeVar("R")


class _Rotating(github.Auth.Auth):
    """Reads the token for each request."""

    def __init__(self, read: Callable[[], str]) -> None:
        self._read = read

    @property
    def token_type(self) -> str:
        return "token"

    @property
    def token(self) -> str:
        found = self._read()
        if not found:
            raise ConfigError(
                "there is no token for the forge",
                where="MLFLOW_GITOPS_FORGE_TOKEN",
                hint="set it, or MLFLOW_GITOPS_FORGE_TOKEN_FILE, to a token that may write pull "
                "requests and commit statuses",
            )
        return found


def _told(
    act: Callable[Concatenate[GitHubForge, P], R],
) -> Callable[Concatenate[GitHubForge, P], R]:
    """An answer that is not as GitHub gives it is an error for people, too."""

    @wraps(act)
    def acting(forge: GitHubForge, /, *args: P.args, **named: P.kwargs) -> R:
        with talking(forge._where):
            return act(forge, *args, **named)

    return acting


class GitHubForge:
    """`repository` is `<owner>/<name>`, `api_url` the API's address. Safe for threads."""

    kind = "github"

    def __init__(
        self,
        repository: str,
        api_url: str,
        token: Callable[[], str],
        *,
        timeout: int = TIMEOUT,
    ) -> None:
        self._owner = repository.partition("/")[0]
        self._root = f"/repos/{quote(repository)}"
        self._where = f"{api_url.rstrip('/')}{self._root}"
        client = github.Github(
            auth=_Rotating(token),
            base_url=api_url.rstrip("/"),
            timeout=timeout,
            user_agent="mlflow-gitops",
            retry=None,  # the queue waits, and a write is never repeated
            seconds_between_requests=None,
            seconds_between_writes=WRITES_APART,
            lazy=True,
        )
        self._requester = client.requester

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._where!r})"

    # ports.Forge

    @_told
    def newest(self, branch: str) -> PullRequest | None:
        query = {"head": f"{self._owner}:{branch}", "state": "all", "sort": "created"}
        found = self._get("/pulls", {**query, "direction": "desc", "per_page": PAGE})
        ours = [pull for pull in found if pull["head"]["ref"] == branch and self._is_here(pull)]
        ours.sort(key=lambda pull: (pull["state"] == "open", pull["number"]), reverse=True)
        return self.get(ours[0]["number"]) if ours else None

    @_told
    def get(self, number: int) -> PullRequest:
        return self._whole(self._get(f"/pulls/{number}"))

    @_told
    def open(self, branch: str, base: str, draft: Draft) -> PullRequest:
        fields = {"title": draft.title, "head": branch, "base": base, "body": _body(draft)}
        try:
            made = self._send("POST", "/pulls", fields)
        except ForgeError as error:
            if "already exists" not in error.what:
                raise
            raise TransientError(
                f"somebody opened a pull request for {branch} just now",
                where=self._where,
                hint="it is looked at again",
            ) from None
        self._add(made["number"], draft, labels=(), asked=())
        return self.get(made["number"])

    @_told
    def update(self, pull: PullRequest, draft: Draft) -> None:
        if (pull.title, pull.body) != (draft.title, _body(draft)):
            fields = {"title": draft.title, "body": _body(draft)}
            self._send("PATCH", f"/pulls/{pull.number}", fields)
        now = self._get(f"/pulls/{pull.number}")
        asked = [each["login"] for each in now["requested_reviewers"]]
        asked += [f"team:{each['slug']}" for each in now["requested_teams"]]
        asked += [approval.by for approval in pull.approvals]
        self._add(pull.number, draft, labels=_labels(now), asked=asked)

    @_told
    def withdraw(self, pull: PullRequest, comment: str) -> None:
        if self._get(f"/pulls/{pull.number}")["state"] != "open":
            return
        self._send("POST", f"/issues/{pull.number}/labels", {"labels": [WITHDRAWN]})
        self._send("POST", f"/issues/{pull.number}/comments", {"body": comment})
        self._send("PATCH", f"/pulls/{pull.number}", {"state": "closed"})

    @_told
    def set_statuses(self, commit: str, statuses: Sequence[CommitStatus]) -> None:
        there = self._get(f"/commits/{commit}/status", {"per_page": PAGE})["statuses"]
        told = {each["context"]: (each["state"], each["description"]) for each in there}
        for status in statuses:
            text = status.text[:TEXT_LIMIT]
            if told.get(status.name) == (status.verdict, text):
                continue
            fields = {"context": status.name, "state": status.verdict, "description": text}
            more = {"target_url": status.url} if status.url else {}
            self._send("POST", f"/statuses/{commit}", {**fields, **more})

    @_told
    def of_commit(self, commit: str) -> PullRequest | None:
        found = self._get(f"/commits/{commit}/pulls", {"per_page": PAGE})
        merged = [pull["number"] for pull in found if pull["merged_at"]]
        return self.get(merged[-1]) if merged else None

    @_told
    def check(self) -> str:
        rights = self._get("").get("permissions") or {}
        if not rights.get("push"):
            raise ForgeError(
                "the token may not write to the repository",
                where=self._where,
                hint="give it the rights `contents`, `pull requests` and `commit statuses`: write",
            )
        _, user = self._requester.requestJsonAndCheck("GET", "/user")
        return str(user["login"])

    # Parts

    def _whole(self, pull: Json) -> PullRequest:
        number, is_merged = pull["number"], bool(pull["merged_at"])
        state: Literal["open", "closed", "merged"] = "merged" if is_merged else pull["state"]
        by, comment = _login(pull["merged_by"]) if is_merged else "", ""
        if state == "closed":
            by = _login(self._get(f"/issues/{number}").get("closed_by"))
            said = self._all(f"/issues/{number}/comments")
            comment = said[-1]["body"] if said else ""
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
            approvals=self._approvals(number),
            mergeable=pull["mergeable"],
            merge_commit=(pull["merge_commit_sha"] or "") if is_merged else "",
            decided_by=by,
            decided_at=(pull["merged_at"] or pull["closed_at"] or ""),
            comment=comment,
            created=pull["created_at"],
            updated=pull["updated_at"],
        )

    def _approvals(self, number: int) -> tuple[Approval, ...]:
        """The last verdict of each person, where it is an approval that was not dismissed."""
        last: dict[str, Json] = {}
        for review in self._all(f"/pulls/{number}/reviews"):
            if review["state"] in ("APPROVED", "CHANGES_REQUESTED", "DISMISSED"):
                last[_login(review["user"])] = review
        return tuple(
            Approval(by, review["commit_id"] or "", review["submitted_at"])
            for by, review in last.items()
            if review["state"] == "APPROVED"
        )

    def _add(self, number: int, draft: Draft, labels: Sequence[str], asked: Sequence[str]) -> None:
        """What is not there yet. A reviewer whom GitHub refuses stops no delivery."""
        missing = [label for label in draft.labels if label not in labels]
        if missing:
            self._send("POST", f"/issues/{number}/labels", {"labels": missing})
        for reviewer in draft.reviewers:
            if reviewer in asked:
                continue
            team = reviewer.removeprefix("team:")
            key = "reviewers" if team == reviewer else "team_reviewers"
            try:
                self._send("POST", f"/pulls/{number}/requested_reviewers", {key: [team]})
            except ForgeError as error:
                log.warning("no review is asked of %r: %s", reviewer, error.what)

    def _is_here(self, pull: Json) -> bool:
        """Whether its branch is in the repository itself, and not in a fork."""
        source = pull["head"]["repo"]
        return bool(source) and source["full_name"] == pull["base"]["repo"]["full_name"]

    def _get(self, path: str, query: Mapping[str, object] | None = None) -> Any:
        with talking(self._where):
            return self._requester.requestJsonAndCheck(
                "GET", self._root + path, parameters=dict(query or {})
            )[1]

    def _all(self, path: str) -> list[Json]:
        found: list[Json] = []
        for page in range(1, PAGES + 1):
            part = self._get(path, {"per_page": PAGE, "page": page})
            found += part
            if len(part) < PAGE:
                break
        return found

    def _send(self, verb: str, path: str, fields: Mapping[str, object]) -> Any:
        with talking(self._where):
            return self._requester.requestJsonAndCheck(verb, self._root + path, input=dict(fields))[
                1
            ]


def _body(draft: Draft) -> str:
    if len(draft.body) <= BODY_LIMIT:
        return draft.body
    head, start, end = draft.body.rpartition("<!-- mlflow-gitops ")  # the mark is kept
    mark = start + end
    return head[: BODY_LIMIT - len(CUT) - len(mark)] + CUT + mark


def _labels(pull: Json) -> list[str]:
    return [label["name"] for label in pull["labels"]]


def _login(user: Json | None) -> str:
    return str(user["login"]) if user else ""
