"""A person's decision in Git that holds a service: what, who, when, why, how it ends. PURE.

The plan knows what kind of decision it is; the commit behind it says the rest. All texts of people
and of the registry are cleaned here, once: they end in tags, commits and pull requests.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from mlflow_gitops.planning.ledger import Change, Row
from mlflow_gitops.planning.messages import clean, exact
from mlflow_gitops.pull_requests import PullRequest
from mlflow_gitops.state import Hold, ServiceKey, ServiceSpec

__all__ = [
    "Decided",
    "Decision",
    "found_in",
    "how_to_end",
    "in_force",
    "on_stands",
    "rejected",
    "who_text",
]

WHY = 200  # characters: it has to fit into a tag


class Decided(StrEnum):
    """What was decided."""

    REVERTED = "reverted"
    PINNED = "pinned"
    RETIRED = "retired"
    CANARY = "canary"
    COMMENT = "comment"
    REJECTED = "rejected"
    RENAMED = "renamed"


WORDS = {
    Decided.REVERTED: "reverted",
    Decided.PINNED: "changed by hand",
    Decided.RETIRED: "taken out by hand",
    Decided.CANARY: "given a canary",
    Decided.COMMENT: "held by a comment",
    Decided.REJECTED: "rejected",
    Decided.RENAMED: "renamed",
}


@dataclass(frozen=True, slots=True)
class Decision:
    """`wanted` is the version that is held, "" for a retirement; `stands` is what Git has.

    `by` and `merged_by` are names, `at` is ISO 8601 in UTC, `commit` is the one that brought it to
    the branch, `pull_request` as the forge names it, `undoes` the commit that it takes back; each
    is "" where it is not known. `comment` is the one that holds. `standing` is the number of the
    version that stands, where the registry has it. `sought` is how many commits were searched in
    vain.
    """

    kind: Decided
    key: ServiceKey
    wanted: str
    stands: ServiceSpec | None
    by: str = ""
    at: str = ""
    commit: str = ""
    pull_request: str = ""
    why: str = ""
    merged_by: str = ""
    approvers: tuple[str, ...] = ()
    undoes: str = ""
    comment: Hold | None = None
    standing: str = ""
    sought: int = 0

    @property
    def turns_down(self) -> bool:
        """Whether something else stands in its place: then that is told, too."""
        return self.kind in (Decided.REVERTED, Decided.PINNED, Decided.RETIRED)

    @property
    def held(self) -> str:
        return f"version {clean(self.wanted, 40)}" if self.wanted else "the retirement"

    @property
    def stands_text(self) -> str:
        """In few words."""
        if self.stands is None:
            return "no service"
        label, uri = clean(self.stands.version, 63), clean(self.stands.uri)
        return f"version {label}" if label else uri or "(no storageUri)"


def rejected(
    key: ServiceKey, wanted: str, stands: ServiceSpec | None, pull: PullRequest
) -> Decision:
    """As the forge says: a pull request of ours that a person closed without merging it."""
    return Decision(
        Decided.REJECTED,
        key,
        wanted,
        stands,
        by=clean(pull.decided_by, 80),
        at=clean(pull.decided_at, 40),
        pull_request=f"#{pull.number}",
        why=clean(pull.comment, WHY),
    )


def found_in(decision: Decision, row: Row, ours: str = "") -> Decision:
    """With who, when and why, as the change says that made it. `ours` is the commit that was
    delivered: a revert counts as one where it names it.
    """
    is_revert = row.change is Change.REVERT and (not ours or ours.startswith(row.undoes))
    author = person(row.author)
    merged_by = person(row.merger)
    return replace(
        decision,
        kind=Decided.REVERTED if is_revert and decision.turns_down else decision.kind,
        by=author,
        at=clean(row.time, 40),
        commit=row.commit,
        pull_request=exact(row.pull_request),
        why=clean(row.why, WHY),
        merged_by=merged_by if merged_by != author else "",
        approvers=tuple(person(name) for name in row.approvers),
        undoes=clean(row.undoes),
    )


def person(text: str) -> str:
    """The name of `name <mail>`, else the mail."""
    name, _, mail = text.partition("<")
    return clean(name.strip() or mail.rstrip("> "), 80)


def who_text(decision: Decision) -> str:
    """`reverted by Rita at 2026-… in 506adcd905b4: "why"`, as much of it as is known."""
    text = WORDS[decision.kind]
    if decision.sought:
        return f"{text}: who did it was not found in the last {decision.sought} commits"
    text += f" by {decision.by}" if decision.by else ""
    text += f" at {decision.at}" if decision.at else ""
    text += f" in {decision.commit[:12]}" if decision.commit else ""
    beside = [f"pull request {clean(decision.pull_request, 80)}"] if decision.pull_request else []
    beside += [f"merged by {decision.merged_by}"] if decision.merged_by else []
    beside += [f"approved by {', '.join(decision.approvers)}"] if decision.approvers else []
    text += f" ({', '.join(beside)})" if beside else ""
    return text + (f': "{decision.why}"' if decision.why else "")


def in_force(decision: Decision) -> str:
    """What the next promotion tells of it: a paragraph of its commit or pull request."""
    held, said = decision.held, who_text(decision)
    return f"A hold was in force: {held} was {said}; {decision.stands_text} stood since."


def on_stands(decision: Decision) -> str:
    """What the version that stands in Git is told."""
    return f"it stands in Git, since {decision.held} was {who_text(decision)}"


def how_to_end(decision: Decision) -> str:
    key = decision.key
    clear = f"`mlflow-gitops hold clear {clean(key.model)} -e {clean(key.environment)}`"
    match decision.kind:
        case Decided.COMMENT if decision.comment:
            where = f"{clean(decision.comment.file)}:{decision.comment.line}"
            return f"remove the comment `mlflow-gitops: hold` at {where}"
        case Decided.CANARY:
            return "finish or remove the canary in Git"
        case Decided.RENAMED:
            return "map the new name under `services` in mlflow-gitops.yaml"
        case _ if not decision.wanted:
            return f"{clear}, or ask for a version"
        case _:
            return f"{clear}, ask for another version, or undo it in Git"
