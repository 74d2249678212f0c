"""The forge that has the manifests repository, found from its address or named in the settings."""

from __future__ import annotations

from collections.abc import Callable

from mlflow_gitops.errors import ConfigError
from mlflow_gitops.ports import Forge

__all__ = ["open_forge"]

WHERE = "mlflow-gitops.yaml: forge"


def open_forge(
    identity: str, kind: str = "", api_url: str = "", *, token: Callable[[], str]
) -> Forge:
    """The adapter for the repository `identity`, a host and a path.

    `token` is called for each request, so that it may be rotated. Raises ConfigError.
    """
    host, _, path = identity.partition("/")
    kind = kind or ("github" if "github" in host else "")
    if not kind:
        raise ConfigError(
            f"the repository's host {host} does not tell which forge it is",
            where=WHERE,
            hint="set `kind: github` there, and `url` to its API's address",
        )
    if kind != "github":
        raise ConfigError(
            f"pull requests on {kind} are not supported by this version",
            where=WHERE,
            hint="deliver by commits, or from GitHub",
        )
    from mlflow_gitops.adapters.forge.github import GitHubForge

    names = path.split("/")[-2:]
    if len(names) < 2 or not all(names):
        raise ConfigError(
            f"{identity} is no repository of a forge: it has no owner and name",
            where="MLFLOW_GITOPS_REPOSITORY",
            hint="deliver by commits, or set it to a URL like https://github.com/<owner>/<name>",
        )
    return GitHubForge("/".join(names), api_url or _api_of(host), token)


def _api_of(host: str) -> str:
    """GitHub's own, or that of GitHub Enterprise on the host."""
    return "https://api.github.com" if host == "github.com" else f"https://{host}/api/v3"
