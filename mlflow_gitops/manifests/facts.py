"""What a manifest file says of services: plain values that outlive its nodes.

A service is an InferenceService or an LLMInferenceService of KServe. One `Document` is either a
service or a patch of one; a JSON 6902 patch has operations.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from mlflow_gitops.errors import ManifestError
from mlflow_gitops.manifests.fields import Fields, container_uri, fields_of, label_field
from mlflow_gitops.manifests.nodes import (
    Node,
    child,
    is_null,
    is_sequence,
    objects,
    parse,
    text_of,
)
from mlflow_gitops.manifests.operations import Operation, read_operations

__all__ = [
    "GROUP",
    "KIND",
    "KINDS",
    "RENDERERS",
    "Document",
    "FileFacts",
    "Mentions",
    "check_json",
    "possible_names",
    "read_facts",
    "read_mentions",
]

GROUP = "serving.kserve.io"
KIND = "InferenceService"
KINDS = (KIND, "LLMInferenceService")
_NAME = re.compile(r"""\bname["']?[ \t]*:[ \t]*(?:["']?([-\w.]+)|([\r\n\#]))""")
_PATCH_FORM = re.compile(
    r"apiVersion: (?P<api>serving\.kserve\.io/v1beta1)\nkind: InferenceService\nmetadata:\n"
    r"  name: (?P<name>(?!null\n|true\n|false\n)[a-z][-a-z0-9]*)\n  labels:\n"
    r'    (?P<label>[a-z][-a-z0-9./]*): "(?P<version>[A-Za-z0-9._-]+)"\n'
    r"spec:\n  predictor:\n    model:\n"
    r"      storageUri: (?P<uri>s3://[A-Za-z0-9/._-]+)\n"
)
_COMPUTED = re.compile(r"""\bname["']?[ \t]*:[ \t]*["']?[^\s"'#,}]*\$[({]""")
RENDERERS = ("HelmRelease", "Application")
_INDIRECT = re.compile(r"[&*\\!?|>]|<<")


@dataclass(frozen=True, slots=True)
class Document:
    """One document of a file: `index` is its place in it, `directive` a `$patch` at its root.

    `inside` leads to it from the document's root, where it is an item of a `kind: List`.
    `container_uri` leads to the STORAGE_URI of a custom container, () where there is none.
    """

    index: int
    api_version: str
    kind: str
    name: str
    namespace: str
    fields: Fields
    directive: str = ""
    inside: tuple[str | int, ...] = ()
    container_uri: tuple[str | int, ...] = ()

    @property
    def is_service(self) -> bool:
        return self.kind in KINDS and self.api_version.startswith(f"{GROUP}/")


@dataclass(frozen=True, slots=True)
class FileFacts:
    """`operations` are those of a JSON 6902 patch.

    `others` counts the objects that are neither empty nor a service.
    """

    documents: tuple[Document, ...] = ()
    operations: tuple[Operation, ...] = ()
    others: int = 0


@dataclass(frozen=True, slots=True)
class Mentions:
    """What a file may hold, read without parsing it.

    `names` are those that its services may have, None where only parsing shows them. `computed`
    says that a name is filled in after the file is read (`$(NAME)`, `${name}`), `renders` that
    it holds an object of Argo CD or Flux that may render a service.
    """

    names: frozenset[str] | None = frozenset()
    computed: bool = False
    renders: bool = False


NOTHING = Mentions()


def read_mentions(text: str) -> Mentions:
    """Sound, not exact: what is not mentioned is not in the file."""
    names = possible_names(text)
    computed = "$" in text and KIND in text and _COMPUTED.search(text) is not None
    renders = any(kind in text for kind in RENDERERS)
    found = Mentions(names, computed, renders)
    return NOTHING if found == NOTHING else found  # there are thousands of them


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
        for inside, node in objects(root, where)
    ]
    others = sum(not document.is_service for document in documents)
    return FileFacts(tuple(documents), others=others)


def check_json(text: str, where: str) -> None:
    """Raise ManifestError where a plain folder's `.json` file is not one JSON object.

    Argo CD reads no more than that: a list of objects, or one after the other, stops the sync.
    """
    try:
        found = json.loads(text.removeprefix("\ufeff"))
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise ManifestError(
            "the file is not one JSON object, and Argo CD reads nothing else in a `.json` file",
            where=where,
            hint="give each object a file of its own, or write them as the items of a `kind: List`",
        )


def _from_patch_form(found: re.Match[str]) -> FileFacts:
    """The patch that this tool writes, without a YAML parser: there is one for each service."""
    fields = {
        label_field(found["label"]): found["version"],
        "model": "",
        "model.storageUri": found["uri"],
    }
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
        container_uri(root),
    )
