"""A GitHub App that speaks to GitHub, and to Git over HTTPS, instead of a token's user."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from mlflow_gitops.adapters.forge import open_forge
from mlflow_gitops.adapters.forge.github_auth import Installation
from mlflow_gitops.bootstrap import Session
from mlflow_gitops.config import Process
from mlflow_gitops.config.github_app import GitHubApp
from mlflow_gitops.errors import ConfigError, ForgeError, TransientError
from mlflow_gitops.ports import Forge
from tests.support.forge_host import BRANCH
from tests.support.git import GitHttpServer, make_bare
from tests.support.github_server import App, GitHubServer, github_server

pytestmark = pytest.mark.xdist_group("github")  # it reads the API's description once

DAMAGED = "-----BEGIN RSA PRIVATE KEY-----\nc2VjcmV0\n-----END RSA PRIVATE KEY-----"
IDENTITY = "github.com/ml/manifests"


def pem(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey, passphrase: bytes = b"") -> str:
    kinds = serialization
    lock = kinds.BestAvailableEncryption(passphrase) if passphrase else kinds.NoEncryption()
    form = kinds.PrivateFormat.TraditionalOpenSSL
    return key.private_bytes(kinds.Encoding.PEM, form, lock).decode()


@pytest.fixture(scope="module")
def pair() -> tuple[str, str]:
    """A private key and its public one."""
    made = rsa.generate_private_key(65537, 2048)
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return pem(made), made.public_key().public_bytes(serialization.Encoding.PEM, form).decode()


@pytest.fixture
def server(tmp_path: Path, pair: tuple[str, str]) -> Iterator[GitHubServer]:
    bare = make_bare(tmp_path / "manifests.git", {"a.yaml": "uri: 1\n"})
    with github_server(bare, tmp_path / "people") as found:
        found.token = "nobody has it"
        found.app = App(pair[1])
        yield found


@pytest.fixture
def app(server: GitHubServer) -> App:
    assert server.app
    return server.app


@pytest.fixture
def key(pair: tuple[str, str]) -> str:
    return pair[0]


def forge_of(server: GitHubServer, key: str, app_id: str = "4711", installation: str = "") -> Forge:
    app = GitHubApp(app_id, installation, lambda: key)
    return open_forge(IDENTITY, "github", server.url, app=app)


@pytest.mark.parametrize("installation", ["", "42"])
def test_it_speaks_as_its_installation(
    server: GitHubServer, app: App, key: str, installation: str
) -> None:
    forge = forge_of(server, key, installation=installation)
    assert forge.newest(BRANCH) is None
    assert forge.check() == "ml-gitops[bot]"
    assert app.made == ["ghs_s3cr3t-0"]
    assert (f"GET /repos/{server.repository}/installation" in server.seen) == (not installation)


def test_its_token_is_renewed_before_it_expires(server: GitHubServer, app: App, key: str) -> None:
    now = [time.time()]
    named = GitHubApp("4711", key=lambda: key)
    auth = Installation(named, server.url, "ml/manifests", now=lambda: now[0])
    assert auth.token == auth.token == "ghs_s3cr3t-0"
    now[0] += 54 * 60
    assert auth.token == "ghs_s3cr3t-0"
    now[0] += 2 * 60
    assert auth.token == "ghs_s3cr3t-1"


def test_a_token_that_was_taken_back_is_replaced(server: GitHubServer, app: App, key: str) -> None:
    forge = forge_of(server, key)
    assert forge.newest(BRANCH) is None
    app.made[0] = "taken back"
    with pytest.raises(ForgeError, match="refuses the token"):
        forge.newest(BRANCH)
    assert forge.newest(BRANCH) is None
    assert app.made[1:] == ["ghs_s3cr3t-1"]


BAD: Mapping[str, tuple[Callable[[], str], str]] = {
    "another's": (lambda: pem(rsa.generate_private_key(65537, 2048)), "another app's key"),
    "of another kind": (lambda: pem(ec.generate_private_key(ec.SECP256R1())), "cannot be used"),
    "damaged": (lambda: DAMAGED, "cannot be used"),
    "with a passphrase": (
        lambda: pem(ec.generate_private_key(ec.SECP256R1()), b"word"),
        "cannot be used",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_wrong_key_is_told_and_not_shown(
    server: GitHubServer, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    caplog.set_level(logging.DEBUG)
    make, said = BAD[name]
    bad = make()
    forge = forge_of(server, bad)
    with pytest.raises(ConfigError, match=said) as caught:
        forge.newest(BRANCH)
    assert caught.value.where == "MLFLOW_GITOPS_GITHUB_APP_KEY"
    shown = str(caught.value) + repr(forge) + caplog.text
    assert not [line for line in bad.split() if line in shown]
    assert caught.value.__suppress_context__


@pytest.mark.parametrize(
    ("app_id", "installation", "is_installed"),
    [("4712", "", True), ("4711", "", False), ("4711", "43", True), ("4712", "42", True)],
)
def test_an_app_that_is_not_there_is_told(
    server: GitHubServer, app: App, key: str, app_id: str, installation: str, is_installed: bool
) -> None:
    app.is_installed = is_installed
    with pytest.raises(ForgeError, match=f"no app {app_id}, or it is not installed"):
        forge_of(server, key, app_id, installation).newest(BRANCH)
    assert app.made == []


def test_a_permission_that_it_lacks_is_told(server: GitHubServer, app: App, key: str) -> None:
    app.permissions = {"contents": "write", "pull_requests": "read"}
    with pytest.raises(ForgeError, match="in its installation: `pull requests`, `statuses`"):
        forge_of(server, key).check()


@pytest.mark.parametrize("answer", ["[]", "{}", '{"id": 42}', "<html>"])
def test_another_api_is_told(server: GitHubServer, key: str, answer: str) -> None:
    named = GitHubApp("4711", "42" if answer == "{}" else "", lambda: key)
    server.answers += [(200, {}, answer)] * 2
    with pytest.raises(ForgeError, match=r"GitHub's API|lacks permissions"):
        _ = Installation(named, server.url, "ml/manifests").token


def test_a_limit_is_waited_out(server: GitHubServer, key: str) -> None:
    server.answers.append((429, {"Retry-After": "42"}, "{}"))
    with pytest.raises(TransientError) as caught:
        forge_of(server, key).newest(BRANCH)
    assert caught.value.retry_after == 42


def test_git_speaks_with_its_tokens_too(
    server: GitHubServer, app: App, key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # the API of GitHub Enterprise is on the host and port of its Git: here it is on another port
    monkeypatch.setattr("mlflow_gitops.adapters.forge._github_api", lambda _: server.url)
    (tmp_path / "ml").mkdir()
    (tmp_path / "ml" / "manifests.git").symlink_to(server.bare)
    with GitHttpServer(tmp_path, {"x-access-token": "ghs_s3cr3t-0"}) as git:
        environ = {
            "MLFLOW_GITOPS_REPOSITORY": git.url("ml/manifests.git"),
            "MLFLOW_GITOPS_STATE_DIR": str(tmp_path / "state"),
            "MLFLOW_GITOPS_GITHUB_APP_ID": "4711",
            "MLFLOW_GITOPS_GITHUB_APP_KEY": key,
        }
        repository = Session(Process.from_environ(environ)).repository
        repository.fetch()
        assert repository.tree("main").read("a.yaml") == "uri: 1\n"
    assert app.made == ["ghs_s3cr3t-0"]
    assert any(authorization for _, _, authorization in git.requests)
