"""What a promotion is judged by, and the verdicts: values without I/O.

A gate is one question about a promotion: are its files whole, does the runtime load them, do
clients still fit, are its metrics good enough. `planning/gates.py` answers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = [
    "ALWAYS_REQUIRED",
    "Finding",
    "Gate",
    "GateName",
    "GateRules",
    "Margin",
    "MetricRule",
    "Verdict",
]

Verdict = Literal["passed", "failed", "missing", "skipped", "not known"]
GateName = Literal["artifact", "runtime", "signature", "metrics"]

ALWAYS_REQUIRED: frozenset[GateName] = frozenset({"artifact", "runtime"})
"""Nothing is ever committed whose files are not whole, or of which it is known that they would not
load.
"""


@dataclass(frozen=True, slots=True)
class Margin:
    """How much: of the metric's own unit, or with `is_percent` of the committed value."""

    amount: float
    is_percent: bool = False


@dataclass(frozen=True, slots=True)
class MetricRule:
    """What one metric of a candidate has to be.

    `least` and `most` are allowed themselves. `worse_by` bounds how much worse than the committed
    version's value it may be, None for no comparison; `direction` says which way is worse, "" where
    nothing says so. A metric that was not logged fails where it `must_be_there`.
    """

    name: str
    direction: Literal["higher", "lower", ""] = ""
    least: float | None = None
    most: float | None = None
    worse_by: Margin | None = None
    must_be_there: bool = True


@dataclass(frozen=True, slots=True)
class GateRules:
    """An environment's thresholds. `required` are the gates that block where commits are pushed.

    `signature` is the change of inputs and outputs that passes: one that old clients do not
    notice, none, or any.
    """

    metrics: tuple[MetricRule, ...] = ()
    signature: Literal["compatible", "same", "any"] = "compatible"
    required: frozenset[GateName] = ALWAYS_REQUIRED


@dataclass(frozen=True, slots=True)
class Finding:
    """One metric's verdict. `text` has the figure and the rule in words and numbers of this tool;
    `name` and `why` come from the registry.
    """

    name: str
    verdict: Verdict
    text: str
    why: str = ""

    @property
    def line(self) -> str:
        """The whole, not yet safe to show."""
        return f"{self.name} {self.text}" + (f" ({self.why})" if self.why else "")


@dataclass(frozen=True, slots=True)
class Gate:
    """One verdict. `missing` is a metric that nobody logged; `skipped` that nothing was asked; `not
    known` that it was asked and nobody here can tell.

    `text` is one line, safe for a commit status and a table. `findings` are the metrics behind it,
    the worst first.
    """

    name: GateName
    verdict: Verdict
    text: str
    required: bool = False
    findings: tuple[Finding, ...] = ()

    @property
    def is_open(self) -> bool:
        """Whether it lets a promotion through."""
        return self.verdict in ("passed", "skipped", "not known")
