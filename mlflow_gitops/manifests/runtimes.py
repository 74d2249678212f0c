"""The serving runtimes that an environment's manifests define, as KServe would find them. PURE.

A ServingRuntime counts in its namespace only, a ClusterServingRuntime everywhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from mlflow_gitops.manifests.facts import GROUP
from mlflow_gitops.manifests.nodes import Node, child, is_null, items, objects, parse, text_of
from mlflow_gitops.runtimes import Format, Runtime

__all__ = ["KIND", "Defined", "may_define", "read_runtimes", "with_declared"]

KIND = "ServingRuntime"
KINDS = (KIND, f"Cluster{KIND}")


@dataclass(frozen=True, slots=True)
class Defined:
    """A runtime, and the namespace that its manifest names: "" for none."""

    runtime: Runtime
    namespace: str = ""


def may_define(text: str) -> bool:
    return KIND in text


def read_runtimes(text: str, where: str) -> tuple[Defined, ...]:
    """Those of a file. Raises ManifestError where it is no YAML."""
    roots = (root for root in parse(text, where) if not is_null(root))
    found = (_defined(node, where) for root in roots for _, node in objects(root, where))
    return tuple(each for each in found if each is not None)


def with_declared(found: Iterable[Runtime], declared: Iterable[Runtime]) -> tuple[Runtime, ...]:
    """The manifests' runtimes and the settings'. Of one that is in both, the manifest says what it
    takes, and the settings what it loads.
    """
    told = {each.name: each for each in declared}
    defined = tuple(replace(r, like=told[r.name].like) if r.name in told else r for r in found)
    names = {each.name for each in defined}
    return (*(each for each in told.values() if each.name not in names), *defined)


def _defined(root: Node, where: str) -> Defined | None:
    kind = text_of(child(root, "kind", where=where))
    group = (text_of(child(root, "apiVersion", where=where)) or "").partition("/")[0]
    name = text_of(child(root, "metadata", "name", where=where))
    if kind not in KINDS or group != GROUP or not name:
        return None
    spec = child(root, "spec", where=where)
    protocols = items(child(spec, "protocolVersions", where=where))
    runtime = Runtime(
        name=name,
        formats=tuple(_formats(child(spec, "supportedModelFormats", where=where), where)),
        protocols=tuple(filter(None, map(text_of, protocols))),
        origin=where,
        is_namespaced=kind == KIND,
        is_disabled=_is_true(spec, "disabled", where),
        is_multi_model=_is_true(spec, "multiModel", where),
        is_multi_node=not _is_absent(child(spec, "workerSpec", where=where)),
    )
    namespace = text_of(child(root, "metadata", "namespace", where=where)) or ""
    return Defined(runtime, namespace if kind == KIND else "")


def _formats(listed: Node, where: str) -> Iterator[Format]:
    for node in items(listed):
        priority = text_of(child(node, "priority", where=where)) or ""
        yield Format(
            name=text_of(child(node, "name", where=where)) or "",
            version=text_of(child(node, "version", where=where)) or "",
            auto_select=_is_true(node, "autoSelect", where),
            priority=int(priority) if priority.isascii() and priority.isdigit() else None,
        )


def _is_true(node: Node, key: str, where: str) -> bool:
    return (text_of(child(node, key, where=where)) or "").lower() == "true"


def _is_absent(node: Node) -> bool:
    return node is None or is_null(node)
