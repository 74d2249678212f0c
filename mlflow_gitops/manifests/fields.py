"""The values of an InferenceService that this tool reads, flat: `{"model.storageUri": "s3://…"}`.

So a strategic-merge patch is a dictionary update, with None for a deletion, and a JSON 6902
operation is one too. `PLACES` tells where in the object each value stands.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from mlflow_gitops.manifests.nodes import (
    Node,
    child,
    entries,
    is_mapping,
    is_null,
    is_sequence,
    items,
    text_of,
)

__all__ = ["FRAMEWORKS", "LABEL", "LABELS", "PLACES", "Fields", "fields_of"]

LABEL = "label"
LABELS = "labels"  # whether there are others
FRAMEWORKS = (
    "model",
    "sklearn",
    "xgboost",
    "tensorflow",
    "pytorch",
    "triton",
    "onnx",
    "huggingface",
    "pmml",
    "lightgbm",
    "paddle",
)
Fields = Mapping[str, str | None]
WHOLE = re.compile(r"[-+]?[0-9]{1,18}")

_PREDICTOR = ("spec", "predictor")
_OF_A_FRAMEWORK = ("storageUri", "modelFormat", "protocolVersion", "runtime", "storage")

PLACES: Mapping[str, tuple[str, ...]] = {
    LABELS: ("metadata", "labels"),
    LABEL: ("metadata", "labels", "model-version"),
    "canary": ("spec", "canary"),
    **{key: (*_PREDICTOR, key) for key in ("canaryTrafficPercent", "storageUris", "containers")},
    **{key: (*_PREDICTOR, key) for key in FRAMEWORKS},
    **{f"{key}.{name}": (*_PREDICTOR, key, name) for key in FRAMEWORKS for name in _OF_A_FRAMEWORK},
}
"""Where in an InferenceService each field stands."""


def fields_of(root: Node, where: str) -> Fields:
    """Those that the object, or a patch of it, sets."""
    found: dict[str, str | None] = {}
    labels = child(root, "metadata", "labels", where=where)
    if is_null(labels):
        found[LABELS] = found[LABEL] = None
    elif any(key != "model-version" and not is_null(value) for key, value in entries(labels)):
        found[LABELS] = ""
    label = child(labels, "model-version", where=where)
    if label is not None:
        found[LABEL] = text_of(label)
    spec = child(root, "spec", where=where)
    canary = child(spec, "canary", where=where)
    if canary is not None:
        found["canary"] = _json(canary)
    explainer = child(spec, "explainer", where=where)
    if explainer is not None:
        found["explainer"] = None if is_null(explainer) else "set"
    predictor = child(spec, "predictor", where=where)
    if not is_mapping(predictor):
        return found
    for key, value in entries(predictor):
        if key in FRAMEWORKS:
            _framework(key, value, found, where)
        elif key == "canaryTrafficPercent":
            found[key] = text_of(value)
        elif key == "storageUris":
            found[key] = "set" if items(value) else None
        elif key == "containers":
            found[key] = _containers(value)
        elif key == "$patch":
            found["$patch"] = text_of(value)
    child(predictor, "model", where=where)  # a key given twice is told here
    return found


def _framework(key: str, node: Node, found: dict[str, str | None], where: str) -> None:
    if is_null(node):
        found[key] = None
        return
    found[key] = ""
    for name, value in entries(node):
        if name == "modelFormat":
            kind = child(value, "name", where=where)
            found[f"{key}.modelFormat"] = text_of(kind) if kind is not None else text_of(value)
        elif name in ("storageUri", "protocolVersion", "runtime", "$patch"):
            found[f"{key}.{name}"] = text_of(value)
        elif name == "storage":
            found[f"{key}.storage"] = None if is_null(value) else "set"
    if is_mapping(node):
        child(node, "storageUri", where=where)


def _containers(node: Node) -> str | None:
    """What custom containers say of the model: its URI in an environment variable, or nothing."""
    variables = (each for container in items(node) for each in items(child(container, "env")))
    if any(text_of(child(variable, "name")) == "STORAGE_URI" for variable in variables):
        return "STORAGE_URI"
    return "set" if items(node) else None


def _json(node: Node) -> str | None:
    if is_null(node) or (is_sequence(node) and not node.value):
        return None
    budget = [1000]
    return json.dumps(_plain(node, budget), sort_keys=True, separators=(",", ":"))


def _plain(node: Node, budget: list[int]) -> Any:
    """JSON values; the budget bounds what aliases can unfold to."""
    budget[0] -= 1
    if budget[0] < 0:
        return "…"
    if is_mapping(node):
        return {key: _plain(value, budget) for key, value in entries(node)}
    if is_sequence(node):
        return [_plain(each, budget) for each in node.value]
    value = text_of(node)
    if value is not None and str(node.tag).endswith(":int") and WHOLE.fullmatch(value):
        return int(value)
    return value
