"""What deploys the repository's folders: the Argo CD and Flux objects that are in it, as values.

Reads Applications, the templates of ApplicationSets, and Flux Kustomizations. What an object says
that is not understood is kept as a `NotKnown`, never guessed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from posixpath import normpath
from typing import Any

from mlflow_gitops.errors import ManifestError
from mlflow_gitops.manifests.graph import FolderRules
from mlflow_gitops.manifests.nodes import parse
from mlflow_gitops.manifests.plain import list_at, mapping_at, plain, text_at
from mlflow_gitops.state import EMPTY

__all__ = [
    "TEMPLATE_PATCH",
    "Application",
    "ApplicationSet",
    "Deployer",
    "NotKnown",
    "Source",
    "application_of",
    "folder_of",
    "may_deploy",
    "read_deployers",
]

TEMPLATE_PATCH = "spec.templatePatch"
ARGO, FLUX = "argoproj.io/", "kustomize.toolkit.fluxcd.io/"
FLUX_FILES = FolderRules(include="{*.yaml,*.yml}")  # Flux reads no JSON in a plain folder


@dataclass(frozen=True, slots=True)
class Source:
    """One source of an Application. `field` is its place, such as `spec.source`.

    `path` is the folder, "" for the root, None where the source has none. `directory` are the
    rules that it states for a plain folder, `kustomize` and `helm` its options as written, with
    Argo CD's keys; None where it has none of them. `plugin` says that something else renders it.
    """

    field: str
    repository: str = ""
    path: str | None = None
    revision: str = ""
    chart: str = ""
    directory: FolderRules | None = None
    kustomize: Mapping[str, Any] | None = None
    helm: Mapping[str, Any] | None = None
    plugin: bool = False


@dataclass(frozen=True, slots=True)
class Application:
    """An Argo CD Application or a Flux Kustomization. `namespace` is where its objects go.

    `substitute` says that Flux replaces `${...}` after the build. `unclear` says what in it is
    not understood, "" for nothing.
    """

    file: str
    kind: str
    name: str
    sources: tuple[Source, ...]
    namespace: str = ""
    project: str = ""
    substitute: bool = False
    suspended: bool = False
    prunes: bool = False
    unclear: str = ""

    @property
    def is_flux(self) -> bool:
        return self.kind == "Kustomization"


@dataclass(frozen=True, slots=True)
class ApplicationSet:
    """Its `template` and `generators` as written; `generators.py` makes Applications of them."""

    file: str
    name: str
    generators: tuple[Mapping[str, Any], ...] = ()
    template: Mapping[str, Any] = field(default_factory=lambda: EMPTY)
    patched: bool = False


@dataclass(frozen=True, slots=True)
class NotKnown:
    """An object that may deploy any folder."""

    file: str
    name: str
    why: str


Deployer = Application | ApplicationSet | NotKnown


def may_deploy(text: str) -> bool:
    """Whether the text may hold one of the objects; most files are not parsed."""
    return (ARGO in text and "Application" in text) or FLUX in text


def read_deployers(text: str, where: str) -> tuple[Deployer, ...]:
    """Return the objects in a file. A file that cannot be read is a `NotKnown`."""
    if not may_deploy(text):
        return ()
    try:
        documents = [plain(root, where) for root in parse(text, where)]
        return tuple(found for each in documents for found in _deployers(each, where))
    except ManifestError as error:
        return (NotKnown(where, "", error.what),)


def _deployers(document: Any, file: str) -> Iterator[Deployer]:
    kind, version = text_at(document, "kind"), text_at(document, "apiVersion")
    if kind.endswith("List") and isinstance(document.get("items"), list):
        for item in document["items"]:
            yield from _deployers(item, file)
    elif version.startswith(ARGO) and kind == "Application":
        yield application_of(document, file)
    elif version.startswith(ARGO) and kind == "ApplicationSet":
        spec = mapping_at(document, "spec")
        yield ApplicationSet(
            file,
            text_at(document, "metadata", "name"),
            tuple(map(mapping_at, list_at(spec, "generators"))),
            mapping_at(spec, "template"),
            patched=bool(spec.get("templatePatch")),
        )
    elif version.startswith(FLUX) and kind == "Kustomization":
        yield _flux(document, file)


def application_of(document: Any, file: str, unclear: str = "") -> Application:
    """Return the Application that a mapping describes: an object, or a filled template."""
    spec = mapping_at(document, "spec")
    written = [("spec.source", mapping_at(spec, "source"))]
    listed = list_at(spec, "sources")
    if listed:  # Argo CD then ignores `source`
        written = [(f"spec.sources[{i}]", mapping_at(each)) for i, each in enumerate(listed)]
    dry = mapping_at(spec, "sourceHydrator", "drySource")
    if dry:
        written = [("spec.sourceHydrator.drySource", dry)]
    return Application(
        file,
        "Application",
        text_at(document, "metadata", "name"),
        tuple(_source(place, source) for place, source in written if source),
        namespace=text_at(spec, "destination", "namespace"),
        project=text_at(spec, "project"),
        prunes=text_at(spec, "syncPolicy", "automated", "prune") == "true",
        unclear=unclear,
    )


def _source(place: str, source: Mapping[str, Any]) -> Source:
    directory = mapping_at(source, "directory") if "directory" in source else None
    chart = text_at(source, "chart")
    path = text_at(source, "path")
    return Source(
        place,
        text_at(source, "repoURL"),
        folder_of(path) if path and not chart else None,
        text_at(source, "targetRevision"),
        chart,
        None if directory is None else _directory(directory),
        mapping_at(source, "kustomize") or None,
        mapping_at(source, "helm") or None,
        plugin="plugin" in source,
    )


def _directory(written: Mapping[str, Any]) -> FolderRules:
    exclude = text_at(written, "exclude")
    return FolderRules(
        recurse=text_at(written, "recurse") == "true",
        include=text_at(written, "include"),
        exclude=(exclude,) if exclude else (),
    )


def _flux(document: Any, file: str) -> Application:
    spec = mapping_at(document, "spec")
    same = ("patches", "images", "components", "namePrefix", "nameSuffix")
    options = {key: spec[key] for key in same if spec.get(key)}
    namespace = text_at(spec, "targetNamespace")
    if namespace:
        options["namespace"] = namespace
    labels = mapping_at(spec, "commonMetadata", "labels")
    if labels:  # Flux sets them after the build, and no selectors
        options |= {"commonLabels": labels, "labelWithoutSelector": True}
    annotations = mapping_at(spec, "commonMetadata", "annotations")
    if annotations:
        options["commonAnnotations"] = annotations
    path = folder_of(text_at(spec, "path"))
    source = Source("spec", path=path, directory=FLUX_FILES, kustomize=options or None)
    return Application(
        file,
        "Kustomization",
        text_at(document, "metadata", "name"),
        (source,),
        namespace=namespace,
        substitute=bool(spec.get("postBuild")),
        suspended=text_at(spec, "suspend") == "true",
        prunes=text_at(spec, "prune") == "true",
    )


def folder_of(path: str) -> str:
    """Return the folder as a tree has it; "" for the root."""
    found = normpath(path.strip("/") or ".")
    return "" if found == "." else found
