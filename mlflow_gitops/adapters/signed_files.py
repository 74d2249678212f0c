"""The signature beside a revision's manifest: written once, before the manifest seals the files.

So whatever is sealed is signed. A revision that was sealed before anybody signed is signed later,
after every byte of it was read and compared with its manifest.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mlflow_gitops.adapters.s3 import Bucket
from mlflow_gitops.adapters.telling import Telling
from mlflow_gitops.errors import PublishError, TransientError
from mlflow_gitops.planning.checksums import Sums
from mlflow_gitops.planning.model_signature import disagreement, is_covered
from mlflow_gitops.planning.revision_manifest import MOST_CHARACTERS, File, Place
from mlflow_gitops.planning.write_once import not_as_sealed

if TYPE_CHECKING:
    from mlflow_gitops.adapters.model_signing import ModelSigner
    from mlflow_gitops.ports import Progress
    from mlflow_gitops.state import SignedBy

__all__ = ["Signatures"]

JSON = "application/json"


@dataclass(slots=True)
class Signatures:
    """The signature of one revision, `trusted` by the settings. `name` is the version's."""

    bucket: Bucket
    place: Place
    signer: ModelSigner
    trusted: SignedBy
    name: str
    workers: int
    progress: Progress | None = None

    def check_key(self) -> None:
        """Whether this process can sign, and its signature counts. Raises ConfigError."""
        self.signer.check(self.trusted)

    def sign(self, files: Collection[File]) -> tuple[File, ...]:
        """Sign what was copied, and is not sealed yet. The files, each with its SHA-256.

        What the storage copied by itself has none, and is read. A signature that is there already,
        by a publisher that was killed or is ahead, stays if it is of these files.
        """
        copied = [file for file in files if not file.sha256]
        found = self._read(copied) if copied else {}
        summed = tuple(
            replace(file, sha256=file.sha256 or found[file.path].sha256) for file in files
        )
        self._write(summed)
        return summed

    def ensure(self, sealed: Collection[File]) -> None:
        """A sealed revision's signature is right; where there is none, it gets one now."""
        content = self.bucket.read(self.place.signature, MOST_CHARACTERS)
        if content is not None:
            self._check(content, sealed)
            return
        self.check_key()
        found = self._read(sealed)
        self._write([replace(file, sha256=found[file.path].sha256) for file in sealed])

    def _write(self, files: Iterable[File]) -> None:
        names = {file.path: file.sha256 for file in files if is_covered(file.path)}
        content = self.signer.sign(self.name, names)
        if self.bucket.put_new(self.place.signature, content, kind=JSON):
            return
        standing = self.bucket.read(self.place.signature, MOST_CHARACTERS)
        if standing is None:
            raise TransientError("the signature went away meanwhile", where=self._uri)
        self._check(standing, files)

    def _check(self, content: bytes, files: Iterable[File]) -> None:
        try:
            signed = self.signer.verified(content, self.trusted)
        except PublishError as error:
            raise PublishError(error.what, where=self._uri, hint=error.hint) from None
        why = disagreement(signed.files, files, {})
        if why:
            raise PublishError(
                f"the signature is of other files ({why})",
                where=self._uri,
                hint="find out who wrote it. If nothing serves the version yet, remove the "
                "signature and run it again",
            )

    @property
    def _uri(self) -> str:
        return self.place.uri(self.place.signature)

    # Reading what is in the storage

    def _read(self, files: Collection[File]) -> Mapping[str, Sums]:
        """Every byte of these. Raises PublishError where one is not the file's."""
        uri, telling = self.place.uri(self.place.prefix), Telling(self.progress)

        def read(file: File) -> tuple[str, Sums]:
            key = self.place.prefix + file.path
            sums = self.bucket.sums(
                key, lambda chunk: telling.advance(len(chunk), file.path), file.part_size
            )
            if not file.is_of(sums):
                raise not_as_sealed(self.place.uri(key))
            telling.done(file.path)
            return file.path, sums

        with (
            telling.of(uri, [file.size for file in files]),
            ThreadPoolExecutor(self.workers, "sign") as pool,
        ):
            return dict(pool.map(read, files))
