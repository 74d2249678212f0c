"""The forge that has the manifests repository, found from its address or named in the settings.

A new forge is a row in OPENERS and, where host names tell it, in HOSTS, ENDINGS or WORDS.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal
from urllib.parse import quote, urlsplit

from mlflow_gitops.adapters.repository_paths import azure_path
from mlflow_gitops.config.github_app import GitHubApp
from mlflow_gitops.errors import ConfigError
from mlflow_gitops.ports import Forge

__all__ = ["Place", "installation_token", "kind_of", "open_forge"]

WHERE = "mlflow-gitops.yaml: forge"
HOSTS: Mapping[str, str] = {
    "github.com": "github",
    "gitlab.com": "gitlab",
    "codeberg.org": "forgejo",
    "dev.azure.com": "azure-devops",
    "bitbucket.org": "bitbucket-cloud",
}
WORDS: Mapping[str, str] = {
    "github": "github",
    "gitlab": "gitlab",
    "gitea": "gitea",
    "forgejo": "forgejo",
    "bitbucket": "bitbucket-data-center",
}
GHE, VISUAL_STUDIO = ".ghe.com", ".visualstudio.com"
ENDINGS: Mapping[str, str] = {GHE: "github", VISUAL_STUDIO: "azure-devops"}
AZURE = "https://dev.azure.com"


@dataclass(frozen=True, slots=True)
class Place:
    """A repository on a forge. `host` has a port where the web has one there, `path` are the
    names below it, `api_url` is "" where the settings name none. `token` is called for each
    request, so that it may be rotated.
    """

    host: str
    path: str
    api_url: str
    token: Callable[[], str]
    scheme: str = "https"
    app: GitHubApp | None = None

    @property
    def web(self) -> str:
        return f"{self.scheme}://{self.host}"

    def owner_and_name(self) -> str:
        """The last two names. Raises ConfigError."""
        names = self.path.split("/")[-2:]
        if len(names) < 2 or not all(names):
            raise _no_repository(self, "https://github.com/<owner>/<name>")
        return "/".join(names)


def open_forge(
    identity: str,
    kind: str = "",
    api_url: str = "",
    *,
    token: Callable[[], str] = str,
    scheme: str = "https",
    app: GitHubApp | None = None,
) -> Forge:
    """The adapter for the repository `identity`, a host and a path; `scheme` is Git's. On GitHub
    an app may speak instead of a token's user.

    Raises ConfigError.
    """
    place = _place(identity, api_url, token, scheme, app)
    return OPENERS[kind or kind_of(place.host, place.path)](place)


def kind_of(address: str, path: str = "") -> str:
    """From the host's name, or a path that only one forge has. Raises ConfigError where neither
    tells.
    """
    host = _plain(address)
    found = {kind for ending, kind in ENDINGS.items() if host.endswith(ending)}
    found = found or ({HOSTS[host]} if host in HOSTS else set())
    found = found or {kind for word, kind in WORDS.items() if word in host}
    if not found and host and azure_path(host, path):
        found = {"azure-devops"}
    if len(found) != 1:
        which = f"host {host} does" if host else "address has no host, and does"
        raise ConfigError(
            f"the repository's {which} not tell which forge it is",
            where=WHERE,
            hint="set `kind` there, to github for example, and `url` to its API's address",
        )
    return found.pop()


def installation_token(identity: str, app: GitHubApp, scheme: str = "https") -> Callable[[], str]:
    """Gives a token for Git, where an app of the repository's GitHub may write its contents."""
    from mlflow_gitops.adapters.forge.github_auth import Installation

    place = _place(identity, "", str, scheme, app)
    auth = Installation(app, _github_api(place), place.owner_and_name())
    return lambda: auth.token


def _place(
    identity: str, api_url: str, token: Callable[[], str], scheme: str, app: GitHubApp | None
) -> Place:
    address, _, path = identity.partition("/")
    if scheme in ("http", "https"):
        return Place(address, path, api_url, token, scheme, app)
    return Place(_without_port(address), path, api_url, token, "https", app)  # that port is SSH's


def _no_repository(place: Place, example: str) -> ConfigError:
    return ConfigError(
        f"{place.host}/{place.path} is no repository of a forge: it has no owner and name",
        where="MLFLOW_GITOPS_REPOSITORY",
        hint=f"deliver by commits, or set it to a URL like {example}",
    )


def _github(place: Place) -> Forge:
    from mlflow_gitops.adapters.forge.github import GitHubForge
    from mlflow_gitops.adapters.forge.github_auth import Installation, Rotating

    name, api = place.owner_and_name(), place.api_url or _github_api(place)
    auth = Installation(place.app, api, name) if place.app else Rotating(place.token)
    return GitHubForge(name, api, auth)


def _github_api(place: Place) -> str:
    """GitHub's own, that of an enterprise on ghe.com, or GitHub Enterprise Server's on its host."""
    host = _plain(place.host)
    if host == "github.com" or host.endswith(GHE):
        return f"https://api.{host}"
    return f"{place.web}/api/v3"


def _gitlab(place: Place) -> Forge:
    """GitLab may be below a path, which Git's address then has too."""
    from mlflow_gitops.adapters.forge.gitlab import GitLabForge

    url = (place.api_url or place.web).rstrip("/").removesuffix("/api/v4")
    below = urlsplit(url).path.strip("/")
    place.owner_and_name()
    project = place.path.removeprefix(f"{below}/") if below else place.path
    return GitLabForge(project, url, place.token)


def _gitea(place: Place) -> Forge:
    return _gitea_of("gitea", place)


def _forgejo(place: Place) -> Forge:
    return _gitea_of("forgejo", place)


def _gitea_of(kind: Literal["gitea", "forgejo"], place: Place) -> Forge:
    from mlflow_gitops.adapters.forge.gitea import GiteaForge

    api = (place.api_url or place.web).rstrip("/").removesuffix("/api/v1")
    return GiteaForge(place.owner_and_name(), f"{api}/api/v1", place.token, kind=kind)


def _azure(place: Place) -> Forge:
    """The collection's address is the API's: on Azure DevOps Services it is the organization's."""
    from mlflow_gitops.adapters.forge.azure import AzureForge

    host = _plain(place.host)
    path = azure_path(host, place.path)
    if path is None:
        raise _no_repository(place, f"{AZURE}/<organization>/<project>/_git/<name>")
    web, collection = place.web, path.collection
    if HOSTS.get(host) == "azure-devops" or host.endswith(VISUAL_STUDIO):
        web, collection = AZURE, path.collection or host.partition(".")[0]
    url = place.api_url.rstrip("/") or f"{web}/{quote(collection)}"
    return AzureForge(url, path.project, path.repository, place.token)


def _bitbucket_cloud(place: Place) -> Forge:
    from mlflow_gitops.adapters.forge.bitbucket_cloud import BitbucketCloudForge

    api = (place.api_url or "https://api.bitbucket.org/2.0").rstrip("/")
    return BitbucketCloudForge(place.owner_and_name(), api, place.token)


def _bitbucket_server(place: Place) -> Forge:
    """It may be below a path, which its HTTPS address for Git has before `/scm/`."""
    from mlflow_gitops.adapters.forge.bitbucket_server import BitbucketServerForge

    below, scm, _ = f"/{place.path}".rpartition("/scm/")
    base = place.api_url.rstrip("/").removesuffix("/rest") or place.web + (below if scm else "")
    project, _, name = place.owner_and_name().partition("/")
    return BitbucketServerForge(base, project, name, place.token)


def _plain(address: str) -> str:
    """A host's name, without a port and without what stands before it for SSH or the web."""
    host = _without_port(address).lower()
    for before in ("ssh.", "altssh.", "www."):
        host = host.removeprefix(before)
    return host


def _without_port(address: str) -> str:
    host, colon, port = address.rpartition(":")
    return host if colon and port.isdecimal() else address


OPENERS: Mapping[str, Callable[[Place], Forge]] = {
    "github": _github,
    "gitlab": _gitlab,
    "gitea": _gitea,
    "forgejo": _forgejo,
    "azure-devops": _azure,
    "bitbucket-cloud": _bitbucket_cloud,
    "bitbucket-data-center": _bitbucket_server,
}
