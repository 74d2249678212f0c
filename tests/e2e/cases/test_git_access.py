"""How a process gets at the manifests repository: the real command, over real Git and real ssh."""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from mlflow_gitops.manifests import InitOptions, scaffold_repository
from tests.support.fork_server import run_module
from tests.support.git import GitHttpServer, make_bare
from tests.support.kubectl import require

PLAIN = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW", "GIT_", "AWS_"))}
OVER_SSH = "ssh://git@127.0.0.1:9/ml/manifests.git"
TOKEN = "made-up-token"
OPTIONS = InitOptions(bucket="prod-ml-models", repository_url="https://git.example.com/ml.git")


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """With a home folder that knows nobody."""
    (tmp_path / "home").mkdir()
    state = str(tmp_path / "state")
    return {**PLAIN, "HOME": str(tmp_path / "home"), "MLFLOW_GITOPS_STATE_DIR": state}


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    return make_bare(tmp_path / "git" / "org" / "manifests.git", scaffold_repository(OPTIONS))


def check(url: str, environ: Mapping[str, str], **more: str) -> subprocess.CompletedProcess[str]:
    args = ("--repository", url, "config", "check")
    done = run_module("mlflow_gitops.cli", *args, env={**environ, **more})
    assert "Traceback" not in done.stderr
    return done


def script(folder: Path, text: str) -> str:
    path = folder / "ssh"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o700)
    return str(path)


SAID = {
    "unknown uid": ("No user exists for uid 1000730000", "/etc/passwd", "HTTPS URL"),
    "host key": ("Host key verification failed.", "host key is not known", "known_hosts"),
    "key": ("git@h: Permission denied (publickey).", "refused the SSH key", "ssh-agent"),
    "home": (
        "Could not create directory '/.ssh' (Permission denied).\nHost key verification failed.",
        "host key is not known",
        "known_hosts",
    ),
}


@pytest.mark.parametrize("name", SAID)
def test_what_ssh_lacks_here_is_lasting(environ: dict[str, str], tmp_path: Path, name: str) -> None:
    words, what, hint = SAID[name]
    command = script(tmp_path, f'echo "{words}" >&2; exit 255')
    done = check(OVER_SSH, environ, GIT_SSH_COMMAND=command)
    assert done.returncode == 1
    assert what in done.stderr
    assert hint in done.stderr
    assert "tried again" not in done.stderr


def test_ssh_as_a_user_without_a_name(environ: dict[str, str]) -> None:
    require(shutil.which("ssh") and shutil.which("setpriv"), "ssh and setpriv are needed")
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    other = "setpriv --reuid 1000730000 --regid 0 --clear-groups ssh"
    done = check("git@127.0.0.1:ml/manifests.git", environ, GIT_SSH_COMMAND=other)
    assert "this process's user id has no line in /etc/passwd" in done.stderr
    assert "MLFLOW_GITOPS_GIT_TOKEN" in done.stderr


@pytest.mark.parametrize(
    "command", ["/nowhere/ssh", "GIT_SSH=/nowhere/ssh", "no-such-program --quiet"]
)
def test_no_ssh_program_is_lasting(environ: dict[str, str], command: str) -> None:
    name, _, program = command.rpartition("=")
    done = check("git@127.0.0.1:x.git", environ, **{name or "GIT_SSH_COMMAND": program})
    assert done.returncode == 1
    assert "the SSH program cannot be run" in done.stderr
    assert "tried again" not in done.stderr


def test_nobody_listens_is_passing(environ: dict[str, str]) -> None:
    require(shutil.which("ssh"), "ssh is needed")
    assert "it is tried again" in check(OVER_SSH, environ).stderr
    missing = check("ssh://git@no-such-host.invalid/x.git", environ)
    assert "the Git server's name is not found" in missing.stderr
    assert "it is tried again; check the host" in missing.stderr


def sent(server: GitHttpServer) -> set[str]:
    """The pairs of user and password that the server was given."""
    found = {said.removeprefix("Basic ") for _, _, said in server.requests if said}
    return {base64.b64decode(each).decode() for each in found}


@pytest.mark.parametrize("user", ["org", "x-token-auth", "ada%40example.com"])
def test_a_name_in_the_url_goes_with_the_token(
    bare: Path, environ: dict[str, str], user: str
) -> None:
    name = user.replace("%40", "@")
    with GitHttpServer(bare.parents[1], users={name: TOKEN}) as server:
        url = server.url("org/manifests.git").replace("//", f"//{user}@", 1)
        done = check(url, environ, MLFLOW_GITOPS_GIT_TOKEN=TOKEN)
    assert done.returncode == 0, done.stderr
    assert sent(server) == {f"{name}:{TOKEN}"}
    assert "@" not in done.stdout + done.stderr
    assert done.stdout.startswith("127.0.0.1:")


def test_another_name_in_the_environment_counts_and_is_told(
    bare: Path, environ: dict[str, str]
) -> None:
    with GitHttpServer(bare.parents[1], users={"bot": TOKEN}) as server:
        url = server.url("org/manifests.git").replace("//", "//org@", 1)
        more = {"MLFLOW_GITOPS_GIT_TOKEN": TOKEN, "MLFLOW_GITOPS_GIT_USERNAME": "bot"}
        done = check(url, environ, **more)
        same = check(url.replace("org@", "bot@"), environ, **more)
    assert done.returncode == 0, done.stderr
    assert sent(server) == {f"bot:{TOKEN}"}
    assert "MLFLOW_GITOPS_GIT_USERNAME counts" in done.stderr
    assert same.stderr == ""


def test_without_a_token_gits_own_helper_is_asked_for_the_name(
    bare: Path, environ: dict[str, str], tmp_path: Path
) -> None:
    asked = tmp_path / "asked"
    helper = f"!f() {{ cat >> {asked}; echo password={TOKEN}; }}; f"
    Path(environ["HOME"], ".gitconfig").write_text(f'[credential]\n\thelper = "{helper}"\n')
    with GitHttpServer(bare.parents[1], users={"org": TOKEN}) as server:
        url = server.url("org/manifests.git").replace("//", "//org@", 1)
        done = check(url, environ)
    assert done.returncode == 0, done.stderr
    assert "username=org\n" in asked.read_text()


@pytest.mark.parametrize(
    ("user", "what"),
    [
        ("org:made-up-token", "a password"),
        (":made-up-token", "a password"),
        ("ghp_made-up-token", "a token in the place of a user name"),
        ("org%3Amade-up-token", "a password"),
    ],
)
def test_a_secret_in_the_url_is_refused_and_not_shown(
    environ: dict[str, str], user: str, what: str
) -> None:
    done = check(f"https://{user}@git.example.com/org/manifests.git", environ)
    assert done.returncode == 1
    assert f"the repository's URL holds credentials ({what})" in done.stderr
    assert TOKEN not in done.stdout + done.stderr


def test_one_repository_by_many_addresses_has_one_clone(
    bare: Path, environ: dict[str, str], tmp_path: Path
) -> None:
    with GitHttpServer(bare.parents[1]) as server:
        url = server.url("org/manifests.git")
        for each in (url, url.replace("//", "//org@", 1), url.replace("//", "//other@", 1)):
            assert check(each, environ).returncode == 0
    assert len(list((tmp_path / "state" / "repositories").glob("*.git"))) == 1
