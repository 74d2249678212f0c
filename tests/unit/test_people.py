"""Whom the commits name: the settings, and the process that wins over them."""

from __future__ import annotations

import pytest

from mlflow_gitops.config import Process, check_settings, parse_settings
from mlflow_gitops.errors import ConfigError
from mlflow_gitops.state import People, Person

REST = """artifacts: {bucket: models}
environments:
  staging: {select: {stage: Staging}, path: staging}
"""
ADA = Person("Ada Lovelace", "ada@example.com")
BOT = Person("bot", "1+bot@users.noreply.github.com")


def people(commits: str) -> People:
    return parse_settings(f"{REST}commits: {commits}\n").people


def test_the_committer_is_the_author_unless_it_is_named() -> None:
    author, committer = "Ada Lovelace <ada@example.com>", f"bot <{BOT.address}>"
    assert people("{}") == People()
    assert people(f"{{author: {author}}}") == People(ADA, ADA)
    assert people(f"{{committer: {committer}}}") == People(Person(), BOT)
    assert people(f"{{author: {author}, committer: {committer}}}") == People(ADA, BOT)


def test_what_the_process_says_wins() -> None:
    environ = {"MLFLOW_GITOPS_AUTHOR_NAME": "Own"}
    named = Process.from_environ(environ).people(People(ADA, BOT))
    assert named == People(Person("Own", ADA.address), Person("Own", BOT.address))
    assert Process().people(People(ADA, BOT)) == People(ADA, BOT)


@pytest.mark.parametrize(
    "text",
    ["Ada", "<ada@x>", "Ada <ada@x> <b@y>", '"A\\nB <a@b>"', "A <a b>", "A <>", "... <a@b>", "7"],
)
def test_what_is_nobody_is_told_with_key_and_line(text: str) -> None:
    (problem,) = check_settings(f"{REST}commits:\n  author: {text}\n")
    assert (problem.path, problem.line) == ("commits.author", 5)


@pytest.mark.parametrize(
    ("environ", "where"),
    [
        ({"KEY_FILE": "/k", "KEY_ID": "K"}, "MLFLOW_GITOPS_SIGNING_KEY_FILE"),
        ({"KEY_ID": "-x"}, "MLFLOW_GITOPS_SIGNING_KEY_ID"),
        ({"KEY_FILE": "-----BEGIN\nhunter2"}, "MLFLOW_GITOPS_SIGNING_KEY_FILE"),
        ({"PASSPHRASE": "a\nhunter2", "KEY_ID": "K"}, "MLFLOW_GITOPS_SIGNING_PASSPHRASE"),
    ],
)
def test_wrong_variables_are_told_and_not_shown(environ: dict[str, str], where: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Process.from_environ({f"MLFLOW_GITOPS_SIGNING_{n}": text for n, text in environ.items()})
    assert where in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_a_passphrase_may_have_spaces_and_needs_a_key() -> None:
    environ = {"MLFLOW_GITOPS_SIGNING_PASSPHRASE": "two words"}
    process = Process.from_environ(environ)
    assert process.passphrase.phrase() == "two words"
    assert "two words" not in repr(process)
    assert any("SIGNING_PASSPHRASE has no effect" in warning for warning in process.warnings)
