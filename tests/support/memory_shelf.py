"""The bucket of `MemoryArtifactStore`, looked at: `ports.Shelf` for unit tests.

It keeps a SHA-256 of every object, as a storage does of what was put there in one go.
"""

from __future__ import annotations

from dataclasses import dataclass

from mlflow_gitops.planning.checksums import Checksum, sha256_text, sums_of
from mlflow_gitops.planning.kept import Examined, Kept, Shelved
from mlflow_gitops.planning.revision_manifest import place_of
from mlflow_gitops.ports import Progress


@dataclass(slots=True)
class MemoryShelf:
    """`changed` is when everything was written."""

    objects: dict[str, bytes]
    changed: str = "2026-01-01T00:00:00.000Z"

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
        claim, manifest, signature = (
            self.objects.get(place.uri(key))
            for key in (place.claim, place.manifest, place.signature)
        )
        objects = {name: _kept(body, deep=deep) for name, body in found.items()}
        return Examined(claim, manifest, objects, signature)

    def revisions(self, folder: str) -> tuple[Shelved, ...]:
        start = f"{folder}_manifests/"
        names = {
            uri.removeprefix(start).removesuffix(".json").removesuffix(".claim")
            for uri in self.objects
            if uri.startswith(start) and uri.endswith(".json")
        }
        return tuple(self._shelved(f"{folder}{name}/") for name in sorted(names))

    def _shelved(self, uri: str) -> Shelved:
        found = self.examine(uri)
        size = sum(kept.size for kept in found.objects.values())
        return Shelved(uri, found.claim, found.manifest, len(found.objects), size, self.changed)

    def remove(self, uri: str) -> None:
        place = place_of(uri)
        self.objects.pop(place.uri(place.manifest), None)
        for key in [key for key in self.objects if key.startswith(uri)]:
            del self.objects[key]
        for key in (place.signature, place.claim):
            self.objects.pop(place.uri(key), None)


def _kept(body: bytes, *, deep: bool) -> Kept:
    sums = sums_of(body)
    checksum = Checksum("sha256", sha256_text(sums.sha256))
    return Kept(len(body), checksum, sums if deep else None)
