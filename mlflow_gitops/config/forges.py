"""The settings of pull requests: which forge, and who and what is put on them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import permutations

from mlflow_gitops.config import names
from mlflow_gitops.config.commits import read_message
from mlflow_gitops.config.document import Findings, Value
from mlflow_gitops.config.reference_settings import SETTINGS
from mlflow_gitops.planning.naming import branch_prefix
from mlflow_gitops.state import BRANCH_NAME, Environment

__all__ = [
    "PullRequests",
    "branch_clashes",
    "delivery_complaint",
    "read_forge",
    "read_pull_request",
]

KINDS = (
    *("github", "gitlab", "gitea", "forgejo"),
    *("azure-devops", "bitbucket-cloud", "bitbucket-data-center"),
)
DELIVERIES = ("commit", "pull-request")
FORMS = {row.key: row.form for row in SETTINGS}
PULL_REQUEST = "environments.<name>.pull-request"
NAME = r"[A-Za-z0-9_./@+:{}\\-]"
REVIEWER = re.compile(rf"(team:)?[A-Za-z0-9_{{]({NAME}|[ ](?=[^ ])){{0,100}}")
MOST = 100
SERVICE = "{service}"
OTHER_FIELD = re.compile(r"\{(?!environment\}|service\})[^{}]*\}")
SERVICES = re.compile(r"[a-z0-9.-]*(/.*)?")
"""What may follow the beginning of a branch's name where a service does."""


@dataclass(frozen=True, slots=True)
class PullRequests:
    """What an environment's pull requests are to have."""

    labels: tuple[str, ...] = ()
    reviewers: tuple[str, ...] = ()
    title: str = ""
    branch_name: str = BRANCH_NAME


def delivery_complaint(text: str) -> str:
    return "" if text in DELIVERIES else "is no way to deliver"


def read_forge(value: Value | None, found: Findings) -> tuple[str, str]:
    """Kind and address of the API, "" for what is not said."""
    fields = found.fields(value, ["kind", "url"]) if value else None
    kind, url = (fields or {}).get("kind"), (fields or {}).get("url")
    form = FORMS["forge.url"]
    return (
        (found.text(kind, _kind_complaint, FORMS["forge.kind"]) if kind else "") or "",
        (found.text(url, _url_complaint, form, quote=False) if url else "") or "",
    )


def read_pull_request(value: Value | None, found: Findings) -> PullRequests:
    keys = ["labels", "reviewers", "title", "branch"]
    fields = (found.fields(value, keys) if value else None) or {}
    branch = fields.get("branch")
    form = FORMS[f"{PULL_REQUEST}.branch"]
    return PullRequests(
        _texts(fields.get("labels"), found, f"{PULL_REQUEST}.labels"),
        _texts(fields.get("reviewers"), found, f"{PULL_REQUEST}.reviewers"),
        read_message(fields.get("title"), FORMS[f"{PULL_REQUEST}.title"], found),
        (found.text(branch, _branch_complaint, form) if branch else "") or BRANCH_NAME,
    )


def branch_clashes(
    environments: Iterable[Environment], default_branch: str
) -> Iterator[tuple[str, str]]:
    """Yield (environment, problem) where a branch of a pull request could be another branch too.

    Git also keeps no branch below another one's name.
    """
    known = list(environments)
    proposing = [each for each in known if each.delivery == "pull-request"]
    for one, two in permutations(proposing, 2):
        if _is_below(branch_prefix(two), branch_prefix(one)) and (
            branch_prefix(one) != branch_prefix(two) or one.name < two.name
        ):
            yield two.name, f"may name the same branch as the environment `{one.name}`"
    targets = sorted({each.branch or default_branch for each in known} - {""})
    for each in proposing:
        prefix = branch_prefix(each)
        for target in targets:
            if _is_below(target, prefix) or prefix.startswith(f"{target}/"):
                yield each.name, f"may name the branch `{target}`, which is deployed"


def _is_below(name: str, prefix: str) -> bool:
    is_below = SERVICES.fullmatch(name.removeprefix(prefix)) is not None
    return name.startswith(prefix) and is_below


def _branch_complaint(text: str) -> str:
    if text == BRANCH_NAME:
        return ""
    if field := OTHER_FIELD.search(text):
        return f"has the field `{field[0]}`: a service has one branch for all its versions"
    if text.count(SERVICE) != 1 or not text.endswith(SERVICE) or text == SERVICE:
        return f"has to be a text that ends in one `{SERVICE}`"
    filled = text.replace("{environment}", "environment").replace(SERVICE, "service")
    if len(text) > 100 or "{" in filled or "}" in filled:
        return "is no name for a branch"
    return names.branch_complaint(filled)


def _texts(value: Value | None, found: Findings, key: str) -> tuple[str, ...]:
    if value is None:
        return ()
    complaint = _label_complaint if key.endswith("labels") else _reviewer_complaint
    items = found.items(value, FORMS[key]) or ()
    texts = (found.text(item, complaint, FORMS[key]) for item in items[:MOST])
    return tuple(dict.fromkeys(text for text in texts if text))


def _kind_complaint(text: str) -> str:
    return "" if text in KINDS else "is no forge that is known"


def _url_complaint(text: str) -> str:
    if "{" in text:
        return "is no URL of a server"
    return names.endpoint_complaint(text)


def _label_complaint(text: str) -> str:
    if not 0 < len(text.strip()) <= 50 or "," in text:
        return "is no label"
    own = "mlflow-gitops/"
    return f"starts with `{own}`, which only the tool sets" if text.startswith(own) else ""


def _reviewer_complaint(text: str) -> str:
    return "" if REVIEWER.fullmatch(text) else "is no name of a user or a team"
