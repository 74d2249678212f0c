"""Builds that do not need the schema of Kubernetes' own kinds. PURE.

kustomize reads that schema for strategic merge patches, which takes longer than all else in a small
build. Custom resources, such as InferenceServices, are not in it: where patches change only these,
the build has the same result without it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from mlflow_gitops.errors import ManifestError
from mlflow_gitops.manifests.facts import KINDS
from mlflow_gitops.manifests.kustomization import (
    FILE_NAMES,
    PATCHES,
    PatchEntry,
    read_kustomization,
)
from mlflow_gitops.manifests.nodes import entries, is_mapping, parse
from mlflow_gitops.manifests.tree import parent, resolve

__all__ = ["without_schema"]

SCHEMA = "mlflow-gitops-no-schema.json"
FIELDS = frozenset(
    {"apiVersion", "kind", "metadata", "resources", "bases", "components", "namespace"}
    | {"namePrefix", "nameSuffix", "labels", "commonLabels", "commonAnnotations", *PATCHES}
)
"""Of a kustomization. Only the patches among them need a schema."""

API_VERSION = re.compile(
    r"apiVersion['\"]?\s*:\s*['\"]?([A-Za-z0-9.-]+)/[a-z0-9]+['\"]?(?=[\s,}]|$)"
)
UNCLEAR = re.compile(r"[\\&]")  # escapes and anchors may hide an apiVersion
MOST = 500_000  # characters of all files


def without_schema(files: Mapping[str, str], folder: str) -> dict[str, str] | None:
    """The files of the same build with an empty schema; None where the result might differ."""
    names = [_path(folder, name) for name in FILE_NAMES]
    root = next((name for name in names if name in files), None)
    if root is None or sum(map(len, files.values())) > MOST:
        return None
    try:
        if not all(
            _is_plain(text, path) and _patches_custom_resources(text, path, files)
            for path, text in files.items()
            if path.rpartition("/")[2] in FILE_NAMES
        ):
            return None
    except ManifestError:
        return None
    return {
        **files,
        root: f"{files[root]}openapi: {{path: {SCHEMA}}}\n",
        _path(folder, SCHEMA): '{"definitions": {}}\n',
    }


def _path(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name


def _is_plain(text: str, path: str) -> bool:
    """Whether a field can be added at its end, and all others are known."""
    roots = parse(text, path)
    if len(roots) != 1 or not is_mapping(roots[0]) or not text.endswith("\n"):
        return False
    root = roots[0]
    is_block = not root.flow_style and root.start_mark.column == 0 and "\n..." not in text
    return is_block and all(key in FIELDS for key, _ in entries(root))


def _patches_custom_resources(text: str, path: str, files: Mapping[str, str]) -> bool:
    def text_of(patch: PatchEntry) -> str:
        file = resolve(parent(path), patch.path) if patch.path else None
        return patch.inline or files.get(file or "", "")

    return all(_is_custom(text_of(each), each) for each in read_kustomization(text, path).patches)


def _is_custom(text: str, patch: PatchEntry) -> bool:
    """Whether the patch is of JSON 6902, or changes custom resources only."""
    if text.lstrip().startswith(("- ", "[")):
        return True
    if patch.target is not None:
        return patch.target.kind in KINDS
    groups = API_VERSION.findall(text)
    is_clear = not UNCLEAR.search(text) and 0 < len(groups) == text.count("apiVersion")
    return is_clear and all("." in each and not each.endswith("k8s.io") for each in groups)
