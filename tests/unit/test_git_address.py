"""Addresses of repositories: what is taken, what identifies them, and what is refused."""

from __future__ import annotations

import pytest

from mlflow_gitops.adapters.git_address import Address
from mlflow_gitops.errors import ConfigError

SAME = "git.example.com/ml/manifests"


@pytest.mark.parametrize(
    ("url", "identity"),
    [
        ("https://git.example.com/ml/manifests", SAME),
        ("https://git.example.com/ml/manifests.git", SAME),
        ("https://GIT.Example.com:443/ml/manifests.git/", SAME),
        ("http://git.example.com:80//ml/./manifests", SAME),
        ("ssh://git@git.example.com/ml/manifests.git", SAME),
        ("ssh://git@git.example.com:22/ml/manifests.git", SAME),
        ("git@git.example.com:ml/manifests.git", SAME),
        ("git.example.com:/ml/manifests", SAME),
        ("git://git.example.com/ml/manifests", SAME),
        ("https://git.example.com:8443/ml/manifests", "git.example.com:8443/ml/manifests"),
        ("https://git.example.com/ML/Manifests", "git.example.com/ML/Manifests"),
        ("https://git.example.com/a%20b.git", "git.example.com/a b"),
        ("https://[::1]:8443/x.git", "[::1]:8443/x"),
        ("file:///srv/git/manifests.git", "/srv/git/manifests"),
        ("file://localhost/srv/a%20b", "/srv/a b"),
        ("/srv/git/manifests.git/", "/srv/git/manifests"),
        ("/srv/git/../git/manifests", "/srv/git/manifests"),
        ("/srv/with:colon/x", "/srv/with:colon/x"),
    ],
)
def test_the_identity_is_host_and_path(url: str, identity: str) -> None:
    assert Address.parse(url).identity == identity


@pytest.mark.parametrize(
    "url",
    [
        "https://ada:hunter2@git.example.com/ml/manifests.git",
        "https://ghp_hunter2@github.com/ml/manifests.git",
        "https://glpat-hunter2@gitlab.com/ml/manifests.git",
        "https://hunter2hunter2hunter2hunter2hunter2@git.example.com/ml/manifests.git",
        "https://ada%3Ahunter2@git.example.com/ml/manifests.git",
        "https://:hunter2@git.example.com/ml/manifests.git",
        "http://ada:hunter2@127.0.0.1:8080/x",
        "ssh://git:hunter2@git.example.com/x",
        "https://git.example.com/x.git?private_token=hunter2",
        "https://git.example.com/x.git#hunter2",
        "https://ada:hunter2@[broken/x",
        "ftp://ada:hunter2@git.example.com/x",
    ],
)
def test_a_url_with_a_secret_is_refused_and_not_shown(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Address.parse(url)
    assert "hunter2" not in str(caught.value)
    assert "hunter2" not in repr(caught.value)
    assert caught.value.hint


@pytest.mark.parametrize(
    "url",
    [
        "",
        "  ",
        "-oProxyCommand=touch /tmp/x",
        "--upload-pack=touch /tmp/x",
        "ext::sh -c touch% /tmp/x",
        "fd::3",
        "ssh://-oProxyCommand=x/y",
        "-x@host:path",
        "ftp://host/x",
        "javascript://host/x",
        "https://",
        "https:///x",
        "https://host",
        "https://host:port/x",
        "host:",
        "file://elsewhere/srv/x",
        "https://host/x\n[core]",
        "/srv/x\0y",
    ],
)
def test_what_git_could_take_for_something_else_is_refused(url: str) -> None:
    with pytest.raises(ConfigError):
        Address.parse(url)


@pytest.mark.parametrize(
    ("url", "user"),
    [
        ("https://org@dev.azure.com/org/p/_git/r", "org"),
        ("https://x-token-auth@bitbucket.org/org/p/_git/r", "x-token-auth"),
        (
            "https://x-bitbucket-api-token-auth@bitbucket.org/org/p/_git/r",
            "x-bitbucket-api-token-auth",
        ),
        ("https://ada%40example.com@git.example.com:443/org/p/_git/r.git", "ada@example.com"),
        ("https://ada:@git.example.com/org/p/_git/r", "ada"),
        ("https://@git.example.com/org/p/_git/r", ""),
        ("https://git.example.com/org/p/_git/r", ""),
        ("http://ada@git.example.com/org/p/_git/r", "ada"),
    ],
)
def test_a_user_name_alone_is_no_credential(url: str, user: str) -> None:
    address = Address.parse(url)
    assert address.user == user
    assert "@" not in address.url + address.identity + address.origin + repr(address)
    assert address.identity.endswith("/org/p/_git/r")


@pytest.mark.parametrize(
    "url", ["ssh://git@git.example.com/x.git", "git@git.example.com:x.git", "host:x"]
)
def test_ssh_keeps_its_user_in_the_url(url: str) -> None:
    address = Address.parse(url)
    assert address.url == url
    assert address.user == ""


def test_a_wrong_url_says_which_part_is_the_credential() -> None:
    with pytest.raises(ConfigError, match="a password"):
        Address.parse("https://ada:hunter2@git.example.com/x")
    with pytest.raises(ConfigError, match="a token in the place of a user name"):
        Address.parse("https://ghp_hunter2@github.com/x/y")


def test_a_token_is_meant_for_one_origin() -> None:
    address = Address.parse("https://git.example.com:8443/ml/manifests.git")
    assert address.takes_token
    assert address.origin == "https://git.example.com:8443/"
    assert not Address.parse("git@git.example.com:x").takes_token
    assert not Address.parse("/srv/x").takes_token
