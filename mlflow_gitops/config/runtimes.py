"""`runtimes`: serving runtimes of the cluster that the manifests do not define."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from mlflow_gitops.config import names
from mlflow_gitops.config.document import Findings, Value, did_you_mean
from mlflow_gitops.config.reference_settings import SETTINGS
from mlflow_gitops.planning import runtimes
from mlflow_gitops.runtimes import Format, Runtime

__all__ = ["read_runtimes"]

SECTION = "runtimes.<name>"
ROWS = {
    row.key.removeprefix(f"{SECTION}."): row
    for row in SETTINGS
    if row.key.startswith(f"{SECTION}.")
}
FORM = next(row.form for row in SETTINGS if row.key == "runtimes")
ORIGIN = "mlflow-gitops.yaml"
KINDS = ("ClusterServingRuntime", "ServingRuntime")
LONGEST = 63


def read_runtimes(value: Value | None, found: Findings) -> Mapping[str, Runtime]:
    """By name; empty where the key is not there."""
    if value is None:
        return {}
    entries = found.entries(value, FORM) or {}
    return {name: _runtime(name, at, found) for name, at in entries.items()}


def _runtime(name: str, value: Value, found: Findings) -> Runtime:
    if wrong := names.subdomain_complaint(name):
        found.add(value, f"the name {wrong}")
    fields = found.fields(value, ROWS) or {}

    def text(key: str, complaint: Callable[[str], str]) -> str:
        at = fields.get(key)
        return (found.text(at, complaint, ROWS[key].form) if at else ROWS[key].default) or ""

    auto, first = fields.get("auto-select"), fields.get("priority")
    is_auto = bool(auto and found.flag(auto, ROWS["auto-select"].form))
    priority = found.number(first, ROWS["priority"].form) if first else None
    kind = text("kind", lambda word: "" if word in KINDS else "is no kind of a runtime")
    return Runtime(
        name=name,
        formats=_formats(fields.get("formats"), found, auto=is_auto, priority=priority),
        protocols=_texts(fields.get("protocols"), found, "protocols", _protocol_complaint),
        like=text("like", _like_complaint),
        origin=ORIGIN,
        is_namespaced=kind == "ServingRuntime",
    )


def _formats(
    value: Value | None, found: Findings, *, auto: bool, priority: int | None
) -> tuple[Format, ...]:
    """Each is a name, or `name:version`."""
    texts = _texts(value, found, "formats", _format_complaint)
    pairs = (text.partition(":") for text in texts)
    return tuple(Format(name, version, auto, priority) for name, _, version in pairs)


def _texts(
    value: Value | None, found: Findings, key: str, complaint: Callable[[str], str]
) -> tuple[str, ...]:
    if value is None:
        return ()
    items = found.items(value, ROWS[key].form) or ()
    texts = (found.text(item, complaint, ROWS[key].form) for item in items)
    return tuple(dict.fromkeys(text for text in texts if text))


def _format_complaint(text: str) -> str:
    name, colon, version = text.partition(":")
    is_word = bool(name) and (bool(version) or not colon) and not any(c.isspace() for c in text)
    return "" if is_word and len(text) <= 2 * LONGEST else "is no name of a format"


def _protocol_complaint(text: str) -> str:
    return "" if text in runtimes.ORDER else "is no protocol"


def _like_complaint(text: str) -> str:
    known = [runtime.name for runtime in (*runtimes.SHIPPED, *runtimes.OPTIONAL)]
    if text in known:
        return ""
    near = did_you_mean(text, known)
    return f"is no runtime that KServe ships{f': {near}' if near else ''}"
