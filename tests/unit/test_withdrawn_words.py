"""What people read of a pull request that is replaced: why, by which one, and whose approval."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mlflow_gitops.errors import TransientError
from mlflow_gitops.planning.marker import read_marker
from mlflow_gitops.pull_requests import WITHDRAWN, PullRequest
from tests.support.memory_forge import MemoryForge
from tests.support.memory_session import Parts

MODEL = "fraud-detector"
BRANCH = f"mlflow-gitops/production/{MODEL}"
URL = "https://git.example.com/ml/manifests/pulls"
LEAF = f"models/overlays/production/{MODEL}/model-version.yaml"


@pytest.fixture
def proposed() -> Parts:
    """Version 1 runs, version 2 is proposed as #2, and approved."""
    made = Parts()
    for _ in range(4):
        made.register(MODEL)
    made.by_pull_requests()
    move(made, "1")
    made.forge.merge(1)
    look(made)
    move(made, "2")
    made.forge.approve(2, "rita")
    made.forge.approve(2, "@raj\n/approve")
    return made


def look(parts: Parts) -> None:
    parts.cli("reconcile", MODEL)


def move(parts: Parts, number: str) -> None:
    for version in parts.registry.snapshot(MODEL).versions:
        if version.stage == "Production":
            parts.registry.transition(MODEL, version.number, "Archived")
    parts.registry.transition(MODEL, number, "Production")
    look(parts)


def test_an_approved_one_names_its_approvers_and_both_link_each_other(proposed: Parts) -> None:
    move(proposed, "3")
    why, link = proposed.forge.comments[2]
    assert "approved as it is, and what is asked for now is not that" in why
    assert "It had been approved by rita, @ raj /approve." in why
    assert "The registry asks for version 3." in why
    assert f"{URL}/3" in link
    new = proposed.forge.pulls[3]
    assert f"This replaces {URL}/2" in new.body
    assert "It had been approved by rita, @ raj /approve." in new.body
    body, comments = new.body, repr(proposed.forge.comments)
    for _ in range(3):
        look(proposed)
    assert (proposed.forge.pulls[3].body, repr(proposed.forge.comments)) == (body, comments)
    move(proposed, "4")  # in place: it still replaces the first
    assert [p.number for p in proposed.forge.opened()] == [3]
    assert f"This replaces {URL}/2" in proposed.forge.pulls[3].body


def test_a_conflict_is_given_as_the_reason(proposed: Parts) -> None:
    text = proposed.repository.files()[LEAF].replace("/v1/", "/v1-hotfix/")
    proposed.repository.person_commits({LEAF: text})
    look(proposed)
    assert "it conflicts with what came to its base since" in proposed.forge.comments[2][0]


def test_a_persons_work_is_given_as_the_reason(proposed: Parts) -> None:
    proposed.repository.person_commits({"note.txt": "mine"}, "By hand", BRANCH)
    move(proposed, "3")
    assert "its branch holds" in proposed.forge.comments[2][0]
    assert "which mlflow-gitops did not make" in proposed.forge.comments[2][0]
    assert f"{URL}/3" in proposed.forge.comments[2][-1]


def test_what_nobody_asks_for_any_more_is_replaced_by_nothing(proposed: Parts) -> None:
    move(proposed, "1")
    (why,) = proposed.forge.comments[2]
    assert "nobody asks for this any more. It had been approved by rita" in why
    move(proposed, "3")
    assert "This replaces" not in proposed.forge.pulls[3].body
    assert len(proposed.forge.comments[2]) == 1


@pytest.mark.parametrize("call", ["open", "comment", "set_statuses"])
def test_a_forge_that_fails_in_between_changes_no_words(
    proposed: Parts, call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first is withdrawn, and then the forge does not answer."""

    def fails(*_: object) -> None:
        raise TransientError("the forge did not answer in time")

    with monkeypatch.context() as patch:
        patch.setattr(MemoryForge, call, fails)
        if call == "comment":  # of the link alone: the withdrawal says its words first
            patch.setattr(MemoryForge, "withdraw", _withdraw)
        move(proposed, "3")
        look(proposed)
    look(proposed)
    assert WITHDRAWN in proposed.forge.pulls[2].labels
    (new,) = proposed.forge.opened()
    assert f"This replaces {URL}/2" in new.body
    assert "It had been approved by rita" in new.body
    assert read_marker(new.body)["replaced"] == "2"
    assert f"{URL}/3" in proposed.forge.comments[2][-1]
    assert len(proposed.forge.comments[2]) == 2


def _withdraw(forge: MemoryForge, pull: PullRequest, comment: str) -> None:
    forge.comments.setdefault(pull.number, []).append(comment)
    now = forge.pulls[2]
    forge.pulls[2] = replace(now, state="closed", labels=(*now.labels, WITHDRAWN))
