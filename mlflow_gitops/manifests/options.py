"""A folder's kustomization with the options of the Application that deploys it, for a build.

Argo CD changes its copy with `kustomize edit`, Flux with its own generator; both then build it. The
text that is made here is JSON, goes into a private folder, and is never committed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from mlflow_gitops.errors import ManifestError
from mlflow_gitops.manifests.catalog import Catalog
from mlflow_gitops.manifests.deployments import Match
from mlflow_gitops.manifests.nodes import parse
from mlflow_gitops.manifests.plain import list_at, mapping_at, plain, text_at

__all__ = ["kustomization_with", "with_options"]

_IMAGE = re.compile(
    r"(?:(?P<name>[^=]+)=)?(?P<new>[^@]+?)(?::(?P<tag>[^:/@]+))?(?:@(?P<digest>.+))?"
)
HEADER = {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization"}


def kustomization_with(
    match: Match, folder: str, catalog: Catalog, resources: Sequence[str] = ()
) -> dict[str, str]:
    """Return the path and new text of the folder's kustomization; empty without any options.

    Flux makes a kustomization of `resources` (paths below the folder) where there is none; Argo CD
    refuses options there.
    """
    options = match.source.kustomize
    if not options:
        return {}
    files = catalog.layout().get(folder, ())
    if files:
        roots = parse(catalog.text(files[0]), files[0])
        written = mapping_at(plain(roots[0], files[0]) if roots else None)
        return {files[0]: _text(with_options(written, options))}
    if match.application.is_flux:
        made = {**HEADER, "resources": list(resources)}
        return {f"{folder}/kustomization.yaml".lstrip("/"): _text(with_options(made, options))}
    raise ManifestError(
        f"the Application `{match.application.name}` has kustomize options, and "
        f"{folder or 'the root'} has no kustomization",
        where=match.where("kustomize"),
        hint="remove the options, or add a kustomization.yaml to the folder",
    )


def with_options(written: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the kustomization with an Application's options in it."""
    new = dict(written)
    for key in ("namePrefix", "nameSuffix", "namespace"):
        if text_at(options, key):
            new[key] = text_at(options, key)
    for key in ("patches", "components"):
        if options.get(key):
            new[key] = [*list_at(new, key), *list_at(options, key)]
    images = [_image(each) for each in list_at(options, "images")]
    for key, entries in (("images", images), ("replicas", list_at(options, "replicas"))):
        if entries:
            new[key] = _by_name([*list_at(new, key), *entries])
    if options.get("commonAnnotations"):
        annotations = mapping_at(options, "commonAnnotations")
        new["commonAnnotations"] = {**mapping_at(new, "commonAnnotations"), **annotations}
    labels = mapping_at(options, "commonLabels")
    if labels and text_at(options, "labelWithoutSelector") == "true":
        templates = text_at(options, "labelIncludeTemplates") == "true"
        entry = {"pairs": labels, "includeSelectors": False, "includeTemplates": templates}
        new["labels"] = [*list_at(new, "labels"), entry]
    elif labels:
        new["commonLabels"] = {**mapping_at(new, "commonLabels"), **labels}
    return new


def _by_name(entries: list[Any]) -> list[Any]:
    """The later one of a name counts, at the place of the first."""
    return list({text_at(each, "name"): each for each in entries}.values())


def _image(written: Any) -> Any:
    """`name=new:tag` of Argo CD as kustomize's mapping; Flux writes the mapping itself."""
    found = _IMAGE.fullmatch(written) if isinstance(written, str) else None
    if found is None:
        return written
    name, new = found["name"], found["new"]
    parts = {
        "name": name or new,
        "newName": new if name else None,
        "newTag": found["tag"],
        "digest": found["digest"],
    }
    return {key: value for key, value in parts.items() if value}


def _text(value: Mapping[str, Any]) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"
