"""`mlflow deployments … -t gitops` in processes of its own, on real parts."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.support.fork_server import run_module
from tests.support.stack import Stack

Names = Callable[[str], str]


def deployments(stack: Stack, *args: str, **more: str) -> subprocess.CompletedProcess[str]:
    return run_module("mlflow", "deployments", *args, env={**stack.environ, **more})


def written(stack: Stack, model: str) -> tuple[Any, ...]:
    """Everything that a request could change."""
    versions = stack.registry.client.search_model_versions(f"name = '{model}'")
    registry = sorted((v.version, v.current_stage, sorted(v.tags.items())) for v in versions)
    tags = stack.registry.client.get_registered_model(model).tags
    return (stack.head(), registry, sorted(tags.items()), sorted(stack.objects()))


@pytest.mark.slow
def test_a_version_is_asked_for_committed_and_looked_at(stack: Stack, names: Names) -> None:
    model = names("fraud")
    for _ in range(2):
        stack.registry.register(model)
    name = f"staging/{model}"
    ask = ("-t", "gitops", "--name", name, "-m")

    before = written(stack, model)
    dry = deployments(stack, "create", *ask, f"models:/{model}/1", "-C", "dry-run=true")
    assert dry.returncode == 0, dry.stderr
    assert "would be committed to main" in dry.stdout
    assert "+    model-version: " in dry.stdout
    assert written(stack, model) == before, "a dry run writes nothing at all"

    done = deployments(
        stack, "create", *ask, f"models:/{model}/1", "-C", "by=alice", "-C", "reason=first one"
    )
    assert done.returncode == 0, done.stderr
    assert f"kserve deployment {name} is created" in done.stdout
    assert f"(no service) -> 1: committed to main as {stack.head()}" in done.stdout
    assert f"uri: s3://{stack.bucket}/{model}/v1/" in done.stdout
    assert stack.version("staging", model) == "1"
    assert stack.version("production", model) == ""
    message = stack.git("log", "-1", "--format=%B", "main")
    assert "first one" in message
    assert stack.status(model, "1", "staging")["state"] == "committed"
    assert stack.registry.client.get_model_version(model, "1").current_stage == "Staging"

    update = deployments(stack, "update", *ask, f"models:/{model}/2")
    assert update.returncode == 0, update.stderr
    assert f"1 -> 2: committed to main as {stack.head()}" in update.stdout
    changed = [x for x in update.stdout.splitlines() if re.match(r"[-+](?![-+])", x)]
    assert len(changed) == 4, "two lines changed"
    head, count = stack.head(), stack.count()

    again = deployments(stack, "update", *ask, f"models:/{model}/2")
    assert again.returncode == 0, again.stderr
    assert "version 2 is committed already" in again.stdout
    for _ in range(2):
        assert stack.cli("reconcile", model).returncode == 0
    assert (stack.head(), stack.count()) == (head, count), "asked once, committed once"

    got = deployments(stack, "get", "-t", f"gitops:{stack.bare}", "--name", name)
    assert got.returncode == 0, got.stderr
    assert "version: 2\n" in got.stdout
    assert "state: committed\n" in got.stdout
    listed = deployments(stack, "list", "-t", "gitops")
    assert listed.returncode == 0, listed.stderr
    assert f"'name': '{name}'" in listed.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("args", "what"),
    [
        (("create", "--name", "staging/{model}", "-m", "models:/{model}/9"), "no version 9"),
        (("create", "--name", "{model}", "-m", "models:/{model}/1"), "2 environments take"),
        (("update", "--name", "staging/{model}"), "no model was given"),
        (
            ("create", "--name", "staging/{model}", "-m", "models:/{model}/1", "-C", "dryrun=1"),
            "did you mean `dry-run`",
        ),
        (("get", "--name", "staging/{model}"), "Git has no service"),
        (("delete", "--name", "staging/{model}"), "Git has no service"),
        (("delete", "--name", "staging/{model}", "-C", "wait=soon"), "no time in seconds"),
        (("list", "--endpoint", "x"), "no endpoints"),
        (("run-local", "--name", "staging/{model}", "-m", "models:/{model}/1"), "not published"),
        (("predict", "--name", "staging/{model}", "-I", "{rows}"), "Git has no service"),
        (("explain", "--name", "staging/{model}", "-I", "{rows}"), "Git has no service"),
    ],
    ids=lambda value: value if isinstance(value, str) else value[0],
)
def test_wrong_use_is_one_clear_message(
    stack: Stack, names: Names, tmp_path: Path, args: tuple[str, ...], what: str
) -> None:
    model = names("fraud")
    stack.registry.register(model)
    rows = tmp_path / "rows.json"
    rows.write_text('[{"amount": 1}]')
    before = written(stack, model)
    filled = (arg.format(model=model, rows=rows) for arg in args)
    done = deployments(stack, *filled, "-t", "gitops")
    assert done.returncode == 1
    assert done.stderr.startswith("Error: ") or "\nError: " in done.stderr
    assert what in done.stderr
    assert "next: " in done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert written(stack, model) == before


@pytest.mark.slow
def test_help_and_an_unusable_environment(stack: Stack) -> None:
    command = [Path(sys.executable).with_name("mlflow"), "deployments", "help", "-t", "gitops"]
    done = subprocess.run(command, env=stack.environ, capture_output=True, text=True)
    assert done.returncode == 0
    assert "-C dry-run=true" in done.stdout
    nowhere = {"MLFLOW_GITOPS_REPOSITORY": "/nowhere/manifests.git"}
    for more, what in (
        ({"MLFLOW_GITOPS_REPOSITORY": ""}, "no manifests repository is named"),
        (nowhere, "/nowhere/manifests.git"),
        ({"MLFLOW_GITOPS_PORT": "many"}, "MLFLOW_GITOPS_PORT"),
    ):
        failed = deployments(stack, "list", "-t", "gitops", **more)
        assert failed.returncode == 1
        assert what in failed.stderr
        assert "Traceback" not in failed.stderr


@pytest.fixture
def client(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> Any:
    from mlflow.deployments import get_deploy_client

    for key, value in stack.environ.items():
        monkeypatch.setenv(key, value)
    return get_deploy_client("gitops")


def refuse(
    stack: Stack, client: Any, model: str, what: str, **arguments: str | Mapping[str, Any]
) -> None:
    """The request is refused with a message, and nothing was written."""
    from mlflow.exceptions import MlflowException

    known = {"name": f"staging/{model}", "model_uri": f"models:/{model}/1"}
    before = written(stack, model)
    with pytest.raises(MlflowException) as caught:
        client.create_deployment(**{**known, **arguments})
    assert what in str(caught.value)
    assert "next: " in str(caught.value)
    assert written(stack, model) == before


def test_bad_input_from_python_is_refused_before_anything_is_written(
    stack: Stack, client: Any, names: Names
) -> None:
    model = names("fraud")
    stack.registry.register(model)
    refuse(
        stack,
        client,
        model,
        "no registered model",
        model_uri=f"models:/{model}x/1",
        name=f"staging/{model}x",
    )
    refuse(stack, client, model, "registered version", model_uri="runs:/abc/model")
    refuse(stack, client, model, "no environment `prod`", name=f"prod/{model}")
    refuse(stack, client, model, "the name says", name="staging/other")
    refuse(stack, client, model, "no flavor `pytorch`", flavor="pytorch")
    refuse(stack, client, model, "control character", config={"by": "eve\x1b[31m"})
    refuse(stack, client, model, "neither true nor false", config={"dry-run": "perhaps"})
    refuse(stack, client, model, "no endpoints", endpoint="x")


def test_a_source_outside_the_allow_list_is_refused(
    stack: Stack, client: Any, names: Names
) -> None:
    model = names("fraud")
    stack.registry.create_model(model)
    stack.registry.create_version(model, source="s3://somebody-elses/secrets")
    refuse(stack, client, model, "somebody-elses")


def test_a_name_that_is_no_dns_label_is_refused(stack: Stack, client: Any, names: Names) -> None:
    model = names("Fraud Detector_")
    stack.registry.register(model)
    refuse(stack, client, model, "services:")


def test_broken_manifests_and_settings_are_refused(stack: Stack, client: Any, names: Names) -> None:
    model = names("fraud")
    stack.registry.register(model)
    path = "models/overlays/staging/kustomization.yaml"
    whole = stack.file(path)
    stack.person_writes({path: "resources: [\n"})
    refuse(stack, client, model, path)
    stack.person_writes({path: f"{whole}\n", "mlflow-gitops.yaml": "environments: 3\n"})
    refuse(stack, client, model, "environments")
    stack.person_writes({"mlflow-gitops.yaml": None})
    refuse(stack, client, model, "mlflow-gitops.yaml")


def test_the_answer_from_python_says_what_was_committed(
    stack: Stack, client: Any, names: Names
) -> None:
    model = names("fraud")
    stack.registry.register(model)
    made = client.create_deployment(f"production/{model}", f"models:/{model}/1", "sklearn")
    assert (made["name"], made["flavor"]) == (f"production/{model}", "sklearn")
    assert made["commit"] == stack.head()
    assert (made["before"], made["after"]) == ("(no service)", "1")
    assert made["digest"].startswith("sha256:")
    assert "model-version" in made["diff"]
    got = client.get_deployment(f"production/{model}")
    assert (got["version"], got["state"]) == ("1", "committed")
    assert [each["name"] for each in client.list_deployments()] == [f"production/{model}"]


def test_a_registry_that_does_not_answer_leaves_what_git_says(
    stack: Stack, client: Any, names: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow.deployments import get_deploy_client

    model = names("fraud")
    stack.registry.register(model)
    client.create_deployment(f"staging/{model}", f"models:/{model}/1")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    got = get_deploy_client("gitops").get_deployment(f"staging/{model}")
    assert (got["version"], got["state"]) == ("1", "unknown")
    assert "registry" in got["message"]


def test_the_module_is_what_mlflow_expects_of_a_plugin() -> None:
    import inspect

    from mlflow.deployments import BaseDeploymentClient

    from mlflow_gitops import deployments as module

    found = [
        cls
        for _, cls in inspect.getmembers(module, inspect.isclass)
        if issubclass(cls, BaseDeploymentClient) and cls is not BaseDeploymentClient
    ]
    assert found == [module.GitOpsDeploymentClient]
    assert "dry-run" in module.target_help()
    assert callable(module.run_local)


@pytest.mark.parametrize(
    ("variable", "value", "what"),
    [
        ("AWS_SECRET_ACCESS_KEY", "wrong", "s3://"),
        ("MLFLOW_GITOPS_S3_ENDPOINT", "http://127.0.0.1:9", "storage cannot be reached"),
        ("MLFLOW_GITOPS_REPOSITORY", "http://127.0.0.1:9/manifests.git", "127.0.0.1:9"),
        ("MLFLOW_TRACKING_URI", "http://127.0.0.1:9", "127.0.0.1:9"),
    ],
)
def test_a_part_that_cannot_be_used_is_named_and_nothing_is_written(
    stack: Stack,
    client: Any,
    names: Names,
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
    value: str,
    what: str,
) -> None:
    from mlflow.deployments import get_deploy_client

    model = names("fraud")
    stack.registry.register(model)
    monkeypatch.setenv(variable, value)
    refuse(stack, get_deploy_client("gitops"), model, what)


def test_a_bucket_that_is_not_there_is_refused(stack: Stack, client: Any, names: Names) -> None:
    model = names("fraud")
    stack.registry.register(model)
    stack.edit_settings(f"bucket: {stack.bucket}", "bucket: there-is-none-such")
    refuse(stack, client, model, "there-is-none-such")


def test_a_protected_branch_leaves_the_request_and_changes_no_git(
    stack: Stack, client: Any, names: Names
) -> None:
    from mlflow.exceptions import MlflowException

    model = names("fraud")
    stack.registry.register(model)
    hook = stack.bare / "hooks" / "pre-receive"
    hook.write_text("#!/bin/sh\necho 'GH006: Protected branch update failed' >&2\nexit 1\n")
    hook.chmod(0o755)
    head = stack.head()
    with pytest.raises(MlflowException, match="stays asked for in the registry") as caught:
        client.create_deployment(f"staging/{model}", f"models:/{model}/1")
    assert "next: " in str(caught.value)
    assert stack.head() == head
    assert stack.status(model, "1", "staging")["state"] == "failed"
    hook.unlink()
    assert stack.reconcile(model)["staging"].commit == stack.head() != head
