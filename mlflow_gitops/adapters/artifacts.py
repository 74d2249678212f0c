"""The write-once store in S3. Order of effects: claim, copy, seal.

A claim beside the path says whose it is, before a byte of the version is written; the manifest
says what is there, after the last. Killed at any point, the next run goes on where this one
stopped. What may be there and what not is decided in `planning.write_once`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from mlflow_gitops import __version__
from mlflow_gitops.adapters.copying import COPIED_WHOLE, Copy
from mlflow_gitops.adapters.downloading import download
from mlflow_gitops.adapters.laying_out import laid_out
from mlflow_gitops.adapters.model_signing import ModelSigner
from mlflow_gitops.adapters.s3 import Bucket, Clients
from mlflow_gitops.adapters.s3_errors import talking
from mlflow_gitops.adapters.s3_keeping import keeping
from mlflow_gitops.adapters.s3_uploads import abort_left, begin, copy_whole
from mlflow_gitops.adapters.signed_files import Signatures
from mlflow_gitops.adapters.sources import (
    MLMODEL,
    S3Source,
    Source,
    inspect,
    mlmodel_text,
    open_source,
    read_texts,
)
from mlflow_gitops.adapters.telling import Telling
from mlflow_gitops.errors import TransientError
from mlflow_gitops.planning import write_once
from mlflow_gitops.planning.checksums import sums_of
from mlflow_gitops.planning.revision_manifest import (
    MOST_CHARACTERS,
    Claim,
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
from mlflow_gitops.planning.storing import combined
from mlflow_gitops.state import ModelFiles, Publication, Revision

if TYPE_CHECKING:
    from mlflow_gitops.ports import Clock, Progress

__all__ = ["S3ArtifactStore"]

PART = 16 * 1024 * 1024  # bytes
WORKERS = 16
JSON = "application/json"
TOOL = f"mlflow-gitops {__version__}"


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass(slots=True)
class S3ArtifactStore:
    """`ports.ArtifactStore` in a bucket of any S3 server that honours conditional writes.

    `clients` reach the bucket, `source_clients` the buckets that versions come from, where that is
    another storage. `tracking_uri` is where `mlflow-artifacts:` leads. `scratch` is where single
    files are kept that only MLflow can read. `signer` signs where a publication wants it. `storing`
    is what each write asks of the storage where the publication says nothing. Safe for several
    threads.
    """

    clients: Clients = field(default_factory=Clients)
    source_clients: Clients | None = None
    tracking_uri: str = ""
    scratch: Path | None = None
    signer: ModelSigner = field(default_factory=ModelSigner)
    storing: Mapping[str, str] = field(default_factory=dict, repr=False)
    workers: int = WORKERS
    part: int = PART
    clock: Clock = now
    _proved: set[tuple[str, str]] = field(default_factory=set)
    _published: set[str] = field(default_factory=set)

    def sealed(self, publication: Publication) -> Revision | None:
        found = self._standing(publication)
        return found[1] if found else None

    def download(
        self, publication: Publication, folder: Path | None, progress: Progress | None = None
    ) -> Revision | None:
        found = self._standing(publication)
        if found is None:
            return None
        manifest, revision = found
        place = place_of(publication.uri)
        download(self._bucket(place), place, manifest.files, folder, progress)
        return revision

    def inspect(self, source: str) -> ModelFiles:
        return inspect(self._source(source))

    def texts(self, source: str, names: Iterable[str]) -> Mapping[str, str]:
        return read_texts(self._source(source), names)

    def publish(self, publication: Publication, progress: Progress | None = None) -> Revision:
        place = place_of(publication.uri)
        now = datetime.fromisoformat(self.clock())
        storing = combined(publication.storing, self.storing)
        kept = keeping(publication.write_once, storing, now)
        bucket = replace(self._bucket(place), keeping=kept)
        signatures = self._signatures(bucket, place, publication, progress)
        standing = self._standing(publication)
        if standing is not None:
            if signatures is not None:
                signatures.ensure(standing[0].files)
            return standing[1]
        if signatures is not None:
            signatures.check_key()
        found = self._source(publication.source)
        source = laid_out(found, publication.paths)
        contents = inspect(source)
        write_once.check_keys(contents.files, place)
        is_resumed = self._claim(bucket, place, publication)
        if max(contents.files.values()) > self.part or _is_copied(found, bucket):
            self._prove_multipart(bucket, place, publication)
        there = _listed(bucket, place)
        write_once.check_known(contents.files, there, place)
        missing = contents.files.keys() - there.keys()
        copies_whole = _is_copied(found, bucket) and self._copies_whole(
            bucket, place, source, {path: contents.files[path] for path in missing}
        )
        copy = Copy(source, bucket, place, self.part, Telling(progress), copies_whole)
        files = copy.run(contents.files, there, self.workers)
        _check_mlmodel(bucket, contents, files, place)
        if signatures is not None:
            files = signatures.sign(files)
        manifest = manifest_of(publication, files, created=self.clock(), tool=TOOL)
        is_ours = self._seal(bucket, place, publication, manifest)
        if is_resumed:
            for prefix in (place.prefix, place.claim):
                abort_left(bucket, prefix)
        return _revision(publication, manifest, contents.mlmodel, created=is_ours)

    def _standing(self, publication: Publication) -> tuple[Manifest, Revision] | None:
        """What is sealed, if it is of this version and whole."""
        place = place_of(publication.uri)
        bucket = self._bucket(place)
        manifest = self._sealed_manifest(bucket, place, publication)
        if manifest is None:
            return None
        mlmodel = _sealed_mlmodel(bucket, place, manifest)
        return manifest, _revision(publication, manifest, mlmodel, created=False)

    def _sealed_manifest(
        self, bucket: Bucket, place: Place, publication: Publication
    ) -> Manifest | None:
        """The manifest, if it is of this version and all that it names is there."""
        content = bucket.read(place.manifest, MOST_CHARACTERS)
        if content is None:
            self._read_claim(bucket, place, publication)
            return None
        uri = place.uri(place.manifest)
        manifest = write_once.read_document(content, parse_manifest, uri)
        write_once.check_manifest(manifest, publication, place)
        write_once.check_complete(manifest, _listed(bucket, place), place)
        return manifest

    def _signatures(
        self, bucket: Bucket, place: Place, publication: Publication, progress: Progress | None
    ) -> Signatures | None:
        trusted = publication.signed_by
        if not trusted:
            return None
        name = place.prefix.rstrip("/").rpartition("/")[2]
        return Signatures(bucket, place, self.signer, trusted, name, self.workers, progress)

    def _bucket(self, place: Place) -> Bucket:
        with talking(f"s3://{place.bucket}/"):
            bucket = self.clients.bucket(place.bucket)
        self._published.add(place.bucket)
        return bucket

    def _source(self, location: str) -> Source:
        return open_source(
            location, self._source_bucket, tracking_uri=self.tracking_uri, scratch=self.scratch
        )

    def _source_bucket(self, name: str) -> Bucket:
        """Sealed files are read as sources too, by what asked for the revision before."""
        is_ours = self.source_clients is None or name in self._published
        clients = self.clients if is_ours else self.source_clients
        assert clients is not None
        return clients.bucket(name)

    # The claim, and the proof that the storage honours conditions

    def _claim(self, bucket: Bucket, place: Place, publication: Publication) -> bool:
        """The path is ours when this returns; whether it was before.

        Once for each bucket, a second write is tried.
        """
        found = self._read_claim(bucket, place, publication)
        is_proved = bucket.keeping.is_checked or (place.bucket, "PUT") in self._proved
        if found is not None and is_proved:
            return True
        text = claim_text(found or claim_of(publication)).encode()
        if bucket.put_new(place.claim, text, kind=JSON):
            if not is_proved and bucket.put_new(place.claim, text, kind=JSON):
                raise write_once.ignores_conditions(place.uri(place.claim), "a PUT")
        elif self._read_claim(bucket, place, publication) is None:
            raise TransientError("the claim went away meanwhile", where=place.uri(place.claim))
        if bucket.keeping.is_checked:  # another may have looked at the same moment
            self._read_claim(bucket, place, publication)
        else:
            self._proved.add((place.bucket, "PUT"))
        return found is not None

    def _prove_multipart(self, bucket: Bucket, place: Place, publication: Publication) -> None:
        """Complete an upload of the claim, with its own bytes, where the claim already is."""
        if bucket.keeping.is_checked or (place.bucket, "multipart") in self._proved:
            return
        claim = self._read_claim(bucket, place, publication)
        text = claim_text(claim or claim_of(publication)).encode()
        upload = begin(bucket, place.claim)
        if upload.complete([upload.put(1, text)])[0]:
            raise write_once.ignores_conditions(place.uri(place.claim), "a multipart upload")
        self._proved.add((place.bucket, "multipart"))

    def _copies_whole(
        self, bucket: Bucket, place: Place, source: Source, files: Mapping[str, int]
    ) -> bool:
        """Whether the storage refuses to copy over another object.

        Seen once for each bucket, with one of the version's small files, which is copied twice.
        """
        if (place.bucket, "copy") not in self._proved:
            small = [path for path, size in files.items() if 0 < size < COPIED_WHOLE]
            origin = source.origin(path := min(small)) if small else None
            if origin is None:
                return False
            twice = [copy_whole(bucket, place.prefix + path, origin) for _ in range(2)]
            if [copied and copied[0] for copied in twice] != [True, False]:
                return False
            self._proved.add((place.bucket, "copy"))
        return True

    def _read_claim(self, bucket: Bucket, place: Place, publication: Publication) -> Claim | None:
        content = bucket.read(place.claim, MOST_CHARACTERS)
        if content is None:
            return None
        claim = write_once.read_document(content, parse_claim, place.uri(place.claim))
        write_once.check_claim(claim, publication, place)
        return claim

    def _seal(
        self, bucket: Bucket, place: Place, publication: Publication, manifest: Manifest
    ) -> bool:
        """Whether this call sealed it; else another publisher did, with the same content."""
        if bucket.put_new(place.manifest, manifest_text(manifest).encode(), kind=JSON):
            return True
        uri = place.uri(place.manifest)
        content = bucket.read(place.manifest, MOST_CHARACTERS) or b""
        sealed = write_once.read_document(content, parse_manifest, uri)
        write_once.check_manifest(sealed, publication, place)
        write_once.check_same_content(sealed, manifest, place)
        return False


def _listed(bucket: Bucket, place: Place) -> Mapping[str, int]:
    """The objects below the path, by the names that KServe would give them."""
    sizes = bucket.sizes(place.prefix)
    return {key.removeprefix(place.prefix): size for key, size in sizes.items()}


def _sealed_mlmodel(bucket: Bucket, place: Place, manifest: Manifest) -> str:
    file = next((file for file in manifest.files if file.path == MLMODEL), None)
    if file is None:
        return ""
    content = bucket.read(place.prefix + MLMODEL, file.size) or b""
    uri = place.uri(place.prefix + MLMODEL)
    if not file.is_of(sums_of(content, file.part_size)):
        raise write_once.not_as_sealed(uri)
    return mlmodel_text(content, uri)


def _check_mlmodel(
    bucket: Bucket, contents: ModelFiles, files: tuple[File, ...], place: Place
) -> None:
    """What was judged before the copy has to be what was copied."""
    copied = next((file for file in files if file.path == MLMODEL), None)
    if copied is None:
        return
    if not copied.is_of(sums_of(contents.mlmodel.encode(), copied.part_size)):
        raise write_once.changed(bucket.uri(place.prefix + MLMODEL), place)


def _is_copied(source: Source, bucket: Bucket) -> bool:
    """Whether the storage copies the files by itself, which is done in parts."""
    return isinstance(source, S3Source) and source.bucket.client is bucket.client


def _revision(
    publication: Publication, manifest: Manifest, mlmodel: str, *, created: bool
) -> Revision:
    sizes = {file.path: file.size for file in manifest.files}
    return Revision(publication.uri, manifest.digest, ModelFiles(sizes, mlmodel), created)
