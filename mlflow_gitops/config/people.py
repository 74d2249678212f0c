"""`commits`: whom the tool's commits name."""

from __future__ import annotations

import re

from mlflow_gitops.config.document import Findings, Value
from mlflow_gitops.config.reference_settings import SETTINGS
from mlflow_gitops.state import People, Person

__all__ = ["read_people"]

KEYS = ("author", "committer")
FORMS = {row.key: row.form for row in SETTINGS}
PERSON = re.compile(r"([^<>]{1,200}?) <([^<>\s]{1,200})>")


def read_people(value: Value | None, found: Findings) -> People:
    fields = (found.fields(value, KEYS) if value else None) or {}
    author = _person(fields.get("author"), found) or Person()
    return People(author, _person(fields.get("committer"), found) or author)


def _person(value: Value | None, found: Findings) -> Person | None:
    if value is None:
        return None
    text = found.text(value, _complaint, FORMS[value.path])
    match = PERSON.fullmatch(text) if text else None
    return Person(match[1], match[2]) if match else None


def _complaint(text: str) -> str:
    match = PERSON.fullmatch(text)
    usable = match and all(any(c.isalnum() for c in part) for part in match.groups())
    return "" if usable else "is not of this form"
