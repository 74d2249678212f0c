"""CustomResourceDefinitions as strict JSON schemas: a field that the schema lacks is an error."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft7Validator

from tests.support.kubectl import require

__all__ = ["APPLICATION", "INFERENCE_SERVICE", "errors_of"]

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
INFERENCE_SERVICE = "serving.kserve.io_inferenceservices.yaml"
APPLICATION = "argoproj.io_applications.yaml"

LABEL_VALUE = r"^([A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?)?$"
QUALIFIED_NAME = (
    r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?"
    r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$"
)
METADATA = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 253, "pattern": "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"},
        "namespace": {"type": "string", "maxLength": 63},
        "labels": {
            "type": "object",
            "propertyNames": {"pattern": QUALIFIED_NAME},
            "additionalProperties": {"type": "string", "maxLength": 63, "pattern": LABEL_VALUE},
        },
        "annotations": {
            "type": "object",
            "propertyNames": {"pattern": QUALIFIED_NAME},
            "additionalProperties": {"type": "string"},
        },
        "finalizers": {"type": "array", "items": {"type": "string"}},
    },
    "required": ["name"],
    "additionalProperties": False,
}


def errors_of(found: dict[str, Any], crd: str) -> list[str]:
    """What is wrong with an object; empty where the API server's schema would take it."""
    return [
        f"{'.'.join(str(part) for part in error.absolute_path)}: {error.message}"
        for error in _validator(crd).iter_errors(found)
    ]


@cache
def _validator(crd: str) -> Draft7Validator:
    path = DATA / crd
    require(path.exists(), f"the CRD is missing: {path}")
    definition = yaml.load(path.read_text(), Loader=yaml.CSafeLoader)  # two megabytes
    (version,) = definition["spec"]["versions"]
    schema = _strict(version["schema"]["openAPIV3Schema"])
    names = definition["spec"]
    schema["properties"]["metadata"] = METADATA
    schema["properties"]["kind"] = {"const": names["names"]["kind"]}
    schema["properties"]["apiVersion"] = {"const": f"{names['group']}/{version['name']}"}
    schema["required"] = sorted({*schema.get("required", ()), "apiVersion", "kind", "metadata"})
    return Draft7Validator(schema)


def _strict(schema: dict[str, Any]) -> dict[str, Any]:
    found = {key: value for key, value in schema.items() if not key.startswith("x-kubernetes")}
    found.pop("format", None)
    if schema.get("x-kubernetes-int-or-string"):
        found.pop("anyOf", None)
        found["type"] = ["integer", "string"]
    if schema.get("nullable"):
        found["type"] = [found["type"], "null"]
    if "properties" in found:
        found["properties"] = {key: _strict(each) for key, each in found["properties"].items()}
        if not schema.get("x-kubernetes-preserve-unknown-fields"):
            found.setdefault("additionalProperties", False)
    if isinstance(found.get("additionalProperties"), dict):
        found["additionalProperties"] = _strict(found["additionalProperties"])
    if isinstance(found.get("items"), dict):
        found["items"] = _strict(found["items"])
    return found
