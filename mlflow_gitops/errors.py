"""The failures that people and the queue tell apart.

Every error says what went wrong, where, and the next step. Whether to retry is decided by the
class alone: the queue retries `TransientError` with backoff, and shows `TerminalError` until a
person changes something. A failure of a new kind is a subclass here, never a new `except` there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlflow_gitops.gates import Gate

__all__ = [
    "CannotBuildError",
    "ClusterError",
    "ConfigError",
    "ForgeError",
    "GateError",
    "GitOpsError",
    "HeadMovedError",
    "ManifestError",
    "PredictionError",
    "PublishError",
    "RegistryError",
    "RenderError",
    "RepositoryError",
    "RequestError",
    "TerminalError",
    "TransientError",
]


class GitOpsError(Exception):
    """Base of all errors meant for people.

    `what` is one sentence, `where` names the place (a path, a URL without credentials, a key),
    `hint` is the next step. `str(error)` joins the three.
    """

    def __init__(self, what: str, *, where: str = "", hint: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.hint = hint

    def __str__(self) -> str:
        text = f"{self.where}: {self.what}" if self.where else self.what
        return f"{text}\n  next: {self.hint}" if self.hint else text


class TerminalError(GitOpsError):
    """A person must change something: shown, never retried."""


class TransientError(GitOpsError):
    """May pass by itself: retried with backoff, in the queue only.

    `retry_after` is the seconds that the other side asks to wait, None where it does not say.
    """

    def __init__(
        self, what: str, *, where: str = "", hint: str = "", retry_after: float | None = None
    ) -> None:
        super().__init__(what, where=where, hint=hint)
        self.retry_after = retry_after


class ConfigError(TerminalError):
    """The settings or the environment of the process are wrong; `where` is the key's path."""


class RequestError(TerminalError):
    """What a user asked for cannot be: unknown model, version not READY, no such environment."""


class RegistryError(TerminalError):
    """The registry holds something that cannot be delivered as it is."""


class ManifestError(TerminalError):
    """The manifests cannot be read or edited safely; `where` is the file."""


class PublishError(TerminalError):
    """The artifacts cannot be published as they are; `where` is the source or the S3 path."""


class RepositoryError(TerminalError):
    """Git refused: protected branch, missing permission, no such branch."""


class ForgeError(TerminalError):
    """The forge refused: a token, a missing right, no such repository; `where` is its address."""


class RenderError(TerminalError):
    """The manifests cannot be built; `where` is the folder."""


class CannotBuildError(RenderError):
    """This machine does not build the manifests, which says nothing about whether they build."""


class GateError(TerminalError):
    """A version is not good enough for an environment; `gates` has every verdict."""

    def __init__(self, what: str, *, where: str, hint: str, gates: Sequence[Gate]) -> None:
        super().__init__(what, where=where, hint=hint)
        self.gates = tuple(gates)


class ClusterError(TerminalError):
    """The Kubernetes API refused, or has no such service; `where` names the object."""


class PredictionError(TerminalError):
    """A service refused a request, or its answer is none; `where` is its address."""


class HeadMovedError(TransientError):
    """Somebody pushed in between: fetch, plan again on the new head, push again."""
