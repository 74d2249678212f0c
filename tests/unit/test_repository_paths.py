"""Which repository the addresses of Azure DevOps and Bitbucket name."""

from __future__ import annotations

import pytest

from mlflow_gitops.adapters.forge import open_forge
from mlflow_gitops.adapters.git_address import Address
from mlflow_gitops.adapters.repository_paths import bare_path
from mlflow_gitops.errors import ConfigError

AZURE = "https://dev.azure.com"
ROOT = "_apis/git/repositories"


def api_of(url: str, kind: str = "", api_url: str = "") -> str:
    address = Address.parse(url)
    forge = open_forge(address.identity, kind, api_url, token=lambda: "t", scheme=address.scheme)
    return repr(forge)


@pytest.mark.parametrize(
    ("url", "api"),
    [
        ("https://ada@dev.azure.com/org/ml/_git/r", f"{AZURE}/org/ml/{ROOT}/r"),
        ("https://dev.azure.com/org/My%20Project/_git/a%20b", f"{AZURE}/org/My%20Project/{ROOT}/a"),
        ("https://dev.azure.com/org/_git/ml", f"{AZURE}/org/ml/{ROOT}/ml"),
        ("https://dev.azure.com/org/ml/_git/_optimized/r", f"{AZURE}/org/ml/{ROOT}/r"),
        ("git@ssh.dev.azure.com:v3/org/ml/r", f"{AZURE}/org/ml/{ROOT}/r"),
        ("ssh://git@ssh.dev.azure.com/v3/org/ml/r", f"{AZURE}/org/ml/{ROOT}/r"),
        ("https://org.visualstudio.com/ml/_git/r", f"{AZURE}/org/ml/{ROOT}/r"),
        ("https://org.visualstudio.com/_git/ml", f"{AZURE}/org/ml/{ROOT}/ml"),
        ("https://org.visualstudio.com/DefaultCollection/ml/_git/r", f"{AZURE}/org/ml/{ROOT}/r"),
        ("org@vs-ssh.visualstudio.com:v3/org/ml/r", f"{AZURE}/org/ml/{ROOT}/r"),
        (
            "https://tfs.example.com:8443/tfs/Main/ml/_git/r",
            f"https://tfs.example.com:8443/tfs/Main/ml/{ROOT}/r",
        ),
        (
            "ssh://tfs.example.com:22/tfs/Main/ml/_git/r",
            f"https://tfs.example.com/tfs/Main/ml/{ROOT}",
        ),
        (
            "https://ada@bitbucket.org/ws/r.git",
            "https://api.bitbucket.org/2.0/repositories/ws/r",
        ),
        ("git@bitbucket.org:ws/r.git", "https://api.bitbucket.org/2.0/repositories/ws/r"),
        (
            "ssh://git@altssh.bitbucket.org:443/ws/r.git",
            "https://api.bitbucket.org/2.0/repositories/ws/r",
        ),
        (
            "https://bitbucket.example.com/scm/PRJ/r.git",
            "https://bitbucket.example.com/rest/api/1.0/projects/PRJ/repos/r",
        ),
        (
            "https://ada@bitbucket.example.com:8443/git/scm/~ada/r.git",
            "https://bitbucket.example.com:8443/git/rest/api/1.0/projects/~ada/repos/r",
        ),
        (
            "ssh://git@bitbucket.example.com:7999/prj/r.git",
            "https://bitbucket.example.com/rest/api/1.0/projects/prj/repos/r",
        ),
    ],
)
def test_an_address_leads_to_the_api(url: str, api: str) -> None:
    assert api in api_of(url)


def test_a_named_api_wins() -> None:
    ssh = "ssh://git@git.example.com:7999/prj/r.git"
    for base in ("https://git.example.com/bb", "https://git.example.com/bb/rest/"):
        found = api_of(ssh, "bitbucket-data-center", base)
        assert "https://git.example.com/bb/rest/api/1.0/projects/prj/repos/r" in found
    tfs = "ssh://git.example.com/Main/ml/_git/r"
    assert f"https://tfs.example.com/Main/ml/{ROOT}/r" in api_of(
        tfs, "azure-devops", "https://tfs.example.com/Main"
    )


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("https://dev.azure.com/org/ml/r", ""),
        ("https://git.example.com/ml/r", "azure-devops"),
        ("https://bitbucket.org/r", ""),
        ("https://git.example.com/scm", "bitbucket-data-center"),
    ],
)
def test_what_is_no_repository_says_so(url: str, kind: str) -> None:
    with pytest.raises(ConfigError, match="no repository of a forge"):
        api_of(url, kind)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("https://dev.azure.com/org/ml/_git/r", "git@ssh.dev.azure.com:v3/org/ml/r"),
        ("https://org.visualstudio.com/ML/_git/r", "https://ada@dev.azure.com/org/ml/_git/r"),
        ("https://dev.azure.com/org/_git/ml", "https://dev.azure.com/org/ml/_git/ml"),
        ("https://bb.example.com/x/scm/PRJ/r.git", "ssh://git@bb.example.com:7999/prj/r.git"),
        ("https://github.com/ml/R", "git@github.com:ml/r.git"),
    ],
)
def test_the_addresses_of_one_repository_are_the_same(one: str, other: str) -> None:
    first, second = (bare_path(Address.parse(each).identity) for each in (one, other))
    assert first == second


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("https://dev.azure.com/org/ml/_git/r", "https://dev.azure.com/org/ml/_git/s"),
        ("https://gitlab.com/a/scm/b/r", "https://gitlab.com/a/scm/c/r"),
        ("https://github.com/ml/r", "https://github.com/other/r"),
    ],
)
def test_other_repositories_are_others(one: str, other: str) -> None:
    first, second = (bare_path(Address.parse(each).identity) for each in (one, other))
    assert first != second
