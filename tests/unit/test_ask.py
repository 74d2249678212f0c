"""Asking: what is written, in which order, and that wrong input writes nothing."""

from __future__ import annotations

import itertools

import pytest

from mlflow_gitops.ask import Answer, Asker
from mlflow_gitops.errors import GitOpsError, RepositoryError, RequestError
from mlflow_gitops.planning.records import request_for
from mlflow_gitops.state import ModelVersion, Request, Selector, State
from mlflow_gitops.wish import Wish
from tests.support.memory_registry import MemoryRegistry
from tests.support.memory_session import Parts

MODEL = "fraud-detector"
PATH = f"models/overlays/production/{MODEL}/model-version.yaml"


@pytest.fixture
def parts() -> Parts:
    made = Parts()
    for _ in range(3):
        made.register(MODEL)
    return made


def ask(
    parts: Parts,
    number: str,
    *,
    environment: str = "production",
    dry_run: bool = False,
    **more: str,
) -> Answer:
    ids = (f"id-{n}" for n in itertools.count(len(parts.registry.writes)))
    asker = Asker(parts.session().reconciler, lambda: next(ids))
    wish = {"name": f"{environment}/{MODEL}", "model_uri": f"models:/{MODEL}/{number}", **more}
    return asker.ask(Wish(**wish), dry_run=dry_run)


def refused(parts: Parts, number: str = "1", **more: str) -> GitOpsError:
    before = parts.written()
    with pytest.raises(GitOpsError) as caught:
        ask(parts, number, **more)
    assert parts.written() == before, "wrong input writes nothing"
    return caught.value


def settings(parts: Parts, old: str, new: str) -> None:
    text = parts.repository.files()["mlflow-gitops.yaml"]
    assert old in text
    parts.repository.person_commits({"mlflow-gitops.yaml": text.replace(old, new)})


def test_the_request_is_recorded_then_selected_then_committed(parts: Parts) -> None:
    answer = ask(parts, "2", by="alice", reason="drift\nseen")
    assert parts.version("production", MODEL) == "2"
    assert parts.version("staging", MODEL) == ""
    assert (answer.before, answer.after.version if answer.after else "") == (None, "2")
    assert answer.commit == parts.repository.remote["main"]
    assert answer.after is not None
    assert answer.after.uri == "s3://models/fraud-detector/v2/"
    assert answer.digest.startswith("sha256:")
    assert "+    model-version:" in answer.diff
    writes = parts.registry.writes
    assert writes[:2] == ["gitops.request.production", "stage Production"]
    assert parts.registry.snapshot(MODEL).versions[1].stage == "Production"
    message = parts.repository.log()[0]
    assert "drift seen" in message
    assert "alice" in message


def test_what_stands_is_not_asked_for_again(parts: Parts) -> None:
    ask(parts, "2")
    before = parts.written()
    answer = ask(parts, "2")
    assert (answer.already, answer.commit, answer.diff) == (True, "", "")
    assert parts.written() == before


def test_a_dry_run_shows_the_commit_and_writes_nothing(parts: Parts) -> None:
    ask(parts, "1")
    before = parts.written()
    dry = ask(parts, "2", dry_run=True)
    assert parts.written() == before
    assert (dry.dry_run, dry.commit) == (True, "")
    assert ask(parts, "2").diff == dry.diff != ""


def test_back_to_an_older_version_is_a_request_like_any_other(parts: Parts) -> None:
    for number in ("1", "2", "1"):
        ask(parts, number)
        assert parts.version("production", MODEL) == number
    reconciled = parts.session().reconciler.reconcile(MODEL)
    assert [o.commit for o in reconciled] == ["", ""], "nothing is left to do"


def test_a_reverted_version_can_be_asked_for_again(parts: Parts) -> None:
    ask(parts, "1")
    parts.repository.revert(ask(parts, "2").commit)
    parts.session().reconciler.reconcile(MODEL)
    assert parts.version("production", MODEL) == "1", "the revert holds"
    answer = ask(parts, "2")
    assert parts.version("production", MODEL) == "2"
    assert answer.commit == parts.repository.remote["main"]


def test_git_that_says_so_already_gets_a_record_only(parts: Parts) -> None:
    ask(parts, "1")
    commit = ask(parts, "2").commit
    head = parts.repository.revert(commit)
    answer = ask(parts, "1")
    assert (answer.already, answer.commit, answer.state) == (False, "", State.COMMITTED)
    assert parts.repository.remote["main"] == head
    delivered = parts.registry.snapshot(MODEL).delivered["production"]
    assert delivered.request.version == "1"


@pytest.mark.parametrize(
    ("old", "new", "selector"),
    [
        ("{stage: Production}", "{alias: champion}", Selector("alias", "champion")),
        ("{stage: Production}", "{tag: {live: 'yes'}}", Selector("tag", "live", "yes")),
    ],
)
def test_an_alias_or_a_tag_is_moved_the_same_way(
    parts: Parts, old: str, new: str, selector: Selector
) -> None:
    settings(parts, old, new)
    for number in ("1", "3", "2", "3"):
        dry = ask(parts, number, dry_run=True)
        assert ask(parts, number).diff == dry.diff != ""
        assert parts.version("production", MODEL) == number
        version = parts.registry.snapshot(MODEL).version(number)
        assert version is not None
        assert selector.matches(version)


def test_versions_selected_without_a_record_were_there_before(parts: Parts) -> None:
    for number in ("1", "2"):
        parts.registry.transition(MODEL, number, "Production")
    (_, outcome) = parts.session().reconciler.reconcile(MODEL)
    assert outcome.state is State.AMBIGUOUS
    assert ask(parts, "3", dry_run=True).after is not None
    answer = ask(parts, "3")
    assert answer.after is not None
    assert answer.after.version == "3"
    (_, outcome) = parts.session().reconciler.reconcile(MODEL)
    assert (outcome.state, outcome.commit) == (State.COMMITTED, "")


def test_one_of_several_without_a_record_can_be_asked_for(parts: Parts) -> None:
    for number in ("1", "2"):
        parts.registry.transition(MODEL, number, "Production")
    assert ask(parts, "1").commit == parts.repository.remote["main"]
    assert parts.version("production", MODEL) == "1"


def test_a_clock_that_is_behind_does_not_lose_a_request(parts: Parts) -> None:
    ask(parts, "1")
    parts.time = "2026-11-23T09:00:00.000Z"
    ask(parts, "2")
    assert parts.version("production", MODEL) == "2"


def test_a_forged_time_is_told_and_nothing_is_written(parts: Parts) -> None:
    ask(parts, "1")
    forged = Request(id="forged", version="3", time="9999-12-31T23:59:59.999Z")
    version = parts.registry.snapshot(MODEL).versions[2]
    parts.registry.ask(version, "production", forged)
    parts.registry.transition(MODEL, "3", "Production")
    assert "version 2 is not delivered" in refused(parts, "2").what


class Eager(MemoryRegistry):
    """Here the service is faster: it reconciles as soon as the selector moved."""

    parts: Parts

    def select(
        self, version: ModelVersion, selector: Selector, request: Request | None = None
    ) -> None:
        MemoryRegistry.select(self, version, selector, request)
        self.parts.session().reconciler.reconcile(version.model)


def test_a_service_that_was_faster_made_the_same_one_commit() -> None:
    registry = Eager()
    parts = Parts(registry=registry)
    registry.parts = parts
    parts.register(MODEL)
    pushes = parts.repository.pushes
    answer = ask(parts, "1")
    assert parts.repository.pushes == pushes + 1
    assert answer.commit == parts.repository.remote["main"]
    assert "+    model-version:" in answer.diff


def test_a_push_that_is_refused_says_that_the_request_stands(parts: Parts) -> None:
    parts.repository.fail_next_push = RepositoryError("the branch is protected", hint="ask Paul")
    with pytest.raises(RepositoryError) as caught:
        ask(parts, "1")
    assert "the branch is protected" in caught.value.what
    assert "stays asked for" in caught.value.what
    assert caught.value.hint == "ask Paul"
    parts.session().reconciler.reconcile(MODEL)
    assert parts.version("production", MODEL) == "1"


def test_the_record_has_who_and_why_and_is_only_claimed(parts: Parts) -> None:
    ask(parts, "1", by="alice", reason="first")
    version = parts.registry.snapshot(MODEL).versions[0]
    environment = parts.session().settings().environments["production"]
    request = request_for(version, environment, b"key")
    assert request is not None
    assert (request.by, request.reason, request.signed) == ("alice", "first", False)


@pytest.mark.parametrize(
    ("more", "what"),
    [
        ({"model_uri": "models:/nobody/1", "name": "production/nobody"}, "no registered model"),
        ({"model_uri": f"models:/{MODEL}/9"}, "no version 9"),
        ({"model_uri": "runs:/x/model"}, "registered version"),
        ({"name": "prod/fraud-detector"}, "no environment `prod`"),
        ({"name": MODEL}, "2 environments take the model"),
        ({"flavor": "pytorch"}, "no flavor `pytorch`"),
        ({"by": "eve\x1b[31m"}, "control character"),
        ({"reason": "x" * 3000}, "3000 characters"),
    ],
)
def test_wrong_input_is_refused(parts: Parts, more: dict[str, str], what: str) -> None:
    assert what in refused(parts, **more).what


def test_a_version_that_is_not_ready_is_refused(parts: Parts) -> None:
    number = parts.register(MODEL, status="PENDING_REGISTRATION")
    assert "not READY" in refused(parts, number).what


def test_a_source_outside_the_allow_list_is_refused_unread(parts: Parts) -> None:
    parts.registry.create_version(MODEL, source="s3://somebody-elses/secrets")
    assert "somebody-elses" in str(refused(parts, "4"))
    assert "somebody-elses" in str(refused(parts, "4", flavor="sklearn"))


def test_files_that_could_not_be_loaded_are_refused(parts: Parts) -> None:
    number = parts.register(MODEL, files={"MLmodel": b"[", "model.pkl": b"x"})
    assert "MLmodel" in str(refused(parts, number))


def test_a_model_whose_name_is_no_label_is_refused_with_the_line_to_add(parts: Parts) -> None:
    parts.register("Fraud_Detector")
    error = refused(parts, name="production/Fraud_Detector", model_uri="models:/Fraud_Detector/1")
    assert "services:" in error.hint


def test_a_mapped_model_is_asked_for_by_either_name(parts: Parts) -> None:
    settings(parts, "services: {}", "services: {Fraud_Detector: fraud}")
    parts.register("Fraud_Detector")
    uri = "models:/Fraud_Detector/1"
    assert ask(parts, "1", name="production/fraud", model_uri=uri).service == "fraud"
    assert ask(parts, "1", name="production/Fraud_Detector", model_uri=uri).already
    assert parts.version("production", "fraud") == "1"


@pytest.mark.parametrize(
    ("path", "text", "what"),
    [
        ("models/overlays/production/kustomization.yaml", "resources: [\n", "kustomization.yaml"),
        ("mlflow-gitops.yaml", "environments: 3\n", "environments"),
        ("mlflow-gitops.yaml", None, "mlflow-gitops.yaml"),
    ],
)
def test_broken_manifests_and_settings_are_refused(
    parts: Parts, path: str, text: str | None, what: str
) -> None:
    parts.repository.person_commits({path: text})
    assert what in str(refused(parts))


def test_a_canary_of_a_persons_is_left_alone(parts: Parts) -> None:
    ask(parts, "1")
    text = parts.repository.files()[PATH]
    canary = text.replace("  predictor:\n", "  predictor:\n    canaryTrafficPercent: 10\n")
    assert canary != text
    parts.repository.person_commits({PATH: canary})
    error = refused(parts, "2")
    assert isinstance(error, RequestError)
    assert "canary" in error.what


def retire(parts: Parts, *, dry_run: bool = False, environment: str = "production") -> Answer:
    asker = Asker(parts.session().reconciler)
    return asker.retire(Wish(f"{environment}/{MODEL}", by="alice"), dry_run=dry_run)


def test_a_service_is_retired_and_stays_away_until_it_is_asked_for(parts: Parts) -> None:
    ask(parts, "2")
    ask(parts, "2", environment="staging")
    before = parts.written()
    dry = retire(parts, dry_run=True)
    assert parts.written() == before
    assert "deleted file" in dry.diff or "-    model-version" in dry.diff
    answer = retire(parts)
    assert (answer.state, answer.after) == (State.RETIRED, None)
    assert answer.commit == parts.repository.remote["main"]
    assert parts.version("production", MODEL) == ""
    assert parts.version("staging", MODEL) == "2", "the other environment is left alone"
    assert parts.registry.snapshot(MODEL).versions[1].stage == "Staging"
    for _ in range(2):
        assert [o.commit for o in parts.session().reconciler.reconcile(MODEL)] == ["", ""]
    assert ask(parts, "2").commit == parts.repository.remote["main"]
    assert parts.version("production", MODEL) == "2"


def test_what_is_not_there_is_not_retired(parts: Parts) -> None:
    before = parts.written()
    with pytest.raises(RequestError, match="Git has no service production/fraud-detector"):
        retire(parts)
    assert parts.written() == before


def test_a_person_who_brings_a_retired_service_back_is_right(parts: Parts) -> None:
    ask(parts, "2")
    parts.repository.revert(retire(parts).commit)
    outcomes = parts.session().reconciler.reconcile(MODEL)
    assert outcomes[1].state is State.HELD
    assert parts.version("production", MODEL) == "2"


def test_a_service_that_a_person_wrote_is_retired_too(parts: Parts) -> None:
    ask(parts, "1")
    for number in ("1", "2"):
        parts.registry.transition(MODEL, number, "Production")
    parts.registry.delete_model_tag(MODEL, "gitops.delivered.production")
    assert retire(parts).state is State.RETIRED
    assert parts.version("production", MODEL) == ""


def test_a_record_that_cannot_be_read_is_told_of(parts: Parts) -> None:
    ask(parts, "1")
    parts.registry.set_tag(MODEL, "2", "gitops.request.production", "please")
    parts.registry.transition(MODEL, "2", "Production")
    (_, production) = parts.session().reconciler.reconcile(MODEL)
    assert production.plan is not None
    assert "`gitops.request.production` of version 2 is passed over" in production.plan.notes[0]


def roll_back(parts: Parts, number: str, *, dry_run: bool = False) -> Answer:
    asker = Asker(parts.session().reconciler)
    wish = Wish(f"production/{MODEL}", f"models:/{MODEL}/{number}", action="rollback")
    return asker.ask(wish, dry_run=dry_run)


def test_a_rollback_names_what_it_undoes_and_refuses_the_version_that_it_leaves(
    parts: Parts,
) -> None:
    ask(parts, "1")
    bad = ask(parts, "2").commit
    before = parts.written()
    dry = roll_back(parts, "1", dry_run=True)
    assert parts.written() == before
    answer = roll_back(parts, "1")
    assert dry.diff == answer.diff != ""
    assert parts.version("production", MODEL) == "1"
    assert f"Undoes: {bad}" in parts.repository.log()[0]
    delivered = parts.registry.snapshot(MODEL).delivered["production"]
    assert delivered.refused == ("2",)
    parts.registry.transition(MODEL, "1", "Archived")
    parts.session().reconciler.reconcile(MODEL)
    assert parts.version("production", MODEL) == "1", "the refused version does not come back"


def test_a_rollback_to_what_is_not_there_whole_writes_nothing(parts: Parts) -> None:
    ask(parts, "1")
    ask(parts, "2")
    before = parts.written()
    with pytest.raises(RequestError, match="version 3 was never published"):
        roll_back(parts, "3")
    assert parts.written() == before
    parts.store.objects["s3://models/fraud-detector/v1/model.pkl"] = b"\x80\x04weightz"
    before = parts.written()
    with pytest.raises(GitOpsError, match=r"model\.pkl"):
        roll_back(parts, "1")
    assert parts.written() == before
    del parts.store.objects["s3://models/fraud-detector/v1/model.pkl"]
    before = parts.written()
    with pytest.raises(GitOpsError, match=r"model\.pkl"):
        roll_back(parts, "1")
    assert parts.written() == before
