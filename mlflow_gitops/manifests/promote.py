"""Where a service's URI and version are to be written, and the new texts. Decides by ownership.

A file that another environment reaches, or that lies outside the environment's folder, is not
ours to edit: a patch in the environment's folder overrides it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

from mlflow_gitops.errors import ManifestError
from mlflow_gitops.manifests.edit import add_to_list, set_values
from mlflow_gitops.manifests.fields import (
    CONTAINER_URI,
    LABELS,
    has_labels,
    label_field,
    place_of,
)
from mlflow_gitops.manifests.inline import edit_inline
from mlflow_gitops.manifests.insert import insert_operation
from mlflow_gitops.manifests.merged import merge, patched_container, written_uri
from mlflow_gitops.manifests.operations import Operation
from mlflow_gitops.manifests.patches import Setter
from mlflow_gitops.manifests.scaffold import patch_text
from mlflow_gitops.manifests.services import Service
from mlflow_gitops.manifests.tree import parent
from mlflow_gitops.manifests.verify import Path
from mlflow_gitops.state import LABEL, ServiceSpec

__all__ = ["promote"]

Read = Callable[[str], str]
Owned = Callable[[str], bool]
Changes = dict[str, str | None]


@dataclass(slots=True)
class _Texts:
    """The texts as changed so far."""

    read: Read
    changes: Changes = field(default_factory=dict)

    def now(self, path: str) -> str:
        return self.changes.get(path) or self.read(path)

    def edit(self, setter: Setter, change: Callable[[str], str]) -> None:
        before, file, entry = self.now(setter.file), setter.file, setter.entry
        inline = entry is not None and entry.inline
        after = edit_inline(before, entry, change, file) if entry and inline else change(before)
        if after != before:
            self.changes[file] = after


def promote(
    service: Service,
    spec: ServiceSpec,
    *,
    label: str = LABEL,
    folder: str,
    read: Read,
    owned: Owned,
    exists: Owned,
) -> Changes:
    """The changes that make the service's URI and version those of the spec.

    `label` is the key of the label that carries the version, "" for none.
    """
    current = service.spec
    uri, version = service.uri_field, label_field(label)
    text = written_uri(spec, service.fields, service.buckets, service.file)
    values = {uri: text, **({version: spec.version} if label else {})}
    same = {uri: current.uri == spec.uri, version: current.version == spec.version}
    places: dict[str, Setter] = {}
    below: dict[str, Setter] = {}
    override: dict[str, str] = {}
    for name, value in values.items():
        place = _place(service, name, owned, places.get(uri))
        if same[name] and (place is None or not place.sets(name)):
            continue  # it counts from where we cannot write
        operation = None
        if name != CONTAINER_URI:
            operation = _operation_before(service, name, owned, places.get(uri))
        beside_uri = operation is not None and operation is places.get(uri)
        if place is not None and (place.sets(name) or not beside_uri):
            places[name] = place
        elif operation is not None:
            below[name] = operation
        else:
            override[name] = value
    texts = _Texts(read)
    _set_in_place(places, values, texts)
    for name, setter in sorted(below.items(), key=lambda each: -each[1].source.index):
        _insert_below(setter, name, values[name], texts)  # from the end: the others stay in place
    if override:
        if CONTAINER_URI in override:
            raise patched_container(service.name, service.file)
        patch = patch_text(service.base, override)
        _new_patch(service, patch, override, folder, texts, owned, exists)
    return texts.changes


def _may_edit(setter: Setter, owned: Owned) -> bool:
    return setter.exclusive and owned(setter.file)


def _last(service: Service, name: str) -> int:
    """The place of the setter whose value counts; -1 where nothing sets the field."""
    setters = service.setters
    return max((i for i, setter in enumerate(setters) if setter.sets(name)), default=-1)


def _place(service: Service, name: str, owned: Owned, preferred: Setter | None) -> Setter | None:
    """What to write a value into; None where it can only be overridden."""
    last = _last(service, name)
    able = [
        (i, setter)
        for i, setter in enumerate(service.setters)
        if i >= last and _may_edit(setter, owned) and setter.path_of(name) is not None
    ]
    if able and able[0][0] == last:
        return able[0][1]
    later = [setter for _, setter in able]
    if any(setter is preferred for setter in later):
        return preferred
    return later[-1] if later else None


def _operation_before(
    service: Service, name: str, owned: Owned, preferred: Setter | None
) -> Setter | None:
    """An operation below which another can add the field, since what is around it is there."""
    found = None
    for i, setter in enumerate(service.setters):
        if i <= _last(service, name) or not _may_edit(setter, owned):
            continue
        state = merge(each.fields for each in service.setters[: i + 1])
        is_label = name.startswith(f"{LABELS}.")
        is_around = has_labels(state) if is_label else name.rpartition(".")[0] in state
        is_edit = isinstance(setter.source, Operation) and setter.source.op in ("add", "replace")
        if is_edit and is_around:
            found = setter
            if setter is preferred:
                break
    return found


def _set_in_place(places: Mapping[str, Setter], values: Mapping[str, str], texts: _Texts) -> None:
    for setter in {id(place): place for place in places.values()}.values():
        wanted: dict[Path, str] = {
            path: values[name]
            for name, place in places.items()
            if place is setter and (path := setter.path_of(name)) is not None
        }
        texts.edit(
            setter,
            partial(set_values, document=setter.document, values=wanted, where=setter.file),
        )


def _insert_below(setter: Setter, name: str, value: str, texts: _Texts) -> None:
    pointer = "".join(f"/{_escaped(key)}" for key in place_of(name))
    after = setter.source.index
    texts.edit(
        setter,
        partial(insert_operation, after=after, pointer=pointer, value=value, where=setter.file),
    )


def _escaped(key: str) -> str:
    """A key as a JSON pointer has it (RFC 6901)."""
    return key.replace("~", "~0").replace("/", "~1")


def _new_patch(
    service: Service,
    patch: str,
    override: Mapping[str, str],
    folder: str,
    texts: _Texts,
    owned: Owned,
    exists: Owned,
) -> None:
    """A patch file, and its entry in the innermost kustomization that is ours to edit."""
    overridden = [s for s in service.setters if any(s.sets(name) for name in override)]
    level = min((setter.level for setter in overridden), default=len(service.chain))
    ours = [path for path in service.chain[: level + 1] if owned(path)]
    too_late = {setter.kustomization for setter in overridden if setter.comes_last}
    candidates = [path for path in ours if path not in too_late]
    if ours and not candidates:
        raise ManifestError(
            f"`patchesJson6902` sets what `{service.name}` serves from a file that is not only "
            f"its own, and kustomize applies it after every other patch",
            where=ours[-1],
            hint="move the entry to `patches`, or give the service a patch of its own",
        )
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
    texts.changes[kustomization] = add_to_list(
        texts.now(kustomization), "patches", reference, kustomization, item_key="path"
    )
    texts.changes[path] = patch
