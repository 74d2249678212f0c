"""The evidence as the text of a pull request. PURE.

What decides comes first, so that thirty seconds are enough; long lists are folded, and what is
left out is counted. The same facts give the same text, so that looking again changes nothing.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Sequence

from mlflow_gitops.planning.evidence_values import Difference, Evidence, MetricRow, Section, Side
from mlflow_gitops.planning.figures import change_text, pair_texts, share_text, size_text
from mlflow_gitops.planning.markdown import block, code, exact_code, link, quote, table
from mlflow_gitops.planning.messages import clean

__all__ = [
    "REVERT",
    "asked_text",
    "body_of",
    "files_text",
    "rollback_command",
    "section_text",
    "summary_of",
    "why_revert",
]

REVERT = "`git revert` of the commit that this brings (`git revert -m 1` of a merge commit)"

ROWS = 30  # of one table
FOLDED = 10  # rows, above which a table is folded
NAME, VALUE = 80, 120  # characters
TEXT = 1000
DIFF_LINES, DIFF_LINE = 400, 300
LONGEST = 56_000  # characters; GitHub takes 65,536, and the mark at the end needs some
SECTIONS = ("Parameters", "Datasets", "Dependencies")


def body_of(evidence: Evidence) -> str:
    """Markdown, of at most about `LONGEST` characters."""
    parts = [
        ("", f"**{summary_of(evidence)}**"),
        ("", quote(evidence.said, TEXT) if evidence.said else ""),
        ("", clean(evidence.hold, TEXT) and quote(evidence.hold, TEXT)),
        ("", _not_proved(evidence)),
        ("What is left behind", _left_behind(evidence)),
        ("The versions", _versions(evidence)),
        ("The gates", _gates(evidence)),
        ("The metrics", _metrics(evidence)),
        ("Inputs and outputs", _schema(evidence)),
        ("", _rollback(evidence)),
        *((name, _section(name, found)) for name, found in _sections(evidence)),
        ("The diff", _diff(evidence)),
    ]
    return "\n\n".join(_fitting(parts))


def _not_proved(evidence: Evidence) -> str:
    if not evidence.not_proved:
        return ""
    return f"**Not proved by a build**: {code(evidence.not_proved, TEXT)}"


def _fitting(parts: Iterable[tuple[str, str]]) -> Iterator[str]:
    left = LONGEST
    for name, text in parts:
        too_long = f"{name}: left out, since this text would be too long for the forge."
        shown = text if len(text) <= left else too_long
        if shown:
            left -= len(shown) + 2
            yield shown


def summary_of(evidence: Evidence) -> str:
    """The one line that says what would happen, and how good it looks."""
    what = f"{code(evidence.service)} in {code(evidence.environment)}"
    before, after = evidence.before, evidence.after
    if after is None:
        was = f", version {_version(before)} ends" if before else ""
        return f"{what}: retired{was}."
    was = f"{_version(before)} -> " if before else "first version, "
    said = [
        f"{what}: {'version ' if before else ''}{was}{_version(after)}",
        *_verdicts(evidence),
    ]
    return ". ".join(said) + "."


def _left_behind(evidence: Evidence) -> str:
    rows = [f"- {code(note, TEXT)}" for note in evidence.notes[:ROWS]]
    more = _more(evidence.notes)
    return "\n".join(["### What this leaves behind in Git", "", *rows]) + more if rows else ""


def _version(side: Side) -> str:
    return code(side.version, NAME) or "(without a label)"


def _verdicts(evidence: Evidence) -> Iterator[str]:
    counts = {v: sum(row.verdict == v for row in evidence.metrics) for v in ("better", "worse")}
    told = [f"{count} {verdict}" for verdict, count in counts.items() if count]
    if told:
        yield f"Metrics: {', '.join(told)}"
    if evidence.schema is not None:
        yield f"Inputs and outputs: {_kind(evidence)}"
    if evidence.gates:
        closed = [gate.name for gate in evidence.gates if not gate.is_open]
        unknown = [f"{g.name} {g.verdict}" for g in evidence.gates if g.verdict == "not known"]
        first = f"{', '.join(closed)} not passed" if closed else "none failed"
        yield f"Gates: {', '.join([first, *unknown])}"


def _kind(evidence: Evidence) -> str:
    kinds = {"same": "unchanged", "new": "nothing to compare with", "unknown": "not comparable"}
    return kinds.get(evidence.schema.kind, evidence.schema.kind) if evidence.schema else ""


def asked_text(evidence: Evidence) -> str:
    """Plain: who asked, whether that is proven, and when; "" where nobody said."""
    if not evidence.asked_by:
        return ""
    how = "proven" if evidence.is_signed else "claimed"
    at = f", {clean(evidence.asked_at, 40)}" if evidence.asked_at else ""
    return f"{clean(evidence.asked_by, NAME)} ({how}){at}"


def files_text(side: Side, before: Side | None = None) -> str:
    """Plain: how many files of how many bytes, and by how much that changed."""
    if side.files is None or side.size is None:
        return ""
    plural = "" if side.files == 1 else "s"
    text = f"{side.files} file{plural}, {size_text(side.size)}"
    share = share_text(before.size, side.size) if before and before.size is not None else ""
    return f"{text} ({share})" if share else text


def _versions(evidence: Evidence) -> str:
    sides = [side for side in (evidence.before, evidence.after) if side is not None]
    names = [
        name for name, side in (("now", evidence.before), ("proposed", evidence.after)) if side
    ]
    rows = [
        ("version", [code(side.version, NAME) for side in sides]),
        ("run", [_run(side) for side in sides]),
        ("trained by", [code(side.user, NAME) for side in sides]),
        ("source", [_source(side) for side in sides]),
        ("description", [code(side.description, VALUE) for side in sides]),
        (
            "files",
            [
                files_text(side, evidence.before if side is evidence.after else None)
                for side in sides
            ],
        ),
        ("digest", [exact_code(side.digest) for side in sides]),
        ("URI", [exact_code(side.uri) for side in sides]),
        ("layout", [side.layout for side in sides]),
    ]
    shown = [(name, *cells) for name, cells in rows if any(cells)]
    return f"{table(['', *names], shown)}\n\n{_asked(evidence)}"


def _asked(evidence: Evidence) -> str:
    asked = asked_text(evidence)
    return f"Asked for by {code(asked)}." if asked else "Nobody said who asked for it."


def _run(side: Side) -> str:
    name = code(side.run_name, NAME)
    if not side.run_id:
        return side.missing and code(side.missing, VALUE)
    shown = " ".join(part for part in (link(side.run_id, side.run_url), name) if part)
    return f"{shown}: {code(side.missing, VALUE)}" if side.missing else shown


def _source(side: Side) -> str:
    if not side.source_commit:
        return ""
    place = f" of {code(side.source_url, VALUE)}" if side.source_url else ""
    return f"{code(side.source_commit, 64)}{place}"


def _gates(evidence: Evidence) -> str:
    rows = [
        (gate.name, gate.verdict if gate.is_open else f"**{gate.verdict}**", code(gate.text, TEXT))
        for gate in evidence.gates
    ]
    return f"### Gates\n\n{table(['gate', 'verdict', 'why'], rows)}" if rows else ""


def _metrics(evidence: Evidence) -> str:
    if evidence.after is None:
        return ""
    why = code(evidence.metrics_unknown, VALUE)
    if not evidence.metrics:
        return f"### Metrics\n\nNone{f': {why}' if why else ' was logged'}."
    columns = ["metric", "now", "proposed", "change", "better is", "verdict"]
    rows = [_metric(row) for row in evidence.metrics[:ROWS]]
    text = f"### Metrics\n\n{table(columns, rows)}{_more(evidence.metrics)}"
    return f"{text}\n\nOf the proposed version's run: {why}." if why else text


def _metric(row: MetricRow) -> Sequence[str]:
    numbers, change = pair_texts(row.before, row.after), change_text(row.before, row.after)
    verdict = f"**{row.verdict}**" if row.verdict in ("worse", "gone", "unknown") else row.verdict
    return [code(row.name, NAME), *numbers, change, row.direction, verdict]


def _more(rows: Sequence[object]) -> str:
    return f"\n\n{len(rows) - ROWS} more are not shown." if len(rows) > ROWS else ""


def _schema(evidence: Evidence) -> str:
    if evidence.schema is None:
        return ""
    text = f"### Inputs and outputs\n\n{_kind(evidence).capitalize()}"
    said = code(evidence.schema.text, 2 * TEXT)
    if evidence.schema.kind == "breaking":
        text = "### Inputs and outputs\n\n**A breaking change**"
    return f"{text}: {said}" if said else f"{text}."


def _sections(evidence: Evidence) -> Iterator[tuple[str, Section]]:
    """Where something is committed; why a run is not there stands once, beside the versions."""
    found = (evidence.parameters, evidence.datasets, evidence.dependencies)
    for name, section in zip(SECTIONS, found, strict=True):
        told = evidence.after.missing if evidence.after else ""
        if evidence.before and evidence.after and (not told or section.unknown != told):
            yield name, section


def section_text(section: Section) -> str:
    """Plain: how many of them differ."""
    if section.unknown:
        return clean(section.unknown, VALUE)
    if not section.differences:
        return f"the same, all {section.same}" if section.same else "none"
    return f"{len(section.differences)} changed, {section.same} the same"


def _section(name: str, section: Section) -> str:
    told = f"### {name}\n\n"
    if section.unknown:
        return f"{told}{code(section_text(section))}"
    if not section.differences:
        return f"{told}{section_text(section).capitalize()}."
    rows = [_difference(each) for each in section.differences[:ROWS]]
    text = table(["", "now", "proposed"], rows) + _more(section.differences)
    if len(rows) <= FOLDED:
        return f"{told}{section_text(section)}\n\n{text}"
    return f"{told}<details><summary>{section_text(section)}</summary>\n\n{text}\n\n</details>"


def _difference(each: Difference) -> Sequence[str]:
    values = ["" if v is None else code(v, VALUE) or "(empty)" for v in (each.before, each.after)]
    return [code(each.name, NAME), *values]


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


def _rollback(evidence: Evidence) -> str:
    command = code(rollback_command(evidence), 2 * VALUE)
    if not command:
        return f"### To go back\n\n{REVERT}: {why_revert(evidence)}."
    return (
        f"### To go back\n\n{command}\n\nor {REVERT}. The files of the version stay where they are."
    )


def _diff(evidence: Evidence) -> str:
    title = "### What changes in the cluster" if evidence.is_rendered else "### What changes in Git"
    note = f"\n\n{code(evidence.diff_note, TEXT)}" if evidence.diff_note else ""
    lines = evidence.diff.splitlines()
    if not lines:
        return f"{title}{note}" if note else ""
    shown = block((_bounded(line) for line in lines[:DIFF_LINES]), "diff")
    more = len(lines) - DIFF_LINES
    cut = f"\n\n{more} more lines are not shown." if more > 0 else ""
    return f"{title}{note}\n\n{shown}{cut}"


def _bounded(line: str) -> str:
    return line if len(line) <= DIFF_LINE else f"{line[:DIFF_LINE]}..."
