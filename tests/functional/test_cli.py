"""The command line in processes of its own, on real parts: what it prints, writes and ends with."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from http.client import HTTPConnection
from pathlib import Path

import pytest

from tests.support.fork_server import run_module
from tests.support.stack import Stack

Names = Callable[[str], str]
PLAIN = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW", "GIT_", "AWS_"))}


def run(*args: str, cwd: Path | None = None, **environ: str) -> subprocess.CompletedProcess[str]:
    return run_module("mlflow_gitops.cli", *args, env={**PLAIN, **environ}, cwd=cwd)


def bare(folder: Path) -> Path:
    path = folder / "bare.git"
    subprocess.run(
        ["git", "init", "--quiet", "--bare", "--initial-branch=main", str(path)],
        check=True,
        env=PLAIN,
    )
    return path


def test_init_pushes_the_first_commit_of_an_empty_repository_only(tmp_path: Path) -> None:
    environ = {
        "MLFLOW_GITOPS_REPOSITORY": str(bare(tmp_path)),
        "MLFLOW_GITOPS_STATE_DIR": str(tmp_path / "state"),
    }
    empty = run("config", "check", **environ)
    assert empty.returncode == 1
    assert "the repository is empty" in empty.stderr
    done = run("init", "--push", "--bucket", "prod-ml-models", **environ)
    assert done.returncode == 0, done.stderr
    assert "Pushed" in done.stdout
    checked = run("config", "check", **environ)
    assert (checked.returncode, checked.stderr) == (0, "")
    again = run("init", "--push", "--bucket", "prod-ml-models", **environ)
    assert again.returncode == 1
    assert "the repository is not empty" in again.stderr
    log = ["git", "-C", str(tmp_path / "bare.git"), "rev-list", "--count", "main"]
    assert subprocess.run(log, capture_output=True, text=True, env=PLAIN).stdout == "1\n"


@pytest.mark.parametrize(
    ("args", "environ", "code", "what"),
    [
        (["plan"], {}, 1, "no manifests repository is named"),
        (["plan"], {"MLFLOW_GITOPS_REPOSITORY": "/nowhere/x.git"}, 1, "/nowhere/x.git"),
        (["plan"], {"MLFLOW_GITOPS_REPOSITORY": "https://u:hunter2@h/x"}, 1, "credentials"),
        (["--repository", "", "plan"], {}, 1, "--repository"),
        (["plan"], {"MLFLOW_GITOPS_THREADS": "none"}, 1, "MLFLOW_GITOPS_THREADS"),
        (["config", "check", "no-such-file.yaml"], {}, 1, "no-such-file.yaml"),
        (["serve"], {"MLFLOW_GITOPS_REPOSITORY": "/nowhere/x.git"}, 1, "MLFLOW_TRACKING_URI"),
        (
            ["serve"],
            {"MLFLOW_GITOPS_REPOSITORY": "/nowhere/x.git", "MLFLOW_TRACKING_URI": "http://[::1]:9"},
            1,
            "webhook secret",
        ),
        (["serve", "--port", "70000"], {}, 2, "--port"),
        (["nonsense"], {}, 2, "There is no command `nonsense`"),
        (["plan", "--nonsense"], {}, 2, "--nonsense"),
        (["init", "--bucket", "b"], {}, 2, "DIR or --push"),
        (["init", "somewhere", "--bucket", "No Bucket"], {}, 1, "S3 bucket"),
        (["adopt"], {}, 2, "--environment"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_wrong_use_is_a_clear_message_and_an_exit_code(
    tmp_path: Path, args: list[str], environ: dict[str, str], code: int, what: str
) -> None:
    state = str(tmp_path / "state")
    done = run(*args, cwd=tmp_path, **{"MLFLOW_GITOPS_STATE_DIR": state, **environ})
    assert done.returncode == code, done.stderr
    assert what in done.stderr
    assert "Traceback" not in done.stderr
    assert "hunter2" not in done.stdout + done.stderr


def test_plan_reconcile_status_and_adopt_tell_the_same_story(stack: Stack, names: Names) -> None:
    model = names("fraud")
    stack.registry.register(model)
    stack.registry.transition(model, "1", "Staging")
    head = stack.head()

    planned = stack.cli("plan", model, "--diff")
    assert planned.returncode == 0, planned.stderr
    assert "(no service) -> 1" in planned.stdout
    assert "1 of 2 services would change." in planned.stdout
    assert "+    model-version: " in planned.stdout
    assert stack.head() == head

    done = stack.cli("reconcile", model, "--json")
    assert done.returncode == 0, done.stderr
    services = {s["environment"]: s for s in json.loads(done.stdout)["services"]}
    assert services["staging"]["commit"] == stack.head() != head
    assert services["staging"]["after"]["version"] == "1"
    assert services["production"]["state"] == "unselected"
    assert "publishing" in done.stderr or "files" in done.stderr

    status = stack.cli("status", "--json")
    assert status.returncode == 0, status.stderr
    (service,) = json.loads(status.stdout)["services"]
    assert (service["environment"], service["version"]) == ("staging", "1")
    assert service["state"] == "committed"

    alone = stack.cli("status", MLFLOW_TRACKING_URI="http://127.0.0.1:9")
    assert alone.returncode == 0
    assert f"staging/{model}" in alone.stdout
    assert "the registry does not answer" in alone.stderr

    unknown = stack.cli("reconcile", f"{model}x")
    assert unknown.returncode == 1
    assert "there is no registered model" in unknown.stderr
    wrong = stack.cli("plan", "-e", "stagging")
    assert wrong.returncode == 1
    assert "did you mean `staging`" in wrong.stderr


def test_many_changes_at_once_are_blocked_until_they_are_approved(
    stack: Stack, names: Names
) -> None:
    stack.edit_settings("max-changes: 20", "max-changes: 1")
    stack.edit_settings('models: ["*"]', f'models: ["{names("many")}-*"]')
    for letter in "ab":
        stack.registry.register(f"{names('many')}-{letter}")
        stack.registry.transition(f"{names('many')}-{letter}", "1", "Staging")
    head = stack.head()
    blocked = stack.cli("reconcile")
    assert blocked.returncode == 1
    assert "max-changes" in blocked.stderr
    assert stack.head() == head
    approved = stack.cli("reconcile", "-e", "staging", "--yes")
    assert approved.returncode == 0, approved.stderr
    assert "2 of 2 services changed in Git." in approved.stdout
    adopted = stack.cli("adopt", "-e", "production")
    assert adopted.returncode == 0, adopted.stderr
    assert stack.cli("reconcile").returncode == 0


def test_the_service_listens_answers_and_ends_cleanly(stack: Stack) -> None:
    command = stack.command("serve", "--port", "0", "--host", "127.0.0.1")
    environ = {**stack.environ, "MLFLOW_GITOPS_WEBHOOK_SECRETS": "s3cret-of-the-hook"}
    with subprocess.Popen(
        command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line.startswith("listening on http://127.0.0.1:")
            port = int(line.rpartition(":")[2])
            connection = HTTPConnection("127.0.0.1", port, timeout=30)
            connection.request("GET", "/healthz")
            assert connection.getresponse().status == 200
            connection.close()
        finally:
            process.send_signal(signal.SIGTERM)
            _, log = process.communicate(timeout=60)
    assert process.returncode == 0, log
    assert "Traceback" not in log
    assert "s3cret-of-the-hook" not in log


def test_a_port_that_is_taken_is_a_clear_message(stack: Stack) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        done = stack.cli("serve", "--host", "127.0.0.1", "--port", port, "--allow-unsigned")
    assert done.returncode == 1
    assert f"127.0.0.1:{port}" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_public_api_imports_no_io_library() -> None:
    code = (
        "import sys, mlflow_gitops, mlflow_gitops.state\n"
        "heavy = {'mlflow', 'boto3', 'botocore', 'git', 'kubernetes', 'flask', 'requests',"
        " 'sqlalchemy', 'yaml', 'ruamel', 'rich', 'click'}\n"
        "print(sorted(heavy & {name.partition('.')[0] for name in sys.modules}))\n"
        "print(sorted(set(mlflow_gitops.__all__) - set(dir(mlflow_gitops))))\n"
        "print(mlflow_gitops.Session.__name__, mlflow_gitops.connect.__name__)\n"
        "print(sorted({'mlflow', 'boto3', 'git'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=PLAIN)
    assert done.stdout.splitlines() == ["[]", "[]", "Session connect", "[]"], done.stderr
