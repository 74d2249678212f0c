"""What differs between MLflow servers: their version, and how much a tag of theirs holds."""

from __future__ import annotations

from dataclasses import replace

from packaging.version import InvalidVersion, Version

from mlflow_gitops.errors import RegistryError
from mlflow_gitops.planning.records import status_text
from mlflow_gitops.state import Status

__all__ = ["TAG_EVERYWHERE", "check_version", "clipped", "too_long"]

OLDEST = Version("2.22")
TAG_EVERYWHERE = 5_000
"""Characters. MLflow 2.22 takes no more; later ones take 100,000, but keep a registered model's tag
in a column of this size, which SQLite alone does not mind."""


def check_version(text: str, where: str) -> None:
    """`text` is what the server says of itself. Raises RegistryError where it is too old."""
    try:
        version = Version(text.strip())
    except InvalidVersion:  # another server than MLflow's own may say anything
        return
    if version < OLDEST:
        raise RegistryError(
            f"the MLflow server has version {version}, which is too old",
            where=where,
            hint=f"upgrade it to {OLDEST} or later",
        )


def clipped(status: Status) -> Status:
    """A message is for people; one as long as a tag can be is cut."""
    while len(status_text(status)) > TAG_EVERYWHERE and len(status.message) > 1:
        status = replace(status, message=f"{status.message[: len(status.message) * 3 // 4]}…")
    return status


def too_long(tag: str, text: str, where: str) -> RegistryError:
    return RegistryError(
        f"the tag `{tag}` would have {len(text)} characters, and this MLflow server takes "
        f"{TAG_EVERYWHERE}",
        where=where,
        hint="take versions out of the selector that are not needed any more",
    )
