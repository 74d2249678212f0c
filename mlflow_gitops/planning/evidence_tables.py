"""The tables in the text of a pull request. PURE.

The comment of a forge is narrow: GitHub's shows 812 pixels, and whoever wants to see the rest of a
wider table has to scroll. A table is at least as wide as the longest word of each column, so words
that are too long are cut, or are shown in a block of code.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mlflow_gitops.gates import Gate
from mlflow_gitops.planning.evidence_values import Difference, Evidence, MetricRow, Section, Side
from mlflow_gitops.planning.evidence_words import files_text, metric_texts, section_text
from mlflow_gitops.planning.figures import change_text
from mlflow_gitops.planning.markdown import (
    block,
    code,
    exact_block,
    folded,
    link,
    short_code,
    table,
)
from mlflow_gitops.planning.messages import clean

__all__ = ["ROWS", "difference_parts", "gates_part", "metrics_part", "more_text", "versions_part"]

COLUMNS = {
    "Inputs and outputs": ("name", "type"),
    "Parameters": ("parameter", "value"),
    "Datasets": ("dataset", "digest"),
    "Dependencies": ("package", "version"),
}
BAD = ("failed", "missing", "worse", "gone", "unknown")  # verdicts
ROWS = 30  # of one table
FOLDED = 10  # rows, above which a table is folded
NAME, VALUE, TEXT = 80, 120, 1000  # characters
WORD = 56  # characters of a word in a table with one wide column
NARROW_WORD = 36  # in a table with two
ROW_WORDS = 80  # of the longest words of all columns together
DIGIT, CHARACTER = 10, 8.2  # pixels of a digit, and of a character in code
IN_FULL = "URI, digest, run and source in full"
METRICS_WIDTH = 630  # pixels that are left for the texts of the metrics' columns


def gates_part(gates: Sequence[Gate]) -> str:
    """Each metric with a rule has a row: what failed, with the figure and the rule, comes first."""
    if not gates:
        return ""
    rows = [row for gate in gates for row in _gate(gate)]
    findings = [each for gate in gates for each in gate.findings]
    return f"### Gates\n\n{table(['gate', 'verdict', 'why'], rows)}{more_text(findings)}"


def _gate(gate: Gate) -> Iterator[Sequence[str]]:
    if not gate.findings:
        yield gate.name, _verdict(gate.verdict), short_code(gate.text, TEXT, WORD)
    for number, each in enumerate(gate.findings[:ROWS]):
        why = f" ({short_code(each.why, VALUE, WORD)})" if each.why else ""
        text = f"{short_code(each.name, NAME, WORD)} {each.text}{why}"
        yield "" if number else gate.name, _verdict(each.verdict), text


def _verdict(verdict: str) -> str:
    return f"**{verdict}**" if verdict in BAD else verdict


def metrics_part(evidence: Evidence) -> str:
    if evidence.after is None:
        return ""
    why = code(evidence.metrics_unknown, VALUE)
    if not evidence.metrics:
        return f"### Metrics\n\nNone{f': {why}' if why else ' was logged'}."
    columns = ["metric", "now", "proposed", "change", "verdict"]
    rows = [_metric(row) for row in evidence.metrics[:ROWS]]
    taken = (max(map(len, column)) for column in list(zip(columns, *rows, strict=True))[1:])
    word = max(6, int((METRICS_WIDTH - DIGIT * sum(taken)) / CHARACTER))
    shown = [(short_code(name, NAME, word), *rest) for name, *rest in rows]
    if evidence.before is None:
        columns, shown = ["metric", "value"], [(row[0], row[2]) for row in shown]
    text = f"### Metrics\n\n{table(columns, shown)}{more_text(evidence.metrics)}"
    return f"{text}\n\nOf the proposed version's run: {why}." if why else text


def _metric(row: MetricRow) -> Sequence[str]:
    numbers = metric_texts(row)
    return [row.name, *numbers, change_text(*numbers), _verdict(row.verdict)]


def more_text(rows: Sequence[object]) -> str:
    return f"\n\n{len(rows) - ROWS} more are not shown." if len(rows) > ROWS else ""


def versions_part(evidence: Evidence) -> str:
    """What is known of each version, with links; what is too long for a table is below it."""
    before, after = evidence.before, evidence.after
    found = [(name, side) for name, side in (("now", before), ("proposed", after)) if side]
    sides = [side for _, side in found]
    rows = [
        ("version", [_version(side) for side in sides]),
        ("run", [_run(side) for side in sides]),
        ("trained by", [short_code(side.user, NAME, NARROW_WORD) for side in sides]),
        ("source", [_source(side) for side in sides]),
        ("description", [short_code(side.description, VALUE, NARROW_WORD) for side in sides]),
        ("files", [files_text(s, before if s is after else None) for s in sides]),
        ("digest", [short_code(side.digest, NAME, NARROW_WORD) for side in sides]),
        ("layout", [side.layout for side in sides]),
    ]
    shown = [(name, *cells) for name, cells in rows if any(cells)]
    names = [name for name, _ in found]
    title = "### The versions" if len(sides) > 1 else "### The version"
    in_full = exact_block(line for name, side in found for line in _in_full(name, side))
    parts = [title, table(["", *names], shown), folded(IN_FULL, in_full) if in_full else ""]
    return "\n\n".join(filter(None, parts))


def _version(side: Side) -> str:
    label = link(short_code(side.version, NAME, NARROW_WORD), side.url) or "(without a label)"
    is_other = side.number and side.number != side.version
    return f"{label}, version {code(side.number, NAME)} of the model" if is_other else label


def _run(side: Side) -> str:
    """The run's name leads to it."""
    missing = short_code(side.missing, VALUE, NARROW_WORD)
    if not side.run_id:
        return missing
    shown = link(short_code(side.run_name or side.run_id, NAME, NARROW_WORD), side.run_url)
    return f"{shown}: {missing}" if missing else shown


def _source(side: Side) -> str:
    if not side.source_commit:
        return ""
    place = side.source_url.partition("://")[2].removesuffix(".git") or side.source_url
    place = short_code(place, VALUE, NARROW_WORD)
    commit = short_code(side.source_commit, NAME, NARROW_WORD)
    return f"{commit} of {place}" if place else commit


def _in_full(name: str, side: Side) -> Iterator[tuple[str, str]]:
    source = " of ".join(filter(None, [side.source_commit, side.source_url]))
    lines = {
        "URI": side.uri,
        "digest": side.digest,
        "run": clean(side.run_id, VALUE),
        "source": clean(source, 2 * VALUE),
    }
    return ((f"{name} {what}", text) for what, text in lines.items() if text)


def difference_parts(evidence: Evidence) -> Iterator[tuple[str, str]]:
    """The name and text of each section that has something to show, and then one for the others."""
    is_first = evidence.before is None
    unchanged, none, unknown = [], [], []
    for name, section in _sections(evidence):
        if section.unknown:
            unknown.append(f"{name.lower()} ({short_code(section.unknown, VALUE, WORD)})")
        elif section.differences:
            yield name, _section(name, section, is_first=is_first)
        elif section.same:
            unchanged.append(f"{name.lower()} ({section.same})")
        else:
            none.append(name.lower())
    if evidence.schema is not None and evidence.schema.kind == "same":
        unchanged.insert(0, "inputs and outputs")
    lines = [("Unchanged", unchanged), ("Not known", unknown), ("None", none)]
    yield (
        "What did not change",
        " ".join(f"**{name}**: {', '.join(found)}." for name, found in lines if found),
    )


def _sections(evidence: Evidence) -> Iterator[tuple[str, Section]]:
    """A reason that concerns the whole run is beside the versions already."""
    if evidence.after is None:
        return
    found = [
        ("Parameters", evidence.parameters),
        ("Datasets", evidence.datasets),
        ("Dependencies", evidence.dependencies),
    ]
    if evidence.before is None:
        found.insert(0, ("Inputs and outputs", evidence.interface))
    missing = evidence.after.missing
    yield from ((n, each) for n, each in found if not missing or each.unknown != missing)


def _section(name: str, section: Section, *, is_first: bool) -> str:
    rows = section.differences[:ROWS]
    text = (_table(name, rows, is_first=is_first) or _lines(rows)) + more_text(section.differences)
    counts = section_text(section, is_first=is_first)
    if len(rows) > FOLDED:
        return folded(f"{name}: {counts}", text)
    return "\n\n".join([f"### {name}", text] if is_first else [f"### {name}", counts, text])


def _table(name: str, rows: Sequence[Difference], *, is_first: bool) -> str:
    """Nothing where it would be too wide."""
    columns = (COLUMNS[name][0], "now", "proposed")
    cells = [columns, *((clean(e.name, NAME), e.before or "", e.after or "") for e in rows)]
    longest = (max(map(_longest_word, column)) for column in zip(*cells, strict=True))
    if sum(longest) > ROW_WORDS or any(len(text) > VALUE for row in cells for text in row):
        return ""
    shown = [(code(each.name, NAME), _value(each.before), _value(each.after)) for each in rows]
    if is_first:
        return table(COLUMNS[name], [(name, after) for name, _, after in shown])
    return table(columns, shown)


def _longest_word(text: str) -> int:
    return max(map(len, text.split()), default=0)


def _value(text: str | None) -> str:
    return "" if text is None else code(text, VALUE) or "(empty)"


def _lines(rows: Sequence[Difference]) -> str:
    """Each value on a line of its own, as in a diff."""
    lines = []
    for each in rows:
        for mark, text in (("-", each.before), ("+", each.after)):
            if text is not None:
                lines.append(f"{mark} {clean(each.name, NAME)}: {clean(text, TEXT)}")
    return block(lines, "diff")
