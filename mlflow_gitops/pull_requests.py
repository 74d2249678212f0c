"""What a forge, GitHub for example, knows of a pull request: values without I/O.

GitLab calls it a merge request; here it is a pull request everywhere, and `number` is GitLab's
`iid`. Names and texts come from the forge, where people may write: they are shown escaped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

__all__ = [
    "WITHDRAWN",
    "Approval",
    "CommitStatus",
    "Draft",
    "Protection",
    "PullRequest",
    "Verdict",
]

WITHDRAWN = "mlflow-gitops/withdrawn"
"""The label that our own closing sets first: a closing without it is a person's rejection."""

Verdict = Literal["success", "failure", "pending"]


@dataclass(frozen=True, slots=True)
class Approval:
    """Somebody approved. `commit` is the head it was given on, `time` ISO 8601 in UTC or ""."""

    by: str
    commit: str
    time: str = ""


@dataclass(frozen=True, slots=True)
class PullRequest:
    """One pull request as the forge has it now.

    `branch` is the one to be merged into `base`; both are in the repository itself, never a
    fork's. `head` is the commit that the forge takes for the branch's, or took when it was closed.
    `mergeable` is None where the forge does not know yet. `merge_commit` is what came to be in
    `base`. `decided_by` is who merged or closed it, `decided_at` when (ISO 8601 in UTC), and
    `comment` is the last thing that was said at its closing, each "" where the forge does not say.
    `approvals` are those in force, one for each person; `created` and `updated` are ISO 8601 in
    UTC. `asked` are the people (and `team:<name>`) who were asked for a review or gave one, with
    those whom the forge refused to ask. `results` are further commits on which the forge tries
    the merge, so that its checks are wanted there too.
    """

    number: int
    url: str
    state: Literal["open", "closed", "merged"]
    branch: str
    base: str
    head: str
    title: str = ""
    body: str = ""
    labels: tuple[str, ...] = ()
    author: str = ""
    approvals: tuple[Approval, ...] = ()
    mergeable: bool | None = None
    merge_commit: str = ""
    decided_by: str = ""
    decided_at: str = ""
    comment: str = ""
    created: str = ""
    updated: str = ""
    asked: tuple[str, ...] = ()
    results: tuple[str, ...] = ()

    @property
    def is_rejected(self) -> bool:
        return self.state == "closed" and WITHDRAWN not in self.labels

    @property
    def is_approved(self) -> bool:
        """Whether anybody approved the head that it has now."""
        return any(approval.commit == self.head for approval in self.approvals)


@dataclass(frozen=True, slots=True)
class Draft:
    """What a pull request is to say. `reviewers` are user names, or `team:<name>` where the forge
    has teams; labels that are not there are made.
    """

    title: str
    body: str
    labels: Sequence[str] = ()
    reviewers: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class CommitStatus:
    """One check's verdict on a commit. `name` is `mlflow-gitops/<gate>`; one line of text."""

    name: str
    verdict: Verdict
    text: str
    url: str = ""


@dataclass(frozen=True, slots=True)
class Protection:
    """What a forge asks of whoever changes a branch.

    `refuses` says why it takes no direct push from this token's user, "" where it takes one or
    nobody knows. `required` are the names of the statuses that a merge needs, patterns on some
    forges; `unset` are those of them that are not ours and that nothing set on the branch's newest
    commit. `unknown` says what the token may not see, "" for nothing.
    """

    refuses: str = ""
    required: tuple[str, ...] = ()
    unset: tuple[str, ...] = ()
    unknown: str = ""
