"""The bucket of `MemoryArtifactStore`, looked at: `ports.Shelf` for unit tests.

It keeps a SHA-256 of every object, as a storage does of what was put there in one go.
"""

from __future__ import annotations

from dataclasses import dataclass

from mlflow_gitops.planning.checksums import Checksum, sha256_text, sums_of
from mlflow_gitops.planning.kept import Examined, Kept
from mlflow_gitops.planning.revision_manifest import place_of
from mlflow_gitops.ports import Progress


@dataclass(slots=True)
class MemoryShelf:
    objects: dict[str, bytes]

    def examine(
        self, uri: str, *, deep: bool = False, progress: Progress | None = None
    ) -> Examined:
        place = place_of(uri)
        start = place.uri(place.prefix)
        found = {
            key.removeprefix(start): body
            for key, body in self.objects.items()
            if key.startswith(start)
        }
        if deep and progress:
            progress.start(uri, len(found), sum(map(len, found.values())))
            for name, body in found.items():
                progress.advance(len(body), file=name)
                progress.done(name)
            progress.finish()
        claim, manifest = place.uri(place.claim), place.uri(place.manifest)
        objects = {name: _kept(body, deep=deep) for name, body in found.items()}
        return Examined(self.objects.get(claim), self.objects.get(manifest), objects)


def _kept(body: bytes, *, deep: bool) -> Kept:
    sums = sums_of(body)
    checksum = Checksum("sha256", sha256_text(sums.sha256))
    return Kept(len(body), checksum, sums if deep else None)
