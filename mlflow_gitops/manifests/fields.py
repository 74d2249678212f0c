"""The values of a service that this tool reads, flat: `{"model.storageUri": "s3://…"}`.

So a strategic-merge patch is a dictionary update, with None for a deletion, and a JSON 6902
operation is one too. `place_of` says where in the object each value is. Every label is read, since
environments may differ in which one carries the version.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
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
from mlflow_gitops.state import LABEL

__all__ = [
    "CONTAINER_URI",
    "FRAMEWORKS",
    "LABELS",
    "LLM",
    "PLACES",
    "Fields",
    "container_uri",
    "fields_of",
    "has_labels",
    "is_uri",
    "json_value",
    "label_field",
    "place_of",
    "sets",
]

LABELS = "labels"  # None where all of them are removed; each is a field of its own
LLM = "llm"  # spec.model of an LLMInferenceService
CONTAINER_URI = "containers.storageUri"  # the variable STORAGE_URI of a custom container
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
_OF_A_STORAGE = ("key", "path", "parameters")

PLACES: Mapping[str, tuple[str, ...]] = {
    LABELS: ("metadata", "labels"),
    "canary": ("spec", "canary"),
    **{key: (*_PREDICTOR, key) for key in ("canaryTrafficPercent", "storageUris", "containers")},
    **{key: (*_PREDICTOR, key) for key in FRAMEWORKS},
    **{f"{key}.{name}": (*_PREDICTOR, key, name) for key in FRAMEWORKS for name in _OF_A_FRAMEWORK},
    **{
        f"{key}.storage.{name}": (*_PREDICTOR, key, "storage", name)
        for key in FRAMEWORKS
        for name in _OF_A_STORAGE
    },
    LLM: ("spec", "model"),
    f"{LLM}.storageUri": ("spec", "model", "uri"),
    "model.modelFormat.version": (*_PREDICTOR, "model", "modelFormat", "version"),
}
"""Where in a service each field is, but for the single labels and `CONTAINER_URI`, which depends
on the lists.
"""


def is_uri(name: str) -> bool:
    """Whether the field says which files are served."""
    return name.endswith((".storageUri", ".storage.path"))


def label_field(key: str) -> str:
    return f"{LABELS}.{key}"


def place_of(name: str) -> tuple[str, ...]:
    """Where in an InferenceService the field stands."""
    place = PLACES.get(name)
    return place or (*PLACES[LABELS], name.removeprefix(f"{LABELS}."))


def has_labels(fields: Mapping[str, object]) -> bool:
    return any(name.startswith(f"{LABELS}.") for name in fields)


def sets(fields: Fields, name: str) -> bool:
    """Whether the field is set, or removed, also together with all labels."""
    return name in fields or (name.startswith(f"{LABELS}.") and LABELS in fields)


def fields_of(root: Node, where: str) -> Fields:
    """Those that the object, or a patch of it, sets."""
    found: dict[str, str | None] = {}
    labels = child(root, "metadata", "labels", where=where)
    if is_null(labels):
        found[LABELS] = None
    child(labels, LABEL, where=where)  # a label given twice is an error
    for key, value in entries(labels):
        found[label_field(key)] = text_of(value)
    spec = child(root, "spec", where=where)
    canary = child(spec, "canary", where=where)
    if canary is not None:
        found["canary"] = _json(canary)
    explainer = child(spec, "explainer", where=where)
    if explainer is not None:
        found["explainer"] = None if is_null(explainer) else "set"
    _llm(child(spec, "model", where=where), found, where)
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
            variables = [variable for _, variable in _variables(value)]
            found[CONTAINER_URI] = text_of(child(variables[0], "value")) if variables else None
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
            kind = child(value, "name", where=where) if is_mapping(value) else value
            version = child(value, "version", where=where)
            parts = {f"{key}.modelFormat": kind, f"{key}.modelFormat.version": version}
            found |= {part: text_of(each) for part, each in parts.items() if each is not None}
        elif name in ("storageUri", "protocolVersion", "runtime", "$patch"):
            found[f"{key}.{name}"] = text_of(value)
        elif name == "storage":
            _storage(f"{key}.storage", value, found, where)
        elif name in ("args", "command", "image"):  # may name a model in a way of their own
            found[f"{key}.own"] = None if is_null(value) else "set"
    if is_mapping(node):
        child(node, "storageUri", where=where)


def _storage(name: str, node: Node, found: dict[str, str | None], where: str) -> None:
    found[name] = None if is_null(node) else "set"
    for part in ("key", "path"):
        value = child(node, part, where=where)
        if value is not None:
            found[f"{name}.{part}"] = text_of(value)
    if any(True for _ in entries(child(node, "parameters", where=where))):
        found[f"{name}.parameters"] = "set"


def _llm(model: Node, found: dict[str, str | None], where: str) -> None:
    """An InferenceService has no `spec.model`, and an LLMInferenceService no `spec.predictor`."""
    if model is None:
        return
    found[LLM] = None if is_null(model) else ""
    uri = child(model, "uri", where=where)
    if uri is not None:
        found[f"{LLM}.storageUri"] = text_of(uri)


def _containers(node: Node) -> str | None:
    """What custom containers say of the model: its URI in an environment variable, or nothing."""
    found = [variable for _, variable in _variables(node)]
    if any(child(variable, "value") is None for variable in found):
        return "valueFrom"
    if found:
        return "STORAGE_URI" if len(found) == 1 else "twice"
    return "set" if items(node) else None


def _variables(containers: Node) -> Iterator[tuple[tuple[int, int], Node]]:
    """The variables STORAGE_URI: the places of container and variable, and the node."""
    for index, container in enumerate(items(containers)):
        for place, variable in enumerate(items(child(container, "env"))):
            if text_of(child(variable, "name")) == "STORAGE_URI":
                yield (index, place), variable


def container_uri(root: Node) -> tuple[str | int, ...]:
    """Where the first custom container's STORAGE_URI stands; () where there is none."""
    containers = child(root, *_PREDICTOR, "containers")
    for (index, place), _ in _variables(containers):
        return (*_PREDICTOR, "containers", index, "env", place, "value")
    return ()


def _json(node: Node) -> str | None:
    if is_null(node) or (is_sequence(node) and not node.value):
        return None
    return json.dumps(json_value(node), sort_keys=True, separators=(",", ":"))


def json_value(node: Node) -> Any:
    """The node as JSON values: texts but for whole numbers, None for null. What is large is cut."""
    return None if node is None or is_null(node) else _value(node, [1000])


def _value(node: Node, budget: list[int]) -> Any:
    """JSON values; the budget bounds what aliases can unfold to."""
    budget[0] -= 1
    if budget[0] < 0:
        return "…"
    if is_mapping(node):
        return {key: _value(value, budget) for key, value in entries(node)}
    if is_sequence(node):
        return [_value(each, budget) for each in node.value]
    value = text_of(node)
    if value is not None and str(node.tag).endswith(":int") and WHOLE.fullmatch(value):
        return int(value)
    return value
