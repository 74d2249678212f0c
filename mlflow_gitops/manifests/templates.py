"""Text templates from the package's own data, with `${name}` placeholders.

Only lower-case names in braces are placeholders: a shell's `$VAR` and a workflow's `${{ }}` stay.
"""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from string import Template

__all__ = ["render"]


class _Braced(Template):
    flags = re.RegexFlag(0)
    pattern = r"(?P<escaped>(?!))|(?P<named>(?!))|\$\{(?P<braced>[a-z_]+)\}|(?P<invalid>(?!))"  # type: ignore[assignment]


@cache
def _template(name: str) -> _Braced:
    path = files("mlflow_gitops").joinpath("templates", *name.split("/"))
    return _Braced(path.read_text(encoding="utf-8"))


def render(template: str, /, **values: str) -> str:
    """The template's text; a placeholder without a value is a KeyError."""
    return _template(template).substitute(values)
