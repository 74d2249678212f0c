"""Real histories, over a real MLflow, real S3 and real Git: what people do, and what must follow.

Each step is a person's act, then a reconcile as the service or the resync would do it. The
reconciler starts anew each time, so nothing is remembered but what is stored.
"""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from mlflow_gitops.ask import Asker
from mlflow_gitops.errors import RequestError
from mlflow_gitops.state import State
from mlflow_gitops.wish import Wish
from tests.support.stack import LEAF, Stack

pytestmark = pytest.mark.slow

Names = Callable[[str], str]


@pytest.fixture(params=["stack", "plain_stack"], ids=["plugin", "plain"])
def either(request: pytest.FixtureRequest) -> Stack:
    """The history runs with the server plugin and without it."""
    found: Stack = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def model(names: Names) -> str:
    return names("fraud")


def promote(stack: Stack, model: str, version: str, stage: str = "Production", **how: bool) -> str:
    """Move the stage and reconcile; the version has to be committed. Returns the head."""
    stack.registry.transition(model, version, stage, **how)
    outcome = stack.reconcile(model)[stage.lower()]
    assert outcome.error is None, outcome.error
    assert stack.version(stage.lower(), model) == version
    assert stack.status(model, version, stage.lower())["state"] == "committed"
    return stack.head()


def assert_stands(stack: Stack, model: str, *, times: int = 3) -> dict[str, State]:
    """Nothing moves in Git, however often the resync comes; nothing else is written either."""
    head, states = stack.head(), {}
    for _ in range(times):
        outcomes = stack.reconcile(model)
        assert not [o.error for o in outcomes.values() if o.error]
        states = {name: o.state for name, o in outcomes.items()}
    assert stack.head() == head
    survey = stack.session().reconciler.survey()
    assert model not in survey.work, "a resync would still find something to write"
    return states


def test_v1_then_v2_then_back_to_v1_without_archiving(either: Stack, model: str) -> None:
    stack = either
    for _ in range(2):
        stack.registry.register(model)
    promote(stack, model, "1")
    promote(stack, model, "2")
    assert_stands(stack, model)
    stack.registry.transition(model, "1", "Production")  # it never left: both are in Production
    outcome = stack.reconcile(model)["production"]
    if stack.mlflow.app_name:
        assert stack.version("production", model) == "1"
    else:  # nobody recorded it: nothing changes, but people are told
        assert stack.version("production", model) == "2"
        assert outcome.plan is not None
        assert "version 1 is selected too" in outcome.plan.notes[0]
        stack.registry.transition(model, "2", "Archived")
        stack.reconcile(model)
        assert stack.version("production", model) == "1"
    assert_stands(stack, model)
    assert stack.count() == 4


def test_v1_then_v2_then_back_to_v1_with_archiving(either: Stack, model: str) -> None:
    stack = either
    for _ in range(2):
        stack.registry.register(model)
    promote(stack, model, "1", archive_existing=True)
    promote(stack, model, "2", archive_existing=True)
    promote(stack, model, "1", archive_existing=True)
    assert_stands(stack, model)
    assert stack.count() == 4


def test_stagings_version_moves_on_to_production(either: Stack, model: str) -> None:
    stack = either
    for _ in range(2):
        stack.registry.register(model)
    promote(stack, model, "1", "Staging")
    promote(stack, model, "2", "Staging")
    promote(stack, model, "2", "Production")
    assert stack.version("staging", model) == "2", "v1 is alone in Staging, but was not asked for"
    assert assert_stands(stack, model)["staging"] is State.UNSELECTED
    stack.registry.transition(model, "2", "Archived")
    stack.reconcile(model)
    assert stack.version("staging", model) == "2", "it moved on first: no way back by itself"
    assert stack.version("production", model) == "2", "nothing is removed by absence"


def test_a_revert_holds_until_something_else_is_asked_for(either: Stack, model: str) -> None:
    stack = either
    for _ in range(3):
        stack.registry.register(model)
    promote(stack, model, "1", archive_existing=True)
    promote(stack, model, "2", archive_existing=True)
    reverted = stack.person_reverts()
    states = assert_stands(stack, model, times=10)
    assert states["production"] is State.HELD
    assert stack.head() == reverted
    for version in ("2", "1"):
        told = stack.status(model, version, "production")
        assert told["state"] == "held"
        assert "reverted by Rita Reviewer at 20" in told["message"]
        assert f"in {reverted[:12]}" in told["message"]
    promote(stack, model, "3", archive_existing=True)
    message = " ".join(stack.git("log", "-1", "--format=%B", "main").split())
    assert "A hold was in force: version 2 was reverted by Rita Reviewer" in message
    promote(stack, model, "2", archive_existing=True)
    assert assert_stands(stack, model)["production"] is State.COMMITTED


def test_a_comment_holds_until_it_is_removed(stack: Stack, model: str) -> None:
    for _ in range(3):
        stack.registry.register(model)
    promote(stack, model, "1", archive_existing=True)
    path = LEAF.format(environment="production", service=model)
    text = stack.file(path) + "\n"
    uri = next(line for line in text.splitlines() if "storageUri:" in line)
    held = stack.person_writes({path: text.replace(uri, f"{uri} # mlflow-gitops: hold audit")})
    assert assert_stands(stack, model)["production"] is State.COMMITTED
    for version in ("2", "3"):
        stack.registry.transition(model, version, "Production", archive_existing=True)
        assert assert_stands(stack, model)["production"] is State.HELD
        told = stack.status(model, version, "production")
        assert told["state"] == "held"
        assert f"{path}:10 (audit)" in told["message"]
    wish = Wish(f"production/{model}", f"models:/{model}/3")
    with pytest.raises(RequestError, match=r"version 3 is not delivered.*a comment holds it"):
        Asker(stack.session().reconciler).ask(wish)
    assert stack.head() == held
    stack.person_writes({path: text})
    stack.reconcile(model)
    assert stack.version("production", model) == "3"
    assert assert_stands(stack, model)["production"] is State.COMMITTED


def test_the_reverted_version_is_delivered_when_it_is_asked_for_again(
    stack: Stack, model: str
) -> None:
    for _ in range(2):
        stack.registry.register(model)
    promote(stack, model, "1")
    promote(stack, model, "2")
    stack.person_reverts()
    assert assert_stands(stack, model)["production"] is State.HELD
    stack.registry.transition(model, "2", "Production")  # the same stage again: a new request
    stack.reconcile(model)
    assert stack.version("production", model) == "2"


def test_what_people_merged_is_listed_and_cleared(stack: Stack, model: str) -> None:
    for _ in range(2):
        stack.registry.register(model)
    promote(stack, model, "1")
    promote(stack, model, "2")
    clone = stack.clone()
    stack.git("checkout", "--quiet", "-b", "undo", folder=clone)
    stack.git("revert", "--no-edit", "HEAD", folder=clone)
    words = f"Merge pull request #7 from rita/undo\n\nUndo {model}\n\nReviewed-by: Ann <a@x.org>"
    stack.git("checkout", "--quiet", "main", folder=clone)
    boss = ("-c", "user.name=Bo", "-c", "user.email=bo@example.com")
    stack.git(*boss, "merge", "--quiet", "--no-ff", "-m", words, "undo", folder=clone)
    stack.git("push", "--quiet", "origin", "main", folder=clone)
    stack.person_writes({"notes.md": "later\n"})
    stack.reconcile(model)
    found = json.loads(stack.cli("hold", "list", "-e", "production", "--json").stdout)
    (held,) = [each for each in found["holds"] if each["model"] == model]
    assert (held["kind"], held["by"], held["merged-by"]) == ("reverted", "Rita Reviewer", "Bo")
    assert (held["pull-request"], held["approvers"]) == ("#7", ["Ann"])
    done = stack.cli("hold", "clear", model, "-e", "production", "--reason", "it was the data")
    assert done.returncode == 0, done.stderr
    assert stack.version("production", model) == "2"
    assert "> it was the data" in stack.git("log", "-1", "--format=%B", "main")
    assert assert_stands(stack, model)["production"] is State.COMMITTED


def test_a_crash_between_push_and_record_then_a_revert(either: Stack, model: str) -> None:
    stack = either
    for _ in range(2):
        stack.registry.register(model)
    promote(stack, model, "1", archive_existing=True)
    before = stack.registry.client.get_registered_model(model).tags["gitops.delivered.production"]
    promote(stack, model, "2", archive_existing=True)
    # as if the process had died before it recorded: the tag is the one of before
    stack.registry.set_model_tag(model, "gitops.delivered.production", before)
    stack.person_reverts()
    states = assert_stands(stack, model)
    assert states["production"] is State.HELD
    assert stack.version("production", model) == "1"


@pytest.mark.parametrize("damage", ["lost", "unreadable", "forged"])
def test_a_lost_or_forged_record_undoes_no_revert(stack: Stack, model: str, damage: str) -> None:
    for _ in range(2):
        stack.registry.register(model)
    promote(stack, model, "1")
    promote(stack, model, "2")
    stack.person_reverts()
    assert assert_stands(stack, model)["production"] is State.HELD
    tag = "gitops.delivered.production"
    if damage == "lost":
        stack.registry.delete_model_tag(model, tag)
    elif damage == "unreadable":
        stack.registry.set_model_tag(model, tag, '{"format": 1, "request": 7}')
    else:
        text = stack.registry.client.get_registered_model(model).tags[tag]
        record = stack.delivered(model, "production")
        assert record is not None
        stack.registry.set_model_tag(model, tag, text.replace(record.head, "f" * 40))
    assert assert_stands(stack, model)["production"] is State.HELD
    assert stack.version("production", model) == "1"


def test_a_version_pinned_by_hand_then_asked_for(either: Stack, model: str) -> None:
    stack = either
    for _ in range(3):
        stack.registry.register(model)
    promote(stack, model, "1", "Production")
    promote(stack, model, "2", "Staging")
    promote(stack, model, "2", "Production", archive_existing=True)
    path = LEAF.format(environment="production", service=model)
    by_hand = stack.file(path).replace("v2/", "v1/").replace('"2"', '"1"') + "\n"
    stack.person_writes({path: by_hand}, "Pin version 1")
    assert assert_stands(stack, model)["production"] is State.HELD
    assert "changed by hand by Rita Reviewer" in stack.status(model, "2", "production")["message"]
    stack.registry.transition(model, "1", "Production", archive_existing=True)
    count = stack.count()
    outcome = stack.reconcile(model)["production"]
    assert stack.count() == count, "Git says it already"
    assert outcome.state is State.COMMITTED
    promote(stack, model, "3", archive_existing=True)


def test_a_service_retired_by_hand_stays_retired(stack: Stack, model: str) -> None:
    for _ in range(2):
        stack.registry.register(model)
    promote(stack, model, "1")
    top = "models/overlays/production/kustomization.yaml"
    lines = [x for x in stack.file(top).splitlines() if model not in x]
    leaf = f"models/overlays/production/{model}"
    stack.person_writes(
        {
            top: "\n".join(lines) + "\n",
            f"{leaf}/kustomization.yaml": None,
            f"{leaf}/model-version.yaml": None,
        },
        "Retire it",
    )
    assert assert_stands(stack, model)["production"] is State.HELD
    assert "taken out by hand by Rita" in stack.status(model, "1", "production")["message"]
    promote(stack, model, "2")


def test_a_renamed_model_is_held_until_the_settings_map_it(
    stack: Stack, model: str, names: Names
) -> None:
    for _ in range(2):
        stack.registry.register(model)
    promote(stack, model, "1")
    new = names("renamed")
    stack.registry.rename(model, new)
    stack.registry.transition(new, "2", "Production")
    outcome = stack.reconcile(new)["production"]
    assert outcome.state is State.HELD
    assert f"{new}: {model}" in outcome.message
    stack.edit_settings("services: {}", f"services: {{{new}: {model}}}")
    outcome = stack.reconcile(new)["production"]
    assert outcome.error is None
    assert stack.version("production", model) == "2"
    assert stack.version("production", new) == ""
    assert_stands(stack, new)


def test_a_model_deleted_and_made_again_never_overwrites(stack: Stack, model: str) -> None:
    stack.registry.register(model)
    head = promote(stack, model, "1")
    before = stack.objects()
    stack.registry.transition(model, "1", "Archived")
    stack.registry.delete_model(model)
    stack.registry.register(model)
    stack.registry.transition(model, "1", "Production")
    outcome = stack.reconcile(model)["production"]
    assert outcome.error is not None, "the same path, another model"
    assert stack.head() == head
    assert stack.objects() == before
    assert stack.status(model, "1", "production")["state"] == "failed"


def test_a_changed_prefix_is_settings_drift_and_goes_out_with_the_next_promotion(
    stack: Stack, model: str
) -> None:
    for _ in range(2):
        stack.registry.register(model)
    promote(stack, model, "1")
    stack.edit_settings('prefix: ""', "prefix: elsewhere")
    outcome = stack.reconcile(model)["production"]
    assert "settings drift" in outcome.message
    assert_stands(stack, model)
    promote(stack, model, "2")
    path = LEAF.format(environment="production", service=model)
    assert f"s3://{stack.bucket}/elsewhere/{model}/v2/" in stack.file(path)


def test_a_first_run_on_a_hundred_hand_written_services_rewrites_nothing(
    stack: Stack, names: Names
) -> None:
    models = [names(f"hand{number:03}") for number in range(100)]
    files = {f"models/overlays/production/{name}.yaml": _by_hand(name) for name in models}
    top = "models/overlays/production/kustomization.yaml"
    listed = "\n".join(f"  - {name}.yaml" for name in models)
    text = stack.file(top).replace("resources:", f"resources:\n{listed}", 1).replace(" []", "")
    head = stack.person_writes({**files, top: text + "\n"})
    one_line = "models: [" + ", ".join(models) + "]"
    stack.edit_settings('models: ["*"]', one_line)
    for name in models:
        stack.registry.create_model(name)
        version = stack.registry.create_version(name)
        stack.registry.transition(name, version, "Production")
    head = stack.head()
    done = stack.cli("reconcile")
    assert done.returncode == 1, done.stdout
    assert "max-changes" in done.stdout + done.stderr
    assert stack.head() == head
    done = stack.cli("adopt", "-e", "production")
    assert done.returncode == 0, done.stderr
    done = stack.cli("reconcile")
    assert done.returncode == 0, done.stdout + done.stderr
    assert stack.head() == head
    survey = stack.session().reconciler.survey()
    assert not set(survey.changes.get("production", ())) & set(models)


def _by_hand(name: str) -> str:
    return (
        "apiVersion: serving.kserve.io/v1beta1\nkind: InferenceService\nmetadata:\n"
        f"  name: {name}\nspec:\n  predictor:\n    model:\n      modelFormat: {{name: mlflow}}\n"
        "      protocolVersion: v2\n"
        f"      storageUri: s3://somewhere/by-hand/{name}\n"
    )
