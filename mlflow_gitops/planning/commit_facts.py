"""What a commit's message says of people: who reviewed, which pull request, what it reverts. PURE.

Anybody can write a message, so each of these is what Git *says*; `ledger.py` compares with the
trees what can be compared. Each host writes a revert in a form of its own.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from mlflow_gitops.planning.trailers import trailer_lines

__all__ = [
    "Reverted",
    "approvers",
    "is_titled_revert",
    "pull_request",
    "pull_requests",
    "quoted",
    "reason",
    "reverted",
]

REVIEWS = ("reviewed-by", "approved-by")
FORGES = (
    re.compile(r"\AMerge pull request #(\d+) from "),  # GitHub
    re.compile(r"\AMerge pull request '.*' \([#!](\d+)\) from "),  # Gitea, Forgejo
    re.compile(r"\AMerged in .* \(pull request #(\d+)\)\s*$", re.MULTILINE),  # Bitbucket
    re.compile(r"\AMerge pull request #(\d+) in \S+ from "),  # Bitbucket Data Center
    re.compile(r"\APull request #(\d+): .*\n\nMerge in \S+ from "),  # and its later versions
    re.compile(r"\AMerged PR (\d+): "),  # Azure DevOps
    re.compile(r"^See merge request (\S*!\d+)\s*$", re.MULTILINE),  # GitLab
)
SQUASHED = (
    *FORGES,
    re.compile(r"\A[^\n]*\(([#!]\d+)\)[ \t]*$", re.MULTILINE),  # GitHub, Gitea, Forgejo
    re.compile(r"^Reviewed-on: \S+/pulls/(\d+)\s*$", re.MULTILINE),  # Gitea, Forgejo
)
TRAILERS = ("pull-request", "merge-request")

HASH = "([0-9a-f]{7,64})"
COMMITS = (
    re.compile(rf"^(?:This reverts|Reverts) commit `?{HASH}(?![0-9a-f])", re.MULTILINE),
    re.compile(r"\A[Rr]evert:? ([0-9a-f]{40,64})[ \t]*$", re.MULTILINE),  # Gitea, Forgejo
)
PULL = re.compile(
    r"^(?:This (?:pull request |merge request )?reverts|Reverts) "
    r"(?:pull request |merge request )?[\w./-]*[#!](\d+)\b",
    re.MULTILINE,
)
TITLE = re.compile(
    r"\A(?:Revert|Reapply) [\"'](?P<of>.*)[\"'](?: \((?:pull request )?[#!]\d+\))?[ \t]*$",
    re.MULTILINE,
)
NUMBER = re.compile(r"\((?:pull request )?[#!](\d+)\)\s*\Z")
MACHINE = re.compile(
    r"(?m)"
    r"^(?:This reverts|Reverts) commit `?[0-9a-f]{7,64}`?"
    r"(?:,\sreversing\schanges\smade\sto\s[0-9a-f]{7,64})?(?:\s\([^\n]*\))?[.,]?"
    r"|^(?:This (?:pull request |merge request )?reverts|Reverts) "
    r"(?:pull request |merge request )?[\w./-]*[#!]\d+\b\.?"
    r"|^(?:\* )?(?:Revert|Reapply) \"[^\n]*\"(?: \([#!]\d+\))?$"
    r"|^See merge request \S+$"
    r"|^-{5,}$"
)
"""What hosts and Git write into the body of a revert by themselves."""


@dataclass(frozen=True, slots=True)
class Reverted:
    """What a message says that it takes back: the commit as it names it, or the number of a pull
    request, each "" where it names none.
    """

    commit: str = ""
    pull: str = ""


def approvers(message: str) -> tuple[str, ...]:
    """Who the trailers say reviewed or approved it, each once."""
    named = (v for key, v in trailer_lines(message) if key.lower() in REVIEWS and v)
    return tuple(dict.fromkeys(" ".join(name.split()) for name in named))


def pull_request(message: str, *, is_merge: bool) -> str:
    """`#12`, `group/project!12`, or "". The hosts' own words count in merge commits only."""
    if is_merge:
        for words in FORGES:
            found = words.search(message)
            if found:
                return found[1] if "!" in found[1] else f"#{found[1]}"
    lines: Sequence[str] = [v for key, v in trailer_lines(message) if key.lower() in TRAILERS]
    return " ".join(lines[0].split()) if lines else ""


def pull_requests(message: str) -> tuple[int, ...]:
    """Numbers of pull requests that may have brought the commit, whatever way it was merged."""
    found = (words.search(message) for words in SQUASHED)
    numbers = (re.sub(r".*[#!]", "", each[1]) for each in found if each)
    return tuple(dict.fromkeys(int(number) for number in numbers if len(number) < 10))


def reverted(message: str) -> Reverted | None:
    """What a revert says that it takes back; None where the message is none."""
    for words in COMMITS:
        if found := words.search(message):
            return Reverted(commit=found[1])
    if found := PULL.search(message):
        return Reverted(pull=found[1])
    title = TITLE.search(message)
    if title is None:
        return None
    number = NUMBER.search(title["of"])
    return Reverted(pull=number[1] if number else "")


def is_titled_revert(message: str) -> bool:
    """Whether the subject itself says so, as hosts and Git write it: the rest may be repeated."""
    return bool(TITLE.search(message) or COMMITS[1].search(message))


def reason(message: str, original: str = "") -> str:
    """Why, in its author's words: of a revert what was written beside the words of Git and of the
    hosts, else the subject. `original` is the message of what it takes back: some hosts repeat it.
    """
    subject, _, body = message.partition("\n")
    if reverted(message) is None:
        return subject.strip()
    trailers = {f"{key}: {value}" for key, value in trailer_lines(message)}
    repeated = {line.strip() for line in original.splitlines()}
    repeated |= {f"revert {line}" for line in repeated}
    own = MACHINE.sub("\n", f"{body.strip()}\n")
    words = [line.strip() for line in own.splitlines()]
    words = [word for word in words if word and word not in trailers | repeated]
    if not is_titled_revert(message):
        words.insert(0, subject.strip())
    return " ".join(words) or subject.strip()


def quoted(message: str) -> str:
    """The reason that somebody gave for a request, as a commit of ours quotes it; else ""."""
    lines = (line for line in message.splitlines() if line.startswith("> "))
    return " ".join(line.removeprefix("> ").strip() for line in lines)
