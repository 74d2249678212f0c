"""Fills the templates of commits' messages and of pull requests' titles. PURE.

The template is the settings' own, and means what it says. What its fields bring comes from the
registry, where anybody may write: it stays one line, and becomes no mention, link, command or word
that closes an issue, also not together with its neighbours.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from mlflow_gitops.planning.messages import CLOSING, MARKS, TICKET, clean
from mlflow_gitops.planning.plan import Plan
from mlflow_gitops.state import CommitStyle

__all__ = [
    "FIELDS",
    "TAG",
    "fill",
    "styled_body",
    "styled_subject",
    "styled_title",
    "styled_trailers",
    "unknown_fields",
]

FIELDS = ("environment", "model", "service", "version", "before", "action", "reason")
TAG = "tag:"
"""A field `{tag:<name>}` is the version's tag of that name."""

SUBJECT, IN_SUBJECT, IN_TRAILER = 200, 80, 500  # characters: a subject, a value in one, elsewhere
PIECES = re.compile(r"\{([^{}]*)\}|([^{}]+)|([{}])")
ACTING = re.compile(
    r"\W*(wip|draft|fixup!|squash!|amend!|revert|this reverts|merge\b)|[^\w\[(]", re.IGNORECASE
)
"""What a forge or Git acts on at the start of a subject."""
KEY = re.compile(r"\s*[\w-]+\s*:")


def unknown_fields(template: str) -> list[str]:
    """Return the fields, and single braces, that a template may not have."""
    found = []
    for name, _, brace in PIECES.findall(template):
        is_tag = name.startswith(TAG) and name.removeprefix(TAG).strip()
        if brace or (name and name not in FIELDS and not is_tag):
            found.append(brace or f"{{{name}}}")
    return found + ["{}"] * template.count("{}")


def styled_subject(style: CommitStyle, plan: Plan) -> str:
    """Return the subject that the settings ask for; "" where that is the usual one."""
    return styled_title(style.subject, plan)


def styled_title(template: str, plan: Plan) -> str:
    """Return the template as a bounded line; "" where there is nothing to fill in."""
    line = fill(template, _values(plan), IN_SUBJECT) if template else ""
    return line[:SUBJECT].rstrip()


def styled_body(style: CommitStyle, plan: Plan) -> str:
    """Return the further paragraphs; lines that stay empty are left out.

    Each line is filled on its own, so no value makes a line or a paragraph.
    """
    paragraphs = (_filled(each, _values(plan)) for each in re.split(r"\n\s*\n", style.body))
    return "\n\n".join(filter(None, paragraphs))


def _filled(paragraph: str, values: Mapping[str, str]) -> str:
    return "\n".join(
        filter(None, (fill(line, values, IN_TRAILER) for line in paragraph.splitlines()))
    )


def styled_trailers(style: CommitStyle, plan: Plan) -> list[tuple[str, str]]:
    return [(key, fill(text, _values(plan), IN_TRAILER)) for key, text in style.trailers]


def _values(plan: Plan) -> Mapping[str, str]:
    assert plan.request is not None
    version = plan.version
    tags = {f"{TAG}{key}": value for key, value in version.tags.items()} if version else {}
    return {
        **tags,
        "environment": plan.key.environment,
        "model": plan.key.model,
        "service": plan.place.service,
        "version": plan.after.version if plan.after else plan.request.version,
        "before": plan.before.version if plan.before else "",
        "action": plan.request.action,
        "reason": plan.request.reason,
    }


def fill(template: str, values: Mapping[str, str], most: int) -> str:
    """Return the template as one line; `values` are of at most `most` characters each.

    A line that begins with a value on which forges act has the environment before it.
    """
    text, foreign = "", list[bool]()
    for piece, is_value in _pieces(template, values, most):
        text += piece
        foreign += [is_value] * len(piece)
    line = " ".join(_guarded(text, foreign).split())
    starts = next((f for c, f in zip(text, foreign, strict=True) if not c.isspace()), False)
    key = KEY.match(text)
    is_acting = starts and (ACTING.match(line) or (key and foreign[key.end() - 1]))
    return f"{clean(values['environment'], most)}: {line}" if is_acting else line


def _pieces(template: str, values: Mapping[str, str], most: int) -> Iterator[tuple[str, bool]]:
    for name, literal, _ in PIECES.findall(template):
        yield (literal, False) if literal else (clean(values.get(name, ""), most), True)


def _guarded(text: str, foreign: list[bool]) -> str:
    """Put a space where a value and its neighbours would make something that forges act on.

    A `#` of the template before a number stays: the template asks for the reference.
    """
    closings = [m for m in CLOSING.finditer(text) if any(foreign[m.start() : m.end()])]
    cut = closings[0].end() if closings else len(text)

    def broken(mark: re.Match[str]) -> str:
        is_reference = mark[0] == "#" and text[mark.end()].isdigit()
        end = mark.end() if is_reference else mark.end() + 1
        return mark[0] + " " if any(foreign[mark.start() : end]) else mark[0]

    def spaced(mark: re.Match[str]) -> str:
        return mark[0] + " "

    return MARKS.sub(broken, text[:cut]) + TICKET.sub(spaced, MARKS.sub(spaced, text[cut:]))
