"""The settings of pull requests: which forge, and who and what is put on them."""

from __future__ import annotations

import re

from mlflow_gitops.config import names
from mlflow_gitops.config.document import Findings, Value
from mlflow_gitops.config.reference_settings import SETTINGS

__all__ = ["delivery_complaint", "read_forge", "read_pull_request"]

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


def read_pull_request(
    value: Value | None, found: Findings
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Labels and reviewers."""
    fields = (found.fields(value, ["labels", "reviewers"]) if value else None) or {}
    labels = _texts(fields.get("labels"), found, f"{PULL_REQUEST}.labels")
    return labels, _texts(fields.get("reviewers"), found, f"{PULL_REQUEST}.reviewers")


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
