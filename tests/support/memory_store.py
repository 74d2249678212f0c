"""An artifact store in memory: `ports.ArtifactStore` for unit tests of what publishes.

The contract suite runs it and the real adapter through the same tests. Sources are put in by hand
(`sources`, location to files); `objects` holds what was published, by URI, claims and manifests
too, and `writes` the URIs in the order in which they came; `asked` is what was to be published.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from mlflow_gitops.errors import PublishError
from mlflow_gitops.planning import write_once
from mlflow_gitops.planning.file_names import check_paths
from mlflow_gitops.planning.revision_manifest import (
    File,
    Manifest,
    Place,
    claim_of,
    claim_text,
    manifest_of,
    manifest_text,
    parse_claim,
    parse_manifest,
    place_of,
)
from mlflow_gitops.planning.sources import parse_location
from mlflow_gitops.ports import Progress
from mlflow_gitops.state import Layout, ModelFiles, Publication, Revision

TIME = "2026-01-01T00:00:00.000Z"


@dataclass(slots=True)
class MemoryArtifactStore:
    sources: dict[str, Mapping[str, bytes]] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)
    writes: list[str] = field(default_factory=list)
    asked: list[Publication] = field(default_factory=list)

    def sealed(self, publication: Publication) -> Revision | None:
        place = place_of(publication.uri)
        self._check_claim(place, publication)
        uri = place.uri(place.manifest)
        if uri not in self.objects:
            return None
        manifest = write_once.read_document(self.objects[uri], parse_manifest, uri)
        write_once.check_manifest(manifest, publication, place)
        write_once.check_complete(manifest, self._listed(place), place)
        return self._revision(publication, manifest, created=False)

    def inspect(self, source: str) -> ModelFiles:
        parse_location(source)
        files = self.sources.get(source)
        if files is None:
            raise PublishError("there is no such folder or file", where=source, hint="log it again")
        check_paths(files, source)
        sizes = {path: len(content) for path, content in files.items()}
        return ModelFiles(sizes, files.get("MLmodel", b"").decode())

    def texts(self, source: str, names: Iterable[str]) -> Mapping[str, str]:
        found = {}
        for name in names:
            content = self.objects.get(f"{source}{name}", self.sources.get(source, {}).get(name))
            if content is None:
                raise PublishError("there is no such file", where=f"{source}{name}")
            with suppress(UnicodeDecodeError):
                if len(content) <= 64 * 1024:
                    found[name] = content.decode("utf-8-sig")
        return found

    def publish(self, publication: Publication, progress: Progress | None = None) -> Revision:
        self.asked.append(publication)
        standing = self.sealed(publication)
        if standing is not None:
            return standing
        place = place_of(publication.uri)
        contents = self.inspect(publication.source)
        if publication.paths is not None:
            contents = _laid_out(contents, publication)
        write_once.check_keys(contents.files, place)
        self._put_new(place.uri(place.claim), claim_text(claim_of(publication)).encode())
        write_once.check_known(contents.files, self._listed(place), place)
        source = self.sources[publication.source]
        names = publication.paths or {path: path for path in source}
        laid_out = {published: source[path] for published, path in names.items()}
        files = self._copy(place, laid_out, progress)
        manifest = manifest_of(publication, files, created=TIME, tool="memory")
        self._put_new(place.uri(place.manifest), manifest_text(manifest).encode())
        return self._revision(publication, manifest, created=True)

    def download(
        self, publication: Publication, folder: Path | None, progress: Progress | None = None
    ) -> Revision | None:
        standing = self.sealed(publication)
        if standing is None:
            return None
        place = place_of(publication.uri)
        uri = place.uri(place.manifest)
        manifest = write_once.read_document(self.objects[uri], parse_manifest, uri)
        if progress:
            progress.start(publication.uri, len(manifest.files), standing.size)
        for file in manifest.files:
            content = self.objects[publication.uri + file.path]
            if hashlib.sha256(content).hexdigest() != file.sha256:
                raise write_once.not_as_sealed(publication.uri + file.path)
            if folder is not None:
                (folder / file.path).parent.mkdir(parents=True, exist_ok=True)
                (folder / file.path).write_bytes(content)
            if progress:
                progress.advance(len(content), file=file.path)
        if progress:
            progress.finish()
        return standing

    def _copy(
        self, place: Place, source: Mapping[str, bytes], progress: Progress | None
    ) -> list[File]:
        if progress:
            progress.start(place.prefix, len(source), sum(map(len, source.values())))
        files = []
        for path, content in sorted(source.items()):
            uri = place.uri(place.prefix + path)
            self._put_new(uri, content)
            if self.objects[uri] != content:
                raise write_once.changed(uri, place)
            files.append(File(path, len(content), hashlib.sha256(content).hexdigest()))
            if progress:
                progress.advance(len(content), file=path)
        if progress:
            progress.finish()
        return files

    def _check_claim(self, place: Place, publication: Publication) -> None:
        claim, manifest = place.uri(place.claim), place.uri(place.manifest)
        if claim in self.objects and manifest not in self.objects:
            found = write_once.read_document(self.objects[claim], parse_claim, claim)
            write_once.check_claim(found, publication, place)

    def _put_new(self, uri: str, content: bytes) -> None:
        if uri not in self.objects:
            self.objects[uri] = content
            self.writes.append(uri)

    def _listed(self, place: Place) -> dict[str, int]:
        start = place.uri(place.prefix)
        return {
            uri.removeprefix(start): len(content)
            for uri, content in list(self.objects.items())
            if uri.startswith(start)
        }

    def _revision(self, publication: Publication, manifest: Manifest, *, created: bool) -> Revision:
        sizes = {file.path: file.size for file in manifest.files}
        mlmodel = self.objects.get(f"{publication.uri}MLmodel", b"").decode()
        return Revision(
            publication.uri, manifest.digest, ModelFiles(sizes, mlmodel), created=created
        )


def _laid_out(contents: ModelFiles, publication: Publication) -> ModelFiles:
    paths = publication.paths or {}
    for path in paths.values():
        if path not in contents.files:
            raise PublishError(f"`{path}` is not there any more", where=publication.source)
    return Layout(publication.layout, paths).applied(contents)
