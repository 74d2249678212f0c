"""What a reviewer decides by: the values. PURE.

`evidence.py` makes them of what was gathered, `evidence_body.py` writes the text of a pull request,
and the CLI's `evidence_text.py` what a terminal shows. All texts are as they were found.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from mlflow_gitops.gates import Gate
from mlflow_gitops.planning.signatures import SchemaChange

__all__ = ["Difference", "Evidence", "MetricRow", "Section", "Side"]

Verdict = Literal["better", "worse", "same", "new", "gone", "changed", "unknown"]


@dataclass(frozen=True, slots=True)
class Side:
    """One version: the committed one, or the one that is to replace it. "" is not known.

    `version` is the label in Git, `number` the registry's, `url` leads to its page there. `files`
    and `size` (bytes) are None where the files were not looked at. `layout` is "" where they lie as
    they were logged. `missing` says why the run's facts are not there.
    """

    version: str = ""
    number: str = ""
    url: str = ""
    uri: str = ""
    digest: str = ""
    run_id: str = ""
    run_name: str = ""
    run_url: str = ""
    user: str = ""
    source_commit: str = ""
    source_url: str = ""
    description: str = ""
    files: int | None = None
    size: int | None = None
    layout: str = ""
    missing: str = ""


@dataclass(frozen=True, slots=True)
class MetricRow:
    """`before` and `after` are None where it was not logged. `direction` and `limits` are those of
    the rules.
    """

    name: str
    before: float | None
    after: float | None
    direction: Literal["higher", "lower", ""]
    verdict: Verdict
    limits: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Difference:
    """One parameter, dataset or dependency; None where a version does not have it."""

    name: str
    before: str | None
    after: str | None


@dataclass(frozen=True, slots=True)
class Section:
    """What differs of one kind, `same` that do not. `unknown` says why it cannot be told."""

    differences: tuple[Difference, ...] = ()
    same: int = 0
    unknown: str = ""


@dataclass(frozen=True, slots=True)
class Evidence:
    """Of one change of one service. `before` is None where nothing is committed, `after` where
    the service is retired.

    `not_proved` says why no build proved the edit, "" where one did.
    `notes` are about other objects in Git that the change leaves behind.
    `interface` has the inputs and outputs one by one, `schema` what their change means.
    `asked_by` is proven only where `is_signed`. `diff` is in the unified form: of the built
    manifests where `is_rendered`, else of the files; `diff_note` says why.
    """

    environment: str
    service: str
    model: str
    before: Side | None
    after: Side | None
    reason: str = ""
    asked_by: str = ""
    asked_at: str = ""
    is_signed: bool = False
    said: str = ""
    hold: str = ""
    not_proved: str = ""
    notes: tuple[str, ...] = ()
    metrics: tuple[MetricRow, ...] = ()
    metrics_unknown: str = ""
    parameters: Section = Section()
    datasets: Section = Section()
    dependencies: Section = Section()
    interface: Section = Section()
    schema: SchemaChange | None = None
    gates: tuple[Gate, ...] = ()
    diff: str = ""
    is_rendered: bool = False
    diff_note: str = ""
