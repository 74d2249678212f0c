"""Adds a service to an environment that does not have it: which files, and which list takes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mlflow_gitops.errors import ManifestError
from mlflow_gitops.manifests.catalog import Catalog, Index
from mlflow_gitops.manifests.edit import add_to_list
from mlflow_gitops.manifests.facts import Document, FileFacts
from mlflow_gitops.manifests.fields import CONTAINER_URI, label_field
from mlflow_gitops.manifests.graph import build_graph
from mlflow_gitops.manifests.merged import (
    check_supported,
    merge,
    patched_container,
    uri_field,
    written_uri,
)
from mlflow_gitops.manifests.scaffold import (
    API_VERSION,
    SERVICE_ACCOUNT,
    base_files,
    base_root,
    leaf_files,
    overlay_text,
    plain_text,
)
from mlflow_gitops.manifests.services import Service
from mlflow_gitops.manifests.tree import files_below, inside, parent, relative
from mlflow_gitops.state import Environment, Predictor, ServiceSpec

__all__ = ["enlist"]

Changes = dict[str, str | None]


@dataclass(frozen=True, slots=True)
class _Base:
    folder: str
    document: Document
    fields: Mapping[str, str]
    files: dict[str, str]
    needs_account: bool


def enlist(
    catalog: Catalog,
    index: Index,
    environment: Environment,
    *,
    folder: str,
    service: str,
    spec: ServiceSpec,
    predictor: Predictor,
    kserve: str,
    elsewhere: Sequence[Service],
    folders: Sequence[str],
) -> Changes:
    """The new files. `elsewhere` is the service in other environments, whose base is used again.

    An environment with a kustomization gets an overlay of the service and a line in its list; a
    plain directory gets one file; a folder that is not there yet becomes a kustomization.
    """
    adder = _Adder(catalog, index, environment, folder, service, spec, predictor, kserve)
    if folder in catalog.layout() or not any(True for _ in files_below(catalog.tree, folder)):
        return adder.overlay(elsewhere, folders)
    if index.graph.roots:
        return adder.leaf_alone(elsewhere, folders)
    return adder.plain_file()


@dataclass(frozen=True, slots=True)
class _Adder:
    catalog: Catalog
    index: Index
    environment: Environment
    folder: str
    service: str
    spec: ServiceSpec
    predictor: Predictor
    kserve: str

    def plain_file(self) -> Changes:
        path = f"{self.folder}/{self.service}.yaml".lstrip("/")
        self._must_be_free(path)
        namespace = self.environment.namespace
        text = plain_text(
            self.service,
            self.predictor,
            self.spec,
            namespace,
            self.environment.label,
            account=self._account_is_there(),
            kserve=self.kserve,
        )
        return {path: text}

    def leaf_alone(self, elsewhere: Sequence[Service], folders: Sequence[str]) -> Changes:
        """For one Application to a folder: the leaf says the namespace itself."""
        base = self._base(elsewhere, folders, account=self._account_is_there())
        leaf = f"{self.folder}/{self.service}".lstrip("/")
        self._must_be_free(f"{leaf}/kustomization.yaml")
        self._must_be_free(f"{leaf}/model-version.yaml")
        namespace = self.environment.namespace
        files = leaf_files(leaf, base.folder, base.document, self._values(base), namespace)
        return {**base.files, **files}

    def overlay(self, elsewhere: Sequence[Service], folders: Sequence[str]) -> Changes:
        leaf = f"{self.folder}/{self.service}".lstrip("/")
        layout = self.catalog.layout()
        changes: Changes = {}
        needs_account = False
        if leaf in layout:  # left over from a retired service, or listed no more
            if _only_service(self.catalog, leaf, self.service) is None:
                raise ManifestError(
                    f"there is a kustomization, but not of `{self.service}` alone",
                    where=layout[leaf][0],
                    hint="rename the folder, or map the model to another name in `services:`",
                )
        else:
            common = self._common() in layout
            base = self._base(elsewhere, folders, account=common or self._account_is_there())
            self._must_be_free(f"{leaf}/model-version.yaml")
            changes |= base.files
            changes |= leaf_files(leaf, base.folder, base.document, self._values(base))
            needs_account = base.needs_account
        lines = [*self._account_line(needed=needs_account), self.service]
        if self.folder not in layout:
            path = f"{self.folder}/kustomization.yaml".lstrip("/")
            return {**changes, path: overlay_text(self.environment.namespace, lines)}
        path = layout[self.folder][0]
        text = self.catalog.text(path)
        for line in lines:
            text = add_to_list(text, "resources", line, path, by_name=True)
        return {**changes, path: text}

    def _must_be_free(self, path: str) -> None:
        if path in self.catalog.tree:
            raise ManifestError(
                f"it is there, and does not say what `{self.service}` serves",
                where=path,
                hint="list it in the environment's kustomization, or remove it",
            )

    def _root(self) -> str:
        def exists(folder: str) -> bool:
            return any(True for _ in files_below(self.catalog.tree, folder))

        return base_root(self.folder, exists)

    def _common(self) -> str:
        return f"{self._root()}/common"

    def _account_line(self, *, needed: bool) -> list[str]:
        """The list entry of the folder with the service account, where it is missing."""
        found = self.catalog.layout().get(self._common())
        if not needed or found is None or found[0] in self.index.graph.kustomizations:
            return []
        return [relative(self._common(), self.folder)]

    def _account_is_there(self) -> bool:
        texts = self.catalog.tree.read_all(self.index.graph.files)
        return any(
            SERVICE_ACCOUNT in text and "kind: ServiceAccount" in text for text in texts.values()
        )

    def _base(
        self, elsewhere: Sequence[Service], folders: Sequence[str], *, account: bool
    ) -> _Base:
        for other in elsewhere:
            folder = parent(other.file)
            if other.chain and not any(inside(other.file, each) for each in folders if each):
                found = _only_service(self.catalog, folder, self.service)
                if found is not None:
                    return self._existing(folder, *found)
        folder = f"{self._root()}/{self.service}"
        found = _only_service(self.catalog, folder, self.service)
        if found is not None:
            return self._existing(folder, *found)
        taken = next(files_below(self.catalog.tree, folder), None)
        if taken is not None:
            raise ManifestError(
                f"the folder is there, and holds no kustomization of `{self.service}` alone",
                where=folder,
                hint="make it a base of this service, or remove it",
            )
        document = Document(0, API_VERSION, "InferenceService", self.service, "", {})
        files = base_files(
            folder, self.service, self.predictor, account=account, kserve=self.kserve
        )
        return _Base(folder, document, {self.predictor.key: ""}, files, account)

    def _existing(self, folder: str, path: str, document: Document) -> _Base:
        fields = merge([document.fields])
        return _Base(folder, document, fields, {}, SERVICE_ACCOUNT in self.catalog.text(path))

    def _values(self, base: _Base) -> dict[str, str]:
        """The fields that make the base serve the spec."""
        buckets, name = self.environment.storage_keys, uri_field(base.fields)
        check_supported(base.fields, self.service, base.folder, buckets)
        if name == CONTAINER_URI:
            raise patched_container(self.service, base.folder)
        uri = written_uri(self.spec, base.fields, buckets, base.folder)
        label = self.environment.label
        return {name: uri, **({label_field(label): self.spec.version} if label else {})}


def _only_service(catalog: Catalog, folder: str, service: str) -> tuple[str, Document] | None:
    """The service's file and document, if the folder's kustomization has it and no other."""
    layout = catalog.layout()
    if folder not in layout:
        return None
    graph = build_graph(catalog.tree, folder, layout, catalog.kustomization)
    if graph.problems:
        raise graph.problems[0]
    found = [
        (path, document) for path in graph.files for document in _documents(catalog.facts(path))
    ]
    if len(found) == 1 and found[0][1].name == service:
        return found[0]
    return None


def _documents(facts: FileFacts) -> list[Document]:
    return [document for document in facts.documents if document.is_service]
