"""Every command where an environment has names of its own, and where selectors miss."""

from __future__ import annotations

import json

import pytest

from mlflow_gitops.ask import Asker
from mlflow_gitops.deployed import deployed
from mlflow_gitops.predicting import Caller
from mlflow_gitops.state import Reply
from mlflow_gitops.wish import Wish, locate
from tests.support.memory_session import Parts

SETTINGS = """artifacts: {bucket: models}
environments:
  champion: {select: {alias: champion}, path: prod/champion, namespace: ml}
  challenger:
    select: {alias: challenger}
    path: prod/challenger
    namespace: ml
    service-name: "{service}-b"
    endpoint: {url: "https://{service}.example.com"}
"""


@pytest.fixture
def parts() -> Parts:
    """Version 1 of fraud is the champion, version 2 the challenger: both are committed."""
    made = Parts()
    made.repository.person_commits({"mlflow-gitops.yaml": SETTINGS})
    made.register("fraud")
    made.register("fraud")
    made.registry.set_alias("fraud", "champion", "1")
    made.registry.set_alias("fraud", "challenger", "2")
    done = made.cli("reconcile")
    assert done.exit_code == 0, done.output
    return made


def settings_of(parts: Parts, old: str, new: str) -> None:
    text = parts.repository.files()["mlflow-gitops.yaml"]
    assert old in text
    parts.repository.person_commits({"mlflow-gitops.yaml": text.replace(old, new)})


def test_each_has_its_service_and_both_have_one_folder(parts: Parts) -> None:
    files = parts.repository.files()
    for path, version in (("champion/fraud", 1), ("challenger/fraud-b", 2)):
        text = files[f"prod/{path}/model-version.yaml"]
        assert f"s3://models/fraud/v{version}/" in text
    assert "name: fraud-b\n" in files["prod/base/fraud-b/inference-service.yaml"]
    names = {str(each.key) for each in deployed_in(parts)}
    assert names == {"champion/fraud", "challenger/fraud"}


def deployed_in(parts: Parts) -> list[object]:
    session = parts.session()
    settings = session.settings()
    return [*deployed(session.observer, settings, settings.environments)]


def test_drift_verify_and_revisions_know_both(parts: Parts) -> None:
    assert "0 of 2 services differ." in parts.cli("drift").stdout
    verified = parts.cli("verify", "fraud", "--json")
    assert verified.exit_code == 0, verified.output
    chains = json.loads(verified.stdout)["services"]
    assert {(c["environment"], c["service"]) for c in chains} == {
        ("champion", "fraud"),
        ("challenger", "fraud-b"),
    }
    revisions = json.loads(parts.cli("revisions", "fraud", "--json").stdout)["revisions"]
    used = {each["uri"]: each["used-by"] for each in revisions}
    assert "champion (Git)" in used["s3://models/fraud/v1/"]
    assert "challenger (Git)" in used["s3://models/fraud/v2/"]


def test_a_service_s_name_leads_to_the_model(parts: Parts) -> None:
    settings = parts.session().settings()
    assert locate("challenger/fraud-b", settings)[1] == "fraud"
    assert locate("challenger/fraud-b", settings, "fraud")[1] == "fraud"
    assert locate("challenger/fraud", settings)[1] == "fraud"
    assert locate("champion/fraud", settings)[1] == "fraud"


def test_predictions_go_to_the_environment_s_service(parts: Parts) -> None:
    asked: list[str] = []

    class Scorer:
        def get(self, url: str, host: str) -> Reply:
            asked.append(url)
            return Reply(404, b"")

        def post(self, url: str, body: bytes, host: str) -> Reply:
            asked.append(url)
            return Reply(
                200,
                b'{"outputs": [{"name": "y", "shape": [1], "datatype": "FP64", "data": [1.0]}]}',
                "application/json",
            )

    caller = Caller(parts.session().observer, Scorer(), lambda: pytest.fail("no cluster"))
    caller.predict("challenger/fraud", [[1.0]])
    assert asked[-1] == "https://fraud-b.example.com/v2/models/fraud-b/infer"


def test_the_same_version_is_published_once(parts: Parts) -> None:
    parts.registry.set_alias("fraud", "champion", "2")
    before = set(parts.store.objects)
    assert parts.cli("reconcile", "fraud").exit_code == 0
    assert set(parts.store.objects) == before
    text = parts.repository.files()["prod/champion/fraud/model-version.yaml"]
    assert "s3://models/fraud/v2/" in text


def test_a_name_that_changes_goes_out_with_the_next_promotion(parts: Parts) -> None:
    settings_of(parts, '"{service}-b"', '"{service}-c"')
    planned = parts.cli("plan", "fraud", "-e", "challenger")
    assert "settings drift" in planned.stdout
    parts.register("fraud")
    parts.registry.set_alias("fraud", "challenger", "3")
    done = parts.cli("reconcile", "fraud")
    assert done.exit_code == 0, done.output
    assert "prod/challenger/fraud-c/model-version.yaml" in parts.repository.files()


def test_a_retired_challenger_leaves_the_champion(parts: Parts) -> None:
    wish = Wish("challenger/fraud", action="retire", by="rita")
    Asker(parts.session().reconciler).retire(wish)
    files = parts.repository.files()
    assert "prod/challenger/fraud-b/model-version.yaml" not in files
    assert "prod/champion/fraud/model-version.yaml" in files


def test_config_check_is_silent_about_a_registry_that_is_not_named(parts: Parts) -> None:
    settings_of(parts, "alias: champion", "alias: Champion")
    checked = parts.cli("config", "check")
    assert (checked.exit_code, checked.stderr) == (0, "")
    named = parts.cli("config", "check", environ={"MLFLOW_TRACKING_URI": "http://mlflow"})
    assert named.exit_code == 0
    assert "the alias `champion` is on version 1 of fraud" in named.stderr
    found = json.loads(parts.cli("status", "--json").stdout)
    assert len(found["warnings"]) == 1


def test_a_dangling_alias_is_named_everywhere(parts: Parts) -> None:
    parts.registry.models["fraud"].aliases["champion"] = "9"  # as MLflow 2.22 leaves it
    for command in (["plan"], ["plan", "fraud"], ["status"]):
        done = parts.cli(*command)
        assert done.exit_code == 0
        assert "is on version 9, which does not exist any more" in done.stdout + done.stderr
    assert "nothing changes until then" in parts.cli("plan", "fraud").stdout
