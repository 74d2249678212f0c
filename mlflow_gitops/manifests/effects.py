"""Whether a patch sets a value that this tool manages, wherever the patch is written."""

from __future__ import annotations

from typing import Any

from mlflow_gitops.errors import ManifestError
from mlflow_gitops.manifests.catalog import Catalog
from mlflow_gitops.manifests.facts import GROUP, Document, read_facts
from mlflow_gitops.manifests.fields import LABELS, label_field, sets
from mlflow_gitops.manifests.kustomization import PatchEntry, Target
from mlflow_gitops.manifests.operations import Operation
from mlflow_gitops.manifests.plain import mapping_at, text_at
from mlflow_gitops.manifests.tree import resolve

__all__ = ["patch_entry", "sets_ours"]

OURS = ("storageUris", "containers")


def patch_entry(written: Any) -> PatchEntry:
    """Return an entry of a list of patches that is written outside a kustomization."""
    target = mapping_at(written, "target")
    selector = text_at(target, "labelSelector") + text_at(target, "annotationSelector")
    kind, name, group, version, namespace = (
        text_at(target, key) for key in ("kind", "name", "group", "version", "namespace")
    )
    return PatchEntry(
        "patches",
        0,
        text_at(written, "path"),
        text_at(written, "patch"),
        Target(kind, name, group, version, namespace, selector) if target else None,
    )


def sets_ours(
    entry: PatchEntry, folder: str, base: Document, catalog: Catalog, where: str, label: str
) -> bool:
    """Whether the patch sets, or may set, a value that this tool manages.

    `label` is the key of the version's label, "" for none.
    """
    version = base.api_version.rpartition("/")[2]
    target = entry.target
    if target is not None:
        namespaces = (base.namespace or "default", target.namespace)
        if not target.may_match(base.kind, base.name, GROUP, version, namespaces):
            return False
    file = resolve(folder, entry.path) if entry.path else ""
    try:
        facts = catalog.facts(file or entry.path) if entry.path else read_facts(entry.inline, where)
    except ManifestError:
        return True  # it cannot be read: what it does is not known
    sources: list[Document | Operation] = [*facts.operations]
    sources += [
        document
        for document in facts.documents
        if target is not None or (document.kind, document.name) == (base.kind, base.name)
    ]
    return any(_touches_ours(source, label) for source in sources)


def _touches_ours(source: Document | Operation, label: str) -> bool:
    if isinstance(source, Operation) and (source.unclear or label in source.unclear_labels):
        return True
    if isinstance(source, Document) and source.directive:
        return True
    if label and sets(source.fields, label_field(label)):
        return True
    return any(
        key in OURS
        or key.endswith((".storageUri", ".storage"))
        or (value is None and not key.startswith(LABELS))
        for key, value in source.fields.items()
    )
