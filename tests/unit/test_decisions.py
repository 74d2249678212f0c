"""What is told of a person's decision: its kind, who, when and why, and how it ends."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mlflow_gitops.past import Standing, Step
from mlflow_gitops.planning.commit_facts import reason
from mlflow_gitops.planning.decisions import (
    Decided,
    Decision,
    found_in,
    how_to_end,
    in_force,
    who_text,
)
from mlflow_gitops.planning.ledger import ledger_row
from mlflow_gitops.state import CommitFacts, Hold
from tests.support.planning import KEY, spec

OURS, COMMIT, OTHER = "a" * 40, "b" * 40, "c" * 40
RITA, BO = "Rita <rita@example.com>", "Bo <bo@example.com>"
TIME = "2026-11-20T10:00:00Z"
TITLE = 'Revert "production: fraud v1 -> v2"'
GIT = f"This reverts commit {OURS}."
PIN = Decision(Decided.PINNED, KEY, "2", spec("1"))


@pytest.mark.parametrize(
    ("message", "why"),
    [
        ("Pin 1\n\nIt is better.\n", "Pin 1"),
        (f"{TITLE}\n\n{GIT}\n", TITLE),
        (f"{TITLE}\n\n{GIT}\n\nAlarms\nall night\n", "Alarms all night"),
        (f"{TITLE}\n\nAlarms all night\n\n{GIT}\n\nReviewed-by: Ann\n", "Alarms all night"),
        (f"Revert it\n\n{GIT[:-1]}, reversing\nchanges made to {OTHER}.\n", "Revert it"),
        ("", ""),
        (f"{TITLE}\n\nThis reverts commit {OTHER}\nfor false alarms", "for false alarms"),
        (f"Too many alarms\n\nThis reverts commit {OTHER[:7]} (t, 2026-11-20).", "Too many alarms"),
        (f"{TITLE} (#13)\n\nReverts ml/manifests#12\n\nAlarms (#9)", "Alarms (#9)"),
        ('Revert "Merge x"\n\nThis reverts merge request !12\n\nAlarms', "Alarms"),
        (f"{TITLE} (#13)\n\n* {TITLE}\n\n{GIT}\n\nAlarms\n\n---------\n", "Alarms"),
    ],
)
def test_why(message: str, why: str) -> None:
    assert reason(message) == why


def test_why_without_what_a_host_repeats() -> None:
    original = "production: v1 -> v2\n\nThe registry asks.\n\nModel: fraud\n"
    message = f"revert {OTHER}\n\nAlarms\n\nrevert {original}"
    assert reason(message, original) == "Alarms"


def found(
    message: str, *, merged: str = "", ours: str = OURS, kind: Decided = PIN.kind
) -> Decision:
    decision = replace(PIN, kind=kind)
    step = Step(0, COMMIT, Standing(spec("2")), Standing(spec("1")))
    made = CommitFacts(COMMIT, (OURS,), RITA, RITA, TIME, message)
    if not merged:
        return found_in(decision, ledger_row(KEY, "fraud", step, made, ()), ours)
    merge = CommitFacts(OTHER, (OURS, COMMIT), BO, "GitHub <noreply@github.com>", TIME, merged)
    return found_in(decision, ledger_row(KEY, "fraud", step, merge, [made]), ours)


@pytest.mark.parametrize(
    ("decision", "text"),
    [
        (found("Pin 1"), f'changed by hand by Rita at {TIME} in bbbbbbbbbbbb: "Pin 1"'),
        (found(f"{TITLE}\n\n{GIT}\n\nno"), f'reverted by Rita at {TIME} in bbbbbbbbbbbb: "no"'),
        (
            found(f"{TITLE}\n\nThis reverts commit {OTHER}.\n\nno"),
            f'changed by hand by Rita at {TIME} in bbbbbbbbbbbb: "no"',
        ),
        (
            found(f"{TITLE}\n\nThis reverts commit {OTHER}.\n\nno", ours=""),
            f'reverted by Rita at {TIME} in bbbbbbbbbbbb: "no"',
        ),
        (
            found(f"{TITLE}\n\n{GIT}", kind=Decided.CANARY),
            f"given a canary by Rita at {TIME} in bbbbbbbbbbbb: "
            '"Revert "production: fraud v1 -> v2""',
        ),
        (
            found(
                "Pin 1", merged="Merge pull request #7 from rita/x\n\nReviewed-by: Ann <a@x.org>"
            ),
            f"changed by hand by Rita at {TIME} in cccccccccccc "
            '(pull request # 7, merged by Bo, approved by Ann): "Pin 1"',
        ),
        (replace(PIN, sought=9), "changed by hand: who did it was not found in the last 9 commits"),
        (PIN, "changed by hand"),
    ],
)
def test_who_when_and_why_as_far_as_they_are_known(decision: Decision, text: str) -> None:
    assert who_text(decision) == text
    assert in_force(decision).startswith(f"A hold was in force: version 2 was {text}; version 1")


@pytest.mark.parametrize(
    ("decision", "end"),
    [
        (PIN, "`mlflow-gitops hold clear fraud -e production`, ask for another version, or undo"),
        (replace(PIN, wanted=""), "`mlflow-gitops hold clear fraud -e production`, or ask for a"),
        (
            replace(PIN, kind=Decided.COMMENT, comment=Hold("x", "a/b.yaml", 9)),
            "remove the comment `mlflow-gitops: hold` at a/b.yaml:9",
        ),
        (replace(PIN, kind=Decided.CANARY), "finish or remove the canary in Git"),
        (replace(PIN, kind=Decided.RENAMED), "map the new name under `services`"),
    ],
)
def test_how_each_ends(decision: Decision, end: str) -> None:
    assert how_to_end(decision).startswith(end)
