"""The serving runtimes that an environment's manifests define, as KServe would find them. PURE.

A ServingRuntime counts in its namespace only, a ClusterServingRuntime everywhere. Patches are
applied as kustomize does: a list of formats in a strategic-merge patch replaces the whole list.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any

from mlflow_gitops.manifests.facts import GROUP
from mlflow_gitops.manifests.fields import json_value
from mlflow_gitops.manifests.nodes import (
    Node,
    child,
    is_null,
    is_sequence,
    items,
    objects,
    parse,
    text_of,
)
from mlflow_gitops.runtimes import Format, Runtime

__all__ = ["KIND", "Defined", "may_define", "patched", "read_runtimes", "with_declared"]

KIND = "ServingRuntime"
KINDS = (KIND, f"Cluster{KIND}")
KEYS = ("supportedModelFormats", "protocolVersions", "disabled", "multiModel", "workerSpec")


@dataclass(frozen=True, slots=True)
class Defined:
    """A runtime's manifest: those of its `spec`'s values that say what KServe takes it for.

    `namespace` is "" where it names none. `version` is the one of its API.
    """

    kind: str
    name: str
    namespace: str
    version: str
    spec: Mapping[str, Any]
    origin: str

    @property
    def is_namespaced(self) -> bool:
        return self.kind == KIND

    @property
    def runtime(self) -> Runtime:
        formats, protocols = (self.spec.get(key) for key in KEYS[:2])
        return Runtime(
            name=self.name,
            formats=tuple(_format(each) for each in _list(formats) if isinstance(each, dict)),
            protocols=tuple(each for each in _list(protocols) if isinstance(each, str)),
            origin=self.origin,
            is_namespaced=self.is_namespaced,
            is_disabled=_is_true(self.spec.get("disabled")),
            is_multi_model=_is_true(self.spec.get("multiModel")),
            is_multi_node=self.spec.get("workerSpec") is not None,
        )


def may_define(text: str) -> bool:
    return KIND in text


def read_runtimes(text: str, where: str) -> tuple[Defined, ...]:
    """Those of a file. Raises ManifestError where it is no YAML."""
    roots = (root for root in parse(text, where) if not is_null(root))
    found = (_defined(node, where) for root in roots for _, node in objects(root, where))
    return tuple(each for each in found if each is not None)


def patched(defined: Defined, patch: str, where: str, *, is_targeted: bool) -> Defined | None:
    """With a patch applied, None where that deletes it. Raises ManifestError.

    Of a strategic-merge patch the documents count that name the runtime, or all if `is_targeted`.
    """
    spec = dict(deepcopy(defined.spec))
    for root in parse(patch, where):
        if is_sequence(root):
            for operation in items(root) if is_targeted else ():
                _operate(spec, operation, where)
        elif is_targeted or _names(root, where) == (defined.kind, defined.name):
            if text_of(child(root, "$patch", where=where)) == "delete":
                return None
            spec |= _spec(root, where)
    return replace(defined, spec=spec)


def with_declared(found: Iterable[Runtime], declared: Iterable[Runtime]) -> tuple[Runtime, ...]:
    """The manifests' runtimes and the settings'. Of one that is in both, the manifest says what it
    takes, and the settings what it loads.
    """
    told = {each.name: each for each in declared}
    defined = tuple(replace(r, like=told[r.name].like) if r.name in told else r for r in found)
    names = {each.name for each in defined}
    return (*(each for each in told.values() if each.name not in names), *defined)


def _defined(root: Node, where: str) -> Defined | None:
    api = text_of(child(root, "apiVersion", where=where)) or ""
    group, _, version = api.partition("/")
    kind, name = _names(root, where)
    if kind not in KINDS or group != GROUP or not name:
        return None
    namespace = text_of(child(root, "metadata", "namespace", where=where)) or ""
    return Defined(kind, name, namespace, version, _spec(root, where), where)


def _names(root: Node, where: str) -> tuple[str, str]:
    found = (child(root, *path, where=where) for path in (("kind",), ("metadata", "name")))
    kind, name = (text_of(each) or "" for each in found)
    return kind, name


def _spec(root: Node, where: str) -> dict[str, Any]:
    """The values that are written; None for null."""
    found = ((key, child(root, "spec", key, where=where)) for key in KEYS)
    return {key: json_value(node) for key, node in found if node is not None}


def _operate(spec: dict[str, Any], operation: Node, where: str) -> None:
    """Apply one JSON 6902 operation; one that leads nowhere changes nothing."""
    op, path = (text_of(child(operation, key, where=where)) for key in ("op", "path"))
    root, *keys = (path or "").split("/")[1:] or [""]
    if root != "spec" or not keys or keys[0] not in KEYS or op not in ("add", "replace", "remove"):
        return
    value = json_value(child(operation, "value", where=where))
    holder: Any = spec
    with suppress(LookupError, ValueError, TypeError):
        for key in keys[:-1]:
            holder = holder[int(key) if isinstance(holder, list) else key]
        last: Any = keys[-1]
        if isinstance(holder, list):
            last = len(holder) if last == "-" else int(last)
        if op == "remove":
            del holder[last]
        elif isinstance(holder, list) and op == "add":
            holder.insert(last, value)
        else:
            holder[last] = value


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _format(value: Mapping[str, Any]) -> Format:
    name, version, priority = (
        "" if value.get(key) is None else str(value[key]) for key in ("name", "version", "priority")
    )
    number = int(priority) if priority.isascii() and priority.isdigit() else None
    return Format(name, version, _is_true(value.get("autoSelect")), number)


def _is_true(value: Any) -> bool:
    return str(value).lower() == "true"
