"""Looks at the forge before the first delivery, so that what it would refuse is said at once.

Reads only. What a token may not see is a warning, never a failure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from mlflow_gitops.errors import GitOpsError, TransientError
from mlflow_gitops.planning.messages import clean
from mlflow_gitops.planning.protecting import complaints
from mlflow_gitops.ports import Forge
from mlflow_gitops.state import Settings

__all__ = ["ForgeCheck", "ForgeReport"]

UNCHECKED = (
    "the forge is not checked: there is no token for it; set MLFLOW_GITOPS_FORGE_TOKEN, or "
    "MLFLOW_GITOPS_FORGE_TOKEN_FILE"
)


@dataclass(frozen=True, slots=True)
class ForgeReport:
    """`failure` keeps pull requests from being delivered. `user` is who the token belongs to, ""
    where the forge was not asked.
    """

    user: str = ""
    failure: GitOpsError | None = None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ForgeCheck:
    open_forge: Callable[[Settings], Forge]
    has_token: bool

    def look(self, settings: Settings, default_branch: str) -> ForgeReport:
        """Without a token nothing is asked, and that is a warning where pull requests need one."""
        proposes = any(e.delivery == "pull-request" for e in settings.environments.values())
        if not self.has_token:
            return ForgeReport(warnings=(UNCHECKED,) if proposes else ())
        try:
            forge = self.open_forge(settings)
        except GitOpsError as error:  # commits need no forge
            return ForgeReport(failure=error if proposes else None)
        try:
            user = forge.check()
        except TransientError as error:
            return ForgeReport(warnings=(f"the forge is not checked: {_told(error)}",))
        except GitOpsError as error:
            if proposes:
                return ForgeReport(failure=error)
            return ForgeReport(warnings=(f"the forge is not checked: {_told(error)}",))
        return ForgeReport(user, warnings=tuple(_of_branches(forge, settings, default_branch)))


def _of_branches(forge: Forge, settings: Settings, default_branch: str) -> Iterator[str]:
    """Ask once for each branch."""
    environments = settings.environments.values()
    for branch in dict.fromkeys(e.branch or default_branch for e in environments):
        try:
            protection = forge.protection(branch)
        except GitOpsError as error:
            yield f"the protection of {branch} is not checked: {_told(error)}"
            continue
        for environment in environments:
            if (environment.branch or default_branch) == branch:
                yield from map(clean, complaints(environment, branch, protection))


def _told(error: GitOpsError) -> str:
    return f"{error.what} ({error.where})" if error.where else error.what
