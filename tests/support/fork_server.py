"""Runs `python -m <module> …` in processes of their own, without importing MLflow each time.

Importing MLflow takes seconds, and a test run has hundreds of commands. So one process imports it
once, and every command is a fork of that: its own environment, working directory, output and exit
code, as `subprocess.run` gives them. Some tests start real processes all the same.
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import runpy
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path

ROOT = Path(__file__).parents[2]
MODULES = (
    "mlflow.cli",
    "mlflow.deployments.cli",
    "boto3",
    "git",
    "mlflow_gitops.cli",
    "mlflow_gitops.deployments",
    "mlflow_gitops.adapters.artifacts",
    "mlflow_gitops.adapters.registry",
    "mlflow_gitops.adapters.repository",
)
INHERITED = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW", "GIT_", "AWS_"))}

_server: subprocess.Popen[str] | None = None


def run_module(
    module: str,
    *args: str,
    env: Mapping[str, str],
    cwd: Path | None = None,
    born: Callable[[int], object] | None = None,
) -> subprocess.CompletedProcess[str]:
    """As `subprocess.run([python, "-m", module, *args], capture_output=True, text=True)`.

    `born` is told the process's id, which is also that of a session of its own, to kill it by.
    """
    server = _started()
    assert server.stdin is not None
    assert server.stdout is not None
    with tempfile.TemporaryDirectory() as folder:
        out, err = Path(folder, "out"), Path(folder, "err")
        job = {
            "module": module,
            "args": args,
            "env": dict(env),
            "cwd": str(cwd or Path.cwd()),
            "out": str(out),
            "err": str(err),
            "session": born is not None,
        }
        server.stdin.write(json.dumps(job) + "\n")
        server.stdin.flush()
        pid = int(server.stdout.readline())
        if born is not None:
            born(pid)
        code = int(server.stdout.readline())
        command = [sys.executable, "-m", module, *args]
        return subprocess.CompletedProcess(command, code, out.read_text(), err.read_text())


def _started() -> subprocess.Popen[str]:
    global _server
    if _server is None:
        _server = subprocess.Popen(
            [sys.executable, "-m", "tests.support.fork_server"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=INHERITED,
        )
        atexit.register(_stop, _server)
    return _server


def _stop(server: subprocess.Popen[str]) -> None:
    server.communicate()


# In the server


def _serve() -> None:
    """A line of JSON in; a line with the process's id out, and at its end one with the code."""
    gc.set_threshold(100_000)  # as tests/conftest.py says; its forks inherit it
    for module in MODULES:
        __import__(module)
    gc.freeze()
    answers = os.dup(1)
    os.dup2(2, 1)
    while line := sys.stdin.readline():
        job = json.loads(line)
        pid = os.fork()
        if pid == 0:
            os.close(answers)
            os._exit(_become(job))
        os.write(answers, f"{pid}\n".encode())
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        os.write(answers, f"{code}\n".encode())


def _become(job: dict[str, object]) -> int:
    """As the interpreter ends a process, less the freeing of what was imported."""
    if job["session"]:
        os.setsid()
    flags = os.O_WRONLY | os.O_CREAT
    opened = [os.open(os.devnull, os.O_RDONLY)]
    opened += [os.open(str(job[name]), flags) for name in ("out", "err")]
    for number, each in enumerate(opened):
        os.dup2(each, number)
        os.close(each)
    os.environ.clear()
    os.environ.update(job["env"])  # type: ignore[call-overload]
    os.chdir(str(job["cwd"]))
    sys.argv = [str(job["module"]), *job["args"]]  # type: ignore[misc]
    code = 0
    try:
        runpy.run_module(str(job["module"]), run_name="__main__", alter_sys=True)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        code = 1
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    return code


if __name__ == "__main__":
    _serve()
