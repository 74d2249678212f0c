"""A merge queue: which pull requests its branches hold, and which verdict they get."""

from __future__ import annotations

import pytest

from mlflow_gitops.planning.merge_groups import Group, groups_of, numbers_in, worst_of
from mlflow_gitops.pull_requests import CommitStatus
from mlflow_gitops.runs import RunFacts
from mlflow_gitops.service import ServiceReconciler
from mlflow_gitops.state import State
from tests.support.memory_session import Parts

A, B, C = "a" * 40, "b" * 40, "c" * 40
MODELS = ("churn", "fraud")
GATES = "    gates: {metrics: {accuracy: {min: 0.9}}}\n"


def test_the_names_of_a_bases_branches_are_read() -> None:
    branches = {
        f"gh-readonly-queue/main/pr-12-{A}": B,
        f"gh-readonly-queue/main/next/pr-1-{A}": B,
        f"gh-readonly-queue/live/pr-1-{A}": B,
        "gh-readonly-queue/main/pr-x-1": B,
    }
    assert groups_of("main", branches) == (Group(12, A, B),)
    assert groups_of("main/next", branches) == (Group(1, A, B),)


def test_a_group_holds_those_that_it_was_made_on() -> None:
    first, second = Group(1, A, B), Group(2, B, C)
    assert numbers_in(second, (first, second)) == (2, 1)
    assert numbers_in(first, (first, second)) == (1,)
    odd = Group(3, C, C)
    assert numbers_in(odd, (odd,)) == (3,)


def test_the_worst_verdict_counts_and_says_whose() -> None:
    fine = CommitStatus("mlflow-gitops/metrics", "success", "fine")
    bad = CommitStatus("mlflow-gitops/metrics", "failure", "accuracy is 0.8")
    other = CommitStatus("mlflow-gitops/runtime", "success", "loads")
    assert worst_of({"p/a": [bad]}) == (bad,)
    found = worst_of({"p/b": [bad, other], "p/a": [fine]})
    assert [(each.name, each.verdict, each.text) for each in found] == [
        (bad.name, "failure", "p/b: accuracy is 0.8"),
        (other.name, "pending", "p/a: was not looked at yet"),
    ]


@pytest.fixture
def parts() -> Parts:
    """Two models, version 1 of each proposed: pull requests 1 and 2."""
    made = Parts()
    made.by_pull_requests()
    text = made.repository.files()["mlflow-gitops.yaml"]
    made.repository.person_commits({"mlflow-gitops.yaml": text + GATES})
    made.registry.runs[""] = RunFacts(metrics={"accuracy": 0.95})
    for model in MODELS:
        made.register(model)
        made.registry.transition(model, "1", "Production")
        assert look(made, model) is State.PROPOSED
    return made


def look(parts: Parts, model: str) -> State:
    outcomes = parts.session().reconciler.reconcile(model)
    return next(o.state for o in outcomes if o.key.environment == "production")


def branch(model: str) -> str:
    return f"mlflow-gitops/production/{model}"


def queue(parts: Parts, number: int, onto: str, *, squash: str = "") -> str:
    """The forge makes a group; `squash` is the message of a commit instead of the merge."""
    made, pull = parts.repository, parts.forge.pulls[number]
    name = f"gh-readonly-queue/main/pr-{number}-{made.remote.get(onto, onto)}"
    made.force(name, made.remote.get(onto, onto))
    if not squash:
        return made.person_merges(name, pull.branch)
    files = made.files(pull.branch)
    return made.person_commits(files, squash, name)


def verdicts(parts: Parts, commit: str) -> dict[str, str]:
    return {e.name.partition("/")[2]: e.verdict for e in parts.forge.statuses.get(commit, ())}


PASSED = dict.fromkeys(("artifact", "runtime", "signature", "metrics"), "success")


@pytest.mark.parametrize("squash", ["", "churn (#1)"])
def test_a_group_gets_the_verdicts_of_its_pull_request(parts: Parts, squash: str) -> None:
    group = queue(parts, 1, "main", squash=squash)
    look(parts, "fraud")
    assert verdicts(parts, group) == {}
    look(parts, "churn")
    assert verdicts(parts, group) == PASSED
    assert parts.forge.statuses[group] == parts.forge.statuses[parts.forge.pulls[1].head]


@pytest.mark.parametrize("squash", ["", "x (#2)"])
def test_a_group_of_two_gets_the_worst_whoever_is_looked_at(parts: Parts, squash: str) -> None:
    first = queue(parts, 1, "main", squash=squash)
    second = queue(parts, 2, first, squash=squash)
    parts.registry.runs[""] = RunFacts(metrics={"accuracy": 0.5})
    look(parts, "churn")
    assert verdicts(parts, first) == {**PASSED, "metrics": "failure"}
    assert verdicts(parts, second) == {**PASSED, "metrics": "failure"}
    parts.registry.runs[""] = RunFacts(metrics={"accuracy": 0.95})
    look(parts, "fraud")
    assert verdicts(parts, second) == {**PASSED, "metrics": "failure"}
    (metrics,) = (e for e in parts.forge.statuses[second] if e.name.endswith("metrics"))
    assert metrics.text.startswith("production/churn: accuracy is 0.5")
    look(parts, "churn")
    look(parts, "fraud")
    assert verdicts(parts, second) == PASSED


def test_a_squashed_commit_with_our_trailer_is_ours(parts: Parts) -> None:
    """Somebody else's pull request is the last of the group."""
    squash = "churn\n\nGitops-Service: production/churn\n"
    first = queue(parts, 1, "main", squash=squash)
    name = f"gh-readonly-queue/main/pr-99-{parts.repository.remote['main']}"
    parts.repository.force(name, first)
    last = parts.repository.person_commits({"docs/x.md": "x"}, "theirs", name)
    parts.forge.pulls[99] = parts.forge.pulls[1].__class__(99, "", "open", "x", "main", last)
    look(parts, "churn")
    assert verdicts(parts, last) == PASSED


def test_a_group_without_ours_costs_no_question(parts: Parts) -> None:
    look(parts, "churn")
    before = parts.forge.asked
    look(parts, "churn")
    usual = parts.forge.asked - before
    name = f"gh-readonly-queue/main/pr-99-{parts.repository.remote['main']}"
    parts.repository.force(name, parts.repository.remote["main"])
    head = parts.repository.person_commits({"docs/x.md": "x"}, "theirs", name)
    before = parts.forge.asked
    look(parts, "churn")
    assert parts.forge.asked - before == usual
    assert verdicts(parts, head) == {}


def test_the_service_knows_whom_a_queue_may_concern(parts: Parts) -> None:
    service = ServiceReconciler(parts.session().reconciler)
    assert service.proposed("main") == set(MODELS)
    assert service.proposed("live") == frozenset()
