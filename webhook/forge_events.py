"""What a forge's delivery means: bytes to the branch that changed, or to a reason for ignoring it.

An event only says where to look; the forge, Git and the registry are read again. No I/O here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from webhook.events import Ignored
from webhook.forge_signature import Sender
from webhook.payload import decode, object_at, text

__all__ = ["Changed", "Ping", "Queued", "parse"]

LONGEST_BRANCH: Final = 1_024
LONGEST_URL: Final = 2_048
MOST_PATHS: Final = 1_000
BRANCHES: Final = "refs/heads/"
REPOSITORY_URLS: Final = ("clone_url", "ssh_url", "html_url")
PROJECT_URLS: Final = ("git_http_url", "git_ssh_url", "web_url")
MERGE_PIPELINE: Final = "merge_request_event"  # the source of such a pipeline, a train's too
UNFINISHED: Final = ("created", "waiting_for_resource", "preparing", "pending", "running")
AZURE_URLS: Final = ("remoteUrl", "sshUrl", "webUrl")
AZURE_COMMENT: Final = "ms.vss-code.git-pullrequest-comment-event"
PLACE: Final = "https://bitbucket.org/"  # only the path below it is compared
REVIEWS: Final = ("pull_request", "pull_request_review")  # of GitHub; Gitea has a dozen


@dataclass(frozen=True, slots=True)
class Ping:
    """The forge asks whether somebody listens."""


@dataclass(frozen=True, slots=True)
class Changed:
    """Something happened to a branch of the repository at `urls`: `reason` says what.

    `paths` are the files that a push touched, at most `MOST_PATHS`.
    """

    urls: tuple[str, ...]
    branch: str
    reason: str
    paths: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Queued:
    """A merge queue of the branch `base` asks for the checks of a group of pull requests."""

    urls: tuple[str, ...]
    base: str
    reason: str


def parse(sender: Sender, body: bytes) -> Changed | Queued | Ping | Ignored:
    """The meaning of one delivery. Raises EventError where it has none."""
    event = sender.event
    if sender.kind == "github" and event == "ping":
        return Ping()
    if sender.kind == "github" and event == "merge_group":
        return _merge_group(object_at(decode(body), "body"))
    if sender.kind == "bitbucket":
        return _bitbucket(event, body)
    if sender.kind == "azure":
        return _azure(object_at(decode(body), "body"))
    if sender.kind == "gitlab":
        if event == "Push Hook":
            return _push(object_at(decode(body), "body"), "project", PROJECT_URLS)
        if event == "Merge Request Hook":
            return _merge_request(object_at(decode(body), "body"))
        if event == "Pipeline Hook":
            return _pipeline(object_at(decode(body), "body"))
    elif event == "push":
        return _push(object_at(decode(body), "body"), "repository", REPOSITORY_URLS)
    elif event in REVIEWS or (sender.kind == "gitea" and event.startswith("pull_request")):
        return _pull_request(event, object_at(decode(body), "body"))
    return _other(event)


def _other(event: str) -> Ignored:
    return Ignored(f"{event} is not an event that this service acts on")


def _bitbucket(event: str, body: bytes) -> Changed | Ping | Ignored:
    if event == "diagnostics:ping":
        return Ping()
    if event == "repo:push":
        return _cloud_push(object_at(decode(body), "body"))
    if event == "repo:refs_changed":
        return _server_push(object_at(decode(body), "body"))
    if event.startswith("pullrequest:"):
        return _cloud_pull(event, object_at(decode(body), "body"))
    if event.startswith("pr:"):
        return _server_pull(event, object_at(decode(body), "body"))
    return _other(event)


def _cloud_push(data: Mapping[str, Any]) -> Changed | Ignored:
    """Bitbucket names no files; of several branches the first counts."""
    push = object_at(data.get("push"), "push")
    for change in _objects(push.get("changes")):
        new = change.get("new") or change.get("old")
        if isinstance(new, dict) and new.get("type") == "branch":
            return _pushed(_cloud_url(data), text(new, "name", LONGEST_BRANCH, "push.changes.new."))
    return Ignored("repo:push: no branch changed")


def _cloud_pull(event: str, data: Mapping[str, Any]) -> Changed | Ignored:
    pull = object_at(data.get("pullrequest"), "pullrequest")
    source = object_at(pull.get("source"), "pullrequest.source")
    own, place = object_at(data.get("repository"), "repository"), source.get("repository")
    if not isinstance(place, dict) or place.get("full_name") != own.get("full_name"):
        return Ignored(f"{event}: the pull request is from a fork")
    branch = object_at(source.get("branch"), "pullrequest.source.branch")
    name = text(branch, "name", LONGEST_BRANCH, "pullrequest.source.branch.")
    return Changed(_cloud_url(data), name, _reason(event, pull.get("id"), "#"))


def _cloud_url(data: Mapping[str, Any]) -> tuple[str, ...]:
    repository = object_at(data.get("repository"), "repository")
    return (PLACE + text(repository, "full_name", LONGEST_URL, "repository."),)


def _server_push(data: Mapping[str, Any]) -> Changed | Ignored:
    """Bitbucket names no files; of several branches the first counts."""
    url = _server_url(data.get("repository"), "repository")
    for change in _objects(data.get("changes")):
        ref = text(change, "refId", LONGEST_BRANCH, "changes.")
        if ref.startswith(BRANCHES):
            return _pushed(url, ref.removeprefix(BRANCHES))
    return Ignored("repo:refs_changed: no branch changed")


def _server_pull(event: str, data: Mapping[str, Any]) -> Changed | Ignored:
    pull = object_at(data.get("pullRequest"), "pullRequest")
    source = object_at(pull.get("fromRef"), "pullRequest.fromRef")
    target = object_at(pull.get("toRef"), "pullRequest.toRef")
    urls = _server_url(target.get("repository"), "pullRequest.toRef.repository")
    if urls != _server_url(source.get("repository"), "pullRequest.fromRef.repository"):
        return Ignored(f"{event}: the pull request is from a fork")
    branch = text(source, "id", LONGEST_BRANCH, "pullRequest.fromRef.").removeprefix(BRANCHES)
    return Changed(urls, branch, _reason(event, pull.get("id"), "#"))


def _server_url(value: Any, where: str) -> tuple[str, ...]:
    repository = object_at(value, where)
    project = object_at(repository.get("project"), f"{where}.project")
    key = text(project, "key", LONGEST_URL, f"{where}.project.")
    return (f"{PLACE}{key}/{text(repository, 'slug', LONGEST_URL, f'{where}.')}",)


def _azure(data: Mapping[str, Any]) -> Changed | Ignored:
    """Azure DevOps names the event in the body, and no files."""
    event = text(data, "eventType", LONGEST_BRANCH)
    if event == "git.push":
        return _azure_push(object_at(data.get("resource"), "resource"))
    if event.startswith("git.pullrequest.") or event == AZURE_COMMENT:
        resource = object_at(data.get("resource"), "resource")
        pull = resource.get("pullRequest", resource)
        return _azure_pull(event, object_at(pull, "resource.pullRequest"))
    return _other(event)


def _azure_push(resource: Mapping[str, Any]) -> Changed | Ignored:
    urls = _urls(object_at(resource.get("repository"), "resource.repository"), AZURE_URLS)
    for update in _objects(resource.get("refUpdates")):
        ref = text(update, "name", LONGEST_BRANCH, "resource.refUpdates.")
        if ref.startswith(BRANCHES):
            return _pushed(urls, ref.removeprefix(BRANCHES))
    return Ignored("git.push: no branch changed")


def _azure_pull(event: str, pull: Mapping[str, Any]) -> Changed | Ignored:
    if pull.get("forkSource"):
        return Ignored(f"{event}: the pull request is from a fork")
    urls = _urls(object_at(pull.get("repository"), "resource.repository"), AZURE_URLS)
    branch = text(pull, "sourceRefName", LONGEST_BRANCH, "resource.").removeprefix(BRANCHES)
    return Changed(urls, branch, _reason(event, pull.get("pullRequestId"), "#"))


def _pushed(urls: tuple[str, ...], branch: str) -> Changed:
    return Changed(urls, branch, f"push to {branch}")


def _objects(value: Any) -> Iterator[Mapping[str, Any]]:
    rows = value if isinstance(value, list) else []
    return (row for row in rows if isinstance(row, dict))


def _pull_request(event: str, data: Mapping[str, Any]) -> Changed | Ignored:
    pull = object_at(data.get("pull_request"), "pull_request")
    head = object_at(pull.get("head"), "pull_request.head")
    repository = object_at(data.get("repository"), "repository")
    source = head.get("repo")
    if isinstance(source, dict) and source.get("id") != repository.get("id"):
        return Ignored(f"{event}: the pull request is from a fork")
    what = _reason(f"{event} {_word(data, 'action')}", pull.get("number"), "#")
    branch = text(head, "ref", LONGEST_BRANCH, "pull_request.head.")
    return Changed(_urls(repository, REPOSITORY_URLS), branch, what)


def _merge_group(data: Mapping[str, Any]) -> Queued | Ignored:
    if data.get("action") != "checks_requested":
        return Ignored("merge_group: no checks are asked for")
    group = object_at(data.get("merge_group"), "merge_group")
    base = text(group, "base_ref", LONGEST_BRANCH, "merge_group.").removeprefix(BRANCHES)
    urls = _urls(object_at(data.get("repository"), "repository"), REPOSITORY_URLS)
    return Queued(urls, base, f"merge_group checks_requested on {base}")


def _merge_request(data: Mapping[str, Any]) -> Changed | Ignored:
    merge = object_at(data.get("object_attributes"), "object_attributes")
    project = object_at(data.get("project"), "project")
    if merge.get("source_project_id") != merge.get("target_project_id"):
        return Ignored("merge_request: it is from a fork")
    what = _reason(f"merge_request {_word(merge, 'action')}", merge.get("iid"), "!")
    branch = text(merge, "source_branch", LONGEST_BRANCH, "object_attributes.")
    return Changed(_urls(project, PROJECT_URLS), branch, what)


def _pipeline(data: Mapping[str, Any]) -> Changed | Ignored:
    """GitLab tries a merge on a commit of its own: a merged result, or a merge train's."""
    pipeline = object_at(data.get("object_attributes"), "object_attributes")
    merge = data.get("merge_request")
    if pipeline.get("source") != MERGE_PIPELINE or not isinstance(merge, dict):
        return Ignored("pipeline: it is of no merge request")
    if pipeline.get("status") not in UNFINISHED:
        return Ignored("pipeline: it has ended")
    project = object_at(data.get("project"), "project")
    if merge.get("source_project_id") != merge.get("target_project_id"):
        return Ignored("pipeline: its merge request is from a fork")
    what = _reason(f"pipeline {_word(pipeline, 'status')}", merge.get("iid"), "!")
    branch = text(merge, "source_branch", LONGEST_BRANCH, "merge_request.")
    return Changed(_urls(project, PROJECT_URLS), branch, what)


def _push(data: Mapping[str, Any], key: str, names: tuple[str, ...]) -> Changed | Ignored:
    ref = text(data, "ref", LONGEST_BRANCH)
    if not ref.startswith(BRANCHES):
        return Ignored(f"push: {ref} is no branch")
    urls = _urls(object_at(data.get(key), key), names)
    branch = ref.removeprefix(BRANCHES)
    paths = tuple(dict.fromkeys(islice(_paths(data.get("commits")), MOST_PATHS)))
    return Changed(urls, branch, f"push to {branch}", paths)


def _paths(commits: Any) -> Iterator[str]:
    for commit in commits if isinstance(commits, list) else ():
        for key in ("added", "modified", "removed"):
            paths = commit.get(key) if isinstance(commit, dict) else None
            yield from (p for p in (paths if isinstance(paths, list) else ()) if isinstance(p, str))


def _urls(place: Mapping[str, Any], names: tuple[str, ...]) -> tuple[str, ...]:
    urls = (place.get(name) for name in names)
    return tuple(url for url in urls if isinstance(url, str) and len(url) <= LONGEST_URL)


def _word(data: Mapping[str, Any], key: str) -> str:
    """For people to read, so nothing depends on it."""
    word = data.get(key)
    is_word = isinstance(word, str) and len(word) <= 64 and word.replace("_", "").isalnum()
    return str(word) if is_word else ""


def _reason(what: str, number: Any, sign: str) -> str:
    is_number = isinstance(number, int) and not isinstance(number, bool)
    return f"{what.strip()} {sign}{number}" if is_number else what.strip()
