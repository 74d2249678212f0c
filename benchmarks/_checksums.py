"""Which checksums a storage checks, keeps and computes."""

from __future__ import annotations

import base64
import hashlib
import zlib
from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import Any

from _storage import LEAST_PART, Answer, Property, Storage, refused

from mlflow_gitops.planning.checksums import etag_of

BODY, OTHER = b"these bytes", b"other bytes"
TWO_PARTS = (b"\0" * LEAST_PART, BODY)
POLYNOMIAL = 0x9A6C9329AC4BC9B5  # CRC-64/NVME, reflected
ONES = (1 << 64) - 1


def crc64nvme(content: bytes) -> str:
    """botocore has it only with awscrt."""
    crc = ONES
    for start in range(0, len(content), LEAST_PART):
        crc = _after(crc, content[start : start + LEAST_PART])
    return base64.b64encode((crc ^ ONES).to_bytes(8, "big")).decode()


def crc32(content: bytes) -> str:
    return base64.b64encode(zlib.crc32(content).to_bytes(4, "big")).decode()


def sha256(content: bytes) -> str:
    return base64.b64encode(hashlib.sha256(content).digest()).decode()


OF: Mapping[str, Callable[[bytes], str]] = {
    "SHA256": sha256,
    "CRC32": crc32,
    "CRC64NVME": crc64nvme,
}


def mismatch(algorithm: str, storage: Storage) -> Answer:
    """Of a PUT and of a part; the right one has to be taken."""
    key, member = storage.key(), f"Checksum{algorithm}"
    wrong, right = {member: OF[algorithm](OTHER)}, {member: OF[algorithm](BODY)}
    put = refused(partial(storage.put, key, BODY, **wrong))
    upload = storage.begin(key, ChecksumAlgorithm=algorithm)
    part = refused(partial(storage.part, key, upload, BODY, **wrong))
    storage.put(key, BODY, **right)
    storage.part(key, upload, BODY, **right)
    storage.abort(key, upload)
    taken = " and ".join(name for name, code in (("PUT", put), ("part", part)) if not code)
    return Answer(not taken, f"{taken} taken" if taken else "")


def told(storage: Storage) -> Answer:
    missing = []
    for algorithm, checksum in OF.items():
        key, member = storage.key(), f"Checksum{algorithm}"
        storage.put(key, BODY, **{member: checksum(BODY)})
        if storage.head(key).get(member) != checksum(BODY):
            missing.append(algorithm)
    return Answer(not missing, f"not {', '.join(missing)}" if missing else "")


def whole(algorithm: str, storage: Storage) -> Answer:
    """The checksum of a multipart's bytes, not one of its parts' checksums."""
    key, member = storage.key(), f"Checksum{algorithm}"
    upload = storage.begin(key, ChecksumAlgorithm=algorithm, ChecksumType="FULL_OBJECT")
    parts = [
        storage.part(key, upload, body, number, **{member: OF[algorithm](body)})
        for number, body in enumerate(TWO_PARTS, start=1)
    ]
    right = OF[algorithm](b"".join(TWO_PARTS))
    storage.complete(key, upload, parts, ChecksumType="FULL_OBJECT", **{member: right})
    return _same(storage.head(key).get(member, ""), right)


def whole_mismatch(storage: Storage) -> Answer:
    key = storage.key()
    upload = storage.begin(key, ChecksumAlgorithm="CRC32", ChecksumType="FULL_OBJECT")
    part = storage.part(key, upload, BODY, ChecksumCRC32=crc32(BODY))
    complete = partial(storage.complete, key, upload, [part], ChecksumType="FULL_OBJECT")
    code = refused(partial(complete, ChecksumCRC32=crc32(OTHER)))
    return Answer(bool(code), "" if code else "taken")


def of_copy(storage: Storage) -> Answer:
    source, key = storage.key("source"), storage.key()
    storage.put(source, BODY)
    storage.client.copy_object(
        Bucket=storage.bucket,
        Key=key,
        CopySource={"Bucket": storage.bucket, "Key": source},
        ChecksumAlgorithm="SHA256",
    )
    return _same(storage.head(key).get("ChecksumSHA256", ""), sha256(BODY))


def of_copied_part(storage: Storage) -> Answer:
    source, key = storage.key("source"), storage.key()
    storage.put(source, BODY)
    upload = storage.begin(key, ChecksumAlgorithm="SHA256")
    part = storage.part_copy(key, upload, source)
    return _same(part.get("ChecksumSHA256", ""), sha256(BODY))


def of_copied_whole(algorithm: str, storage: Storage) -> Answer:
    key = storage.key()
    upload = storage.begin(key, ChecksumAlgorithm=algorithm, ChecksumType="FULL_OBJECT")
    parts = _two_copied(storage, key, upload)
    storage.complete(key, upload, parts, ChecksumType="FULL_OBJECT")
    given = storage.head(key).get(f"Checksum{algorithm}", "")
    return _same(given, OF[algorithm](b"".join(TWO_PARTS)))


def etag_of_copied(storage: Storage) -> Answer:
    """Where no checksums are asked for, the MD5 of the parts' MD5s, as of an upload."""
    key = storage.key()
    upload = storage.begin(key)
    storage.complete(key, upload, _two_copied(storage, key, upload))
    given = storage.head(key).get("ETag", "").strip('"')
    return _same(given, etag_of(_md5(body) for body in TWO_PARTS))


def size(storage: Storage) -> Answer:
    key = storage.key()
    upload, parts = storage.uploaded(key, BODY)
    code = refused(partial(storage.complete, key, upload, parts, MpuObjectSize=len(BODY) + 1))
    return Answer(bool(code), "" if code else "taken")


def _two_copied(storage: Storage, key: str, upload: str) -> list[Any]:
    parts = []
    for number, body in enumerate(TWO_PARTS, start=1):
        source = storage.key("source")
        storage.put(source, body)
        parts.append(storage.part_copy(key, upload, source, number))
    return parts


def _md5(content: bytes) -> bytes:
    return hashlib.md5(content, usedforsecurity=False).digest()


def _same(given: str, right: str) -> Answer:
    if given == right:
        return Answer(True)
    return Answer(False, "another" if given else "none")


@cache
def _after(crc: int, chunk: bytes) -> int:
    """Remembered, since 5 MiB take half a second."""
    table = _table()
    for byte in chunk:
        crc = table[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return crc


@cache
def _table() -> tuple[int, ...]:
    table = list(range(256))
    for _ in range(8):
        table = [(value >> 1) ^ (POLYNOMIAL if value & 1 else 0) for value in table]
    return tuple(table)


CHECKSUMS = (
    Property(
        "sha256-mismatch",
        "wrong SHA-256 of a PUT or part: refused",
        partial(mismatch, "SHA256"),
        used=True,
    ),
    Property("crc32-mismatch", "the same for CRC32", partial(mismatch, "CRC32"), used=True),
    Property("crc64nvme-mismatch", "the same for CRC64NVME", partial(mismatch, "CRC64NVME")),
    Property("head", "HEAD tells the checksums", told),
    Property("whole-crc64nvme", "CRC64NVME of a whole multipart", partial(whole, "CRC64NVME")),
    Property("whole-crc32", "CRC32 of a whole multipart", partial(whole, "CRC32")),
    Property("whole-mismatch", "wrong CRC32 of the whole: refused", whole_mismatch),
    Property("copy-sha256", "CopyObject computes a SHA-256", of_copy),
    Property("part-copy-sha256", "UploadPartCopy computes SHA-256s of parts", of_copied_part),
    Property(
        "part-copy-crc64nvme",
        "UploadPartCopy computes a CRC64NVME of the whole",
        partial(of_copied_whole, "CRC64NVME"),
    ),
    Property(
        "part-copy-crc32",
        "UploadPartCopy computes a CRC32 of the whole",
        partial(of_copied_whole, "CRC32"),
    ),
    Property("copied-etag", "ETag of a multipart copy: of its MD5s", etag_of_copied),
    Property("size", "wrong size on completion: refused", size),
)
