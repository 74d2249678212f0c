"""Services whose server needs the files in another layout: what is committed, and that it stays."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mlflow_gitops.ask import Asker
from mlflow_gitops.errors import RequestError
from mlflow_gitops.state import Delivered, State
from mlflow_gitops.wish import Wish
from tests.support.laid_out import base_files, model_files
from tests.support.memory_session import Parts

MODEL = "digits"
MLFLOW = "mlflow\n      protocolVersion: v2"
LEAF = "models/overlays/production/digits/model-version.yaml"


@pytest.fixture
def parts() -> Parts:
    """A base for TensorFlow's server, and no environment that lists it yet."""
    made = Parts()
    made.repository.person_commits(base_files(MODEL))
    return made


def register(parts: Parts) -> str:
    files = model_files(f"weights {len(parts.store.sources)}")
    return parts.register(MODEL, files=files)


def promote(parts: Parts, number: str) -> State:
    parts.registry.transition(MODEL, number, "Production", archive_existing=True)
    return reconcile(parts)


def reconcile(parts: Parts) -> State:
    (outcome,) = parts.session().reconciler.reconcile(MODEL, only=["production"])
    assert outcome.error is None, outcome.error
    return outcome.state


def roll_back(parts: Parts, number: str) -> None:
    wish = Wish(f"production/{MODEL}", f"models:/{MODEL}/{number}", action="rollback")
    Asker(parts.session().reconciler).ask(wish)


def uri(parts: Parts) -> str:
    text = parts.repository.files()[LEAF]
    line = next(line for line in text.splitlines() if "storageUri:" in line)
    return line.split(": ")[1]


def delivered(parts: Parts) -> Delivered:
    found = parts.session().registry.snapshot(MODEL).delivered["production"]
    assert found is not None
    return found


def assert_stands(parts: Parts) -> None:
    """Nothing is written any more, anywhere, and nothing is called drift."""
    stands = parts.written()
    assert reconcile(parts) is State.COMMITTED
    assert parts.written() == stands
    assert not parts.session().reconciler.survey().work
    drift = parts.cli("drift")
    assert drift.exit_code == 0, drift.output


def test_the_published_and_committed_path_is_the_layouts(parts: Parts) -> None:
    assert promote(parts, register(parts)) is State.COMMITTED
    assert uri(parts) == "s3://models/digits/v1-nest/"
    assert parts.version("production", MODEL) == "1"
    assert {key.removeprefix("s3://models/digits/") for key in parts.store.objects} == {
        "_manifests/v1-nest.claim.json",
        "_manifests/v1-nest.json",
        "v1-nest/1/saved_model.pb",
        "v1-nest/1/variables/variables.index",
        "v1-nest/MLmodel",
    }
    assert delivered(parts).spec == replace(
        delivered(parts).spec, uri="s3://models/digits/v1-nest/"
    )
    told = parts.registry.tags(MODEL, "1")["gitops.status.production"]
    assert "s3://models/digits/v1-nest/" in told
    assert_stands(parts)


def test_a_lost_record_is_read_from_git_again(parts: Parts) -> None:
    promote(parts, register(parts))
    before = delivered(parts)
    parts.registry.delete_model_tag(MODEL, "gitops.delivered.production")
    assert reconcile(parts) is State.COMMITTED
    assert delivered(parts).spec == before.spec
    assert_stands(parts)


def test_back_and_forth_and_back_by_request(parts: Parts) -> None:
    for _ in range(2):
        promote(parts, register(parts))
    assert uri(parts) == "s3://models/digits/v2-nest/"
    roll_back(parts, "1")
    assert uri(parts) == "s3://models/digits/v1-nest/"
    assert_stands(parts)
    assert promote(parts, "2") is State.COMMITTED
    assert uri(parts) == "s3://models/digits/v2-nest/"
    assert_stands(parts)


def test_a_version_whose_source_is_gone_is_gone_back_to(parts: Parts) -> None:
    for _ in range(2):
        promote(parts, register(parts))
    location = next(iter(parts.store.sources))
    del parts.store.sources[location]
    roll_back(parts, "1")
    assert uri(parts) == "s3://models/digits/v1-nest/"
    assert_stands(parts)
    assert promote(parts, "2") is State.COMMITTED
    assert promote(parts, "1") is State.COMMITTED, "asked for in the registry, it is there too"
    assert uri(parts) == "s3://models/digits/v1-nest/"


def test_what_was_never_published_is_not_gone_back_to(parts: Parts) -> None:
    never = register(parts)
    promote(parts, register(parts))
    stands = parts.written()
    with pytest.raises(RequestError, match="never published"):
        roll_back(parts, never)
    assert parts.written() == stands


def test_a_revert_holds(parts: Parts) -> None:
    promote(parts, register(parts))
    first = parts.repository.files()[LEAF]
    promote(parts, register(parts))
    parts.repository.person_commits({LEAF: first})
    assert reconcile(parts) is State.HELD
    stands = parts.written()
    assert reconcile(parts) is State.HELD
    assert parts.written() == stands
    for number in ("1", "2"):  # what stands is told that it does
        assert '"held"' in parts.registry.tags(MODEL, number)["gitops.status.production"]
    asked = Asker(parts.session().reconciler).ask(Wish(f"production/{MODEL}", f"models:/{MODEL}/2"))
    assert asked.after is not None
    assert asked.after.uri == uri(parts) == "s3://models/digits/v2-nest/"
    assert_stands(parts)


def test_another_server_gets_the_layout_that_it_needs(parts: Parts) -> None:
    number = register(parts)
    promote(parts, number)
    parts.repository.person_commits(base_files(MODEL, MLFLOW))
    assert_stands(parts)
    promote(parts, register(parts))
    assert uri(parts) == "s3://models/digits/v2/"
    promote(parts, number)
    assert uri(parts) == "s3://models/digits/v1/"
    assert_stands(parts)


def test_a_person_writes_the_path_that_another_server_needs(parts: Parts) -> None:
    promote(parts, register(parts))
    leaf = parts.repository.files()[LEAF].replace("v1-nest", "v1")
    parts.repository.person_commits({**base_files(MODEL, MLFLOW), LEAF: leaf})
    assert reconcile(parts) is State.COMMITTED
    assert "s3://models/digits/_manifests/v1.json" in parts.store.objects
    assert uri(parts) == "s3://models/digits/v1/"
    assert_stands(parts)


def test_a_pull_request_proposes_the_layouts_path(parts: Parts) -> None:
    parts.by_pull_requests()
    parts.registry.transition(MODEL, register(parts), "Production")
    assert reconcile(parts) is State.PROPOSED
    (pull,) = parts.forge.pulls.values()
    assert "s3://models/digits/v1-nest/" in pull.body
    assert "| layout | nest |" in pull.body
    spec = delivered(parts).spec
    assert spec is not None
    assert spec.uri == "s3://models/digits/v1-nest/"
    stands = parts.written()
    assert reconcile(parts) is State.PROPOSED
    assert parts.written() == stands
    parts.forge.merge(pull.number)
    for _ in range(2):  # the merge commit is told with the second look
        assert reconcile(parts) is State.COMMITTED
    assert uri(parts) == "s3://models/digits/v1-nest/"
    assert_stands(parts)


def test_an_opened_pull_request_that_was_not_recorded_is_found_with_its_path(parts: Parts) -> None:
    parts.by_pull_requests()
    parts.registry.transition(MODEL, register(parts), "Production")
    assert reconcile(parts) is State.PROPOSED
    before = delivered(parts)
    parts.registry.delete_model_tag(MODEL, "gitops.delivered.production")
    assert reconcile(parts) is State.PROPOSED
    assert delivered(parts).spec == before.spec
    assert len(parts.forge.pulls) == 1


def test_the_gates_compare_with_a_version_that_is_laid_out(parts: Parts) -> None:
    parts.by_pull_requests()
    for _ in range(2):
        parts.registry.transition(MODEL, register(parts), "Production", archive_existing=True)
        assert reconcile(parts) is State.PROPOSED
        newest = max(parts.forge.pulls)
        if newest == 1:
            parts.forge.merge(newest)
            assert reconcile(parts) is State.COMMITTED
    assert "cannot be read" not in parts.forge.pulls[2].body
    assert "| layout | nest | nest |" in parts.forge.pulls[2].body


def test_a_dry_run_names_the_path_and_writes_nothing(parts: Parts) -> None:
    number = register(parts)
    stands = parts.written()
    wish = Wish(f"production/{MODEL}", f"models:/{MODEL}/{number}")
    answer = Asker(parts.session().reconciler).ask(wish, dry_run=True)
    assert "+      storageUri: s3://models/digits/v1-nest/" in answer.diff
    assert parts.written() == stands


def test_what_git_has_in_a_layout_that_does_not_load_is_told_with_the_right_path(
    parts: Parts,
) -> None:
    promote(parts, register(parts))
    wrong = parts.repository.files()[LEAF].replace("v1-nest/", "v2/").replace('"1"', '"2"')
    parts.repository.person_commits({LEAF: wrong})
    parts.registry.transition(MODEL, register(parts), "Production", archive_existing=True)
    (outcome,) = parts.session().reconciler.reconcile(MODEL, only=["production"])
    assert outcome.error is not None
    assert "would not load as Git has them" in outcome.error.what
    assert "s3://models/digits/v2-nest/" in outcome.error.hint
