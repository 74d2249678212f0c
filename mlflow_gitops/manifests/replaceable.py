"""Which values an edit may replace: nothing at all, a model's URI, and its version. PURE.

A wrong path or marker leads to some other value, and a template belongs to what fills it in. Both
would be lost without a trace, so the edit is refused before anything is published.
"""

from __future__ import annotations

import re

from mlflow_gitops.state import layout_in

__all__ = [
    "SCHEMES",
    "label_complaint",
    "shortened",
    "uri_complaint",
    "version_complaint",
    "version_in",
]

SCHEMES = (
    *("s3", "gs", "hdfs", "webhdfs", "pvc", "file", "http", "https", "abfs", "abfss", "hf"),
    *("oci", "oci+native", "oci+fetch"),
)
"""Those of KServe's storage initializer, and of its model cars."""

_URI = re.compile(rf"(?:{'|'.join(map(re.escape, SCHEMES))})://[^\r\n\t]*")
_FILLED_IN = re.compile(r"\$[A-Za-z_({]|\{\{|\}\}|\{%|\[\[|<[^<>]*>")
_VERSION = re.compile(r"[vV]?[0-9][A-Za-z0-9._-]{0,62}")
_NUMBER = re.compile(
    r"[-+]?(?:[0-9][0-9_]*(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?|0[xo][0-9a-f]+"
)
_IN_URI = re.compile(r"/v([A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)/?")
_BOOL = ("true", "false", "yes", "no", "on", "off")
_USER = re.compile(r"(?<=://)[^/@\s]*@|\?.*")
LONGEST = 60


def version_in(uri: str) -> str:
    """The version that a URI ends in, without its layout; "" where it names none."""
    named = _IN_URI.fullmatch(uri[uri.rstrip("/").rfind("/") :])
    name = named[1] if named else ""
    layout = layout_in(name)
    return name.removesuffix(f"-{layout}") if layout else name


def uri_complaint(value: str | None) -> str:
    """What the value is instead of a model's URI; "" for a URI, and where there is nothing."""
    if not (value or "").strip():
        return ""
    assert value is not None
    found = _complaint(value)
    if not found and not _URI.fullmatch(value.strip()):
        found = f"{shortened(value)}, which is not a model URI"
    return found


def version_complaint(value: str | None, named: str, *, is_number: bool = False) -> str:
    """What the value is instead of a version. `named` is the version in the URI, "" if unknown.

    A plain number may count something else, so it has to be the version that the URI names.
    """
    if not (value or "").strip() or value == named:
        return ""
    assert value is not None
    if not _VERSION.fullmatch(value):
        return _complaint(value) or f"{shortened(value)}, which is not a version"
    if is_number and named:
        return f"the number {shortened(value)}, and the URI names version `{named}`"
    return ""


def label_complaint(value: str | None) -> str:
    """What the value of the label `model-version` is, where something else fills it in."""
    found = _complaint(value or "")
    return "" if found.startswith(("a number", "true or false")) else found


def _complaint(value: str) -> str:
    if "\n" in value.strip():
        return f"a text of {len(value.strip().splitlines())} lines"
    if _FILLED_IN.search(value):
        return f"{shortened(value)}, which something else fills in"
    if _NUMBER.fullmatch(value):
        return f"a number, {shortened(value)}"
    return f"true or false, {shortened(value)}" if value.lower() in _BOOL else ""


def shortened(value: str) -> str:
    """The value on one line, in backticks, without users, passwords and queries of URLs."""
    line = "".join(
        c if c.isprintable() and c != "`" else "\N{REPLACEMENT CHARACTER}"
        for c in _USER.sub("", value[: 4 * LONGEST])
    )
    return f"`{line if len(line) <= LONGEST else line[: LONGEST - 1] + '…'}`"
