"""The exit codes, and how each kind of error looks: in this process, without disk or network."""

from __future__ import annotations

import json

import click
import pytest
from click.testing import CliRunner, Result

from mlflow_gitops.bootstrap import Session
from mlflow_gitops.cli import main
from mlflow_gitops.cli.app import App
from mlflow_gitops.config import Process
from mlflow_gitops.errors import RepositoryError, TransientError
from mlflow_gitops.ports import Progress
from tests.support.memory_repository import MemoryRepository

SECRET = "hunter2"


class Failing(Session):
    """A session whose repository fails as it was told to."""

    failure: BaseException = RuntimeError()

    @property
    def repository(self) -> MemoryRepository:  # type: ignore[override]
        raise self.failure


def invoke(*args: str, failure: BaseException | None = None, settings: str | None = None) -> Result:
    def connect(process: Process, progress: Progress | None) -> Session:
        session: Session = Failing(process, progress)
        if failure is not None:
            Failing.failure = failure
        else:
            files = {} if settings is None else {"mlflow-gitops.yaml": settings}
            session = With(process, progress)
            session.made = MemoryRepository({"main": {"README.md": "", **files}})
        return session

    app = App(environ={"MLFLOW_GITOPS_REPOSITORY": "memory"}, connect=connect)
    return CliRunner().invoke(main, args, obj=app)


class With(Session):
    made: MemoryRepository

    @property
    def repository(self) -> MemoryRepository:  # type: ignore[override]
        return self.made


def test_a_known_error_says_what_where_and_the_next_step() -> None:
    error = RepositoryError("Git refused \x1b[31m", where="git.example.com/x", hint="ask Paul")
    result = invoke("plan", failure=error)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr == (
        "Error: Git refused \\x1b[31m\n  where: git.example.com/x\n  next: ask Paul\n"
    )


def test_json_holds_no_character_that_a_terminal_obeys() -> None:
    result = invoke("plan", "--json", failure=RepositoryError("\x1b[31m \x9b31m \x7f 模"))
    assert json.loads(result.stdout)["error"]["what"] == "\x1b[31m \x9b31m \x7f 模"
    assert "模" in result.stdout
    assert not set(result.stdout) & {"\x1b", "\x9b", "\x7f"}


def test_an_error_that_may_pass_is_a_known_one_too() -> None:
    result = invoke("status", failure=TransientError("no answer"))
    assert (result.exit_code, result.stderr) == (1, "Error: no answer\n")


def test_a_bug_shows_its_type_only() -> None:
    result = invoke("plan", failure=KeyError(SECRET))
    assert result.exit_code == 3
    assert "bug in mlflow-gitops: unexpected KeyError" in result.stderr
    assert "--debug" in result.stderr
    assert SECRET not in result.output
    assert "Traceback" not in result.output


def test_a_bug_shows_its_traceback_when_asked() -> None:
    result = invoke("--debug", "plan", failure=KeyError("x"))
    assert result.exit_code == 3
    assert "Traceback" in result.stderr


@pytest.mark.parametrize("failure", [KeyboardInterrupt(), click.Abort()])
def test_interrupted_is_130(failure: BaseException) -> None:
    result = invoke("plan", failure=failure)
    assert result.exit_code == 130
    assert "Interrupted." in result.stderr


@pytest.mark.parametrize(
    ("args", "what"),
    [
        (["paln"], "There is no command `paln`; did you mean `plan`?"),
        (["config", "chek"], "chek"),
        (["plan", "--dif"], "--diff"),
        (["adopt"], "--environment"),
        (["init", "--bucket", "models"], "Give either DIR or --push."),
        (["init", "x", "--push", "--bucket", "models"], "Give either DIR or --push."),
        (["serve", "--port", "-1"], "--port"),
    ],
)
def test_wrong_use_is_2(args: list[str], what: str) -> None:
    result = invoke(*args)
    assert result.exit_code == 2
    assert what in result.stderr
    assert result.stdout == ""


def test_help_and_version_need_nothing() -> None:
    assert CliRunner().invoke(main, ["--version"]).stdout.startswith("mlflow-gitops, version ")
    assert "reconcile" in CliRunner().invoke(main, ["-h"]).stdout


def test_warnings_of_the_environment_are_told() -> None:
    app = App(environ={"MLFLOW_GITOPS_REPOSITROY": "x", "MLFLOW_GITOPS_REPOSITORY": "x"})
    result = CliRunner().invoke(main, ["status"], obj=app)
    assert "Warning: MLFLOW_GITOPS_REPOSITROY" in result.stderr


def test_config_check_tells_all_problems_at_once() -> None:
    settings = "artifacts: {bucket: No_Bucket}\nenvironments: {staging: {paht: x}}\nwhat: 1\n"
    result = invoke("config", "check", settings=settings)
    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    assert lines[0].split() == ["LINE", "KEY", "PROBLEM", "ALLOWED", "NEXT"]
    assert any("artifacts.bucket" in line for line in lines)
    assert any("environments.staging.paht" in line and "`path`" in line for line in lines)
    assert any(line.startswith("3 ") and "what" in line for line in lines)
    assert "problems" in result.stderr


def test_config_check_in_json_and_without_problems() -> None:
    broken = invoke("config", "check", "--json", settings="artifacts: 3\n")
    assert broken.exit_code == 1
    problems = json.loads(broken.stdout)["problems"]
    assert {"path", "line", "what", "allowed", "hint"} <= set(problems[0])
    right = (
        "artifacts: {bucket: models}\n"
        "environments:\n  staging: {select: {stage: Staging}, path: overlays/staging}\n"
    )
    result = invoke("config", "check", settings=right)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == "git.example.com/ml/manifests: mlflow-gitops.yaml: no problems.\n"
    weaker = right.replace("models}", "models, write-once: checked}")
    assert "Warning: `artifacts.write-once" in invoke("config", "check", settings=weaker).stderr


def test_config_check_without_settings_is_told() -> None:
    result = invoke("config", "check")
    assert result.exit_code == 1
    assert "mlflow-gitops.yaml" in result.stderr
