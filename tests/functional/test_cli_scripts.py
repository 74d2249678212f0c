"""The command line as a script meets it: one JSON document, exit codes, pipes, signals."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.stack import Stack

Names = Callable[[str], str]
PLAIN = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW", "GIT_", "AWS_"))}
COMMAND = [sys.executable, "-m", "mlflow_gitops.cli"]


def run(*args: str, stdout: Any = subprocess.PIPE, **environ: str) -> Any:
    return subprocess.run(
        [*COMMAND, *args],
        env={**PLAIN, **environ},
        stdout=stdout,
        stderr=subprocess.PIPE,
        encoding="latin-1",
    )


@pytest.mark.parametrize(
    ("args", "code", "what"),
    [
        (["plan", "--json"], 1, "no manifests repository is named"),
        (["reconcile", "--json", "--nonsense"], 2, "--nonsense"),
        (["init", "--json", "--bucket", "b", "--push", "x"], 2, "DIR or --push"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_an_error_is_json_too(args: list[str], code: int, what: str) -> None:
    done = run(*args)
    assert done.returncode == code
    error = json.loads(done.stdout)["error"]
    assert set(error) == {"what", "where", "hint"}
    assert what in error["what"]
    assert what in done.stderr
    assert "Traceback" not in done.stderr


def test_init_tells_a_script_what_it_made(tmp_path: Path) -> None:
    target = tmp_path / "manifests"
    done = run("init", str(target), "--bucket", "prod-ml", "--json")
    assert done.returncode == 0, done.stderr
    made = json.loads(done.stdout)
    assert made["directory"] == str(target)
    assert (made["branch"], made["commit"]) == ("main", "")
    on_disk = (str(path.relative_to(target)) for path in target.rglob("*") if path.is_file())
    assert made["files"] == sorted(on_disk)
    assert any("kubectl apply" in step for step in made["next"])


def test_a_terminal_without_unicode_gets_json_all_the_same(tmp_path: Path) -> None:
    path = str(tmp_path / "größe-模型.yaml")
    done = run("config", "check", path, "--json", PYTHONIOENCODING="latin-1")
    assert done.returncode == 1
    assert json.loads(done.stdout)["error"]["where"] == path
    assert "\\u6a21" in done.stderr


def test_a_reader_that_went_away_is_141_and_silent() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = run("plan", "--json", stdout=writer)
    finally:
        os.close(writer)
    assert done.returncode == 141
    assert "Broken" not in done.stderr
    assert "Traceback" not in done.stderr


def test_a_full_disk_behind_stdout_is_a_known_error() -> None:
    with Path("/dev/full").open("w") as full:
        done = run("plan", "--json", stdout=full)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == ("Error: the disk is full, nothing more can be written")


LISTENING = (
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    "from mlflow_gitops.cli import main; main()"
)
"""What a shell starts in the background ignores interrupts, and so do its children."""


def test_ctrl_c_while_a_server_is_silent_is_130(stack: Stack) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        silent.settimeout(60)
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with subprocess.Popen(
            [sys.executable, "-c", LISTENING, "reconcile", "--json"],
            env={**stack.environ, "MLFLOW_TRACKING_URI": url},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            asked, _ = silent.accept()
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=60)
        asked.close()
    assert process.returncode == 130, err
    assert json.loads(out) == {"error": {"what": "interrupted", "where": "", "hint": ""}}
    assert "Traceback" not in err


def test_a_cron_job_sees_what_failed_and_the_rest_is_done(stack: Stack, names: Names) -> None:
    good, bad = names("good-模型"), names("bad")
    stack.edit_settings('models: ["*"]', f'models: ["{good}", "{bad}"]')
    stack.edit_settings("services: {}", f"services: {{{good}: good}}")
    stack.registry.register(good)
    stack.registry.client.create_registered_model(bad)
    stack.registry.client.create_model_version(bad, "s3://somebody-elses/model")
    for model in (good, bad):
        stack.registry.transition(model, "1", "Staging")

    done = stack.cli("reconcile", "-e", "staging", "--json")
    assert done.returncode == 1
    assert f"Failed: 1 of 2 services: staging/{bad}\n" in done.stderr
    services = {each["model"]: each for each in json.loads(done.stdout)["services"]}
    assert services[good]["commit"] == stack.head()
    assert services[good]["error"] is None
    assert services[bad]["state"] == "failed"
    assert set(services[bad]["error"]) == {"what", "where", "hint"}

    table = stack.cli("plan", "-e", "staging", "-e", "production", "--all")
    assert table.returncode == 1
    assert any(line.startswith(f"staging/{bad} ") for line in table.stdout.splitlines())
    assert f"Failed: 1 of 4 services: staging/{bad}\n" in table.stderr

    status = stack.cli("status", "--json", MLFLOW_TRACKING_URI="http://127.0.0.1:9")
    assert status.returncode == 0
    told = json.loads(status.stdout)
    assert [each["version"] for each in told["services"]] == ["1"]
    assert "the registry does not answer" in told["problems"][0]["what"]
