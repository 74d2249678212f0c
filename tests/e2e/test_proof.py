"""An auditor asks after a real promotion: is what Git serves what was registered?"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from click.testing import CliRunner

from mlflow_gitops.cli import main
from mlflow_gitops.cli.app import App
from mlflow_gitops.demo.world import World
from tests.e2e.worlds import head_after
from tests.support.mlflow import Registry

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("worlds")]


def ask(environ: Mapping[str, str], *args: str) -> tuple[int, Any]:
    """In this process: starting one for each question takes longer than the answers."""
    result = CliRunner().invoke(main, [*args, "--json"], obj=App(environ=environ))
    return result.exit_code, json.loads(result.stdout)


def test_a_promoted_version_is_proved_and_a_tampered_one_named(
    with_plugin: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, model = with_plugin, "proved"
    for name, value in made.environ.items():
        if name.startswith("AWS_"):
            monkeypatch.setenv(name, value)
    registry = Registry(made.mlflow_url)
    registry.register(model)
    head_after(made, lambda: registry.transition(model, "1", "Production"))

    code, answer = ask(made.environ, "verify", model, "--deep")
    (service,) = answer["services"]
    assert (code, service["broken"]) == (0, ""), service
    right = dict.fromkeys(("git", "claim", "manifest", "files", "registry"), "ok")
    verdicts = {link["link"]: link["verdict"] for link in service["links"]}
    assert verdicts == {**right, "signature": "not checked"}, "nothing is signed here"
    assert service["digest"] in made.git("show", "-s", "--format=%B", "main")
    _, answer = ask(made.environ, "revisions", model)
    (revision,) = answer["revisions"]
    assert (revision["digest"], revision["used-by"]) == (
        service["digest"],
        ["production (Git)", "stage Production"],
    )
    _, answer = ask(made.environ, "prune", model, "--yes")
    assert [each["keep"] for each in answer["revisions"]] == [True]

    key = f"{model}/v1/MLmodel"
    made.s3.client().put_object(Bucket=made.bucket, Key=key, Body=b"flavors: {}\n")
    alone = {name: value for name, value in made.environ.items() if name != "MLFLOW_TRACKING_URI"}
    code, answer = ask(alone, "verify", model)
    (service,) = answer["services"]
    assert (code, service["broken"]) == (2, "files")
    assert service["links"][-1]["verdict"] == "not checked"
