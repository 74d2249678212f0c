"""References of a kustomization that lead to other machines. PURE."""

from __future__ import annotations

import re

__all__ = ["is_remote", "without_secrets"]

REMOTE = re.compile(
    r"(?:^|=)\s*(?:[a-z][a-z0-9+.-]*:(?://|:)|https?:|file:"
    r"|[a-z][a-z0-9._-]*@[^\s/=]*:|git@|gh:|(?:www\.)?github\.com[:/])",
    re.IGNORECASE,
)
"""Where kustomize fetches or clones, also as `key=address`. A superset is fine: it is refused."""

SECRET = re.compile(r"(?<=:/)(/?)[^/@\s]*@|\?[^\s'\"]*")
"""A user with a password or a token, and a query, in an address; kustomize shortens its slashes."""


def is_remote(reference: str) -> bool:
    return REMOTE.search(reference) is not None


def without_secrets(text: str) -> str:
    """Where an address in it leads, and no more."""
    return SECRET.sub(r"\1", text)
