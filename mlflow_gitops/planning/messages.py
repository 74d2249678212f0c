"""The text of a commit: a subject, what was asked and why, and the trailers. PURE.

People read it in Git; this tool reads the trailers back. Names, reasons and user names come from
the registry, where anybody may write, so each is made one bounded line in which no Git host sees
a mention, a reference to an issue, a link or a tag, and no line of which can be a trailer.
"""

from __future__ import annotations

import re
import textwrap
import unicodedata
from collections.abc import Sequence

from mlflow_gitops.planning.trailers import parse_trailers, trailer_lines
from mlflow_gitops.state import ModelVersion, Request, ServiceSpec

__all__ = [
    "OWN_TRAILERS",
    "SERVICE",
    "clean",
    "commit_message",
    "defused",
    "exact",
    "made_again",
    "parse_trailers",
    "trailer_lines",
]

SERVICE = "Gitops-Service"
"""The trailer that says which service a commit delivered: `<environment>/<service>`."""

OWN_TRAILERS = (
    *(SERVICE, "Gitops-Request", "Model", "Model-Version", "Run-Id", "Artifact-Digest"),
    *("Artifact-Uri", "Requested-By", "Claimed-By", "Requested-At", "Undoes"),
)

NAME_LIMIT = 200
REASON_LIMIT = 500
HOLD_LIMIT = 1000
EXACT_LIMIT = 1024
SUBJECT_LIMIT = 120
WIDTH = 76

# A space after the mark is enough for every Git host to pass it over, and reads well in a log.
MARKS = re.compile(
    r"(?<![A-Za-z0-9])@(?=[\w{\[(\"'-])"  # a mention; a@b.example is none
    r"|\#(?=\w)"  # an issue, a smart commit's command
    r"|(?<!\w)[!&](?=\d)"  # GitLab's merge requests and epics
    r"|(?<!\w)(?i:gh)-(?=\d)"
    r"|:(?=//)"  # a URL
    r"|(?<!\w)(?i:www)(?=\.)"
    r"|(?<!\w)(?i:mailto|javascript|data):(?=\S)"
    r"|<(?=[A-Za-z/!?])"  # HTML
    r"|\](?=[\[(:])"  # a Markdown link
    r"|\[(?=(?i:skip|ci|no|actions)[ -])"  # a command to the CI
    r"|\*(?=\*)"
)
CLOSING = re.compile(r"\b(?:clos|fix|resolv|implement)(?:es|ed|ing|e|s)?\b", re.IGNORECASE)
TICKET = re.compile(r"\b[A-Za-z][A-Za-z0-9_]*-(?=\d)")


def clean(text: str, limit: int = NAME_LIMIT) -> str:
    """Text from outside as one line of at most `limit` characters that no Git host acts on."""
    line = MARKS.sub(lambda mark: mark[0] + " ", _one_line(text))
    return _bounded(_without_tickets(line), limit)


def defused(line: str) -> str:
    """A line that is shown as it is, but for words that close an issue, and what is hidden."""
    shown = "".join(c for c in line if c == "\t" or not _is_hidden(c))
    if not CLOSING.search(shown):
        return shown
    return _without_tickets(MARKS.sub(lambda mark: mark[0] + " ", shown))


def _without_tickets(line: str) -> str:
    """`fixes ML-1` closes a ticket on some hosts."""
    return TICKET.sub(lambda key: key[0] + " ", line) if CLOSING.search(line) else line


def exact(text: str) -> str:
    """A name that is compared later, as one line: as it is, but for what could end the line."""
    return _bounded(_one_line(text), EXACT_LIMIT)


def commit_message(
    *,
    environment: str,
    service: str,
    model: str,
    action: str,
    before: ServiceSpec | None,
    after: ServiceSpec | None,
    version: ModelVersion | None,
    request: Request,
    digest: str = "",
    undoes: str = "",
    hold: str = "",
    not_proved: str = "",
    subject: str = "",
    further: str = "",
    trailers: Sequence[tuple[str, str]] = (),
) -> str:
    """The message of the commit that brings a service from `before` to `after` (None: absent).

    `undoes` is the full hash of the commit that a rollback takes back. `hold` tells of the one
    that this ends. `not_proved` says why no build proved the edit. `subject` replaces the usual
    one, `further` is a paragraph to add, `trailers` are added to the usual ones.
    """
    subject = subject or _subject(environment, service, action, before, after, undoes)
    body = _body(model, service, action, version, request)
    body += [_filled(clean(hold, HOLD_LIMIT))] if hold else []
    if not_proved:
        body.append(_filled(f"Not proved by a build: {clean(not_proved, REASON_LIMIT)}."))
    body += [further] if further else []
    lines = _trailers(environment, service, model, after, version, request, digest, undoes)
    lines += [f"{key}: {value}" for key, value in trailers if value]
    return "\n\n".join([subject, *body, "\n".join(lines)]) + "\n"


def made_again(message: str, why: str) -> str:
    """Return an edit's message for the merge in which it is made again; `why` is one line."""
    subject, _, rest = message.partition("\n\n")
    return "\n\n".join([subject, _filled(why), rest])


def _subject(
    environment: str,
    service: str,
    action: str,
    before: ServiceSpec | None,
    after: ServiceSpec | None,
    undoes: str,
) -> str:
    name = clean(service, 70)
    undone = f" (undoes {clean(undoes[:12])})" if undoes else ""
    match before, after:
        case _, None:
            what = f"retire {name} {_version(before)}".rstrip()
        case None, ServiceSpec():
            what = f"{'rollback' if action == 'rollback' else 'deploy'} {name} {_version(after)}"
        case ServiceSpec(), ServiceSpec() if before.version != after.version:
            verb = "rollback " if action == "rollback" else ""
            what = f"{verb}{name} {_version(before) or '(without a label)'} -> {_version(after)}"
        case _:
            what = f"{name} {_version(after)}, {_other_change(before, after)}"
    return _bounded(f"{clean(environment, 40)}: {what}", SUBJECT_LIMIT - len(undone)) + undone


def _other_change(before: ServiceSpec | None, after: ServiceSpec | None) -> str:
    if before and after and before.uri != after.uri:
        return "from another place"
    if before and after and before.rollout != after.rollout:
        return "another rollout"
    return "delivered again"


def _version(spec: ServiceSpec | None) -> str:
    text = clean(spec.version, 20) if spec else ""
    return text if not text or re.match(r"[vV]\d", text) else f"v{text}"


def _body(
    model: str, service: str, action: str, version: ModelVersion | None, request: Request
) -> list[str]:
    name = clean(model)
    number = clean(version.number if version else request.version, 20)
    what = f"version {number} of the model {name}" if number else f"the model {name}"
    served = "" if model == service else f", served as {clean(service)}"
    asked = {
        "retire": f"The registry asks to stop serving {what}{served}.",
        "rollback": f"The registry asks to go back to {what}{served}.",
    }.get(action, f"The registry asks for {what}{served}.")
    body = [_filled(asked)]
    if reason := clean(request.reason, REASON_LIMIT):
        body.append(_quoted(reason))
    return body


def _filled(text: str) -> str:
    return textwrap.fill(text, WIDTH, break_long_words=False, break_on_hyphens=False)


def _quoted(text: str) -> str:
    return textwrap.fill(
        text, WIDTH, initial_indent="> ", subsequent_indent="> ", break_on_hyphens=False
    )


def _trailers(
    environment: str,
    service: str,
    model: str,
    after: ServiceSpec | None,
    version: ModelVersion | None,
    request: Request,
    digest: str,
    undoes: str,
) -> list[str]:
    lines = {
        SERVICE: exact(f"{environment}/{service}"),
        "Gitops-Request": clean(request.id),
        "Model": clean(model),
        "Model-Version": clean(version.number if version else request.version),
        "Run-Id": clean(version.identity.run_id) if version else "",
        "Artifact-Digest": clean(digest),
        "Artifact-Uri": exact(after.uri) if after else "",
        "Requested-By" if request.signed else "Claimed-By": clean(request.by),
        "Requested-At": clean(request.time),
        "Undoes": clean(undoes),
    }
    return [f"{key}: {value}" for key, value in lines.items() if value]


def _one_line(text: str) -> str:
    """Without control, format (bidi, zero-width) and surrogate characters; spaces are single."""
    if text.isascii() and text.isprintable():
        return " ".join(text.split())
    kept = (" " if _is_space(c) else c for c in text if _is_space(c) or not _is_hidden(c))
    return " ".join("".join(kept).split())


def _is_space(character: str) -> bool:
    return character.isspace() or unicodedata.category(character) in ("Zs", "Zl", "Zp")


def _is_hidden(character: str) -> bool:
    return unicodedata.category(character) in ("Cc", "Cf", "Cs")


def _bounded(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 3].rstrip() + "..."
