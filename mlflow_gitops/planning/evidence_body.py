"""The evidence as the text of a pull request. PURE.

What decides comes first, so that thirty seconds are enough; long lists are folded, and what is
left out is counted. The same facts give the same text, so that looking again changes nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from mlflow_gitops.planning.evidence_tables import (
    ROWS,
    difference_parts,
    gates_part,
    metrics_part,
    more_text,
    versions_part,
)
from mlflow_gitops.planning.evidence_values import Evidence, Side
from mlflow_gitops.planning.evidence_words import REVERT, rollback_command, why_revert
from mlflow_gitops.planning.markdown import block, code, folded, link, quote
from mlflow_gitops.planning.messages import clean

__all__ = ["body_of"]

FOLDED_LINES = 40  # of a diff, above which it is folded
NAME = 80  # characters
TEXT = 1000
DIFF_LINES, DIFF_LINE = 400, 300
LONGEST = 56_000  # characters; GitHub takes 65,536, and the mark at the end needs some
MOMENT = re.compile(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d)[0-9:.]*Z", re.ASCII)


def body_of(evidence: Evidence) -> str:
    """Markdown, of at most about `LONGEST` characters."""
    last = _rollback(evidence)
    parts = [
        ("", f"**{_change(evidence)}.**"),
        ("", " ".join(_verdicts(evidence))),
        ("", _asked(evidence)),
        ("", _hold(evidence)),
        ("", _not_proved(evidence)),
        ("The gates", gates_part(evidence.gates)),
        ("The metrics", metrics_part(evidence)),
        ("Inputs and outputs", _schema(evidence)),
        ("What is left behind", _left_behind(evidence)),
        ("The versions", versions_part(evidence)),
        *difference_parts(evidence),
        ("The diff", _diff(evidence)),
    ]
    return "\n\n".join([*_fitting(parts, LONGEST - len(last) - 2), last])


def _fitting(parts: Iterable[tuple[str, str]], left: int) -> Iterator[str]:
    for name, text in parts:
        too_long = f"{name}: left out, since this text would be too long for the forge."
        shown = text if len(text) <= left else too_long
        if shown:
            left -= len(shown) + 2
            yield shown


def _change(evidence: Evidence) -> str:
    model = "" if evidence.model == evidence.service else f" (model {code(evidence.model)})"
    what = f"{code(evidence.service)}{model} in {code(evidence.environment)}"
    before, after = evidence.before, evidence.after
    if after is None:
        return f"{what}: retired" + (f", version {_version(before)} ends" if before else "")
    if before is None:
        return f"{what}: first version, {_version(after)}"
    return f"{what}: version {_version(before)} -> {_version(after)}"


def _version(side: Side) -> str:
    return link(code(side.version, NAME), side.url) or "(without a label)"


def _verdicts(evidence: Evidence) -> Iterator[str]:
    """How good it looks, in a sentence or three."""
    counts = {v: sum(row.verdict == v for row in evidence.metrics) for v in ("better", "worse")}
    found = [f"{count} {verdict}" for verdict, count in counts.items() if count]
    if found:
        yield f"Metrics: {', '.join(found)}."
    if evidence.schema is not None:
        kind = _kind(evidence)
        yield f"Inputs and outputs: {f'**{kind}**' if kind == 'breaking' else kind}."
    if evidence.gates:
        closed = [gate.name for gate in evidence.gates if not gate.is_open]
        unknown = [f"{g.name} {g.verdict}" for g in evidence.gates if g.verdict == "not known"]
        first = f"**{', '.join(closed)} not passed**" if closed else "none failed"
        yield f"Gates: {', '.join([first, *unknown])}."


def _kind(evidence: Evidence) -> str:
    kinds = {"same": "unchanged", "new": "nothing to compare with", "unknown": "not comparable"}
    return kinds.get(evidence.schema.kind, evidence.schema.kind) if evidence.schema else ""


def _asked(evidence: Evidence) -> str:
    """Whose wish it is, and in which words: who gave a reason is claimed or proven, too."""
    said = quote(evidence.said, TEXT)
    if not evidence.asked_by:
        nobody = "Nobody said who asked for it."
        return f"{nobody} The reason given:\n\n{said}" if said else nobody
    how = "proven" if evidence.is_signed else "claimed"
    when = MOMENT.sub(r"\1 \2 UTC", evidence.asked_at)
    who = f"{code(evidence.asked_by, NAME)} ({how})"
    at = f" at {code(when, 40)}" if when else ""
    return f"Asked for by {who}{at}" + (f", with the reason:\n\n{said}" if said else ".")


def _hold(evidence: Evidence) -> str:
    said = quote(evidence.hold, TEXT)
    return f"**This ends a hold**:\n\n{said}" if said else ""


def _not_proved(evidence: Evidence) -> str:
    if not evidence.not_proved:
        return ""
    return f"**Not proved by a build**: {code(evidence.not_proved, TEXT)}"


def _schema(evidence: Evidence) -> str:
    """What differs, or why that is not known, unless a gate says so already."""
    if evidence.schema is None or evidence.schema.kind == "same":
        return ""
    said = clean(evidence.schema.text, 2 * TEXT)
    if said and any(gate.text.endswith(said) for gate in evidence.gates):
        return ""
    text = f"### Inputs and outputs\n\n{_kind(evidence).capitalize()}"
    if evidence.schema.kind == "breaking":
        text = "### Inputs and outputs\n\n**A breaking change**"
    return f"{text}: {code(said, 2 * TEXT)}" if said else f"{text}."


def _left_behind(evidence: Evidence) -> str:
    rows = [f"- {code(note, TEXT)}" for note in evidence.notes[:ROWS]]
    if not rows:
        return ""
    return "\n".join(["### What this leaves behind in Git", "", *rows]) + more_text(evidence.notes)


def _diff(evidence: Evidence) -> str:
    title = "What changes in the cluster" if evidence.is_rendered else "What changes in Git"
    note = f"{code(evidence.diff_note, TEXT)}\n\n" if evidence.diff_note else ""
    lines = evidence.diff.splitlines()
    if not lines:
        return f"### {title}\n\n{note}".rstrip()
    text = note + block((_bounded(line) for line in lines[:DIFF_LINES]), "diff")
    if len(lines) > DIFF_LINES:
        text += f"\n\n{len(lines) - DIFF_LINES} more lines are not shown."
    if len(lines) > FOLDED_LINES:
        return f"### {title}\n\n{folded(f'{len(lines)} lines', text)}"
    return f"### {title}\n\n{text}"


def _bounded(line: str) -> str:
    return line if len(line) <= DIFF_LINE else f"{line[:DIFF_LINE]}..."


def _rollback(evidence: Evidence) -> str:
    title, command = "### How to go back", clean(rollback_command(evidence), 500)
    if not command:
        return f"{title}\n\n{REVERT}: {why_revert(evidence)}."
    shown = block([command], "sh")
    return f"{title}\n\n{shown}\n\nor {REVERT}. The files of the version stay where they are."
