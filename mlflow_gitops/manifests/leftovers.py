"""Finds the files of an environment that a change of a service may leave behind. See `related`.

By the index, so that one of thousands of services costs no look at the others' files.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress

from mlflow_gitops.errors import ManifestError
from mlflow_gitops.manifests.related import Moved, notes_of
from mlflow_gitops.manifests.services import Resolver, Service
from mlflow_gitops.manifests.tree import parent, resolve

__all__ = ["left_behind"]

PATCHES_READ = 20  # of one kustomization


def left_behind(
    resolver: Resolver, service: Service | None, moved: Moved, changes: Mapping[str, str | None]
) -> Iterator[str]:
    """What the changes leave behind, a sentence for each object. Passes over what is no YAML."""
    found = {file for trace in moved.traces for file in resolver.index.files_with(*trace)}
    beside = set(_beside(resolver, service)) if service else set()
    for file in sorted(found | beside):
        with suppress(ManifestError):
            text = (changes[file] if file in changes else resolver.catalog.text(file)) or ""
            if file in found or (moved.old and moved.old in text):
                yield from notes_of(text, file, moved)


def _beside(resolver: Resolver, service: Service) -> Iterator[str]:
    """The kustomizations that the service comes through, and the first patches of each."""
    for path in resolver.patches.kustomizations_of(service.chain):
        yield path
        entries = resolver.index.graph.kustomizations[path].patches[:PATCHES_READ]
        named = (resolve(parent(path), entry.path) for entry in entries if entry.path)
        yield from filter(None, named)
