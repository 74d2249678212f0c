"""The evidence on a terminal, and as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import IO, Any

import click

from mlflow_gitops.planning.evidence_values import Evidence, Section, Side
from mlflow_gitops.planning.evidence_words import (
    REVERT,
    asked_text,
    files_text,
    metric_texts,
    rollback_command,
    section_text,
    why_revert,
)
from mlflow_gitops.planning.figures import change_text
from mlflow_gitops.render import clean, print_diff, print_table

__all__ = ["evidence_fields", "print_evidence"]

NONE = "-"


def evidence_fields(evidence: Evidence) -> dict[str, Any]:
    """Everything that was found, as it was found; numbers that are not finite are texts."""
    fields = asdict(evidence)
    fields["metrics"] = [
        {**row, "before": _finite(row["before"]), "after": _finite(row["after"])}
        for row in fields["metrics"]
    ]
    return {**fields, "rollback": rollback_command(evidence)}


def _finite(number: float | None) -> float | str | None:
    if number is None or number - number == 0:
        return number
    return str(number)


def print_evidence(evidence: Evidence, out: IO[str]) -> None:
    sides = [side for side in (evidence.before, evidence.after) if side is not None]
    names = [n for n, side in (("NOW", evidence.before), ("PROPOSED", evidence.after)) if side]
    print_table(["", *names], _versions(evidence, sides), out)
    _say("asked by", asked_text(evidence))
    _say("reason", evidence.said)
    _say("hold", evidence.hold)
    _say("not proved by a build", evidence.not_proved)
    for note in evidence.notes:
        _say("left behind", note)
    _table("GATE", ["VERDICT", "WHY"], [(g.name, g.verdict, g.text) for g in evidence.gates], out)
    _print_metrics(evidence, out)
    if evidence.schema is not None:
        _say("\ninputs and outputs", f"{evidence.schema.kind}: {evidence.schema.text}".rstrip(": "))
    for name, section in _sections(evidence):
        _say(f"\n{name}", section_text(section, is_first=evidence.before is None))
        rows = [(d.name, _value(d.before), _value(d.after)) for d in section.differences]
        if rows:
            print_table([name.upper(), "NOW", "PROPOSED"], rows, out)
    _print_diff(evidence, out)
    _say("\nto go back", rollback_command(evidence) or f"{REVERT}: {why_revert(evidence)}")


def _versions(evidence: Evidence, sides: Sequence[Side]) -> Iterator[Sequence[str]]:
    rows = {
        "version": [side.version for side in sides],
        "run": [" ".join(filter(None, [side.run_id, side.run_name])) for side in sides],
        "run's page": [side.run_url for side in sides],
        "trained by": [side.user for side in sides],
        "source": [" of ".join(filter(None, [s.source_commit, s.source_url])) for s in sides],
        "description": [side.description for side in sides],
        "files": [files_text(s, evidence.before if s is evidence.after else None) for s in sides],
        "digest": [side.digest for side in sides],
        "uri": [side.uri for side in sides],
        "layout": [side.layout for side in sides],
        "unknown": [side.missing for side in sides],
    }
    return ((name, *(cell or NONE for cell in cells)) for name, cells in rows.items() if any(cells))


def _print_metrics(evidence: Evidence, out: IO[str]) -> None:
    rows = []
    for row in evidence.metrics:
        numbers = metric_texts(row)
        cells = (*numbers, change_text(*numbers), row.direction)
        rows.append((row.name, *(cell or NONE for cell in cells), row.verdict))
    _table("METRIC", ["NOW", "PROPOSED", "CHANGE", "BETTER IS", "VERDICT"], rows, out)
    _say("\nmetrics", evidence.metrics_unknown)


def _table(name: str, columns: Sequence[str], rows: Sequence[Sequence[str]], out: IO[str]) -> None:
    if rows:
        click.echo()
        print_table([name, *columns], rows, out)


def _sections(evidence: Evidence) -> Iterator[tuple[str, Section]]:
    if evidence.after:
        if evidence.before is None:
            yield "inputs and outputs", evidence.interface
        yield "parameters", evidence.parameters
        yield "datasets", evidence.datasets
        yield "dependencies", evidence.dependencies


def _value(text: str | None) -> str:
    return NONE if text is None else text or "(empty)"


def _print_diff(evidence: Evidence, out: IO[str]) -> None:
    where = "the cluster" if evidence.is_rendered else "Git"
    _say(f"\nwhat changes in {where}", evidence.diff_note or " ")
    print_diff(evidence.diff, out)


def _say(name: str, text: str) -> None:
    if text:
        click.echo(f"{name}: {clean(text)}".rstrip())
