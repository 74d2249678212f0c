"""What a change was, and what its commit says of people: every case as a row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest

from mlflow_gitops.past import Standing, Step
from mlflow_gitops.planning.commit_facts import Reverted, approvers, pull_request, reverted
from mlflow_gitops.planning.ledger import (
    Change,
    Row,
    held,
    ledger_row,
    merge_of,
    undone,
    with_merge,
)
from mlflow_gitops.planning.messages import commit_message
from mlflow_gitops.pull_requests import PullRequest
from mlflow_gitops.state import CommitFacts, Landing, ServiceSpec
from tests.support.planning import KEY, asked, row, spec

V1, V2 = spec("1"), spec("2")
MADE, MERGE, OLD = "a" * 40, "b" * 40, "c" * 40


def ours(
    after: ServiceSpec | None = V2,
    *,
    service: str = "fraud",
    undoes: str = "",
    signed: bool = False,
) -> str:
    return commit_message(
        environment="production",
        service=service,
        model="fraud",
        action="retire" if after is None else "deploy",
        before=V1,
        after=after,
        version=row(after.version if after else "1"),
        request=replace(asked("2", 20, by="ada"), signed=signed),
        digest="sha256:2",
        undoes=undoes,
    )


def facts(message: str, commit: str = MADE, *parents: str) -> CommitFacts:
    person = "Tool <t@example.com>" if commit == MADE else "Rita <r@example.com>"
    return CommitFacts(commit, parents or (OLD,), person, person, "2026-11-20T10:00:00Z", message)


def change(
    message: str,
    *,
    before: ServiceSpec | None = V1,
    after: ServiceSpec | None = V2,
    merged: Sequence[CommitFacts] = (),
    commit: str = MADE,
) -> Row:
    about = facts(message, commit, OLD, "d" * 40) if merged else facts(message, commit)
    return ledger_row(
        KEY, "fraud", Step(7, commit, Standing(before), Standing(after)), about, merged
    )


COPIED = "its trailers name another change than it made: they are passed over"
SEVERAL = "its trailers name several services: they are passed over"
REVERT = f'Revert "production: fraud v1 -> v2"\n\nThis reverts commit {OLD}.\n'
CASES: Mapping[str, tuple[str, ServiceSpec | None, Change, str, tuple[str, ...]]] = {
    "ours": (ours(), V2, Change.DELIVERY, "ada", ()),
    "ours, retired": (ours(None), None, Change.DELIVERY, "ada", ()),
    "ours, undoing": (ours(undoes=OLD), V2, Change.ROLLBACK, "ada", ()),
    "a revert": (REVERT, V1, Change.REVERT, "", ()),
    "by hand": ("Pin it", V2, Change.HAND, "", ()),
    "copied trailers": (ours(), V1, Change.HAND, "", (COPIED,)),
    "copied trailers, retired by hand": (ours(), None, Change.HAND, "", (COPIED,)),
    "a forged retirement": (ours(None), V2, Change.HAND, "", (COPIED,)),
    "another service's trailers": (ours(service="churn"), V2, Change.HAND, "", ()),
    "of two services": (
        ours() + "Gitops-Service: staging/fraud\n",
        V2,
        Change.HAND,
        "",
        (SEVERAL,),
    ),
    "ours, quoted in a body": (f"Look:\n\n{ours()}\n\nand more", V2, Change.HAND, "", ()),
    "no message": ("", V2, Change.HAND, "", ()),
    "a revert that repeats ours": (f"revert {OLD}\n\nrevert {ours()}", V1, Change.REVERT, "", ()),
    "a revert of such a revert": (f"revert {OLD}\n\nrevert {ours()}", V2, Change.REVERT, "", ()),
    "a revert by a pull request's number": ("x\n\nReverts ml/x#12", V1, Change.REVERT, "", ()),
    "ours, about an earlier revert": (
        ours().replace("\n\n", f"\n\nThis reverts commit {OLD}.\n\n", 1),
        V2,
        Change.DELIVERY,
        "ada",
        (),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_what_a_change_was(name: str) -> None:
    message, after, kind, by, notes = CASES[name]
    found = change(message, after=after)
    assert (found.change, found.asked_by, found.notes) == (kind, by, notes)
    assert found.is_ours == (kind in (Change.DELIVERY, Change.ROLLBACK))
    assert (found.run_id != "") == found.is_ours


def test_a_delivery_tells_what_its_trailers_say() -> None:
    found = change(ours(signed=True))
    assert (found.run_id, found.digest, found.request) == ("run2", "sha256:2", "r20")
    assert (found.is_signed, found.asked_at, found.undoes) == (True, asked("2", 20).time, "")
    assert change(ours()).is_signed is False


def test_a_merge_names_what_it_brought() -> None:
    words = "Merge pull request #12 from team/x\n\nx\n\nReviewed-by: Rita\n"
    found = change(words, merged=[facts(ours())], commit=MERGE)
    assert (found.commit, found.made, found.change) == (MERGE, MADE, Change.DELIVERY)
    assert (found.author, found.committer) == ("Tool <t@example.com>", "Rita <r@example.com>")
    assert (found.pull_request, found.approvers) == ("#12", ("Rita",))


def test_a_merge_of_several_commits_credits_none_of_them() -> None:
    found = change("Merge branch x", merged=[facts(ours()), facts("more", OLD)], commit=MERGE)
    assert (found.made, found.change, found.asked_by) == ("", Change.HAND, "")
    assert found.notes == (
        f"the merge brought 2 commits to its files, the newest first: {MADE[:12]}, {OLD[:12]}",
    )


def test_what_cannot_be_read_is_told() -> None:
    step = Step(1, MADE, Standing(None, "a.yaml: broken"), Standing(V2))
    assert "a.yaml: broken" in ledger_row(KEY, "fraud", step, facts("x"), ()).notes[0]
    step = Step(1, MADE, Standing(V2), Standing(None, "a.yaml: broken"))
    assert "stands since" in ledger_row(KEY, "fraud", step, facts("x"), ()).notes[0]


PINNED = change("Pin it", before=V2, after=spec("9"))
DELIVERED = change(ours(), commit=OLD)
HOLDS: Mapping[str, tuple[Sequence[Row], bool]] = {
    "nothing": ([], False),
    "ours stands": ([DELIVERED], False),
    "a person's alone": ([PINNED], False),
    "a person's after ours": ([PINNED, DELIVERED], True),
    "two of a person's after ours": ([PINNED, PINNED, DELIVERED], True),
    "ours after a person's": ([DELIVERED, PINNED], False),
    "a person brought ours back": ([replace(PINNED, after=V2), PINNED, DELIVERED], False),
    "a person retired ours": ([replace(PINNED, after=None), DELIVERED], True),
    "a person brought back what we retired": (
        [PINNED, change(ours(None), after=None)],
        True,
    ),
}


@pytest.mark.parametrize("name", HOLDS)
def test_a_hold_is_a_persons_change_of_our_newest_delivery(name: str) -> None:
    rows, is_held = HOLDS[name]
    assert bool(held(rows)) == is_held


@pytest.mark.parametrize(
    ("undoes", "after", "is_found"),
    [(OLD, V1, True), (OLD[:12], V1, True), (MADE, V1, False), (OLD, V2, False), ("", V1, False)],
    ids=["whole hash", "short hash", "another commit", "leaves something else", "says nothing"],
)
def test_a_revert_is_believed_where_it_leaves_what_stood_before(
    undoes: str, after: ServiceSpec, is_found: bool
) -> None:
    reverting = replace(change("x", before=V2, after=after), undoes=undoes)
    assert (undone(reverting, [DELIVERED]) is not None) == is_found


def test_a_revert_by_a_number_takes_back_that_pull_request() -> None:
    merged = replace(DELIVERED, pull_request="ml/manifests!12")
    reverting = change("x\n\nReverts !12", before=V2, after=V1)
    assert undone(reverting, [merged]) == merged
    assert undone(reverting, [replace(merged, pull_request="!13")]) is None


def test_a_revert_that_names_nothing_takes_back_what_came_before() -> None:
    reverting = change('Revert "production: fraud v1 -> v2"', before=V2, after=V1)
    assert undone(reverting, [DELIVERED]) == DELIVERED
    assert undone(replace(reverting, after=V2), [DELIVERED]) is None


def landed(*commits: CommitFacts) -> Landing:
    return Landing("#12", MERGE, commits)


def test_a_squash_is_credited_to_what_it_was_made_of() -> None:
    step = Step(7, OLD, Standing(V1), Standing(V2))
    squash = facts("Ship it (#12)", OLD)
    row = ledger_row(KEY, "fraud", step, squash, (), landed(facts(ours())))
    assert (row.commit, row.made, row.change, row.run_id) == (OLD, MADE, Change.DELIVERY, "run2")
    assert (row.pull_request, row.notes) == ("#12", ())
    two = ledger_row(KEY, "fraud", step, squash, (), landed(facts(ours()), facts("more", OLD)))
    assert (two.change, two.run_id, len(two.notes)) == (Change.HAND, "", 1)


MERGED = PullRequest(
    12,
    "https://x/12",
    "merged",
    "b",
    "main",
    head=OLD,
    title='Revert "x"',
    body="Reverts ml/x#11\n\nfalse alarms",
    merge_commit=MADE,
    decided_by="raj",
    decided_at="2026-11-20T12:00:00+01:00",
)


@pytest.mark.parametrize(
    ("commit", "time"),
    [
        (MADE, "2026-11-20T11:00:00Z"),
        (OLD, "2026-11-20T11:00:00Z"),
        (MERGE, "2026-11-20T10:00:00Z"),
    ],
    ids=["merged as", "its head", "another one"],
)
def test_the_forge_knows_when_it_was_merged(commit: str, time: str) -> None:
    row = with_merge(change(REVERT, after=V1), merge_of(MERGED, "github", commit))
    assert (row.time, row.merger, row.pull_request) == (time, "raj", "#12")
    assert row.why == "false alarms"
    mine = with_merge(change(f"{REVERT}\nit hurts"), merge_of(MERGED, "github", commit))
    assert mine.why == "it hurts"


def test_a_merged_commit_is_undone_by_either_name() -> None:
    merged = replace(DELIVERED, made="e" * 40)
    for name in (merged.commit, merged.made):
        assert undone(replace(PINNED, undoes=name, after=V1), [merged]) == merged


@pytest.mark.parametrize(
    ("message", "is_merge", "found"),
    [
        ("Merge pull request #12 from team/branch\n\ntitle", True, "#12"),
        ("Merge pull request 'Ship it' (#12) from x into main", True, "#12"),
        ("Merged in x (pull request #12)\n\ntitle", True, "#12"),
        ("Merge pull request #12 in ML/manifests from x to main\n\n* commit", True, "#12"),
        ("Pull request #12: Ship it\n\nMerge in ML/manifests from x to main", True, "#12"),
        ("Pull request #12: Ship it\n\nWe merged it", True, ""),
        ("Merged PR 12: title", True, "#12"),
        ("Merged PR 12: title", False, ""),
        (
            "Merge branch 'x' into 'main'\n\nShip\n\nSee merge request team/ml!12",
            True,
            "team/ml!12",
        ),
        ("Merge pull request #12 from team/branch\n\ntitle", False, ""),
        ("We saw: Merge pull request #12 from x", True, ""),
        ("Ship it (#12)", False, ""),
        ("Ship it\n\nPull-Request: #12\n", False, "#12"),
        ("Ship it", True, ""),
    ],
)
def test_the_pull_request(message: str, is_merge: bool, found: str) -> None:
    assert pull_request(message, is_merge=is_merge) == found


@pytest.mark.parametrize(
    ("message", "found"),
    [
        ("t\n\nReviewed-by: A <a@x>\nApproved-By: B\nreviewed-by: A <a@x>\n", ("A <a@x>", "B")),
        ("t\n\nReviewed-by: A\n\nnot the last paragraph", ()),
        ("Reviewed-by: A", ()),
        ("t\n\nSigned-off-by: C\n", ()),
    ],
)
def test_approvers_are_those_of_the_trailers(message: str, found: tuple[str, ...]) -> None:
    assert approvers(message) == found


@pytest.mark.parametrize(
    ("message", "found"),
    [
        (REVERT, Reverted(OLD)),
        (
            f"x\n\nThis reverts commit {OLD[:10]}, reversing\nchanges made to {MADE}.",
            Reverted(OLD[:10]),
        ),
        (f"x\n\nThis reverts commit {OLD}", Reverted(OLD)),
        (f"Why it went\n\nThis reverts commit {OLD[:7]} (t, 2026-11-20).", Reverted(OLD[:7])),
        (f"revert {OLD}\n\nrevert {ours()}", Reverted(OLD)),
        (f"Revert: {OLD}", Reverted(OLD)),
        ('Revert "t" (#13)\n\nReverts ml/manifests#12', Reverted(pull="12")),
        ('Revert "t (#12)" (#13)', Reverted(pull="12")),
        ('Revert "Merge branch x"\n\nThis reverts merge request !12', Reverted(pull="12")),
        ('Revert "x"\n\nThis reverts merge request ml/manifests!12', Reverted(pull="12")),
        ("x\n\nThis pull request reverts pull request #12.", Reverted(pull="12")),
        ('Revert "t"', Reverted()),
        ('Reapply "t" (#13)', Reverted()),
        ("x\n\nThis reverts commit yesterday.", None),
        (f"x\n\nWe think This reverts commit {OLD}.", None),
        ("Revert the colour of the button", None),
        (f"x\n\nSee revert {OLD}", None),
        ("Go back, see #12", None),
    ],
)
def test_what_is_reverted(message: str, found: Reverted | None) -> None:
    assert reverted(message) == found
