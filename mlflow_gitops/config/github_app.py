"""A GitHub App, as the environment of the process names it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

__all__ = ["GitHubApp"]


@dataclass(frozen=True, slots=True)
class GitHubApp:
    """`id` is its number or client id, `installation` its number, "" where it is to be found from
    the repository. `key` gives the private key in PEM form, as it is now.
    """

    id: str
    installation: str = ""
    key: Callable[[], str] = field(default=str, repr=False, compare=False)
