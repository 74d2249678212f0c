"""Compares two versions for a reviewer: the one that is committed, and the one to replace it. PURE.

Nothing is left out silently: what cannot be told says why.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from mlflow_gitops.gates import Gate, MetricRule
from mlflow_gitops.planning.evidence_values import (
    Difference,
    Evidence,
    MetricRow,
    Section,
    Side,
    Verdict,
)
from mlflow_gitops.planning.naming import layout_of
from mlflow_gitops.planning.plan import Plan
from mlflow_gitops.planning.signatures import SchemaChange, described
from mlflow_gitops.runs import Dataset, RunFacts
from mlflow_gitops.state import AS_IS, EMPTY, ModelFiles, ModelVersion, ServiceSpec

__all__ = ["DEPENDENCY_FILES", "MOST_TEXT", "Known", "compared", "make_evidence"]

DEPENDENCY_FILES = ("requirements.txt", "python_env.yaml")
PYTHON = re.compile(r"^python:[ \t]*['\"]?([0-9][0-9a-z.]*)", re.MULTILINE)
LONGEST_LINE = 1000  # characters of a requirement
MOST_TEXT = 64 * 1024  # bytes of one of them
UNREAD = "the files that name them cannot be read, are no text or have more than 64 KiB"


@dataclass(frozen=True, slots=True)
class Known:
    """What was gathered of one version; None and "" where it could not be, and then `why`.

    `texts` are those of `DEPENDENCY_FILES` that it has: all of them, or None.
    """

    spec: ServiceSpec
    version: ModelVersion | None = None
    facts: RunFacts | None = None
    files: ModelFiles | None = None
    texts: Mapping[str, str] | None = None
    digest: str = ""
    why: str = ""


@dataclass(frozen=True, slots=True)
class Shown:
    """The change itself, as a unified diff. See `Evidence.diff`."""

    diff: str = ""
    is_rendered: bool = False
    note: str = ""


@dataclass(frozen=True, slots=True)
class Judged:
    """What the gates said, and by which rules."""

    gates: Sequence[Gate] = ()
    rules: Sequence[MetricRule] = ()
    schema: SchemaChange | None = None


@dataclass(frozen=True, slots=True)
class Gathered:
    """Everything that the evidence of one plan is made of."""

    before: Known | None = None
    after: Known | None = None
    judged: Judged = field(default_factory=Judged)
    shown: Shown = field(default_factory=Shown)
    hold: str = ""
    not_proved: str = ""
    notes: Sequence[str] = ()


def make_evidence(plan: Plan, gathered: Gathered) -> Evidence:
    request, before, after = plan.request, gathered.before, gathered.after
    metrics, unknown = _metrics(before, after, gathered.judged.rules)
    return Evidence(
        environment=plan.key.environment,
        service=plan.place.service,
        model=plan.key.model,
        before=_side(before) if before else None,
        after=_side(after) if after else None,
        reason=plan.reason,
        asked_by=request.by if request else "",
        asked_at=request.time if request and request.by else "",
        is_signed=bool(request and request.signed),
        said=request.reason if request else "",
        hold=gathered.hold,
        not_proved=gathered.not_proved,
        notes=tuple(gathered.notes),
        metrics=metrics,
        metrics_unknown=unknown,
        parameters=_section(before, after, _params),
        datasets=_section(before, after, _datasets),
        dependencies=_section(before, after, _dependencies),
        interface=_section(before, after, _interface),
        schema=gathered.judged.schema,
        gates=tuple(gathered.judged.gates),
        diff=gathered.shown.diff,
        is_rendered=gathered.shown.is_rendered,
        diff_note=gathered.shown.note,
    )


def _side(known: Known) -> Side:
    facts, files = known.facts or RunFacts(missing=known.why), known.files
    version, layout = known.version, layout_of(known.spec)
    return Side(
        version=known.spec.version,
        number=version.number if version else "",
        url=facts.version_url,
        uri=known.spec.uri,
        digest=known.digest,
        run_id=facts.run_id or (version.identity.run_id if version else ""),
        run_name=facts.run_name,
        run_url=facts.url,
        user=facts.user,
        source_commit=facts.source_commit,
        source_url=facts.source_url,
        description=facts.description,
        files=len(files.files) if files else None,
        size=sum(files.files.values()) if files else None,
        layout="" if layout == AS_IS else layout,
        missing=facts.missing or known.why,
    )


def _metrics(
    before: Known | None, after: Known | None, rules: Sequence[MetricRule]
) -> tuple[tuple[MetricRow, ...], str]:
    """Those with a rule first, then by name."""
    if after is None:
        return (), ""
    if after.facts is None:
        return (), after.why
    now, unknown = after.facts.metrics, after.facts.missing
    was = before.facts.metrics if before and before.facts else {}
    by_name = {rule.name: rule for rule in rules}
    names = [*by_name, *sorted((now.keys() | was.keys()) - by_name.keys())]
    rows = (_metric(name, was.get(name), now.get(name), by_name.get(name)) for name in names)
    return tuple(row for row in rows if (row.before, row.after) != (None, None)), unknown


def _metric(
    name: str, before: float | None, after: float | None, rule: MetricRule | None
) -> MetricRow:
    direction = rule.direction if rule else ""
    limits = (rule.least, rule.most) if rule else ()
    return MetricRow(
        name,
        before,
        after,
        direction,
        _verdict(before, after, direction),
        tuple(limit for limit in limits if limit is not None),
    )


def _verdict(before: float | None, after: float | None, direction: str) -> Verdict:
    if before is None or after is None:
        return "new" if before is None else "gone"
    if before == after:
        return "same"
    if not (math.isfinite(before) and math.isfinite(after)):
        return "unknown"
    if not direction:
        return "changed"
    return "better" if (after > before) == (direction == "higher") else "worse"


Read = Mapping[str, str]


def _section(
    before: Known | None, after: Known | None, read: Callable[[Known], Read | str]
) -> Section:
    """`read` gives the values by name, or why there are none. All of a first version differ."""
    if after is None:
        return Section()
    now = read(after)
    if isinstance(now, str):
        return Section(unknown=now)
    if before is None:
        return compared({}, now)
    was = read(before)
    if isinstance(was, str):
        return Section(unknown=f"of the committed version: {was}")
    return compared(was, now)


def compared(was: Read, now: Read) -> Section:
    names = sorted(was.keys() | now.keys())
    found = [Difference(n, was.get(n), now.get(n)) for n in names if was.get(n) != now.get(n)]
    return Section(tuple(found), len(names) - len(found))


def _params(known: Known) -> Read | str:
    return _of_run(known, lambda facts: facts.params)


def _datasets(known: Known) -> Read | str:
    return _of_run(known, lambda facts: dict(map(_dataset, facts.datasets)))


def _dataset(dataset: Dataset) -> tuple[str, str]:
    context = f" ({dataset.context})" if dataset.context else ""
    return f"{dataset.name}{context}", dataset.digest


def _of_run(known: Known, read: Callable[[RunFacts], Read]) -> Read | str:
    if known.facts is None:
        return known.why or "its run was not read"
    found = read(known.facts)
    return known.facts.missing if known.facts.missing and not found else found


def _interface(known: Known) -> Read | str:
    if known.files is None:
        return known.why or "its files were not read"
    return described(known.files.mlmodel)


def _dependencies(known: Known) -> Read | str:
    if known.texts is None:
        return known.why or ("its files were not read" if known.files is None else UNREAD)
    if not known.texts:
        return "it names none"
    found = _requirements(known.texts.get("requirements.txt", "").splitlines())
    return {**_python(known.texts.get("python_env.yaml", "")), **found}


def _requirement(line: str) -> Requirement | None:
    """None for what is no requirement, or too long or too deeply nested to be one."""
    try:
        return Requirement(line) if len(line) <= LONGEST_LINE else None
    except (InvalidRequirement, RecursionError):
        return None


def _requirements(lines: Iterable[str]) -> Read:
    """By normalised name (PEP 503); a line that is none stands for itself."""
    found = {}
    for each in lines:
        line = each.partition(" #")[0].strip()
        if not line or line.startswith("#"):
            continue
        needed = _requirement(line)
        if needed is None:
            found[line[:LONGEST_LINE]] = "as it stands"
            continue
        extras = f"[{','.join(sorted(needed.extras))}]" if needed.extras else ""
        marker = f"; {needed.marker}" if needed.marker else ""
        wanted = str(needed.specifier) or (f"@ {needed.url}" if needed.url else "any")
        found[canonicalize_name(needed.name)] = f"{extras}{wanted}{marker}"
    return found


def _python(text: str) -> Read:
    found = PYTHON.search(text)
    return {"python": found[1]} if found else EMPTY
