"""Where a service's URI and version are to be written, and the new texts. Decides by ownership.

A file that another environment reaches, or that lies outside the environment's folder, is not
ours to edit: a patch in the environment's folder overrides it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from mlflow_gitops.errors import ManifestError
from mlflow_gitops.manifests.edit import add_to_list, set_values
from mlflow_gitops.manifests.facts import LABEL
from mlflow_gitops.manifests.merged import frameworks, spec_of
from mlflow_gitops.manifests.patches import Setter
from mlflow_gitops.manifests.scaffold import patch_text
from mlflow_gitops.manifests.services import Service
from mlflow_gitops.manifests.tree import parent
from mlflow_gitops.state import ServiceSpec

__all__ = ["promote"]

Read = Callable[[str], str]
Owned = Callable[[str], bool]
Changes = dict[str, str | None]

LABEL_PATH = ("metadata", "labels", "model-version")


def promote(
    service: Service, spec: ServiceSpec, *, folder: str, read: Read, owned: Owned, exists: Owned
) -> Changes:
    """The changes that make the service's URI and version those of the spec."""
    key = next(iter(frameworks(service.fields)), "model")
    current = spec_of(service.fields)
    uri, label = f"{key}.storageUri", LABEL
    paths = {uri: ("spec", "predictor", key, "storageUri"), label: LABEL_PATH}
    values = {uri: spec.uri, label: spec.version}
    same = {uri: current.uri == spec.uri, label: current.version == spec.version}
    edits: dict[tuple[str, int], dict[tuple[str, ...], str]] = {}
    override: dict[str, str] = {}
    preferred: Setter | None = None
    for name in (uri, label):
        place = _place(service, name, owned, preferred)
        if place is not None:
            preferred = place if name == uri else preferred
            edits.setdefault((place.file, place.document), {})[paths[name]] = values[name]
        elif not same[name]:
            override[name] = values[name]
    changes: Changes = {}
    for (file, document), wanted in edits.items():
        before = changes.get(file) or read(file)
        after = set_values(before, document, wanted, file)
        if after != before:
            changes[file] = after
    if override:
        patch = patch_text(
            service.base, service.name, key, uri=override.get(uri), version=override.get(label)
        )
        changes |= _new_patch(service, patch, override, folder, read, owned, exists)
    return changes


def _may_edit(setter: Setter, owned: Owned) -> bool:
    return setter.exclusive and owned(setter.file)


def _place(service: Service, name: str, owned: Owned, preferred: Setter | None) -> Setter | None:
    """The document to write a value into; None where only a new patch can override it."""
    setters = service.setters
    last = max((i for i, setter in enumerate(setters) if name in setter.fields), default=-1)
    if last >= 0 and _may_edit(setters[last], owned):
        return setters[last]
    later = [setter for setter in setters[last + 1 :] if _may_edit(setter, owned)]
    if preferred in later:
        return preferred
    return later[-1] if later else None


def _new_patch(
    service: Service,
    patch: str,
    override: Mapping[str, str],
    folder: str,
    read: Read,
    owned: Owned,
    exists: Owned,
) -> Changes:
    """A patch file, and its entry in the innermost kustomization that is ours to edit."""
    level = min(
        (s.level for s in service.setters if any(name in s.fields for name in override)),
        default=len(service.chain),
    )
    candidates = [path for path in service.chain[: level + 1] if owned(path)]
    if not candidates:
        raise ManifestError(
            f"every file that says what `{service.name}` serves is outside {folder or 'the root'} "
            f"or used by another environment too",
            where=service.file,
            hint=f"list it in a kustomization in {folder or 'the root'}, or give each environment "
            f"its own InferenceService",
        )
    kustomization = candidates[-1]
    here = parent(kustomization)
    own_folder = here != folder and here.rpartition("/")[2] == service.name
    reference = "model-version.yaml" if own_folder else f"{service.name}/model-version.yaml"
    path = f"{here}/{reference}" if here else reference
    if exists(path):
        raise ManifestError(
            f"it is there, and no kustomization applies it to `{service.name}`",
            where=path,
            hint=f"list it under `patches` in {kustomization}, or remove it",
        )
    listed = add_to_list(read(kustomization), "patches", reference, kustomization, item_key="path")
    return {kustomization: listed, path: patch}
