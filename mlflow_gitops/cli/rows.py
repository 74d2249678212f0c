"""How `why`, `history` and `audit` show the changes of services: as tables, JSON and CSV."""

from __future__ import annotations

from collections.abc import Mapping

from mlflow_gitops.planning.ledger import Row
from mlflow_gitops.render import spec_text
from mlflow_gitops.state import ServiceSpec

__all__ = ["COLUMNS", "asked_text", "cells", "row_fields", "spec_fields"]

COLUMNS = (
    "TIME",
    "SERVICE",
    "VERSION",
    "BEFORE",
    "CHANGE",
    "COMMIT",
    "AUTHOR",
    "COMMITTER",
    "ASKED BY",
    "RUN",
    "DIGEST",
    "PULL REQUEST",
    "APPROVERS",
    "MERGED BY",
    "UNDOES",
    "URI",
    "ROLLOUT",
    "NOTES",
    "REASON",
)
UNKNOWN = "unknown"


def cells(row: Row) -> tuple[str, ...]:
    """As many as there are columns. What Git does not say is `unknown`."""
    return (
        row.time,
        str(row.key),
        spec_text(row.after),
        spec_text(row.before),
        row.change.value,
        row.commit[:12],
        row.author or UNKNOWN,
        row.committer or UNKNOWN,
        asked_text(row),
        row.run_id or UNKNOWN,
        row.digest or UNKNOWN,
        row.pull_request or UNKNOWN,
        ", ".join(row.approvers) or UNKNOWN,
        row.merger or UNKNOWN,
        row.undoes[:12],
        row.after.uri if row.after else "",
        row.after.rollout if row.after else "",
        "; ".join(row.notes),
        row.why,
    )


def asked_text(row: Row) -> str:
    """Who asked, and whether that was signed or is merely claimed."""
    if not row.asked_by:
        return UNKNOWN
    return f"{row.asked_by} ({'signed' if row.is_signed else 'claimed'})"


def spec_fields(spec: ServiceSpec | None) -> Mapping[str, str] | None:
    return {"version": spec.version, "uri": spec.uri, "rollout": spec.rollout} if spec else None


def row_fields(row: Row) -> dict[str, object]:
    return {
        "environment": row.key.environment,
        "model": row.key.model,
        "service": row.service,
        "change": row.change.value,
        "time": row.time,
        "commit": row.commit,
        "made": row.made,
        "author": row.author,
        "committer": row.committer,
        "before": spec_fields(row.before),
        "after": spec_fields(row.after),
        "run-id": row.run_id,
        "digest": row.digest,
        "request": row.request,
        "asked-by": row.asked_by,
        "asked-at": row.asked_at,
        "signed": row.is_signed,
        "pull-request": row.pull_request,
        "pull-request-url": row.pull_url,
        "approvers": list(row.approvers),
        "merger": row.merger,
        "undoes": row.undoes,
        "notes": list(row.notes),
        "reason": row.why,
    }
