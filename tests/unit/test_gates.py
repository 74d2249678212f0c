"""The verdicts of the gates, as truth tables."""

from __future__ import annotations

import math

import pytest

from mlflow_gitops.gates import ALWAYS_REQUIRED, Gate, GateRules, Margin, MetricRule
from mlflow_gitops.planning.gates import Facts, commit_statuses, evaluate
from mlflow_gitops.planning.signatures import SchemaChange
from mlflow_gitops.pull_requests import CommitStatus
from mlflow_gitops.runs import RunFacts

HIGHER = MetricRule("m", "higher", least=0.9)
LOWER = MetricRule("m", "lower", most=3.2)
NOT_WORSE = MetricRule("m", "higher", worse_by=Margin(0.01))
NOT_SLOWER = MetricRule("m", "lower", worse_by=Margin(5, is_percent=True))
ALLOWED = MetricRule("m", must_be_there=False)


def runs(value: float | None) -> RunFacts:
    return RunFacts(metrics={} if value is None else {"m": value})


def judged(rules: GateRules, facts: Facts, name: str) -> Gate:
    return next(gate for gate in evaluate(rules, facts) if gate.name == name)


def metrics(rule: MetricRule, now: float | None, was: float | None = None) -> Gate:
    committed = None if was is None else runs(was)
    return judged(GateRules((rule,)), Facts(candidate=runs(now), committed=committed), "metrics")


@pytest.mark.parametrize(
    ("rule", "now", "was", "verdict", "text"),
    [
        (HIGHER, 0.9, None, "passed", "m is 0.9"),
        (HIGHER, 0.95, 0.97, "passed", "m is 0.95 (committed: 0.97)"),
        (HIGHER, 0.89, 0.8, "failed", "m is 0.89 (committed: 0.8), and has to be at least 0.9"),
        (LOWER, 3.2, None, "passed", "m is 3.2"),
        (LOWER, 3.21, None, "failed", "m is 3.21, and may be at most 3.2"),
        (MetricRule("m", least=0, most=1), 2.0, None, "failed", "m is 2, and may be at most 1"),
        (NOT_WORSE, 0.92, None, "passed", "m is 0.92"),
        (NOT_WORSE, 0.91, 0.92, "passed", "m is 0.91 (committed: 0.92)"),
        (NOT_WORSE, 0.99, 0.1, "passed", "m is 0.99 (committed: 0.1)"),
        (NOT_WORSE, 0.9, 0.92, "failed",
         "m is 0.9 (committed: 0.92), and may be worse by 0.01 at most"),
        (NOT_WORSE, 0.5, math.nan, "passed", "m is 0.5 (committed: nan)"),
        (NOT_SLOWER, 105.0, 100.0, "passed", "m is 105 (committed: 100)"),
        (NOT_SLOWER, 105.1, 100.0, "failed",
         "m is 105.1 (committed: 100), and may be worse by 5% at most"),
        (NOT_SLOWER, -94.0, -100.0, "failed",
         "m is -94 (committed: -100), and may be worse by 5% at most"),
        (NOT_SLOWER, 1.0, 0.0, "failed", "m is 1 (committed: 0), and may be worse by 5% at most"),
        (MetricRule("m", "higher", 0.9, None, Margin(0)), 0.5, 0.6, "failed",
         "m is 0.5 (committed: 0.6), and has to be at least 0.9 and may be worse by 0 at most"),
        (HIGHER, math.nan, None, "failed", "m is nan, which nothing can be compared with"),
        (LOWER, -math.inf, None, "failed", "m is -inf, which nothing can be compared with"),
        (ALLOWED, math.inf, None, "failed", "m is inf, which nothing can be compared with"),
        (HIGHER, None, 0.95, "missing", "m is missing"),
        (ALLOWED, None, None, "skipped", "m is missing, and may be"),
        (ALLOWED, 1e300, None, "passed", "m is 1e+300"),
    ],
)  # fmt: skip
def test_a_metric(
    rule: MetricRule, now: float | None, was: float | None, verdict: str, text: str
) -> None:
    gate = metrics(rule, now, was)
    assert (gate.verdict, gate.text) == (verdict, text)


def test_the_worst_metric_decides_and_is_told_first() -> None:
    rules = GateRules((MetricRule("a"), MetricRule("b"), MetricRule("c", least=1)))
    half = RunFacts(metrics={"a": 1.0, "c": 2.0})
    gate = judged(rules, Facts(candidate=half), "metrics")
    assert (gate.verdict, gate.text) == ("missing", "b is missing; a is 1; c is 2")
    bad = RunFacts(metrics={"a": 1.0, "c": 0.0})
    gate = judged(rules, Facts(candidate=bad), "metrics")
    assert gate.verdict == "failed"
    assert gate.text == "c is 0, and has to be at least 1; a is 1; b is missing"


def test_why_there_are_no_metrics_is_told() -> None:
    facts = Facts(candidate=RunFacts(missing="the run was deleted"))
    gate = judged(GateRules((HIGHER,)), facts, "metrics")
    assert (gate.verdict, gate.text) == ("missing", "m is missing (the run was deleted)")


def test_without_rules_nothing_is_asked() -> None:
    assert evaluate(GateRules(), Facts(digest="sha256:ab")) == (
        Gate("artifact", "passed", "the files are whole, sha256:ab", required=True),
        Gate("runtime", "passed", "the files load", required=True),
        Gate("signature", "skipped", "not compared here, since it is not required"),
        Gate("metrics", "skipped", "no thresholds are set"),
    )


def test_what_nobody_can_tell_is_not_known_and_open() -> None:
    gates = evaluate(GateRules(), Facts(runtime_unknown="the runtime `ours` will run"))[:2]
    assert [(gate.verdict, gate.is_open, gate.text) for gate in gates] == [
        ("not known", True, "nothing is published yet: each file is checked as it is copied"),
        ("not known", True, "the runtime `ours` will run"),
    ]
    assert [(each.verdict, each.text) for each in commit_statuses(gates[1:])] == [
        ("success", "not known: the runtime `ours` will run")
    ]


def test_what_is_wrong_with_the_files_fails_its_gate() -> None:
    gates = evaluate(GateRules(), Facts(artifact="another identity", runtime="no such flavor"))
    assert [(gate.verdict, gate.text) for gate in gates[:2]] == [
        ("failed", "another identity"),
        ("failed", "no such flavor"),
    ]


@pytest.mark.parametrize(
    ("rule", "kind", "verdict"),
    [
        ("compatible", "same", "passed"),
        ("compatible", "compatible", "passed"),
        ("compatible", "breaking", "failed"),
        ("compatible", "unknown", "missing"),
        ("compatible", "new", "skipped"),
        ("same", "same", "passed"),
        ("same", "compatible", "failed"),
        ("same", "breaking", "failed"),
        ("same", "unknown", "missing"),
        ("same", "new", "skipped"),
        ("any", "breaking", "skipped"),
        ("any", "unknown", "skipped"),
    ],
)
def test_a_signature(rule: str, kind: str, verdict: str) -> None:
    facts = Facts(schema=SchemaChange(kind, "input `a` is gone"), is_compared=True)  # type: ignore[arg-type]
    gate = judged(GateRules(signature=rule), facts, "signature")  # type: ignore[arg-type]
    assert gate.verdict == verdict
    assert rule == "any" or "input `a` is gone" in gate.text


def test_going_back_is_held_back_by_no_threshold() -> None:
    facts = Facts(candidate=runs(0), schema=SchemaChange("breaking"), is_rollback=True)
    verdicts = [gate.verdict for gate in evaluate(GateRules((HIGHER,)), facts)]
    assert verdicts == ["not known", "passed", "skipped", "skipped"]


def test_what_is_required_is_told() -> None:
    rules = GateRules((HIGHER,), required=ALWAYS_REQUIRED | {"signature"})
    required = {gate.name: gate.required for gate in evaluate(rules, Facts())}
    assert required == {"artifact": True, "runtime": True, "signature": True, "metrics": False}


def test_the_statuses_of_a_commit() -> None:
    gates = (
        Gate("artifact", "passed", "whole"),
        Gate("runtime", "failed", "x" * 500),
        Gate("signature", "skipped", "any change is allowed"),
        Gate("metrics", "missing", "m is missing"),
    )
    assert commit_statuses(gates) == (
        CommitStatus("mlflow-gitops/artifact", "success", "whole"),
        CommitStatus("mlflow-gitops/runtime", "failure", "x" * 137 + "..."),
        CommitStatus("mlflow-gitops/signature", "success", "any change is allowed"),
        CommitStatus("mlflow-gitops/metrics", "failure", "m is missing"),
    )


def test_names_from_the_registry_stay_text() -> None:
    name = "@admin closes #1\n<img src=x>\u202e[a](https://x)"
    gate = judged(GateRules((MetricRule(name),)), Facts(candidate=RunFacts()), "metrics")
    assert gate.verdict == "missing"
    assert gate.text == "@ admin closes # 1 < img src=x>[a] (https: //x) is missing"
