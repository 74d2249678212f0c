"""Takes a service out of one environment. A base stays: another environment may use it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from mlflow_gitops.errors import ManifestError
from mlflow_gitops.manifests.documents import remove_document
from mlflow_gitops.manifests.edit import remove_from_list
from mlflow_gitops.manifests.facts import Document, FileFacts, read_facts
from mlflow_gitops.manifests.graph import Chain, Graph
from mlflow_gitops.manifests.kustomization import PatchEntry
from mlflow_gitops.manifests.services import Service
from mlflow_gitops.manifests.tree import inside, parent, resolve

__all__ = ["retire"]

Changes = dict[str, str | None]


class _Editor:
    """The texts as changed so far."""

    def __init__(self, read: Callable[[str], str], owned: Callable[[str], bool]) -> None:
        self._read = read
        self._owned = owned
        self.changes: Changes = {}

    def text(self, path: str) -> str:
        return self.changes.get(path) or self._read(path)

    def may_edit(self, path: str) -> bool:
        return self._owned(path)

    def drop_entry(self, path: str, key: str, index: int) -> None:
        self.changes[path] = remove_from_list(self.text(path), key, index, path)

    def drop_document(self, path: str, document: Document) -> None:
        if document.inside:
            raise ManifestError(
                f"`{document.name}` is inside a `kind: List`, from which nothing is removed",
                where=path,
                hint="remove it by hand, or write it as a document of its own",
            )
        self.changes[path] = remove_document(self.text(path), document.index, path)


def retire(
    service: Service,
    graph: Graph,
    *,
    folder: str,
    facts: Callable[[str], FileFacts],
    read: Callable[[str], str],
    owned: Callable[[str], bool],
    layers: Callable[[Chain], Iterable[str]],
) -> Changes:
    """The changes that leave the environment without the service, and with all else."""
    editor = _Editor(read, owned)
    level = _cut(service, graph, facts, owned)
    if level is None:
        _remove_from_file(service, editor, folder)
        keep = service.chain
    else:
        _remove_reference(service, graph, level, editor)
        keep = service.chain[: level + 1]
    _remove_patches(service, graph, layers(keep), facts, editor)
    return editor.changes


def _cut(
    service: Service,
    graph: Graph,
    facts: Callable[[str], FileFacts],
    owned: Callable[[str], bool],
) -> int | None:
    """The outermost level of the chain whose reference leads to this service and nothing else."""
    for level, path in enumerate(service.chain):
        if not owned(path):
            return None
        prefix = service.chain[: level + 2]
        files = [
            file
            for file, chains in graph.files.items()
            if any(chain[: level + 2] == prefix for chain in chains)
            and (level + 1 < len(service.chain) or file == service.file)
        ]
        if files == [service.file] and _is_alone(service, facts(service.file)):
            return level
    return None


def _is_alone(service: Service, facts: FileFacts) -> bool:
    services = [document for document in facts.documents if document.is_service]
    return facts.others == 0 and [document.name for document in services] == [service.name]


def _remove_reference(service: Service, graph: Graph, level: int, editor: _Editor) -> None:
    path = service.chain[level]
    below = service.chain[level + 1 :]
    wanted = parent(below[0]) if below else service.file
    kustomization = graph.kustomizations[path]
    key, index = _listed_at(kustomization.listed, parent(path), wanted)
    editor.drop_entry(path, key, index)
    for inner in below:
        if not editor.may_edit(inner):
            break
        entries = graph.kustomizations[inner].patches
        _delete(inner, (resolve(parent(inner), e.path) for e in entries if e.path), editor)
    if editor.may_edit(service.file) and not _is_used_elsewhere(service, graph):
        editor.changes[service.file] = None


def _delete(kustomization: str, patches: Iterable[str | None], editor: _Editor) -> None:
    editor.changes[kustomization] = None
    for path in patches:
        if path and inside(path, parent(kustomization)) and editor.may_edit(path):
            editor.changes[path] = None


def _is_used_elsewhere(service: Service, graph: Graph) -> bool:
    return len(graph.files.get(service.file, ())) > 1


def _listed_at(listed: Iterable[tuple[str, int, str]], folder: str, wanted: str) -> tuple[str, int]:
    for key, index, reference in listed:
        if resolve(folder, reference) == wanted:
            return key, index
    raise AssertionError("the graph was built from this list")


def _remove_from_file(service: Service, editor: _Editor, folder: str) -> None:
    if not editor.may_edit(service.file):
        raise ManifestError(
            f"`{service.name}` comes into {folder or 'the root'} together with other resources, "
            f"from a file that is not this environment's alone",
            where=service.file,
            hint="list each service by itself in the environment's kustomization, "
            "or remove it by hand",
        )
    editor.drop_document(service.file, service.base)


def _remove_patches(
    service: Service,
    graph: Graph,
    kustomizations: Iterable[str],
    facts: Callable[[str], FileFacts],
    editor: _Editor,
) -> None:
    """A patch that names what is no longer there would stop the build."""
    for path in kustomizations:
        entries = graph.kustomizations[path].patches
        for entry in sorted(entries, key=lambda each: each.index, reverse=True):
            if entry.target is not None:
                continue  # without a match it does nothing
            file = resolve(parent(path), entry.path) or "" if entry.path else ""
            found = facts(file) if entry.path else read_facts(entry.inline, path)
            ours = [d for d in found.documents if (d.kind, d.name) == service.named]
            if ours:
                whole = len(ours) == len(found.documents)
                _remove_patch(service, path, entry, file, None if whole else ours, editor)


def _remove_patch(
    service: Service,
    path: str,
    entry: PatchEntry,
    file: str,
    ours: Sequence[Document] | None,
    editor: _Editor,
) -> None:
    """Takes the documents out of the patch; None for all that is in it."""
    if not editor.may_edit(path):
        raise ManifestError(
            f"it patches `{service.name}`, which is to leave this environment only",
            where=path,
            hint="remove the service by hand",
        )
    if ours is None:
        editor.drop_entry(path, entry.field, entry.index)
        if file and editor.may_edit(file):
            editor.changes[file] = None
        return
    if not file or not editor.may_edit(file):
        raise ManifestError(
            f"it patches `{service.name}` and others",
            where=file or path,
            hint="split the patch",
        )
    for document in reversed(ours):
        editor.drop_document(file, document)
