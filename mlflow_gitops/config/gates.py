"""`environments.<name>.gates`: what a version has to be before it is promoted."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Literal, get_args

from mlflow_gitops.config.document import Findings, Value
from mlflow_gitops.config.names import unprintable
from mlflow_gitops.config.reference_settings import SETTINGS
from mlflow_gitops.gates import ALWAYS_REQUIRED, GateName, GateRules, Margin, MetricRule

__all__ = ["read_gates"]

SECTION = "environments.<name>.gates"
METRIC = "metrics.<metric>"
ROWS = {
    row.key.removeprefix(f"{SECTION}."): row
    for row in SETTINGS
    if row.key.startswith(f"{SECTION}.")
}
KEYS = [key for key in ROWS if "." not in key]
METRIC_KEYS = [key.removeprefix(f"{METRIC}.") for key in ROWS if key.startswith(f"{METRIC}.")]
NAMES: tuple[GateName, ...] = get_args(GateName)
LONGEST_NAME = 250  # characters, as MLflow allows
PERCENT = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?%")

Direction = Literal["higher", "lower", ""]


def read_gates(value: Value | None, found: Findings) -> GateRules:
    if value is None:
        return GateRules()
    fields = found.fields(value, KEYS) or {}
    metrics = _metrics(fields.get("metrics"), found)
    signature = _choice(fields, "signature", ("compatible", "same", "any"), found)
    return GateRules(
        metrics=metrics,
        signature="same" if signature == "same" else "any" if signature == "any" else "compatible",
        required=_required(fields.get("required"), bool(metrics), found),
    )


def _required(value: Value | None, has_metrics: bool, found: Findings) -> frozenset[GateName]:
    if value is None:
        return ALWAYS_REQUIRED | ({"metrics"} if has_metrics else frozenset())
    form = ROWS["required"].form
    named = {
        found.text(item, lambda text: "" if text in NAMES else "is no gate", form)
        for item in found.items(value, form) or ()
    }
    if "metrics" in named and not has_metrics:
        found.add(
            value,
            "requires `metrics`, and no metric has a threshold",
            hint="add thresholds under `gates.metrics`, or take `metrics` out",
        )
    return ALWAYS_REQUIRED | {name for name in NAMES if name in named}


def _metrics(value: Value | None, found: Findings) -> tuple[MetricRule, ...]:
    if value is None:
        return ()
    entries = found.entries(value, ROWS["metrics"].form)
    return tuple(_metric(name, at, found) for name, at in (entries or {}).items())


def _metric(name: str, value: Value, found: Findings) -> MetricRule:
    if not 0 < len(name) <= LONGEST_NAME or unprintable(name):
        found.add(value, "the name is no metric's", allowed=ROWS[METRIC].form)
    fields = found.fields(value, METRIC_KEYS) or {}
    least, most = (_number(fields, key, found) for key in ("min", "max"))
    if least is not None and most is not None and least > most:
        found.add(value, "has a `min` above its `max`", hint="no value could pass: change one")
    rule = MetricRule(
        name=name,
        direction=_direction(fields, least, most, found),
        least=least,
        most=most,
        worse_by=_margin(fields.get("worse-by"), found),
        must_be_there=_choice(fields, f"{METRIC}.missing", ("fail", "allow"), found) != "allow",
    )
    if "worse-by" in fields and not rule.direction:
        hint = "add `direction: higher` or `direction: lower`: which values are better?"
        found.add(fields["worse-by"], "is set, and nothing says which way is worse", hint=hint)
    return rule


def _direction(
    fields: Mapping[str, Value], least: float | None, most: float | None, found: Findings
) -> Direction:
    """As it is said, else the way that a bound on one side alone tells."""
    text = _choice(fields, f"{METRIC}.direction", ("higher", "lower"), found)
    if text:
        return "higher" if text == "higher" else "lower"
    if (least is None) == (most is None):
        return ""
    return "lower" if least is None else "higher"


def _choice(
    fields: Mapping[str, Value], key: str, choices: tuple[str, ...], found: Findings
) -> str:
    value = fields.get(key.rpartition(".")[2])
    if value is None:
        return ""
    known = ", ".join(choices)
    complaint = f"is none of: {known}"
    return found.text(value, lambda text: "" if text in choices else complaint, known) or ""


def _margin(value: Value | None, found: Findings) -> Margin | None:
    form = ROWS[f"{METRIC}.worse-by"].form
    if value is None:
        return None
    percent = PERCENT.fullmatch(value.text) if value.kind == "text" else None
    if percent and math.isfinite(float(percent[1])):
        return Margin(float(percent[1]), is_percent=True)
    amount = found.decimal(value, form)
    if amount is not None and amount < 0:
        found.add(value, f"is {value.text}, below zero", allowed=form)
    return None if amount is None else Margin(amount)


def _number(fields: Mapping[str, Value], key: str, found: Findings) -> float | None:
    value = fields.get(key)
    return found.decimal(value, ROWS[f"{METRIC}.{key}"].form) if value else None
