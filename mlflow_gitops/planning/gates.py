"""Is this promotion good enough? Each gate's verdict, from what is known of it. PURE.

Numbers are compared as people write them, in decimals: 0.92 is worse than 0.93 by 0.01, not by a
little more. Names and reasons come from the registry; each text is one line that no Git host acts
on.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import get_args

from mlflow_gitops.gates import Finding, Gate, GateName, GateRules, Margin, MetricRule, Verdict
from mlflow_gitops.planning.figures import number_text, number_texts
from mlflow_gitops.planning.messages import clean
from mlflow_gitops.planning.signatures import SchemaChange
from mlflow_gitops.pull_requests import CommitStatus
from mlflow_gitops.runs import RunFacts

__all__ = ["Facts", "commit_statuses", "evaluate"]

STATUS_PREFIX = "mlflow-gitops/"
LONGEST = 1000  # characters of a gate's text
LONGEST_STATUS = 140  # GitHub takes no more
LONGEST_NAME = 80
RETIRED = "nothing to check: the service is retired"
WORST: tuple[Verdict, ...] = ("failed", "missing", "passed", "skipped")

Told = tuple[Verdict, str]
"""A verdict and why."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a promotion.

    `schema` is None where nothing is committed, or it was not looked at (not `is_compared`).
    `artifact` and `runtime` say what is wrong with its files, "" where nothing is. `digest` is
    theirs, "" before they are published. `runtime_unknown` says why nobody can tell whether they
    load, "" where a rule for the runtime says that they do. `committed` are the facts of the
    version that Git says now, None where it says none, or none of the registry's.
    """

    artifact: str = ""
    digest: str = ""
    runtime: str = ""
    runtime_unknown: str = ""
    candidate: RunFacts | None = None
    committed: RunFacts | None = None
    schema: SchemaChange | None = None
    is_compared: bool = False
    is_rollback: bool = False


def evaluate(rules: GateRules, facts: Facts) -> tuple[Gate, ...]:
    """All four, in the order in which they matter."""
    findings = () if facts.is_rollback else _findings(rules.metrics, facts)
    told: dict[GateName, Told] = {
        "artifact": _artifact(facts),
        "runtime": _runtime(facts),
        "signature": _signature(rules, facts),
        "metrics": _metrics(rules.metrics, findings),
    }
    return tuple(
        Gate(
            name,
            verdict,
            clean(text, LONGEST),
            required=name in rules.required,
            findings=findings if name == "metrics" else (),
        )
        for name, (verdict, text) in told.items()
    )


def commit_statuses(gates: Sequence[Gate]) -> tuple[CommitStatus, ...]:
    """What branch protection can require: one status for each gate.

    A service that is retired has no gates, and passes them all.
    """
    if not gates:
        names = get_args(GateName)
        return tuple(CommitStatus(f"{STATUS_PREFIX}{n}", "success", RETIRED) for n in names)
    return tuple(
        CommitStatus(
            f"{STATUS_PREFIX}{gate.name}",
            "success" if gate.is_open else "failure",
            clean(_status_text(gate), LONGEST_STATUS),
        )
        for gate in gates
    )


def _status_text(gate: Gate) -> str:
    """A status has no verdict of its own for what is not known."""
    return f"not known: {gate.text}" if gate.verdict == "not known" else gate.text


def _artifact(facts: Facts) -> Told:
    if facts.artifact:
        return "failed", facts.artifact
    if not facts.digest:
        return "not known", "nothing is published yet: each file is checked as it is copied"
    return "passed", f"the files are whole, {facts.digest}"


def _runtime(facts: Facts) -> Told:
    if facts.runtime:
        return "failed", facts.runtime
    if facts.runtime_unknown:
        return "not known", facts.runtime_unknown
    return "passed", "the files load"


def _signature(rules: GateRules, facts: Facts) -> Told:
    if facts.is_rollback:
        return "skipped", "going back is held back by no signature"
    if rules.signature == "any":
        return "skipped", "any change is allowed"
    if not facts.is_compared:
        return "skipped", "not compared here, since it is not required"
    if facts.schema is None:
        return "skipped", "nothing is committed that it could be compared with"
    passes = {"same", "compatible"} if rules.signature == "compatible" else {"same"}
    if facts.schema.kind == "new":
        return "skipped", facts.schema.text
    if facts.schema.kind == "unknown":
        return "missing", facts.schema.text
    kind = {"same": "unchanged", "breaking": "a breaking change"}.get(
        facts.schema.kind, "compatible"
    )
    text = f"{kind}: {facts.schema.text}" if facts.schema.text else kind
    return "passed" if facts.schema.kind in passes else "failed", text


def _metrics(rules: Sequence[MetricRule], findings: Sequence[Finding]) -> Told:
    if not rules:
        return "skipped", "no thresholds are set"
    if not findings:
        return "skipped", "going back is held back by no threshold"
    return findings[0].verdict, "; ".join(each.line for each in findings)


def _findings(rules: Sequence[MetricRule], facts: Facts) -> tuple[Finding, ...]:
    """The worst first, since it is the gate's verdict; the others in the order of the rules."""
    found = [_metric(rule, facts) for rule in rules]
    worst = min((WORST.index(each.verdict) for each in found), default=0)
    return tuple(sorted(found, key=lambda each: each.verdict != WORST[worst]))


def _metric(rule: MetricRule, facts: Facts) -> Finding:
    name = clean(rule.name, LONGEST_NAME)
    candidate = facts.candidate or RunFacts(missing="its run was not read")
    value = candidate.metrics.get(rule.name)
    before = facts.committed.metrics.get(rule.name) if facts.committed else None
    if value is None:
        if rule.must_be_there:
            return Finding(name, "missing", "is missing", candidate.missing)
        return Finding(name, "skipped", "is missing, and may be", candidate.missing)
    if not math.isfinite(value):
        return Finding(name, "failed", f"is {value}, which nothing can be compared with")
    now, was, least, most = number_texts((value, before, rule.least, rule.most))
    wrong = [*_beyond_bounds(rule, value, least, most), *_worse(rule, value, before)]
    text = f"is {now} (committed: {was})" if was else f"is {now}"
    if wrong:
        return Finding(name, "failed", f"{text}, and {' and '.join(wrong)}")
    return Finding(name, "passed", text)


def _beyond_bounds(rule: MetricRule, value: float, least: str, most: str) -> Iterable[str]:
    if rule.least is not None and value < rule.least:
        yield f"has to be at least {least}"
    if rule.most is not None and value > rule.most:
        yield f"may be at most {most}"


def _worse(rule: MetricRule, value: float, before: float | None) -> Iterable[str]:
    """Nothing where nothing comparable is committed: the first delivery has to begin somewhere."""
    if rule.worse_by is None or before is None or not math.isfinite(before):
        return
    now, was = Decimal(repr(value)), Decimal(repr(before))
    worse = was - now if rule.direction == "higher" else now - was
    if worse > _allowed(rule.worse_by, was):
        unit = "%" if rule.worse_by.is_percent else ""
        yield f"may be worse by {number_text(rule.worse_by.amount)}{unit} at most"


def _allowed(margin: Margin, was: Decimal) -> Decimal:
    amount = Decimal(repr(margin.amount))
    return abs(was) * amount / 100 if margin.is_percent else amount
