"""What a kustomization's `transformers` may do to a service: they run after every patch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mlflow_gitops.errors import ManifestError
from mlflow_gitops.manifests.catalog import Catalog
from mlflow_gitops.manifests.effects import patch_entry, sets_ours
from mlflow_gitops.manifests.facts import Document
from mlflow_gitops.manifests.graph import MANIFESTS
from mlflow_gitops.manifests.kustomization import (
    FILE_NAMES,
    Kustomization,
    PatchEntry,
    is_inline,
)
from mlflow_gitops.manifests.nodes import parse
from mlflow_gitops.manifests.plain import mapping_at, plain, text_at, texts_at
from mlflow_gitops.manifests.tree import files_below, parent, resolve

__all__ = ["read_transformers", "transforming"]

HARMLESS = frozenset(
    {
        "AnnotationsTransformer",
        "HashTransformer",
        "ImageTagTransformer",
        "NamespaceTransformer",
        "PrefixTransformer",
        "PrefixSuffixTransformer",
        "ReplicaCountTransformer",
        "SuffixTransformer",
    }
)
"""Built-in transformers that change neither a URI nor a label, whatever they are told."""

NOT_TRANSFORMERS = ("ConfigMap", "Secret", "Kustomization")


def transforming(
    path: str, kustomization: Kustomization, base: Document, catalog: Catalog, label: str
) -> Iterator[tuple[str, str]]:
    """Yield (file, kind) of each transformer that may set the service's URI or version."""
    for file, written in read_transformers(path, kustomization, catalog):
        if _may_change(written, path, base, catalog, label):
            yield file, text_at(written, "kind")


def read_transformers(
    path: str, kustomization: Kustomization, catalog: Catalog
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each transformer with its file; one that is not in the repository is refused."""
    for reference in kustomization.transformers:
        for file, text in _texts(path, reference, catalog):
            for root in parse(text, file):
                written = mapping_at(plain(root, file))
                if written:
                    yield file, written


def _texts(path: str, reference: str, catalog: Catalog) -> Iterator[tuple[str, str]]:
    """(file, text) of what an entry names: itself where it is inline, a file, or a folder's."""
    if is_inline(reference):
        yield path, reference
        return
    found = resolve(parent(path), reference)
    if found is not None and found in catalog.tree:
        yield found, catalog.text(found)
        return
    files = list(files_below(catalog.tree, found)) if found else []
    if not files:
        raise ManifestError(
            f"its transformer `{reference}` is not in this repository, and may set the URI or the "
            "version of a service",
            where=path,
            hint="copy the transformer into this repository, or remove it",
        )
    for file in files:
        if file.endswith(MANIFESTS) and not file.endswith(FILE_NAMES):
            yield file, catalog.text(file)


def _may_change(written: Any, path: str, base: Document, catalog: Catalog, label: str) -> bool:
    kind = text_at(written, "kind")
    if kind in HARMLESS or kind in NOT_TRANSFORMERS:
        return False
    if kind == "LabelTransformer":
        return bool(label) and label in mapping_at(written, "labels")
    if kind == "PatchTransformer":
        entries = [patch_entry(written)]
    elif kind == "PatchJson6902Transformer":
        entries = [patch_entry({**written, "patch": text_at(written, "jsonOp")})]
    elif kind == "PatchStrategicMergeTransformer":
        paths = [PatchEntry("patches", 0, path=each) for each in texts_at(written, "paths")]
        inline = text_at(written, "patches")
        entries = [*paths, PatchEntry("patches", 0, inline=inline)] if inline else paths
    else:
        return True  # a function or plugin may do anything
    return any(sets_ours(each, parent(path), base, catalog, path, label) for each in entries)
