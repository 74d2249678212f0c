"""The checksums of a file: computed here in one pass, or by the storage. PURE.

SHA-256 is the proof of a file. S3 computes none over a whole multipart object, so CRC32 stands
beside it there: every good server keeps a full-object CRC32, also of what it copied by itself.
"""

from __future__ import annotations

import base64
import hashlib
import zlib
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Buffer", "Checksum", "Sums", "crc32_text", "sha256_text", "sums_of"]

Buffer = bytes | memoryview


@dataclass(frozen=True, slots=True, order=True)
class Checksum:
    """What the storage keeps of a whole object.

    `algorithm` is "sha256" or "crc32"; `value` is base64, as S3 writes it.
    """

    algorithm: str
    value: str

    @property
    def hexadecimal(self) -> str:
        return base64.b64decode(self.value).hex()


@dataclass(slots=True)
class Sums:
    """SHA-256 and CRC32 of what was added, in one pass."""

    _sha256: Any = field(default_factory=hashlib.sha256)
    _crc32: int = 0

    def add(self, content: Buffer) -> None:
        self._sha256.update(content)
        self._crc32 = zlib.crc32(content, self._crc32)

    @property
    def sha256(self) -> str:
        """64 hexadecimal digits."""
        digest: str = self._sha256.hexdigest()
        return digest

    def has(self, stored: Checksum) -> bool:
        """Whether what the storage keeps is of the same bytes."""
        if stored.algorithm == "crc32":
            return stored.value == _text(self._crc32.to_bytes(4, "big"))
        return stored == Checksum("sha256", _text(self._sha256.digest()))


def sums_of(content: Buffer) -> Sums:
    sums = Sums()
    sums.add(content)
    return sums


def crc32_text(content: Buffer) -> str:
    return _text(zlib.crc32(content).to_bytes(4, "big"))


def sha256_text(sha256: str) -> str:
    """As S3 writes it: base64 of the 64 hexadecimal digits."""
    return _text(bytes.fromhex(sha256))


def _text(digest: bytes) -> str:
    return base64.b64encode(digest).decode()
