"""What a commit's message says of people: who reviewed, which pull request, what it reverts. PURE.

Anybody can write a message, so each of these is what Git *says*; `ledger.py` compares with the
trees what can be compared.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from mlflow_gitops.planning.messages import trailer_lines

__all__ = ["approvers", "pull_request", "reason", "reverted"]

REVIEWS = ("reviewed-by", "approved-by")
FORGES = (
    re.compile(r"\AMerge pull request #(\d+) from "),  # GitHub
    re.compile(r"\AMerge pull request '.*' \(#(\d+)\) from "),  # Gitea, Forgejo
    re.compile(r"\AMerged in .* \(pull request #(\d+)\)\s*$", re.MULTILINE),  # Bitbucket
    re.compile(r"\AMerge pull request #(\d+) in \S+ from "),  # Bitbucket Data Center
    re.compile(r"\APull request #(\d+): .*\n\nMerge in \S+ from "),  # and its later versions
    re.compile(r"\AMerged PR (\d+): "),  # Azure DevOps
    re.compile(r"^See merge request (\S+!\d+)\s*$", re.MULTILINE),  # GitLab
)
REVERT = re.compile(r"^This reverts commit ([0-9a-f]{7,64})[.,\s]", re.MULTILINE)
TRAILERS = ("pull-request", "merge-request")


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


def reverted(message: str) -> str:
    """The commit that `git revert` says it takes back, as it names it, or ""."""
    found = REVERT.search(f"{message}\n")
    return found[1] if found else ""


def reason(message: str) -> str:
    """Why, in its author's words: of a revert what was written beside Git's own text, else the
    subject.
    """
    subject, _, body = message.partition("\n")
    if not reverted(message):
        return subject.strip()
    own = re.sub(r"(?ms)^This reverts commit [0-9a-f]{7,64}.*?(?:\.\n|\Z)", "", f"{body.strip()}\n")
    trailers = {f"{key}: {value}" for key, value in trailer_lines(message)}
    words = [line.strip() for line in own.splitlines() if line.strip() not in trailers]
    return " ".join(word for word in words if word) or subject.strip()
