"""What Git may say and what does not do what people expect: told, and nothing is stopped by it."""

from __future__ import annotations

import json

import pytest

from tests.support.memory_session import Parts

MODEL = "fraud-detector"
OVERLAY = "models/overlays/production/kustomization.yaml"
BASE = f"models/base/{MODEL}"
SERVICE = (
    "apiVersion: serving.kserve.io/v1beta1\nkind: InferenceService\nmetadata:\n"
    f"  name: {MODEL}\n{{labels}}spec:\n  predictor:\n    model:\n"
    "      modelFormat: {{name: mlflow}}\n      protocolVersion: v2\n{more}"
)
SAID = f"`{MODEL}` has no storageUri in production"


def listed(labels: str = "", more: str = "") -> Parts:
    """Production lists a base that people wrote, without a patch."""
    parts = Parts()
    overlay = parts.repository.files()[OVERLAY]
    parts.repository.person_commits(
        {
            OVERLAY: overlay.replace("resources:\n", f"resources:\n  - ../../base/{MODEL}\n"),
            f"{BASE}/kustomization.yaml": "resources: [inference-service.yaml]\n",
            f"{BASE}/inference-service.yaml": SERVICE.format(labels=labels, more=more),
        }
    )
    return parts


@pytest.mark.parametrize("verb", [("status",), ("plan",), ("config", "check")])
def test_a_service_without_a_model_is_told(verb: tuple[str, ...]) -> None:
    result = listed().cli(*verb)
    assert result.exit_code == 0, result.output
    assert SAID in result.stderr
    assert "is Ready and serves nothing" in result.stderr
    assert f"{BASE}/inference-service.yaml" in result.stderr
    assert "promote a version, or take" in result.stderr


def test_scripts_are_told_too() -> None:
    parts = listed()
    (problem,) = json.loads(parts.cli("status", "--json").stdout)["problems"]
    assert SAID in problem["what"]
    found = json.loads(parts.cli("config", "check", "--json").stdout)
    assert found["problems"] == []
    assert any(SAID in warning for warning in found["warnings"])


@pytest.mark.parametrize(
    "more",
    [
        "      storageUri: s3://models/x/v1/\n",
        "      args: [--model_id=org/model]\n",
        "      image: registry.example.com/server:1\n",
    ],
)
def test_a_service_that_names_its_model_is_fine(more: str) -> None:
    parts = listed(more=more)
    for verb in (("status",), ("plan",), ("config", "check")):
        assert "storageUri" not in parts.cli(*verb).stderr


def test_a_promotion_ends_it() -> None:
    parts = listed()
    parts.register(MODEL)
    parts.registry.transition(MODEL, "1", "Production")
    parts.session().reconciler.reconcile(MODEL)
    assert SAID not in parts.cli("status").stderr


@pytest.mark.parametrize(
    ("labels", "more"),
    [
        ("", "      storageUri: s3://elsewhere/by-hand/\n"),
        ('  labels: {model-version: "by-hand"}\n', "      storageUri: s3://elsewhere/by-hand/\n"),
    ],
    ids=["without a label", "not in the registry"],
)
def test_no_rollback_is_offered_to_what_it_cannot_name(labels: str, more: str) -> None:
    parts = listed(labels, more)
    parts.register(MODEL)
    asked = ("diff", MODEL, "-e", "production", "--version", "1")
    for form in ((), ("--markdown",)):
        shown = parts.cli(*asked, *form)
        assert shown.exit_code == 0, shown.output
        assert "--to" not in shown.stdout
        assert "git revert" in shown.stdout
    assert json.loads(parts.cli(*asked, "--json").stdout)["evidence"]["rollback"] == ""
    parts.by_pull_requests()
    parts.registry.transition(MODEL, "1", "Production")
    parts.session().reconciler.reconcile(MODEL)
    (pull,) = parts.forge.pulls.values()
    assert "--to" not in pull.body
    assert "`git revert` of the commit" in pull.body


def test_an_empty_version_is_no_version_to_go_back_to() -> None:
    refused = listed().cli("rollback", MODEL, "-e", "production", "--to", "")
    assert refused.exit_code == 2
    assert "--to names no version" in refused.output
