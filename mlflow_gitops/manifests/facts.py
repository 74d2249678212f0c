"""What a manifest file says of InferenceServices: plain values that outlive its nodes.

One `Document` is either an InferenceService or a patch of one; a JSON 6902 patch has operations.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from mlflow_gitops.manifests.fields import LABEL, Fields, fields_of
from mlflow_gitops.manifests.nodes import (
    Node,
    child,
    is_null,
    is_sequence,
    items,
    parse,
    text_of,
)
from mlflow_gitops.manifests.operations import Operation, read_operations

__all__ = ["GROUP", "KIND", "Document", "FileFacts", "possible_names", "read_facts"]

GROUP = "serving.kserve.io"
KIND = "InferenceService"
_NAME = re.compile(r"""\bname["']?[ \t]*:[ \t]*(?:["']?([-\w.]+)|([\r\n\#]))""")
_PATCH_FORM = re.compile(
    r"apiVersion: (?P<api>serving\.kserve\.io/v1beta1)\nkind: InferenceService\nmetadata:\n"
    r"  name: (?P<name>(?!null\n|true\n|false\n)[a-z][-a-z0-9]*)\n  labels:\n"
    r'    model-version: "(?P<version>[A-Za-z0-9._-]+)"\nspec:\n  predictor:\n    model:\n'
    r"      storageUri: (?P<uri>s3://[A-Za-z0-9/._-]+)\n"
)
_INDIRECT = re.compile(r"[&*\\!?|>]|<<")


@dataclass(frozen=True, slots=True)
class Document:
    """One document of a file: `index` is its place in it, `directive` a `$patch` at its root.

    `inside` leads to it from the document's root, where it is an item of a `kind: List`.
    """

    index: int
    api_version: str
    kind: str
    name: str
    namespace: str
    fields: Fields
    directive: str = ""
    inside: tuple[str | int, ...] = ()

    @property
    def is_service(self) -> bool:
        return self.kind == KIND and self.api_version.startswith(f"{GROUP}/")


@dataclass(frozen=True, slots=True)
class FileFacts:
    """`operations` are those of a JSON 6902 patch.

    `others` counts the objects that are neither empty nor a service.
    """

    documents: tuple[Document, ...] = ()
    operations: tuple[Operation, ...] = ()
    others: int = 0


def possible_names(text: str) -> frozenset[str] | None:
    """Names that the file's services may have; None where only parsing tells.

    Sound, not exact: a name left out cannot be the `metadata.name` of a service in the file.
    """
    if "InferenceService" not in text and "\\" not in text:
        return frozenset()
    if _INDIRECT.search(text):
        return None
    found = _NAME.findall(text)
    if any(elsewhere for _, elsewhere in found):  # on a later line
        return None
    return frozenset(name for name, _ in found)


def read_facts(text: str, where: str) -> FileFacts:
    plain = _PATCH_FORM.fullmatch(text)
    if plain is not None:
        return _from_patch_form(plain)
    roots = [root for root in enumerate(parse(text, where)) if not is_null(root[1])]
    if roots and is_sequence(roots[0][1]):  # kustomize reads no further
        return FileFacts(operations=tuple(read_operations(*roots[0], where)), others=1)
    documents = [
        _document(index, node, where, inside)
        for index, root in roots
        for inside, node in _objects(root, where)
    ]
    others = sum(not document.is_service for document in documents)
    return FileFacts(tuple(documents), others=others)


def _objects(root: Node, where: str) -> Iterator[tuple[tuple[str | int, ...], Node]]:
    """The object, or those of a `kind: List`: kubectl, Argo CD and kustomize take it apart."""
    kind = text_of(child(root, "kind", where=where)) or ""
    listed = child(root, "items", where=where)
    if kind.endswith("List") and is_sequence(listed):
        for index, node in enumerate(items(listed)):
            yield ("items", index), node
    else:
        yield (), root


def _from_patch_form(found: re.Match[str]) -> FileFacts:
    """The patch that this tool writes, without a YAML parser: there is one for each service."""
    fields = {LABEL: found["version"], "model": "", "model.storageUri": found["uri"]}
    return FileFacts((Document(0, found["api"], KIND, found["name"], "", fields),))


def _document(index: int, root: Node, where: str, inside: tuple[str | int, ...]) -> Document:
    metadata = child(root, "metadata", where=where)

    def at(node: Node, key: str) -> str:
        return text_of(child(node, key, where=where)) or ""

    return Document(
        index,
        at(root, "apiVersion"),
        at(root, "kind"),
        at(metadata, "name"),
        at(metadata, "namespace"),
        fields_of(root, where),
        at(root, "$patch"),
        inside,
    )
