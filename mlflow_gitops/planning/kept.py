"""What the storage holds of a revision, as it was found: values, without any judgement. PURE."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mlflow_gitops.planning.checksums import Checksum, Sums

__all__ = ["Examined", "Kept", "Shelved"]


@dataclass(frozen=True, slots=True)
class Kept:
    """One object: bytes, and the checksum that the storage keeps of the whole of it, or its ETag.

    `sums` are of the bytes as they were read, None where they were not. `problem` says why the
    bytes could not be read.
    """

    size: int
    checksum: Checksum | None = None
    sums: Sums | None = None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Examined:
    """The documents beside a path, None where there is none, and every object below the path.

    `objects` has names relative to the path.
    """

    claim: bytes | None
    manifest: bytes | None
    objects: Mapping[str, Kept]
    signature: bytes | None = None


@dataclass(frozen=True, slots=True)
class Shelved:
    """One revision of a service: its documents, how many objects lie below its path, and how many
    bytes they have. `changed` is when the storage last took one of its documents or objects.
    """

    uri: str
    claim: bytes | None
    manifest: bytes | None
    files: int
    size: int
    changed: str
