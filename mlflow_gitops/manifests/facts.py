"""What a manifest file says of InferenceServices: plain values that outlive its nodes.

One `Document` is either an InferenceService or a patch of one. The part that this tool reads is
kept flat (`{"model.storageUri": "s3://…"}`), so that a strategic-merge patch is a dictionary update
and `None` is its deletion.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mlflow_gitops.manifests.nodes import (
    Node,
    child,
    entries,
    is_mapping,
    is_null,
    is_scalar,
    is_sequence,
    items,
    parse,
    text_of,
)

__all__ = [
    "FRAMEWORKS",
    "GROUP",
    "LABEL",
    "Document",
    "Fields",
    "FileFacts",
    "possible_names",
    "read_facts",
]

GROUP = "serving.kserve.io"
LABEL = "label"
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

_NAME = re.compile(r"""\bname["']?[ \t]*:(?:[ \t\r\n]|\#[^\n]*\n)*["']?([-\w.]+)""")
_PATCH_FORM = re.compile(
    r"apiVersion: (?P<api>serving\.kserve\.io/v1beta1)\nkind: InferenceService\nmetadata:\n"
    r"  name: (?P<name>(?!null\n|true\n|false\n)[a-z][-a-z0-9]*)\n  labels:\n"
    r'    model-version: "(?P<version>[A-Za-z0-9._-]+)"\nspec:\n  predictor:\n    model:\n'
    r"      storageUri: (?P<uri>s3://[A-Za-z0-9/._-]+)\n"
)
_INDIRECT = re.compile(r"[&*\\!?|>]|<<")


@dataclass(frozen=True, slots=True)
class Document:
    """One document of a file: `index` is its place in it, `directive` a `$patch` at its root."""

    index: int
    api_version: str
    kind: str
    name: str
    namespace: str
    fields: Fields
    directive: str = ""

    @property
    def is_service(self) -> bool:
        return self.kind == "InferenceService" and self.api_version.startswith(f"{GROUP}/")


@dataclass(frozen=True, slots=True)
class FileFacts:
    """`operations` are the paths of a JSON 6902 patch, `listed` the services in a `kind: List`.

    `others` counts the documents that are neither empty nor a service.
    """

    documents: tuple[Document, ...] = ()
    operations: tuple[str, ...] = ()
    listed: tuple[str, ...] = ()
    others: int = 0


def possible_names(text: str) -> frozenset[str] | None:
    """Names that the file's services may have; None where only parsing tells.

    Sound, not exact: a name left out cannot be the `metadata.name` of a service in the file.
    """
    if "InferenceService" not in text and "\\" not in text:
        return frozenset()
    if _INDIRECT.search(text):
        return None
    return frozenset(_NAME.findall(text))


def read_facts(text: str, where: str) -> FileFacts:
    plain = _PATCH_FORM.fullmatch(text)
    if plain is not None:
        return _from_patch_form(plain)
    documents: list[Document] = []
    operations: list[str] = []
    listed: list[str] = []
    roots = parse(text, where)
    for index, root in enumerate(roots):
        if is_sequence(root):
            paths = (text_of(child(each, "path", where=where)) for each in items(root))
            operations += (path for path in paths if path is not None)
        elif is_mapping(root):
            document = _document(index, root, where)
            documents.append(document)
            if document.kind.endswith("List"):
                listed += (
                    name
                    for item in items(child(root, "items"))
                    if text_of(child(item, "kind")) == "InferenceService"
                    and (name := text_of(child(item, "metadata", "name")))
                )
    others = sum(1 for each in roots if not is_null(each)) - sum(d.is_service for d in documents)
    return FileFacts(tuple(documents), tuple(operations), tuple(listed), others)


def _from_patch_form(found: re.Match[str]) -> FileFacts:
    """The patch that this tool writes, without a YAML parser: there is one for each service."""
    fields = {LABEL: found["version"], "model": "", "model.storageUri": found["uri"]}
    return FileFacts((Document(0, found["api"], "InferenceService", found["name"], "", fields),))


def _document(index: int, root: Node, where: str) -> Document:
    metadata = child(root, "metadata", where=where)

    def at(node: Node, key: str) -> str:
        return text_of(child(node, key, where=where)) or ""

    return Document(
        index,
        at(root, "apiVersion"),
        at(root, "kind"),
        at(metadata, "name"),
        at(metadata, "namespace"),
        _fields(root, metadata, where),
        at(root, "$patch"),
    )


def _fields(root: Node, metadata: Node, where: str) -> Fields:
    found: dict[str, str | None] = {}
    label = child(metadata, "labels", "model-version", where=where)
    if label is not None:
        found[LABEL] = text_of(label)
    spec = child(root, "spec", where=where)
    canary = child(spec, "canary", where=where)
    if canary is not None:
        found["canary"] = _json(canary)
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
    if value is not None and is_scalar(node) and str(node.tag).endswith(":int"):
        return int(value) if value.lstrip("+-").isdigit() else value
    return value
