"""Many services at once: one push for each branch, a commit and a fate of its own for each."""

from __future__ import annotations

import threading
from collections.abc import Mapping

import pytest

from mlflow_gitops.errors import GitOpsError, RepositoryError, RequestError, TransientError
from mlflow_gitops.outcome import Outcome
from mlflow_gitops.planning.records import status_of
from mlflow_gitops.planning.trailers import parse_trailers
from mlflow_gitops.ports import Progress
from mlflow_gitops.reconcile import Reconciler
from mlflow_gitops.state import Publication, Revision, State
from tests.support.memory_session import Parts
from tests.support.memory_store import MemoryArtifactStore

MODELS = [f"model-{number}" for number in range(6)]
LEAF = "models/overlays/production/{}/model-version.yaml"
LIST = "models/overlays/production/kustomization.yaml"


class Waiting:
    """A store that takes its time for one model."""

    def __init__(self, store: MemoryArtifactStore, slow: str) -> None:
        self.store, self.slow, self.go_on = store, slow, threading.Event()
        self.sealed, self.inspect, self.download = store.sealed, store.inspect, store.download

    def publish(self, publication: Publication, progress: Progress | None = None) -> Revision:
        if publication.model == self.slow:
            assert self.go_on.wait(60)
        return self.store.publish(publication, progress)


@pytest.fixture
def parts() -> Parts:
    """Six models without a service, each asked for in production."""
    made = Parts()
    for model in MODELS:
        ask(made, model, made.register(model))
    return made


@pytest.fixture
def running(parts: Parts) -> Parts:
    """Version 1 of each runs, version 2 is asked for."""
    deliver(parts)
    for model in MODELS:
        ask(parts, model, parts.register(model))
    parts.repository.pushes = 0
    return parts


def ask(parts: Parts, model: str, number: str, stage: str = "Production") -> None:
    parts.registry.transition(model, number, stage, archive_existing=True)


def deliver(parts: Parts, *models: str) -> Mapping[str, tuple[Outcome, ...] | GitOpsError]:
    work = dict.fromkeys(models or MODELS, ("production",))
    return parts.session().reconciler.reconcile_many(work)


def fates(found: Mapping[str, tuple[Outcome, ...] | GitOpsError]) -> dict[str, State]:
    assert not any(isinstance(each, GitOpsError) for each in found.values()), found
    return {model: each[0].state for model, each in found.items() if isinstance(each, tuple)}


def services(parts: Parts) -> list[str]:
    """Whose commits stand on main, oldest first."""
    found = (parse_trailers(m).get("Gitops-Service", "") for m in parts.repository.log())
    return [service.removeprefix("production/") for service in found if service][::-1]


def quiet(parts: Parts) -> None:
    """Every record tells the truth: nothing more is written, however often it is looked at."""
    before = (parts.written(), list(parts.registry.writes))
    for _ in range(3):
        deliver(parts)
    assert (parts.written(), parts.registry.writes) == before


def test_many_are_one_push_and_a_commit_each(running: Parts) -> None:
    found = deliver(running)
    assert set(fates(found).values()) == {State.COMMITTED}
    assert running.repository.pushes == 1
    assert services(running) == MODELS + MODELS
    commits = [each[0].commit for each in found.values() if isinstance(each, tuple)]
    assert len(set(commits)) == len(MODELS)
    for model, commit in zip(MODELS, commits, strict=True):
        record = running.registry.snapshot(model).delivered["production"]
        assert (record.commit, record.head) == (commit, commit)
        assert running.version("production", model) == "2"
    quiet(running)


def test_services_that_share_a_file_see_the_edits_before_them(parts: Parts) -> None:
    """Each is added to one list; each commit holds its own line only, and can be taken back."""
    found = deliver(parts)
    listed = parts.repository.files()[LIST]
    assert [line for line in listed.splitlines() if "model-" in line] == [
        f"  - {model}" for model in MODELS
    ]
    for model, each in found.items():
        assert isinstance(each, tuple)
        added = [x for x in each[0].diff.splitlines() if x.startswith(("+  - model-", "-  - "))]
        assert added == [f"+  - {model}"]
    quiet(parts)


def test_a_commit_of_a_batch_is_reverted_alone(running: Parts) -> None:
    found = deliver(running)
    middle = found[MODELS[2]]
    assert isinstance(middle, tuple)
    running.repository.revert(middle[0].commit)
    states = fates(deliver(running))
    assert states == {m: State.HELD if m == MODELS[2] else State.COMMITTED for m in MODELS}
    assert [running.version("production", m) for m in MODELS] == ["2", "2", "1", "2", "2", "2"]


def test_a_failure_is_its_own(running: Parts) -> None:
    bad, lost = MODELS[1], MODELS[4]
    running.repository.person_commits({LEAF.format(bad): "a: [b\n"})
    running.store.sources = {k: v for k, v in running.store.sources.items() if f"/{lost}/" not in k}
    states = fates(deliver(running, *MODELS))
    assert states == {m: State.FAILED if m in (bad, lost) else State.COMMITTED for m in MODELS}
    assert services(running)[6:] == [m for m in MODELS if m not in (bad, lost)]
    version = running.registry.snapshot(lost).version("2")
    status = status_of(version, "production") if version else None
    assert status is not None
    assert status.state is State.FAILED
    assert running.repository.pushes == 1


def test_a_model_that_is_not_there_stops_no_other(running: Parts) -> None:
    found = deliver(running, "nobody", *MODELS)
    assert isinstance(found["nobody"], RequestError)
    assert running.repository.pushes == 1
    assert running.version("production", MODELS[-1]) == "2"


def test_what_the_server_refuses_of_one_service_is_its_own(running: Parts) -> None:
    running.repository.refused = {LEAF.format(MODELS[3])}
    states = fates(deliver(running))
    assert states == {m: State.FAILED if m == MODELS[3] else State.COMMITTED for m in MODELS}
    running.repository.refused = set()
    assert set(fates(deliver(running)).values()) == {State.COMMITTED}
    quiet(running)


def test_a_branch_that_takes_nothing_is_not_tried_for_each(running: Parts) -> None:
    running.repository.refused = {LEAF.format(model) for model in MODELS}
    found = deliver(running)
    assert set(fates(found).values()) == {State.FAILED}
    for each in found.values():
        assert isinstance(each, tuple)
        assert isinstance(each[0].error, RepositoryError)
    assert running.repository.refusals <= 5


def test_a_head_that_moved_is_planned_again(running: Parts) -> None:
    """Somebody takes one service by hand, between our look and our push."""
    push = running.repository.push
    raced: list[str] = []

    def first_a_person(branch: str, base: str, edits: object) -> object:
        if not raced:
            text = running.repository.files()[LEAF.format(MODELS[2])]
            pinned = text.replace("/v1/", "/v7/").replace('"1"', '"7"')
            raced.append(running.repository.person_commits({LEAF.format(MODELS[2]): pinned}))
        return push(branch, base, edits)  # type: ignore[arg-type]

    running.repository.push = first_a_person  # type: ignore[method-assign, assignment]
    states = fates(deliver(running))
    assert set(states.values()) == {State.COMMITTED}
    assert running.repository.pushes == 1
    assert services(running) == MODELS + MODELS
    quiet(running)


def test_a_lost_answer_doubles_nothing(running: Parts) -> None:
    """The server took the push, and we do not know: nothing is recorded, Git tells it all."""
    running.repository.lose_next_answer = TransientError("the line is dead")
    found = deliver(running)
    assert set(fates(found).values()) == {State.FAILED}
    assert set(fates(deliver(running)).values()) == {State.COMMITTED}
    assert services(running) == MODELS + MODELS
    quiet(running)


def test_a_head_that_never_rests_is_given_up(running: Parts) -> None:
    push = running.repository.push

    def always_late(branch: str, base: str, edits: object) -> object:
        running.repository.person_commits({"note": str(len(running.repository.commits))})
        return push(branch, base, edits)  # type: ignore[arg-type]

    running.repository.push = always_late  # type: ignore[method-assign, assignment]
    found = deliver(running)
    for each in found.values():
        assert isinstance(each, tuple)
        assert isinstance(each[0].error, TransientError)
    assert running.repository.pushes == 0


def test_a_fetch_that_fails_between_is_everybodys_who_is_left(running: Parts) -> None:
    push = running.repository.push

    def late(branch: str, base: str, edits: object) -> object:
        running.repository.person_commits({"note": "x"})
        running.repository.fail_next_fetch = TransientError("the line is dead")
        return push(branch, base, edits)  # type: ignore[arg-type]

    running.repository.push = late  # type: ignore[method-assign, assignment]
    found = deliver(running)
    for each in found.values():
        assert isinstance(each, tuple)
        assert each[0].message == "the line is dead"


def test_environments_of_one_branch_share_its_push(running: Parts) -> None:
    for model in MODELS:
        ask(running, model, running.register(model), "Staging")
    running.repository.pushes = 0
    found = running.session().reconciler.reconcile_many(dict.fromkeys(MODELS))
    for each in found.values():
        assert isinstance(each, tuple)
        assert [o.key.environment for o in each] == ["staging", "production"]
        assert {o.state for o in each} == {State.COMMITTED}
    assert running.repository.pushes == 1
    assert [running.version("staging", m) for m in MODELS] == ["3"] * 6


def test_commits_and_pull_requests_go_together(running: Parts) -> None:
    """Production by pull requests, staging by commits: one push each."""
    text = running.repository.files()["mlflow-gitops.yaml"]
    head, production = text.split("  production:")
    production = production.replace("delivery: commit", "delivery: pull-request")
    running.repository.person_commits({"mlflow-gitops.yaml": f"{head}  production:{production}"})
    for model in MODELS:
        ask(running, model, running.register(model), "Staging")
    running.repository.pushes = 0
    found = running.session().reconciler.reconcile_many(dict.fromkeys(MODELS))
    for each in found.values():
        assert isinstance(each, tuple)
        assert [o.state for o in each] == [State.COMMITTED, State.PROPOSED]
    assert running.repository.pushes == 2
    assert len(running.forge.opened()) == len(MODELS)
    again = running.session().reconciler.reconcile_many(dict.fromkeys(MODELS))
    assert running.repository.pushes == 2
    assert {o.state for each in again.values() if isinstance(each, tuple) for o in each} == {
        State.COMMITTED,
        State.PROPOSED,
    }


def test_a_version_that_takes_long_holds_nobody_up(running: Parts) -> None:
    """The others are pushed, and told of, while it is still being copied."""
    told: list[str] = []
    session = running.session()
    store = Waiting(running.store, MODELS[2])
    reconciler = Reconciler(session.observer, store, pause=lambda _: None, publish_wait=0.1)

    def ended(model: str, result: object) -> None:
        told.append(model)
        if len(told) == len(MODELS) - 1:
            store.go_on.set()

    work = dict.fromkeys(MODELS, ("production",))
    found = reconciler.reconcile_many(work, ended)
    assert set(fates(found).values()) == {State.COMMITTED}
    assert told[-1] == MODELS[2]
    assert sorted(told) == MODELS
    quiet(running)


def test_proposals_are_one_push_and_each_has_its_own_fate(running: Parts) -> None:
    """One branch is refused, and one was written to meanwhile."""
    running.by_pull_requests()
    branches = [f"mlflow-gitops/production/{model}" for model in MODELS]
    running.repository.refused = {branches[1]}
    running.repository.pushes = 0
    states = fates(deliver(running))
    assert states == {m: State.FAILED if m == MODELS[1] else State.PROPOSED for m in MODELS}
    assert running.repository.pushes == 1
    assert sorted(p.branch for p in running.forge.opened()) == sorted({*branches} - {branches[1]})
    running.repository.refused = set()
    assert set(fates(deliver(running)).values()) == {State.PROPOSED}
    assert len(running.forge.opened()) == len(MODELS)
    quiet(running)


def test_a_forge_that_fails_in_the_middle_opens_none_twice(running: Parts) -> None:
    running.by_pull_requests()
    opened = running.forge.open

    def fail_at_the_fourth(*args: object) -> object:
        if len(running.forge.pulls) == 3:
            raise TransientError("the forge is down")
        return opened(*args)  # type: ignore[arg-type]

    running.forge.open = fail_at_the_fourth  # type: ignore[method-assign, assignment]
    states = list(fates(deliver(running)).values())
    assert states == [State.PROPOSED] * 3 + [State.FAILED] * 3
    running.forge.open = opened  # type: ignore[method-assign]
    assert set(fates(deliver(running)).values()) == {State.PROPOSED}
    assert len(running.forge.pulls) == len(MODELS)
    quiet(running)
