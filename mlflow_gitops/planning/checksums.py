"""The checksums of a file: computed here in one pass, or by the storage. PURE.

SHA-256 is the proof of a file. S3 computes none over a whole multipart object, so CRC32 stands
beside it there. A storage that computes no CRC32 of what it copies itself has its ETag instead.
"""

from __future__ import annotations

import base64
import hashlib
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Buffer", "Checksum", "Sums", "crc32_text", "etag_of", "sha256_text", "sums_of"]

Buffer = bytes | memoryview


@dataclass(frozen=True, slots=True, order=True)
class Checksum:
    """What the storage keeps of a whole object.

    `algorithm` is "sha256" or "crc32", and `value` base64, as S3 writes it. Or it is "etag", and
    `value` the ETag of an upload in parts that have `part_size` bytes, but the last.
    """

    algorithm: str
    value: str
    part_size: int = field(default=0, compare=False)

    @property
    def hexadecimal(self) -> str:
        return base64.b64decode(self.value).hex()


@dataclass(slots=True)
class Sums:
    """SHA-256 and CRC32 of what was added, in one pass; the ETag too if `part_size` is given."""

    part_size: int = 0
    _sha256: Any = field(default_factory=hashlib.sha256)
    _crc32: int = 0
    _parts: list[Any] = field(default_factory=list)
    _room: int = 0  # bytes that the last part lacks

    def add(self, content: Buffer) -> None:
        self._sha256.update(content)
        self._crc32 = zlib.crc32(content, self._crc32)
        if self.part_size:
            self._add_to_parts(memoryview(content))

    @property
    def sha256(self) -> str:
        """64 hexadecimal digits."""
        digest: str = self._sha256.hexdigest()
        return digest

    def has(self, stored: Checksum) -> bool:
        """Whether what the storage keeps is of the same bytes. ValueError for other parts."""
        if stored.algorithm == "crc32":
            return stored.value == _text(self._crc32.to_bytes(4, "big"))
        if stored.algorithm == "etag":
            if not self.part_size or stored.part_size != self.part_size:
                raise ValueError("these sums are of other parts")
            return stored.value == etag_of(part.digest() for part in self._parts)
        return stored == Checksum("sha256", _text(self._sha256.digest()))

    def _add_to_parts(self, content: memoryview) -> None:
        while content:
            if not self._room:
                self._parts.append(hashlib.md5(usedforsecurity=False))
                self._room = self.part_size
            here = content[: self._room]
            self._parts[-1].update(here)
            self._room -= len(here)
            content = content[len(here) :]


def sums_of(content: Buffer, part_size: int = 0) -> Sums:
    sums = Sums(part_size)
    sums.add(content)
    return sums


def etag_of(parts: Iterable[bytes]) -> str:
    """As S3 makes it of an upload: MD5 of its parts' MD5s, and how many they are."""
    digests = list(parts)
    together = hashlib.md5(b"".join(digests), usedforsecurity=False)
    return f"{together.hexdigest()}-{len(digests)}"


def crc32_text(content: Buffer) -> str:
    return _text(zlib.crc32(content).to_bytes(4, "big"))


def sha256_text(sha256: str) -> str:
    """As S3 writes it: base64 of the 64 hexadecimal digits."""
    return _text(bytes.fromhex(sha256))


def _text(digest: bytes) -> str:
    return base64.b64encode(digest).decode()
