"""Which repository a path on a forge names, where the forge writes it in several ways. PURE.

Azure DevOps and Bitbucket Data Center give other paths for SSH than for HTTPS.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["AZURE_SSH", "AzurePath", "azure_path", "bare_path"]

GIT = "_git"
AZURE_SSH = "v3"
SPARSE = ("_full", "_optimized")
LEGACY = ".visualstudio.com"


@dataclass(frozen=True, slots=True)
class AzurePath:
    """`collection` is the path of the organization or collection, "" where the host names it."""

    collection: str
    project: str
    repository: str


def azure_path(host: str, path: str) -> AzurePath | None:
    """Read the path of Azure DevOps's address for HTTPS or SSH; None where it is neither.

    A repository that has its project's name may leave the project out.
    """
    names = [name for name in path.split("/") if name not in SPARSE]
    if names[0] == AZURE_SSH and len(names) == 4:
        return AzurePath(names[1], names[2], names[3])
    if GIT not in names[:-1]:
        return None
    at = names.index(GIT)
    before, repository = names[:at], names[-1]
    in_host = 1 if host.endswith(LEGACY) else 0  # the organization, which is then not in the path
    if in_host and before[:1] == ["DefaultCollection"]:
        before = before[1:]
    if len(before) + in_host < 2:
        before = [*before, repository]
    *collection, project = before
    return AzurePath("/".join(collection), project, repository)


def bare_path(identity: str) -> str:
    """Return the same path for every address of a repository, in small letters."""
    host, _, path = identity.casefold().partition("/")
    azure = azure_path(host, path)
    if azure is not None:  # an organization may be in the host or in the path
        return f"{azure.project}/{azure.repository}"
    _, scm, below = f"/{path}".rpartition("/scm/")  # Bitbucket Data Center's for HTTPS
    return below if scm and below.count("/") == 1 else path
