"""Which forge an address tells, and where its API is."""

from __future__ import annotations

import pytest

from mlflow_gitops.adapters.forge import kind_of, open_forge
from mlflow_gitops.errors import ConfigError


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("github.com", "github"),
        ("www.github.com", "github"),
        ("ssh.github.com:443", "github"),
        ("octo.ghe.com", "github"),
        ("github.corp.example", "github"),
        ("gitlab.com", "gitlab"),
        ("altssh.gitlab.com:443", "gitlab"),
        ("my-gitlab.example", "gitlab"),
        ("gitea.svc.cluster.local:3000", "gitea"),
        ("codeberg.org", "forgejo"),
        ("Forgejo.example", "forgejo"),
    ],
)
def test_a_host_tells_its_kind(address: str, kind: str) -> None:
    assert kind_of(address) == kind


@pytest.mark.parametrize(
    ("identity", "kind", "said"),
    [
        ("git.example.com/ml/manifests", "", "does not tell which forge"),
        ("gitlab-to-github.example.com/ml/manifests", "", "does not tell which forge"),
        ("/srv/manifests", "", "does not tell which forge"),
        ("notghe.com/ml/manifests", "", "does not tell which forge"),
        ("github.com/manifests", "", "no owner"),
        ("git.example.com/manifests", "github", "no owner"),
    ],
)
def test_a_forge_that_cannot_be_told(identity: str, kind: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        open_forge(identity, kind, token=lambda: "t")


@pytest.mark.parametrize(
    ("scheme", "address", "api"),
    [
        ("https", "github.com", "https://api.github.com"),
        ("https", "www.github.com", "https://api.github.com"),
        ("ssh", "ssh.github.com:443", "https://api.github.com"),
        ("https", "octo.ghe.com", "https://api.octo.ghe.com"),
        ("ssh", "octo.ghe.com", "https://api.octo.ghe.com"),
        ("https", "github.corp.example", "https://github.corp.example/api/v3"),
        ("https", "github.corp.example:8443", "https://github.corp.example:8443/api/v3"),
        ("ssh", "github.corp.example:2222", "https://github.corp.example/api/v3"),
        ("http", "github.corp.example:8080", "http://github.corp.example:8080/api/v3"),
        ("ssh", "[fd00::1]:2222", "https://[fd00::1]/api/v3"),
    ],
)
def test_github_s_api_is_found(scheme: str, address: str, api: str) -> None:
    forge = open_forge(f"{address}/ml/manifests", "github", token=lambda: "t", scheme=scheme)
    assert f"{api}/repos/ml/manifests" in repr(forge)


def test_a_named_api_wins() -> None:
    url = "https://api.example/v3"
    forge = open_forge("github.com/ml/manifests", "github", url, token=lambda: "t")
    assert f"{url}/repos/ml/manifests" in repr(forge)
