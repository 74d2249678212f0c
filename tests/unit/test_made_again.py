"""An open pull request whose base moved: the edit is made again in it, or somebody decided."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mlflow_gitops.ask import Asker
from mlflow_gitops.errors import TransientError
from mlflow_gitops.manifests.edit import add_to_list
from mlflow_gitops.outcome import Outcome
from mlflow_gitops.planning.messages import made_again
from mlflow_gitops.planning.own_branch import is_same_edit
from mlflow_gitops.planning.trailers import parse_trailers
from mlflow_gitops.pull_requests import WITHDRAWN, PullRequest
from mlflow_gitops.service import ServiceReconciler
from mlflow_gitops.state import State
from mlflow_gitops.wish import Wish
from tests.support.memory_repository import Snapshot
from tests.support.memory_session import Parts

LIST = "models/overlays/production/kustomization.yaml"
BASE = "models/base/churn/inference-service.yaml"
BRANCH = "mlflow-gitops/production/churn"
FIRST, OURS = 1, 2
"""The pull requests of `basket` and of `churn`."""


@pytest.fixture
def parts() -> Parts:
    """Two services are new. Both are proposed and approved."""
    made = Parts()
    made.by_pull_requests()
    propose(made)
    return made


def propose(parts: Parts) -> None:
    for number, model in enumerate(("basket", "churn"), start=1):
        for _ in range(2):
            parts.register(model)
        parts.registry.transition(model, "1", "Production")
        look(parts, model)
        parts.forge.approve(number)


def look(parts: Parts, model: str = "churn") -> Outcome:
    outcomes = parts.session().reconciler.reconcile(model)
    return next(o for o in outcomes if o.key.environment == "production")


def open_ones(parts: Parts) -> list[int]:
    return [pull.number for pull in parts.forge.opened()]


def is_on_top(parts: Parts, reviewed: str) -> bool:
    """Whether the branch merges its base, and goes on from what was reviewed."""
    made = parts.repository.commits[parts.repository.remote[BRANCH]]
    return (made.parent, made.merged) == (parts.repository.remote["main"], reviewed)


def test_the_other_one_keeps_its_approval(parts: Parts) -> None:
    reviewed, text = parts.repository.remote[BRANCH], parts.forge.pulls[OURS].body
    statuses = parts.forge.statuses[reviewed]
    parts.forge.merge(FIRST)
    outcome = look(parts)
    assert outcome.state is State.PROPOSED
    assert is_on_top(parts, reviewed)
    (pull,) = parts.forge.opened()
    assert (pull.number, pull.body, len(pull.approvals)) == (OURS, text, 1)
    assert parts.forge.statuses[pull.head] == statuses
    message = parts.repository.commits[pull.head].message
    assert "It conflicted with main" in message
    old = parts.repository.commits[reviewed].message
    assert parse_trailers(message) == parse_trailers(old)
    assert message.split("\n")[0] == old.split("\n")[0]
    before = parts.written()
    assert look(parts).state is State.PROPOSED
    assert parts.repository.remote == before[1]
    parts.forge.merge(OURS)
    assert look(parts).state is State.COMMITTED
    assert parts.repository.files()[LIST].endswith("common\n  - basket\n  - churn\n")


def without_line_end(parts: Parts) -> str:
    return parts.repository.files()[LIST].rstrip("\n")


def in_flow_style(parts: Parts) -> str:
    text = parts.repository.files()[LIST]
    return text.replace("resources:\n  - ../../base/common", "resources: [../../base/common]")


def without_account(parts: Parts) -> str:
    """Each of them adds the service account to the list."""
    text = parts.repository.files()[LIST]
    return text.replace("resources:\n  - ../../base/common", "resources: []")


def in_another_order(parts: Parts) -> str:
    return f"{parts.repository.files()[LIST]}  - zebra\n  - aardvark\n"


ZEBRA = {
    f"models/overlays/production/{name}/kustomization.yaml": "kind: Kustomization\n"
    for name in ("zebra", "aardvark")
}


@pytest.mark.parametrize(
    "text", [without_line_end, in_flow_style, without_account, in_another_order, None]
)
def test_whatever_the_list_looks_like(text: Callable[[Parts], str] | None) -> None:
    """None: there is no list yet, and each of them makes one."""
    parts = Parts()
    parts.by_pull_requests()
    parts.repository.person_commits({LIST: text(parts), **ZEBRA} if text else {LIST: None})
    propose(parts)
    parts.forge.merge(FIRST)
    look(parts)
    assert open_ones(parts) == [OURS]
    parts.forge.merge(OURS)
    assert look(parts).state is State.COMMITTED
    for model in ("basket", "churn"):
        assert parts.version("production", model) == "1"
        assert parts.repository.files()[LIST].count(model) == 1
    assert parts.repository.files()[LIST].count("base/common") <= 1


def base_of_another_shape(parts: Parts) -> None:
    text = parts.repository.files(BRANCH)[BASE].replace("minReplicas: 1", "minReplicas: 0")
    folder = BASE.rpartition("/")[0]
    names = (BASE, f"{folder}/kustomization.yaml")
    files = {name: parts.repository.files(BRANCH)[name] for name in names}
    parts.repository.person_commits({**files, BASE: text})


def another_version_by_hand(parts: Parts) -> None:
    files, main = parts.repository.files(BRANCH), parts.repository.files()
    new = {p: t.replace("/v1/", "/mine/") for p, t in files.items() if main.get(p) != t}
    parts.repository.person_commits({**new, LIST: f"{main[LIST]}  - churn\n"})


def their_commit(parts: Parts) -> None:
    parts.repository.person_commits({"note.txt": "mine"}, "More", BRANCH)
    parts.forge.approve(OURS)


@pytest.mark.parametrize("decides", [base_of_another_shape, another_version_by_hand, their_commit])
def test_what_somebody_decided_since_is_not_passed_over(
    parts: Parts, decides: Callable[[Parts], None]
) -> None:
    parts.forge.merge(FIRST)
    decides(parts)
    head = parts.repository.remote[BRANCH]
    look(parts)
    assert WITHDRAWN in parts.forge.pulls[OURS].labels
    assert parts.forge.pulls[OURS].head == head
    assert ("did not make" in parts.forge.comments[OURS][0]) is (decides is their_commit)
    assert open_ones(parts) == [3]


def test_one_that_was_closed_meanwhile_is_left_alone(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look at it and the push."""
    parts.forge.merge(FIRST)
    base_of_another_shape(parts)
    glance = parts.forge.glance

    def closing(number: int) -> PullRequest:
        found = glance(number)
        parts.forge.close(number)
        return found

    monkeypatch.setattr(parts.forge, "glance", closing)
    assert look(parts).state is State.REJECTED
    assert open_ones(parts) == []


def test_a_hold_on_the_base_leaves_the_branch_alone(parts: Parts) -> None:
    parts.forge.merge(FIRST)
    look(parts)
    parts.forge.merge(OURS)
    look(parts)
    parts.registry.transition("churn", "1", "Archived")
    parts.registry.transition("churn", "2", "Production")
    look(parts)
    parts.forge.approve(3)
    head = parts.repository.remote[BRANCH]
    leaf = "models/overlays/production/churn/model-version.yaml"
    text = parts.repository.files()[leaf]
    held = text.replace("/v1/\n", "/v1/  # mlflow-gitops: hold (incident)\n")
    parts.repository.person_commits({leaf: held})
    assert look(parts).state is State.HELD
    assert (open_ones(parts), parts.repository.remote[BRANCH]) == ([3], head)


def test_one_that_nobody_approved_goes_on_from_its_head_too(parts: Parts) -> None:
    pull = parts.forge.pulls[OURS]
    parts.forge.dismiss(OURS)
    parts.forge.merge(FIRST)
    look(parts)
    assert is_on_top(parts, pull.head)


def test_an_approval_of_the_older_head_keeps_a_newer_version_out(parts: Parts) -> None:
    """The forge may go on to count it, and nobody approved version 2."""
    parts.forge.merge(FIRST)
    look(parts)
    parts.registry.transition("churn", "1", "Archived")
    parts.registry.transition("churn", "2", "Production")
    look(parts)
    assert open_ones(parts) == [3]


def test_an_approved_one_that_is_asked_for_again_is_not_replaced(parts: Parts) -> None:
    reviewed, session = parts.repository.remote[BRANCH], parts.session()
    Asker(session.reconciler).ask(Wish("production/churn", "models:/churn/1"))
    assert open_ones(parts) == [FIRST, OURS]
    assert parts.repository.remote[BRANCH] == reviewed


@pytest.mark.parametrize("cut", ["push", "statuses"])
def test_a_crash_on_the_way_ends_in_the_same(parts: Parts, cut: str) -> None:
    reviewed = parts.repository.remote[BRANCH]
    statuses = parts.forge.statuses[reviewed]
    parts.forge.merge(FIRST)
    set_statuses = parts.forge.set_statuses
    if cut == "push":
        parts.repository.lose_next_answer = TransientError("cut", where="git")
    else:
        parts.forge.set_statuses = broken  # type: ignore[method-assign]
    assert isinstance(look(parts).error, TransientError)
    parts.forge.set_statuses = set_statuses  # type: ignore[method-assign]
    made = parts.repository.remote[BRANCH]
    assert is_on_top(parts, reviewed)
    assert look(parts).state is State.PROPOSED
    assert parts.repository.remote[BRANCH] == made
    assert parts.forge.statuses[made] == statuses
    assert open_ones(parts) == [OURS]


def broken(commit: str, statuses: object, *, is_new: bool = False) -> None:
    raise TransientError("cut", where="forge")


def test_the_service_names_what_came_to_be_in_conflict_once(parts: Parts) -> None:
    service = ServiceReconciler(parts.session().reconciler)
    assert not service.in_conflict()
    parts.forge.merge(FIRST)
    service.reconcile("basket", reason="event")
    assert service.in_conflict() == {"churn"}
    assert not service.in_conflict()
    service.reconcile("churn", reason="event")
    assert not service.in_conflict()
    text = parts.repository.files()[LIST].replace("  - basket", "  - basket\n  - card")
    parts.repository.person_commits({LIST: text})
    service.reconcile("basket", reason="event")
    assert "churn" in service.in_conflict()


# The parts


def tree(**files: str) -> Snapshot:
    return Snapshot("f" * 40, files)


@pytest.mark.parametrize(
    ("files", "base", "head", "is_same"),
    [
        ({"new": "x", "list": "a b c"}, {"list": "a b"}, {"new": "x", "list": "a c"}, True),
        ({"new": "y", "list": "a b c"}, {"list": "a b"}, {"new": "x", "list": "a c"}, False),
        ({"list": "a b c"}, {"list": "a b"}, {"new": "x", "list": "a c"}, False),
        ({"list": "a b c"}, {"list": "a b", "new": "x"}, {"new": "x", "list": "a c"}, True),
        ({"list": "a b c"}, {"list": "a b", "new": "y"}, {"new": "x", "list": "a c"}, False),
        ({"new": "x", "more": "z"}, {"list": "a"}, {"new": "x", "list": "a"}, False),
        ({"list": None}, {"list": "a b"}, {}, True),
    ],
)
def test_which_edits_are_the_same(
    files: dict[str, str | None], base: dict[str, str], head: dict[str, str], is_same: bool
) -> None:
    assert is_same_edit(files, tree(**base), tree(list="a"), tree(**head)) is is_same


def test_the_reason_comes_below_the_subject() -> None:
    message = made_again("title\n\nbody\n\nKey: value\n", "Because of it.")
    assert message == "title\n\nBecause of it.\n\nbody\n\nKey: value\n"
    assert parse_trailers(message) == {"Key": "value"}


@pytest.mark.parametrize(
    ("text", "added"),
    [
        ("resources:\n  - a\n  - c\n", "resources:\n  - a\n  - b\n  - c\n"),
        ("resources:\n- c # last\n- a\n", "resources:\n- c # last\n- a\n- b\n"),
        ("resources:\n  - z\n  - a\n  - y\n", "resources:\n  - z\n  - a\n  - b\n  - y\n"),
        ("resources:\n  # theirs\n  - c\n", "resources:\n  - b\n  # theirs\n  - c\n"),
        ("resources: # all\n  - c", "resources: # all\n  - b\n  - c"),
        ("resources:\n  - ../x\n  - a", "resources:\n  - ../x\n  - a\n  - b"),
        ("resources: [a, c]\n", "resources: [a, c, b]\n"),
        ("resources: [\n  a,\n  c]\n", "resources: [\n  a,\n  c, b]\n"),
        ("resources:\r\n  - a\r\n  - c\r\n", "resources:\r\n  - a\r\n  - b\r\n  - c\r\n"),
    ],
)
def test_a_line_goes_below_the_name_before_it(text: str, added: str) -> None:
    assert add_to_list(text, "resources", "b", "x", by_name=True) == added


def test_other_lists_grow_at_their_end() -> None:
    assert add_to_list("patches:\n  - path: c\n", "patches", "b", "x", item_key="path") == (
        "patches:\n  - path: c\n  - path: b\n"
    )
