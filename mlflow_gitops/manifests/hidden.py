"""Which files below an environment's folder are not manifests of it."""

from __future__ import annotations

import re
from collections.abc import Callable
from fnmatch import translate
from functools import cache

from mlflow_gitops.state import Environment

__all__ = ["Hides", "hides_nothing", "what_hides"]

Hides = Callable[[str], bool]
"""Takes a path from the repository's root."""

SETTINGS_FILE = "mlflow-gitops.yaml"
_GLOB = re.compile(r"\*\*/|\*\*|\*|\?|\[!?\]?[^\]]*\]|.", re.DOTALL)


def hides_nothing(_: str) -> bool:
    return False


def what_hides(environment: Environment, folder: str) -> Hides:
    """Below the repository's root, `folder` "", the settings and dot files are no manifests."""
    above = f"{folder}/" if folder else ""
    patterns = [_compiled(pattern) for pattern in environment.exclude]
    if folder and not patterns and environment.recurse is not False:
        return hides_nothing

    def hides(path: str) -> bool:
        below = path.removeprefix(above)
        if not folder and (below == SETTINGS_FILE or f"/{below}".find("/.") >= 0):
            return True
        if environment.recurse is False and "/" in below:
            return True
        return any(pattern.fullmatch(below) for pattern in patterns)

    return hides


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    """Of the file or of a folder above it: at any depth, unless `/` comes before the end."""
    start = "" if "/" in pattern.removesuffix("/") else "(?:.*/)?"
    body = "".join(map(_token, _GLOB.findall(pattern.strip("/"))))
    end = "/.*" if pattern.endswith("/") else "(?:/.*)?"
    return re.compile(f"{start}{body}{end}", re.DOTALL)


def _token(text: str) -> str:
    if text in ("*", "?"):
        return {"*": "[^/]*", "?": "[^/]"}[text]
    if text in ("**/", "**"):
        return {"**/": "(?:.*/)?", "**": ".*"}[text]
    if len(text) > 1:
        return translate(text).removeprefix("(?s:").removesuffix(r")\Z")
    return re.escape(text)
