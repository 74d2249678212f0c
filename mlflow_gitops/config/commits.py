"""`commits`: whom the tool's commits name, and what their messages say beyond the usual."""

from __future__ import annotations

import re

from mlflow_gitops.config.document import Findings, Value
from mlflow_gitops.config.reference_settings import SETTINGS
from mlflow_gitops.planning.commit_style import FIELDS, TAG, unknown_fields
from mlflow_gitops.planning.messages import OWN_TRAILERS
from mlflow_gitops.state import CommitStyle, People, Person

__all__ = ["read_commits", "read_message"]

KEYS = ("author", "committer", "subject", "body", "trailers", "sign-off")
FORMS = {row.key: row.form for row in SETTINGS}
TRAILER_FORM = FORMS["commits.trailers.<key>"]
PERSON = re.compile(r"([^<>]{1,200}?) <([^<>\s]{1,200})>")
TRAILER_KEY = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,60}")
LONGEST, LONGEST_BODY = 500, 5000  # characters of a template: of one line, of a body
OTHERS = ("reviewed-by", "approved-by", "pull-request", "merge-request")
"""Trailers that this tool reads as what people or a forge said."""
SIGN_OFF = "signed-off-by"
TAKEN = {each.lower() for each in OWN_TRAILERS} | {*OTHERS, SIGN_OFF}
FIELD_HINT = f"the fields are {', '.join(f'{{{name}}}' for name in FIELDS)} and {{{TAG}<name>}}"


def read_commits(value: Value | None, found: Findings) -> tuple[People, CommitStyle]:
    fields = (found.fields(value, KEYS) if value else None) or {}
    author = _person(fields.get("author"), found) or Person()
    people = People(author, _person(fields.get("committer"), found) or author)
    body, sign_off = fields.get("body"), fields.get("sign-off")
    style = CommitStyle(
        subject=read_message(fields.get("subject"), FORMS["commits.subject"], found),
        trailers=_trailers(fields.get("trailers"), found),
        sign_off=_flag(sign_off, found) if sign_off else False,
        body=_body(body, found) if body else "",
    )
    return people, style


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


def read_message(value: Value | None, form: str, found: Findings) -> str:
    """Return a template of one line, "" where the settings have none."""
    return (found.text(value, _template_complaint, form) or "").strip() if value else ""


def _body(value: Value, found: Findings) -> str:
    form = FORMS["commits.body"]
    return (found.text(value, _body_complaint, form, is_block=True) or "").strip()


def _body_complaint(text: str) -> str:
    if not text.strip() or len(text) > LONGEST_BODY:
        return f"is empty, or longer than {LONGEST_BODY} characters"
    lines = [line for line in text.split("\n") if line.strip()]
    keys = (line.partition(":")[0].strip().lower() for line in lines if ":" in line)
    if key := next((each for each in keys if each in TAKEN), ""):
        return f"has a line that would be taken for the trailer `{key}`"
    return next(filter(None, map(_template_complaint, lines)), "")


def _template_complaint(text: str) -> str:
    if not text.strip() or len(text) > LONGEST:
        return f"is empty, or longer than {LONGEST} characters"
    unknown = unknown_fields(text)
    return f"has the unknown field `{unknown[0]}`: {FIELD_HINT}" if unknown else ""


def _trailers(value: Value | None, found: Findings) -> tuple[tuple[str, str], ...]:
    if value is None:
        return ()
    pairs = found.entries(value, FORMS["commits.trailers"]) or {}
    return tuple((key, _trailer(key, at, found)) for key, at in pairs.items())


def _trailer(key: str, at: Value, found: Findings) -> str:
    if not TRAILER_KEY.fullmatch(key):
        found.add(at, "the key is no name of a trailer", allowed=TRAILER_FORM)
    elif key.lower() == SIGN_OFF:
        found.add(at, "the key has a setting of its own", hint="set `commits.sign-off: true`")
    elif key.lower() in TAKEN:
        found.add(at, "the key has a meaning of its own for this tool", hint="take another key")
    return read_message(at, TRAILER_FORM, found)


def _flag(value: Value, found: Findings) -> bool:
    if value.kind != "bool":
        found.add(value, "has to be true or false", allowed=FORMS["commits.sign-off"])
        return False
    return value.text.lower() == "true"
