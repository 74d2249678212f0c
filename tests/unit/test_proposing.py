"""Delivery by pull requests: one for each service, and a person's decision in it sticks."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace

import pytest

from mlflow_gitops.ask import Asker
from mlflow_gitops.errors import ForgeError, TransientError
from mlflow_gitops.outcome import Outcome
from mlflow_gitops.planning.marker import marker, read_marker
from mlflow_gitops.planning.proposing import lacks, restored, until_next_look
from mlflow_gitops.planning.records import status_of
from mlflow_gitops.planning.trailers import parse_trailers
from mlflow_gitops.pull_requests import WITHDRAWN, Draft, PullRequest
from mlflow_gitops.render import answer_fields, answer_text
from mlflow_gitops.runs import RunFacts
from mlflow_gitops.service import ServiceReconciler
from mlflow_gitops.state import Delivered, Request, State
from mlflow_gitops.wish import Wish
from tests.support.memory_session import Parts

MODEL = "fraud-detector"
LATER = "2026-11-23T10:05:00.000Z"
BRANCH = f"mlflow-gitops/production/{MODEL}"


@pytest.fixture
def parts() -> Parts:
    made = Parts()
    for _ in range(4):
        made.register(MODEL)
    made.by_pull_requests()
    return made


@pytest.fixture
def proposed(parts: Parts) -> Parts:
    """Version 1 runs, version 2 is proposed as #2."""
    move(parts, "1")
    parts.forge.merge(1)
    look(parts)
    move(parts, "2")
    assert [p.number for p in parts.forge.opened()] == [2]
    return parts


def look(parts: Parts) -> Outcome:
    return next(o for o in everywhere(parts) if o.key.environment == "production")


def everywhere(parts: Parts) -> tuple[Outcome, ...]:
    return parts.session().reconciler.reconcile(MODEL)


def move(parts: Parts, number: str) -> Outcome:
    for version in parts.registry.snapshot(MODEL).versions:
        if version.stage == "Production":
            parts.registry.transition(MODEL, version.number, "Archived")
    parts.registry.transition(MODEL, number, "Production")
    return look(parts)


def told(parts: Parts, number: str) -> tuple[State, str]:
    version = parts.registry.snapshot(MODEL).version(number)
    status = status_of(version, "production") if version else None
    assert status is not None
    return status.state, status.message


def record(parts: Parts) -> Delivered:
    return parts.registry.snapshot(MODEL).delivered["production"]


def quiet(parts: Parts, looks: int = 5) -> None:
    """Nothing more is written anywhere, however often it is looked at."""
    look(parts)
    before = (parts.written(), repr(parts.forge.pulls), list(parts.registry.writes))
    for _ in range(looks):
        look(parts)
    assert (parts.written(), repr(parts.forge.pulls), list(parts.registry.writes)) == before


def test_a_version_is_proposed_once_and_nothing_is_committed(parts: Parts) -> None:
    head = parts.repository.remote["main"]
    outcome = move(parts, "1")
    (pull,) = parts.forge.opened()
    assert outcome.state is State.PROPOSED
    assert outcome.pull == pull
    assert pull.url in outcome.message
    assert (pull.branch, pull.base, pull.labels) == (BRANCH, "main", ("ml",))
    assert pull.title == f"production: deploy {MODEL} v1"
    assert parts.repository.remote["main"] == head
    message = parts.repository.commits[pull.head].message
    assert parse_trailers(message)["Gitops-Service"] == f"production/{MODEL}"
    assert told(parts, "1")[0] is State.PROPOSED
    assert record(parts).pull == 1
    assert record(parts).is_proposed
    quiet(parts)


def test_a_merge_is_the_delivery(proposed: Parts) -> None:
    made = proposed.forge.merge(2)
    outcome = look(proposed)
    assert outcome.state is State.COMMITTED
    assert proposed.version("production", MODEL) == "2"
    assert (record(proposed).pull, record(proposed).commit) == (2, made)
    assert told(proposed, "2")[0] is State.COMMITTED
    assert told(proposed, "1")[0] is State.SUPERSEDED
    quiet(proposed)


def test_a_merge_that_git_does_not_show_yet_is_waited_for(
    proposed: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The forge is asked after the fetch: then it is fetched again, and not taken for a revert."""
    session = proposed.session()
    get = proposed.forge.get
    merged: list[str] = []

    def merged_meanwhile(number: int) -> PullRequest:
        if not merged:
            merged.append("")
            merged.append(proposed.forge.merge(number))
        return get(number)

    monkeypatch.setattr(proposed.forge, "get", merged_meanwhile)
    outcomes = session.reconciler.reconcile(MODEL)
    (outcome,) = (o for o in outcomes if o.key.environment == "production")
    assert outcome.state is State.COMMITTED


def test_a_closed_one_is_rejected_and_not_opened_again(proposed: Parts) -> None:
    proposed.forge.close(2, by="rita", comment="recall is worse @all closes #3")
    outcome = look(proposed)
    assert outcome.state is State.REJECTED
    assert "closed by rita" in outcome.message
    assert "recall is worse @ all closes # 3" in outcome.message
    assert told(proposed, "2")[0] is State.REJECTED
    assert record(proposed).refused == ("2",)
    quiet(proposed)
    assert proposed.forge.opened() == []


def test_a_rejected_one_is_opened_again_when_it_is_asked_for_again(proposed: Parts) -> None:
    proposed.forge.close(2)
    look(proposed)
    proposed.registry.transition(MODEL, "2", "Archived")
    look(proposed)
    proposed.registry.transition(MODEL, "2", "Production")
    assert look(proposed).state is State.PROPOSED
    assert [p.number for p in proposed.forge.opened()] == [3]
    assert record(proposed).refused == ()


def test_a_rejected_one_that_is_reopened_waits_again(proposed: Parts) -> None:
    proposed.forge.close(2)
    look(proposed)
    proposed.forge.reopen(2)
    assert look(proposed).state is State.PROPOSED
    proposed.forge.merge(2)
    assert look(proposed).state is State.COMMITTED
    assert record(proposed).refused == ()


def test_a_newer_version_supersedes_it_in_place(proposed: Parts) -> None:
    before = proposed.forge.opened()[0].head
    move(proposed, "3")
    (pull,) = proposed.forge.opened()
    assert pull.number == 2
    assert pull.head != before
    assert pull.title == f"production: {MODEL} v1 -> v3"
    assert told(proposed, "3")[0] is State.PROPOSED
    assert told(proposed, "2")[0] is State.SUPERSEDED
    assert told(proposed, "1")[0] is State.COMMITTED
    quiet(proposed)


def approved(parts: Parts) -> None:
    parts.forge.approve(2)


def extended(parts: Parts) -> None:
    parts.repository.person_commits({"README.md": "by hand"}, "More", BRANCH)


def half_withdrawn(parts: Parts) -> None:
    """It was labelled, and then the forge was down."""
    pull = parts.forge.pulls[2]
    parts.forge.pulls[2] = replace(pull, labels=(*pull.labels, WITHDRAWN))


@pytest.mark.parametrize("touched", [approved, extended, half_withdrawn])
def test_what_people_touched_is_withdrawn_and_not_rewritten(
    proposed: Parts, touched: Callable[[Parts], None]
) -> None:
    touched(proposed)
    head = proposed.forge.opened()[0].head
    move(proposed, "3")
    old, new = proposed.forge.pulls[2], proposed.forge.pulls[3]
    assert (old.state, old.head) == ("closed", head)
    assert WITHDRAWN in old.labels
    assert "version 3" in proposed.forge.comments[2][0]
    assert (new.state, new.title) == ("open", f"production: {MODEL} v1 -> v3")
    assert record(proposed).pull == 3
    quiet(proposed)


def test_an_approval_of_an_older_head_does_not_count(proposed: Parts) -> None:
    approved(proposed)
    move(proposed, "3")
    move(proposed, "4")
    assert [p.number for p in proposed.forge.opened()] == [3]


def test_back_to_what_runs_withdraws_it(proposed: Parts) -> None:
    outcome = move(proposed, "1")
    assert outcome.state is State.COMMITTED
    assert proposed.forge.opened() == []
    assert WITHDRAWN in proposed.forge.pulls[2].labels
    assert proposed.version("production", MODEL) == "1"
    quiet(proposed)


def test_a_conflict_is_resolved_on_the_new_base(proposed: Parts) -> None:
    leaf = f"models/overlays/production/{MODEL}/model-version.yaml"
    text = proposed.repository.files()[leaf]
    proposed.repository.person_commits({leaf: f"# owned by risk\n{text}"})
    proposed.forge.says_conflict(2)
    outcome = look(proposed)
    (pull,) = proposed.forge.opened()
    assert outcome.state is State.PROPOSED
    assert pull.number == 2
    assert proposed.repository.commits[pull.head].parent == proposed.repository.remote["main"]
    assert proposed.repository.commits[pull.head].files[leaf].startswith("# owned by risk")
    proposed.forge.says_conflict(2)  # it is told late: nothing is made again
    quiet(proposed)


def test_a_merge_that_is_reverted_is_held(proposed: Parts) -> None:
    proposed.repository.revert(proposed.forge.merge(2))
    assert look(proposed).state is State.HELD
    quiet(proposed)
    assert proposed.version("production", MODEL) == "1"


def test_a_revert_after_the_merge_was_seen_is_held(proposed: Parts) -> None:
    made = proposed.forge.merge(2)
    look(proposed)
    proposed.repository.revert(made)
    assert look(proposed).state is State.HELD
    quiet(proposed)


@pytest.mark.parametrize("state", ["open", "closed"])
def test_a_lost_tag_opens_no_second_one(proposed: Parts, state: str) -> None:
    if state == "closed":
        proposed.forge.close(2)
    proposed.registry.delete_model_tag(MODEL, "gitops.delivered.production")
    outcome = look(proposed)
    assert outcome.state is (State.PROPOSED if state == "open" else State.REJECTED)
    assert len(proposed.forge.pulls) == 2
    assert record(proposed).pull == 2
    quiet(proposed)


def test_a_crash_between_branch_and_pull_request_ends_in_one(parts: Parts) -> None:
    move(parts, "1")
    del parts.forge.pulls[1]
    parts.registry.delete_model_tag(MODEL, "gitops.delivered.production")
    assert look(parts).state is State.PROPOSED
    assert len(parts.forge.opened()) == 1


def test_a_service_is_retired_by_a_pull_request(proposed: Parts) -> None:
    proposed.forge.merge(2)
    look(proposed)
    version = proposed.registry.snapshot(MODEL).version("2")
    assert version is not None
    wish = Request("r1", "2", action="retire", time="2026-11-23T10:00:01.000Z", by="alice")
    proposed.registry.ask(version, "production", wish)
    outcome = look(proposed)
    (pull,) = proposed.forge.opened()
    assert (outcome.state, pull.title) == (State.PROPOSED, f"production: retire {MODEL} v2")
    assert {each.verdict for each in proposed.forge.statuses[pull.head]} == {"success"}
    quiet(proposed)
    assert proposed.version("production", MODEL) == "2"
    proposed.forge.merge(pull.number)
    assert look(proposed).state is State.RETIRED
    assert proposed.version("production", MODEL) == ""
    quiet(proposed)


def test_who_asks_gets_the_address(proposed: Parts) -> None:
    proposed.time = LATER
    asker = Asker(proposed.session().reconciler)
    wish = Wish(f"production/{MODEL}", f"models:/{MODEL}/3", by="alice", reason="better recall")
    before = (proposed.written(), repr(proposed.forge.pulls))
    foreseen = asker.ask(wish, dry_run=True)
    assert (proposed.written(), repr(proposed.forge.pulls)) == before
    assert "1 -> 3: would be proposed to main" in answer_text(foreseen)
    answer = asker.ask(wish)
    assert (answer.state, answer.pull) == (State.PROPOSED, proposed.forge.pulls[2].url)
    assert f"1 -> 3: proposed to main: {answer.pull}" in answer_text(answer)
    assert answer_fields(answer)["pull_request"] == answer.pull
    assert "better recall" in proposed.repository.commits[proposed.forge.pulls[2].head].message


def test_a_rollback_is_proposed_and_names_what_it_undoes(proposed: Parts) -> None:
    made = proposed.forge.merge(2)
    look(proposed)
    proposed.time = LATER
    wish = Wish(f"production/{MODEL}", f"models:/{MODEL}/1", action="rollback")
    answer = Asker(proposed.session().reconciler).ask(wish)
    (pull,) = proposed.forge.opened()
    assert answer.pull == pull.url
    assert pull.title == f"production: rollback {MODEL} v2 -> v1 (undoes {made[:12]})"
    assert record(proposed).refused == ("2",)


@pytest.mark.parametrize(
    "failure",
    [TransientError("the forge is down"), ForgeError("the token is refused", where="forge")],
)
def test_a_forge_that_fails_stops_only_who_needs_it(
    proposed: Parts, failure: TransientError | ForgeError
) -> None:
    proposed.forge.failure = failure
    assert look(proposed).error is failure
    proposed.forge.failure = None
    assert look(proposed).state is State.PROPOSED


def test_a_withdrawn_ones_branch_goes_away(proposed: Parts) -> None:
    assert BRANCH in proposed.repository.remote
    move(proposed, "1")
    assert WITHDRAWN in proposed.forge.pulls[2].labels
    assert BRANCH not in proposed.repository.remote
    assert "kept" not in proposed.forge.comments[2][0]
    move(proposed, "3")
    assert [p.number for p in proposed.forge.opened()] == [3]


def test_a_withdrawn_ones_branch_stays_where_people_wrote_to_it(proposed: Parts) -> None:
    theirs = proposed.repository.person_commits({"note.txt": "mine"}, "By hand", BRANCH)
    move(proposed, "1")
    assert WITHDRAWN in proposed.forge.pulls[2].labels
    assert proposed.repository.remote[BRANCH] == theirs
    assert "Its branch is kept: it holds a commit that" in proposed.forge.comments[2][0]


def test_a_service_without_a_proposal_asks_no_forge(proposed: Parts) -> None:
    proposed.forge.merge(2)
    look(proposed)
    asked = proposed.forge.asked
    look(proposed)
    assert proposed.forge.asked == asked


def test_somebody_who_writes_to_the_branch_meanwhile_is_not_overwritten(proposed: Parts) -> None:
    """Pushed after our fetch, before our push: looked at again, then withdrawn."""
    session = proposed.session()
    push = proposed.repository.propose
    raced: list[str] = []

    def propose(pushes: object) -> object:
        if not raced:
            raced.append(proposed.repository.person_commits({"a": "b"}, "By hand", BRANCH))
        return push(pushes)  # type: ignore[arg-type]

    proposed.repository.propose = propose  # type: ignore[method-assign, assignment]
    proposed.registry.transition(MODEL, "2", "Archived")
    proposed.registry.transition(MODEL, "3", "Production")
    session.reconciler.reconcile(MODEL)
    assert proposed.forge.pulls[2].head == raced[0]
    assert WITHDRAWN in proposed.forge.pulls[2].labels
    assert [p.number for p in proposed.forge.opened()] == [3]


def test_the_service_looks_again_while_one_is_open(proposed: Parts) -> None:
    service = ServiceReconciler(proposed.session().reconciler)
    assert service.reconcile(MODEL, reason="event") == 600  # the forge tells no times here
    assert tuple(service.resync()) == (MODEL,)
    proposed.forge.close(2)
    assert service.reconcile(MODEL, reason="event") is None
    assert tuple(service.resync()) == ()


@pytest.mark.parametrize(
    ("updated", "seconds"),
    [
        ("2026-11-23T09:59:50Z", 30),
        ("2026-11-23T09:56:00Z", 60),
        ("2026-11-20T09:56:00Z", 600),
        ("", 600),
        ("yesterday", 600),
        ("2026-11-23T09:56:00", 600),
    ],
)
def test_the_longer_nothing_happens_the_rarer_it_is_looked_at(updated: str, seconds: int) -> None:
    pull = PullRequest(1, "", "open", BRANCH, "main", "", updated=updated)
    assert until_next_look(pull, "2026-11-23T10:00:00.000Z") == seconds


def test_a_marker_is_read_back_whatever_it_holds() -> None:
    values = {"request": "--><b>&\n}", "service": "production/a"}
    older = marker({"request": "older"})
    text = f"Hello\r\n{older}\n\n{marker(values)}\r\n<!-- mlflow-gitops {{x}} -->"
    assert read_marker(text) == values
    assert "--><b>" not in marker(values)
    assert read_marker("nothing") == {}


@pytest.mark.parametrize(
    "damage",
    [
        "<!-- mlflow-gitops {cut",
        "<!-- mlflow-gitops {x} -->",
        "<!-- mlflow-gitops " + '{"a":' * 5000,
    ],
)
def test_a_damaged_marker_hides_no_other(damage: str) -> None:
    good = marker({"request": "r1"})
    assert read_marker(f"{damage}\n{good}") == {"request": "r1"}
    assert read_marker(f"{good}\n{damage} -->") == {"request": "r1"}


def test_the_hold_that_was_ended_is_told_by_what_replaces_the_pull_request(parts: Parts) -> None:
    """Version 2 was rejected; 3 ends that, and is replaced by 4 before anybody merged it."""
    move(parts, "1")
    parts.forge.merge(1)
    look(parts)
    move(parts, "2")
    parts.forge.close(2, comment="too slow")
    look(parts)
    move(parts, "3")
    assert "too slow" in parts.forge.pulls[3].body
    move(parts, "4")
    (pull,) = parts.forge.opened()
    assert (pull.number, pull.title) == (3, "production: fraud-detector v1 -> v4")
    assert "A hold was in force" in pull.body
    assert "too slow" in pull.body
    parts.forge.approve(3)
    move(parts, "2")
    (pull,) = parts.forge.opened()
    assert pull.number == 4
    assert "too slow" in pull.body
    head = parts.repository.remote[pull.branch]
    assert "A hold was in force" in parts.repository.commits[head].message


def test_looking_again_edits_no_pull_request(proposed: Parts) -> None:
    before = proposed.forge.pulls[2]
    look(proposed)
    assert proposed.forge.pulls[2] == before


def test_what_is_known_only_later_is_told_in_the_open_pull_request(proposed: Parts) -> None:
    """A person's words in the text stay until there is something else to say."""
    pull = proposed.forge.pulls[2]
    proposed.forge.pulls[2] = replace(pull, body=f"Rita: looks good\n\n{pull.body}")
    look(proposed)
    assert proposed.forge.pulls[2].body.startswith("Rita: looks good")
    head = proposed.repository.remote[BRANCH]
    proposed.registry.runs[""] = RunFacts(metrics={"auc": 0.9})
    look(proposed)
    assert "| `auc` | 0.9 | 0.9 |" in proposed.forge.pulls[2].body
    assert read_marker(proposed.forge.pulls[2].body)["request"]
    assert proposed.repository.remote[BRANCH] == head
    proposed.forge.failure = ForgeError("the forge refuses the token")
    outcome = look(proposed)
    assert outcome.error is not None  # the pull request itself cannot be looked at


TEXT = "Version 2\n\n/approve | 0.85 |"
MARK = marker({"text": hashlib.sha256(TEXT.encode()).hexdigest()[:16]})
SAID = f"{TEXT}\n\n{MARK}"
WANTED = Draft("v1 -> v2", f"{TEXT}\n\n{marker({'text': 'other'})}")


@pytest.mark.parametrize(
    ("title", "body"),
    [
        (WANTED.title, SAID),
        ("Draft: v1 ->  v2 (ML-7)", f"On it\r\n{SAID}\r\nThanks"),
        (WANTED.title, SAID.replace("\n", "\r\n").replace("/approve", "\\/approve")),
    ],
)
def test_what_people_and_forges_add_stays(title: str, body: str) -> None:
    pull = PullRequest(1, "", "open", BRANCH, "main", "", title, body)
    found = restored(pull, WANTED, TEXT)
    assert (found.title, found.body) == (title, body)
    assert not lacks(pull, found)


@pytest.mark.parametrize(
    ("title", "body", "again"),
    [
        ("v1 -> v3", SAID, SAID),
        (WANTED.title, "", WANTED.body),
        (WANTED.title, MARK, WANTED.body),
        (WANTED.title, SAID.replace("0.85", "0.95"), WANTED.body),
        (WANTED.title, f"{TEXT}\n\n{marker({'text': 'older'})}", WANTED.body),
    ],
)
def test_what_people_take_away_comes_back(title: str, body: str, again: str) -> None:
    pull = PullRequest(1, "", "open", BRANCH, "main", "", title, body)
    found = restored(pull, WANTED, TEXT)
    assert (found.title, found.body) == (WANTED.title, again)
    assert lacks(pull, found)
