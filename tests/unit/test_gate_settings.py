"""`environments.<name>.gates`: what is taken, and what is told of what is not."""

from __future__ import annotations

import pytest

from mlflow_gitops.config import check_settings, parse_settings
from mlflow_gitops.gates import ALWAYS_REQUIRED, GateRules, Margin, MetricRule

HEAD = "artifacts: {bucket: prod-ml-models}\nenvironments:\n"


def settings(gates: str) -> str:
    return f"{HEAD}  env:\n    select: {{stage: Staging}}\n    path: env\n    gates: {gates}\n"


def rules(gates: str) -> GateRules:
    return parse_settings(settings(gates)).environments["env"].gates


def rule(text: str) -> MetricRule:
    (found,) = rules(f"{{metrics: {{m: {text}}}}}").metrics
    return found


def said(gates: str) -> str:
    (problem,) = check_settings(settings(gates))
    return str(problem)


def test_without_gates_nothing_is_asked_but_what_always_is() -> None:
    text = f"{HEAD}  env:\n    select: {{stage: Staging}}\n    path: env\n"
    assert parse_settings(text).environments["env"].gates == GateRules() == rules("{}")


def test_a_whole_section() -> None:
    assert rules(
        "{metrics: {'val/f1 score': {min: 0.9, max: 1, direction: higher, worse-by: 0.01,"
        " missing: allow}}, signature: same, required: [signature]}"
    ) == GateRules(
        (MetricRule("val/f1 score", "higher", 0.9, 1.0, Margin(0.01), must_be_there=False),),
        "same",
        ALWAYS_REQUIRED | {"signature"},
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{}", MetricRule("m")),
        ("{min: 1}", MetricRule("m", "higher", least=1)),
        ("{max: -1e-3}", MetricRule("m", "lower", most=-0.001)),
        ("{min: 0, max: 1}", MetricRule("m", "", least=0, most=1)),
        ("{max: 3, direction: higher}", MetricRule("m", "higher", most=3)),
        ("{min: 1, worse-by: 5%}", MetricRule("m", "higher", 1, worse_by=Margin(5, True))),
        ("{max: 1, worse-by: '2.5 %'}", MetricRule("m", "lower", None, 1, Margin(2.5, True))),
        ("{direction: lower, worse-by: 0}", MetricRule("m", "lower", worse_by=Margin(0))),
    ],
)
def test_the_rules_of_a_metric(text: str, expected: MetricRule) -> None:
    assert rule(text) == expected


@pytest.mark.parametrize(
    ("gates", "required"),
    [
        ("{metrics: {m: {min: 1}}}", {"metrics"}),
        ("{metrics: {m: {min: 1}}, required: []}", set()),
        ("{metrics: {m: {min: 1}}, required: [runtime]}", set()),
        ("{signature: same}", set()),
        ("{required: [signature]}", {"signature"}),
    ],
)
def test_what_blocks(gates: str, required: set[str]) -> None:
    assert rules(gates).required == ALWAYS_REQUIRED | required


@pytest.mark.parametrize(
    ("gates", "says"),
    [
        ("[metrics]", "gates: has to be a mapping"),
        ("{metric: {}}", "did you mean `metrics`?"),
        ("{metrics: {m: {minimum: 1}}}", "gates.metrics.m.minimum: is no known key"),
        ("{metrics: {m: 0.9}}", "gates.metrics.m: has to be a mapping"),
        ("{metrics: {m: {min: '0.9'}}}", "gates.metrics.m.min: has to be a number"),
        ("{metrics: {m: {min: .inf}}}", "gates.metrics.m.min: has to be a number"),
        ("{metrics: {m: {min: 1e999}}}", "gates.metrics.m.min: is 1e999"),
        ("{metrics: {m: {max: 0x1f}}}", "gates.metrics.m.max: is 0x1f"),
        ("{metrics: {m: {min: true}}}", "gates.metrics.m.min: has to be a number"),
        ("{metrics: {m: {min: 2, max: 1}}}", "has a `min` above its `max`"),
        ("{metrics: {m: {direction: up}}}", "`up` is none of: higher, lower"),
        ("{metrics: {m: {missing: ignore}}}", "`ignore` is none of: fail, allow"),
        ("{metrics: {m: {direction: lower, worse-by: -1}}}", "is -1, below zero"),
        ("{metrics: {m: {direction: lower, worse-by: 5 percent}}}", "has to be a number"),
        (f"{{metrics: {{m: {{max: 1, worse-by: {'9' * 400}%}}}}}}", "has to be a number"),
        ("{metrics: {m: {worse-by: 1}}}", "nothing says which way is worse"),
        ("{metrics: {m: {min: 0, max: 1, worse-by: 1}}}", "nothing says which way is worse"),
        ("{metrics: {'': {min: 1}}}", "the name is no metric's"),
        (f"{{metrics: {{{'m' * 251}: {{min: 1}}}}}}", "the name is no metric's"),
        ("{signature: strict}", "`strict` is none of: compatible, same, any"),
        ("{required: metrics}", "gates.required: has to be a list"),
        ("{required: [latency]}", "gates.required[0]: `latency` is no gate"),
        ("{required: [metrics]}", "no metric has a threshold"),
    ],
)
def test_what_is_wrong_is_told_with_its_key_and_line(gates: str, says: str) -> None:
    text = said(gates)
    assert "line 6" in text
    assert says in text
