"""Whose work a branch of ours holds, and what becomes of the pull request that it belongs to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from mlflow_gitops.branches import Ahead, BranchCommit, CommitKind
from mlflow_gitops.errors import TransientError
from mlflow_gitops.planning.own_branch import (
    carried,
    digest_in,
    edit_mark,
    foreign_work,
    holds_already,
)
from mlflow_gitops.pull_requests import Approval, Draft, PullRequest
from mlflow_gitops.runs import RunFacts
from mlflow_gitops.state import State
from tests.support.memory_session import Parts
from tests.unit.test_proposing import BRANCH, MODEL, look, move, proposed, quiet, told

__all__ = ["proposed"]  # the fixture

LEAF = f"models/overlays/production/{MODEL}/model-version.yaml"
SERVICE = "production/fraud"
DIFF = """diff --git a/x.yaml b/x.yaml
index 1..2 100644
--- a/x.yaml
+++ b/x.yaml
@@ -1,3 +1,3 @@
 a: 1
-uri: 1
+uri: 2
"""
ELSEWHERE = DIFF.replace("x.yaml", "moved/y.yaml").replace("@@ -1,3 +1,3 @@", "@@ -9,3 +9,3 @@")


@pytest.fixture
def parts() -> Parts:
    made = Parts()
    for _ in range(4):
        made.register(MODEL)
    made.by_pull_requests()
    return made


def commit(service: str = "", kind: CommitKind = "commit") -> BranchCommit:
    message = f"title\n\nGitops-Service: {service}\n" if service else "by hand\n"
    return BranchCommit("f" * 40, "Rita @all", message, kind)


OURS = commit(SERVICE)
CHANGED = DIFF + "+more: 1\n"


@pytest.mark.parametrize(
    ("commits", "diff", "found"),
    [
        ((OURS,), DIFF, ""),
        ((OURS,), ELSEWHERE, ""),
        ((), "", ""),
        ((commit(kind="update"), OURS), DIFF, ""),
        ((commit(kind="resolved"), OURS), DIFF, ""),
        ((commit(kind="resolved"), OURS), CHANGED, f"commit {'f' * 12} by Rita @ all"),
        ((commit(kind="merge"), OURS), DIFF, f"commit {'f' * 12} by Rita @ all"),
        ((commit(), OURS), DIFF, f"commit {'f' * 12} by Rita @ all"),
        ((commit("production/other"), OURS), DIFF, f"commit {'f' * 12} by Rita @ all"),
        ((OURS,), CHANGED, f"changes to our commit, up to commit {'f' * 12}"),
        ((replace(OURS, is_own=True),), CHANGED, ""),
    ],
)
def test_what_a_branch_holds_is_ours_or_named(
    commits: tuple[BranchCommit, ...], diff: str, found: str
) -> None:
    assert foreign_work(SERVICE, Ahead(commits, diff), "", edit_mark(DIFF)) == found


def test_our_own_merge_of_the_base_is_ours_whatever_its_lines() -> None:
    """The list that the edit adds to may be written in another way by now."""
    first = replace(OURS, is_own=True)
    again = replace(commit(SERVICE, "resolved"), is_own=True)
    assert foreign_work(SERVICE, Ahead((again, first), CHANGED), edit_mark(DIFF)) == ""
    for other in (commit(SERVICE, "resolved"), replace(commit(kind="resolved"), is_own=True)):
        assert foreign_work(SERVICE, Ahead((other, first), CHANGED), edit_mark(DIFF)) != ""


@pytest.mark.parametrize(
    ("newer", "counts"),
    [
        ((), True),
        ((commit(kind="update"),), True),
        ((commit(kind="update"), replace(commit(SERVICE, "resolved"), is_own=True)), True),
        ((commit(kind="resolved"),), False),
        ((commit(SERVICE),), False),
        ((commit(kind="update"), commit()), False),
    ],
)
def test_an_approval_counts_while_only_the_base_came(
    newer: tuple[BranchCommit, ...], counts: bool
) -> None:
    commits = [replace(each, commit=f"{n:040x}") for n, each in enumerate((*newer, OURS))]
    head, approved = commits[0].commit, commits[-1].commit
    pull = PullRequest(1, "", "open", BRANCH, "main", head, approvals=(Approval("r", approved),))
    assert carried(Ahead(tuple(commits)), pull).is_approved is counts


def test_without_a_mark_only_the_commits_tell() -> None:
    assert foreign_work(SERVICE, Ahead((OURS,), CHANGED)) == ""
    assert foreign_work(SERVICE, Ahead((commit(kind="resolved"), OURS), DIFF), "") != ""


@pytest.mark.parametrize("line", ["new mode 100755", "Binary files a and b differ", "-a: 1", " "])
def test_a_mark_changes_with_what_a_diff_does(line: str) -> None:
    assert (edit_mark(f"{DIFF}{line}\n") == edit_mark(DIFF)) == (line == " ")


SAID = OURS.message


@pytest.mark.parametrize(
    ("ahead", "is_approved", "is_there"),
    [
        (Ahead((OURS,), DIFF), False, True),
        (Ahead((OURS,), ELSEWHERE), False, True),
        (Ahead((commit(kind="update"), OURS), DIFF), False, True),
        (Ahead((replace(OURS, message=f"{SAID}Signed-off-by: a <b>\n"),), DIFF), False, True),
        (Ahead((OURS,), CHANGED), False, False),
        (Ahead((OURS,), DIFF, conflicts=True), True, False),
        (Ahead((OURS,), DIFF, conflicts=None), True, False),
        (Ahead((OURS, OURS), DIFF), False, False),
        (Ahead((commit("production/other"),), DIFF), False, False),
        (Ahead((commit("production/other"),), DIFF), True, True),
        (Ahead((commit("production/other"),), CHANGED), True, False),
    ],
)
def test_a_branch_that_holds_the_edit_already_is_not_pushed(
    ahead: Ahead, is_approved: bool, is_there: bool
) -> None:
    assert holds_already(ahead, SAID, DIFF, is_approved=is_approved) == is_there


def test_the_digest_is_that_of_our_newest_commit() -> None:
    ours = replace(OURS, message=f"{SAID}Artifact-Digest: sha256:1\n")
    older = replace(OURS, message=f"{SAID}Artifact-Digest: sha256:0\n")
    assert digest_in(SERVICE, (commit(kind="update"), ours, older)) == "sha256:1"
    assert digest_in(SERVICE, (OURS,)) == digest_in("production/other", (ours,)) == ""


# What becomes of the pull request


def updated(parts: Parts) -> None:
    parts.repository.person_commits({"docs/x.md": "x"})
    parts.repository.person_merges(BRANCH)


def rebased(parts: Parts) -> None:
    head = parts.repository.remote[BRANCH]
    made = parts.repository.commits[head]
    base = parts.repository.person_commits({"docs/x.md": "x"})
    parts.repository.force(BRANCH, base)
    parts.repository.person_commits({LEAF: made.files[LEAF]}, made.message, BRANCH)


UPDATES = [updated, rebased]


@pytest.mark.parametrize("update", UPDATES)
def test_an_updated_branch_stays_ours(proposed: Parts, update: Callable[[Parts], None]) -> None:
    before = proposed.forge.statuses[proposed.forge.pulls[2].head]
    update(proposed)
    head = proposed.repository.remote[BRANCH]
    look(proposed)
    assert proposed.forge.statuses[head] == before
    proposed.registry.runs[""] = RunFacts(metrics={"auc": 0.9})
    look(proposed)
    assert "| `auc` | 0.9 | 0.9 |" in proposed.forge.pulls[2].body
    quiet(proposed)
    move(proposed, "3")
    (pull,) = proposed.forge.opened()
    assert (pull.number, pull.title) == (2, f"production: {MODEL} v1 -> v3")
    made = proposed.repository.commits[proposed.repository.remote[BRANCH]]
    assert (made.parent, made.merged) == (proposed.repository.remote["main"], "")
    assert proposed.forge.statuses[proposed.repository.remote[BRANCH]]


@pytest.mark.parametrize("update", UPDATES)
def test_an_updated_branch_goes_away_when_it_is_withdrawn(
    proposed: Parts, update: Callable[[Parts], None]
) -> None:
    update(proposed)
    move(proposed, "1")
    assert BRANCH not in proposed.repository.remote


def added(parts: Parts) -> None:
    parts.repository.person_commits({"note.txt": "mine"}, "More", BRANCH)


def added_and_updated(parts: Parts) -> None:
    added(parts)
    updated(parts)


def merged_by_hand(parts: Parts) -> None:
    parts.repository.person_commits({"docs/x.md": "x"})
    parts.repository.person_merges(BRANCH, files={"note.txt": "mine"})


def amended(parts: Parts) -> None:
    """Our commit, with our message, and a line more."""
    made = parts.repository.commits[parts.repository.remote[BRANCH]]
    parts.repository.force(BRANCH, made.parent)
    text = f"{made.files[LEAF]}# mine\n"
    parts.repository.person_commits({LEAF: text}, made.message, BRANCH)


@pytest.mark.parametrize("work", [added, added_and_updated, merged_by_hand, amended])
def test_a_persons_work_is_told_and_nothing_of_it_is_lost(
    proposed: Parts, work: Callable[[Parts], None]
) -> None:
    work(proposed)
    head = proposed.repository.remote[BRANCH]
    assert look(proposed).state is State.PROPOSED
    assert {each.verdict for each in proposed.forge.statuses[head]} == {"failure"}
    texts = {each.text for each in proposed.forge.statuses[head]}
    assert all("not checked" in text and len(text) <= 140 for text in texts)
    state, message = told(proposed, "2")
    assert state is State.PROPOSED
    assert "mlflow-gitops did not make" in message
    assert "take it off the branch, or ask for the version again" in message
    quiet(proposed)
    move(proposed, "3")
    assert proposed.forge.pulls[2].state == "closed"
    assert proposed.forge.pulls[2].head == head
    kept = f"mlflow-gitops/_kept/production/{MODEL}/{head[:12]}"
    assert proposed.repository.remote[kept] == head
    assert f"`{kept}`" in proposed.forge.comments[2][0]
    assert [p.number for p in proposed.forge.opened()] == [3]


def test_work_that_is_taken_off_the_branch_is_checked_again(proposed: Parts) -> None:
    ours = proposed.repository.remote[BRANCH]
    before = proposed.forge.statuses[ours]
    added(proposed)
    look(proposed)
    proposed.repository.force(BRANCH, ours)
    proposed.forge.statuses.clear()
    look(proposed)
    assert proposed.forge.statuses == {ours: before}
    assert "did not make" not in told(proposed, "2")[1]


def test_a_forge_that_says_not_mergeable_is_not_believed(proposed: Parts) -> None:
    proposed.repository.person_commits({"docs/x.md": "x"})
    proposed.forge.approve(2)
    head = proposed.forge.pulls[2].head
    proposed.forge.says_conflict(2)
    look(proposed)
    assert proposed.forge.pulls[2].state == "open"
    assert proposed.repository.remote[BRANCH] == head


def test_an_approved_one_in_conflict_stays_where_the_edit_is_the_same(proposed: Parts) -> None:
    text = proposed.repository.files()[LEAF]
    proposed.forge.approve(2)
    proposed.repository.person_commits({LEAF: f"# owned by risk\n{text}"})
    look(proposed)
    (pull,) = proposed.forge.opened()
    assert pull.number == 2
    assert proposed.repository.commits[pull.head].parent == proposed.repository.remote["main"]
    assert pull.approvals  # of the older head: what they count for is the forge's


def test_an_approved_one_in_conflict_is_replaced_where_the_edit_is_another(
    proposed: Parts,
) -> None:
    text = proposed.repository.files()[LEAF]
    proposed.forge.approve(2)
    changed = text.replace("/v1/", "/v1-elsewhere/")
    assert changed != text
    proposed.repository.person_commits({LEAF: changed})
    look(proposed)
    assert [p.number for p in proposed.forge.opened()] == [3]


def test_a_conflict_that_the_forge_does_not_tell_is_found(proposed: Parts) -> None:
    text = proposed.repository.files()[LEAF]
    proposed.repository.person_commits({LEAF: f"# owned by risk\n{text}"})
    look(proposed)
    head = proposed.repository.commits[proposed.repository.remote[BRANCH]]
    assert head.parent == proposed.repository.remote["main"]


@pytest.mark.parametrize("missing", ["labels", "asked", "statuses"])
def test_each_look_adds_what_is_missing_and_writes_nothing_else(
    proposed: Parts, missing: str
) -> None:
    whole = proposed.forge.pulls[2]
    if missing == "statuses":
        proposed.forge.statuses.clear()
    else:
        bare = replace(whole, labels=()) if missing == "labels" else replace(whole, asked=())
        proposed.forge.pulls[2] = bare
    look(proposed)
    assert proposed.forge.pulls[2] == whole
    assert proposed.forge.statuses[whole.head]
    quiet(proposed)


@pytest.mark.parametrize("newest", ["3", "4"])
def test_a_crash_between_the_push_and_the_text_is_no_persons_work(
    proposed: Parts, newest: str
) -> None:
    """The branch proposes version 3, and the pull request's text is still that of version 2."""
    update, proposed.forge.update = proposed.forge.update, broken  # type: ignore[method-assign]
    assert isinstance(move(proposed, "3").error, TransientError)
    proposed.forge.update = update  # type: ignore[method-assign]
    assert move(proposed, newest).state is State.PROPOSED
    (pull,) = proposed.forge.opened()
    assert (pull.number, pull.title) == (2, f"production: {MODEL} v1 -> v{newest}")
    quiet(proposed)


def broken(pull: PullRequest, draft: Draft) -> None:
    raise TransientError("the forge is down", where="forge")


def test_an_approval_of_the_head_keeps_a_newer_version_out(proposed: Parts) -> None:
    """After an update too: who approved version 2 did not approve version 3."""
    updated(proposed)
    look(proposed)
    pull = proposed.forge.get(2)
    proposed.forge.pulls[2] = replace(pull, approvals=(Approval("rita", pull.head),))
    move(proposed, "3")
    assert [p.number for p in proposed.forge.opened()] == [3]
