"""The evidence in plain words, for a pull request and for a terminal. PURE."""

from __future__ import annotations

import shlex

from mlflow_gitops.planning.evidence_values import Evidence, MetricRow, Section, Side
from mlflow_gitops.planning.figures import number_texts, share_text, size_text
from mlflow_gitops.planning.messages import clean

__all__ = [
    "REVERT",
    "asked_text",
    "files_text",
    "metric_texts",
    "rollback_command",
    "section_text",
    "why_revert",
]

REVERT = "`git revert` of the commit that this brings (`git revert -m 1` of a merge commit)"

NAME, VALUE = 80, 120  # characters


def asked_text(evidence: Evidence) -> str:
    """Who asked, whether that is proven, and when; "" where nobody said."""
    if not evidence.asked_by:
        return ""
    how = "proven" if evidence.is_signed else "claimed"
    at = f", {clean(evidence.asked_at, 40)}" if evidence.asked_at else ""
    return f"{clean(evidence.asked_by, NAME)} ({how}){at}"


def files_text(side: Side, before: Side | None = None) -> str:
    """How many files of how many bytes, and by how much that changed."""
    if side.files is None or side.size is None:
        return ""
    plural = "" if side.files == 1 else "s"
    text = f"{side.files} file{plural}, {size_text(side.size)}"
    share = share_text(before.size, side.size) if before and before.size is not None else ""
    return f"{text} ({share})" if share else text


def metric_texts(row: MetricRow) -> tuple[str, str]:
    """Return the committed and the proposed number, in the digits that the metric's gate uses."""
    before, after, *_ = number_texts((row.before, row.after, *row.limits))
    return before, after


def section_text(section: Section, *, is_first: bool = False) -> str:
    """How many of them differ; of a first version, how many there are."""
    if section.unknown:
        return clean(section.unknown, VALUE)
    if is_first:
        return f"{len(section.differences)} in all" if section.differences else "none"
    if not section.differences:
        return f"the same, all {section.same}" if section.same else "none"
    return f"{len(section.differences)} changed, {section.same} the same"


def rollback_command(evidence: Evidence) -> str:
    """Return the command that takes the change back; "" where it would be refused.

    A rollback needs a version that the registry knows, and that was published by this tool.
    """
    before = evidence.before
    if before is None or not (before.number and before.digest):
        return ""
    words = ["mlflow-gitops", "rollback", evidence.model, "-e", evidence.environment]
    return shlex.join([*words, "--to", before.number])


def why_revert(evidence: Evidence) -> str:
    """Return why only a `git revert` goes back, "" where a rollback does too."""
    if rollback_command(evidence):
        return ""
    if evidence.before is None:
        return "the service is then removed"
    if not evidence.before.number:
        return "the version that is served now is not known, so no rollback can name it"
    return "the version that is served now was not published by mlflow-gitops"
