"""A multipart upload: an object that appears whole, when all of its parts have arrived.

The parts' bytes come from here, or the storage takes them from another of its objects: then no byte
passes the client. The completion carries the condition that nothing has the key yet, also for a
copy of one small part: several good servers ignore the condition on CopyObject.
"""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from botocore.exceptions import BotoCoreError, ClientError

from mlflow_gitops.adapters.s3 import (
    Bucket,
    bare,
    changed_meanwhile,
    still_written,
    whole_checksum,
)
from mlflow_gitops.adapters.s3_errors import code_of, is_conflict, is_there, talking
from mlflow_gitops.errors import TransientError
from mlflow_gitops.planning.checksums import Buffer, Checksum, crc32_text

if TYPE_CHECKING:
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef

__all__ = [
    "Origin",
    "Part",
    "UnsummedError",
    "Upload",
    "UploadGoneError",
    "abort_left",
    "begin",
    "part_size",
    "sums_copies",
]

MOST_PARTS = 10_000
LARGEST_PART = 5 * 1024**3  # bytes
XML = {"Content-Type": "application/xml"}
WHOLE: dict[str, Any] = {"ChecksumType": "FULL_OBJECT"}
REFUSALS = ("InvalidArgument", "InvalidRequest")


@dataclass(frozen=True, slots=True)
class Origin:
    """An object that the storage can copy by itself, as it was when its source was listed."""

    bucket: Bucket
    key: str
    etag: str

    @property
    def source(self) -> str:
        return f"{self.bucket.name}/{quote(self.key)}"


@dataclass(frozen=True, slots=True)
class Part:
    """`crc32` is of its bytes; "" where nobody said it."""

    number: int
    etag: str
    crc32: str


class UploadGoneError(TransientError):
    """The upload was ended from outside: as a rule, by a publisher that sealed the same version."""


class UnsummedError(TransientError):
    """The storage computes no CRC32 of a part that it copies.

    MinIO refuses to copy it then; versitygw takes what the source has as a whole for each part's.
    """


def part_size(size: int, least: int) -> int:
    """How many bytes each part of a file has but the last."""
    return max(least, math.ceil(size / MOST_PARTS))


def begin(bucket: Bucket, key: str, *, is_summed: bool = True) -> Upload:
    """Start an upload, whose parts have CRC32s that make one of the whole object if `is_summed`."""
    if bucket.wire is not None:
        headers = dict(bucket.keeping.headers)
        if is_summed:
            headers |= {"x-amz-checksum-algorithm": "CRC32", "x-amz-checksum-type": "FULL_OBJECT"}
        answer = bucket.wire.send("POST", bucket.name, key, {"uploads": ""}, headers)
        if answer and (found := answer.text("UploadId")):
            return Upload(bucket, key, found, is_summed)
    with talking(bucket.uri(key)):
        made = bucket.client.create_multipart_upload(
            Bucket=bucket.name,
            Key=key,
            **({"ChecksumAlgorithm": "CRC32", **WHOLE} if is_summed else {}),
            **bucket.keeping.arguments,
        )
    return Upload(bucket, key, made["UploadId"], is_summed)


def copy_whole(bucket: Bucket, key: str, origin: Origin) -> tuple[bool, Checksum | None] | None:
    """Copy with one request, on condition: whether it held, and the checksum, if told.

    None says nothing: then it has to be copied in parts. Only for a bucket that was seen to refuse
    such a copy over another object: MinIO and versitygw overwrite it.
    """
    if bucket.wire is None or bucket.keeping.is_checked:
        return None
    headers = {
        "x-amz-copy-source": origin.source,
        "x-amz-copy-source-if-match": origin.etag,
        "x-amz-checksum-algorithm": "CRC32",
        **bucket.keeping.condition,
        **bucket.keeping.copy_headers,
    }
    answer = bucket.wire.send("PUT", bucket.name, key, {}, headers)
    if answer is None:
        return None
    if answer.status == 412:
        return False, None
    if b"<CopyObjectResult" not in answer.body:
        return None  # S3 may answer 200, and then tell an error
    return True, whole_checksum("", answer.text("ChecksumCRC32"))


def sums_copies(bucket: Bucket, key: str, origin: Origin) -> bool:
    """Whether the storage computes the CRC32 of a part that it copies: tried with one byte."""
    upload = begin(bucket, key)
    try:
        told = upload.copy(1, origin, (0, 0)).crc32
    except UnsummedError:
        return False
    finally:
        upload.abort()
    return not told or any(told == crc32_text(bytes([byte])) for byte in range(256))


def abort_left(bucket: Bucket, prefix: str) -> None:
    """End the uploads that killed publishers left open below the prefix.

    Only where every object is there already: whoever still uploads one finds it. What a policy
    forbids here is left for the bucket's lifecycle rule.
    """
    with suppress(ClientError, BotoCoreError):
        pages = bucket.client.get_paginator("list_multipart_uploads")
        for page in pages.paginate(Bucket=bucket.name, Prefix=prefix):
            for left in page.get("Uploads", []):
                Upload(bucket, left["Key"], left["UploadId"]).abort()


@dataclass(frozen=True, slots=True)
class Upload:
    """Parts are numbered from 1; every part but the last has to have 5 MiB or more."""

    bucket: Bucket
    key: str
    id: str
    is_summed: bool = True

    @property
    def uri(self) -> str:
        return self.bucket.uri(self.key)

    def put(self, number: int, content: Buffer) -> Part:
        """Raises UploadGoneError, and GitOpsError."""
        crc32 = crc32_text(content)
        wire = self.bucket.wire
        if wire is not None:
            query = {"partNumber": str(number), "uploadId": self.id}
            headers = {"x-amz-checksum-crc32": crc32}
            answer = wire.send("PUT", self.bucket.name, self.key, query, headers, content)
            if answer is not None and (etag := answer.headers.get("ETag", "")):
                return Part(number, etag, crc32)
        with talking(self.uri):
            try:
                made = self.bucket.client.upload_part(
                    Bucket=self.bucket.name,
                    Key=self.key,
                    UploadId=self.id,
                    PartNumber=number,
                    Body=bytes(content),
                    ChecksumCRC32=crc32,
                )
            except ClientError as error:
                raise self._gone_or(error) from None
        return Part(number, made["ETag"], crc32)

    def copy(self, number: int, origin: Origin, span: tuple[int, int] | None = None) -> Part:
        """All of the origin's bytes, or those from one to another, both counted. S3 copies no span
        of an object of less than 5 MiB.

        Raises UploadGoneError, UnsummedError and GitOpsError.
        """
        wire = self.bucket.wire
        if wire is not None:
            query = {"partNumber": str(number), "uploadId": self.id}
            headers = {
                "x-amz-copy-source": origin.source,
                "x-amz-copy-source-if-match": origin.etag,
            }
            if span:
                headers["x-amz-copy-source-range"] = _range(span)
            answer = wire.send("PUT", self.bucket.name, self.key, query, headers)
            if answer is not None and (etag := answer.text("ETag")):
                return self._copied(number, etag, answer.text("ChecksumCRC32"))
        ranged: dict[str, Any] = {"CopySourceRange": _range(span)} if span else {}
        with talking(self.uri):
            try:
                made = self.bucket.client.upload_part_copy(
                    Bucket=self.bucket.name,
                    Key=self.key,
                    UploadId=self.id,
                    PartNumber=number,
                    CopySource=origin.source,
                    CopySourceIfMatch=origin.etag,
                    **ranged,
                )["CopyPartResult"]
            except ClientError as error:
                if is_there(error):
                    raise changed_meanwhile(origin.bucket.uri(origin.key)) from None
                if self.is_summed and code_of(error) in REFUSALS:
                    raise UnsummedError("the storage refuses to copy", where=self.uri) from None
                raise self._gone_or(error) from None
        return self._copied(number, made["ETag"], made.get("ChecksumCRC32", ""))

    def _copied(self, number: int, etag: str, crc32: str) -> Part:
        if self.is_summed and "-" in crc32:  # of the source's parts, not of this one
            raise UnsummedError("the storage does not sum up what it copies", where=self.uri)
        return Part(number, etag, crc32)

    def complete(self, parts: Sequence[Part]) -> tuple[bool, Checksum | None]:
        """Whether the object is made by this, not there before; and the whole's checksum, if told.

        Without sums, that is the ETag. Ends the upload in any case. Raises GitOpsError.
        """
        try:
            done = self._completed(parts)
        except BaseException:
            self.abort()
            raise
        if done is None:
            self.abort()
            return False, None
        if not self.is_summed:
            return True, Checksum("etag", bare(done))
        return True, whole_checksum("", done)

    def abort(self) -> None:
        """Parts that nobody completes are paid for; what stays behind is for the bucket's rule."""
        with suppress(ClientError, BotoCoreError):
            self.bucket.client.abort_multipart_upload(
                Bucket=self.bucket.name, Key=self.key, UploadId=self.id
            )

    def _completed(self, parts: Sequence[Part]) -> str | None:
        """The CRC32 that is told, or "", or the ETag; None where there is an object already."""
        if self.bucket.is_taken(self.key):
            return None
        wire = self.bucket.wire
        if wire is not None:
            headers = {**XML, **self.bucket.keeping.condition}
            if self.is_summed:
                headers["x-amz-checksum-type"] = "FULL_OBJECT"
            query, body = {"uploadId": self.id}, _completion(parts)
            answer = wire.send("POST", self.bucket.name, self.key, query, headers, body)
            if answer is not None and answer.status == 412:
                return None
            # S3 may answer 200, and then tell an error.
            if answer is not None and b"<CompleteMultipartUploadResult" in answer.body:
                return answer.text("ChecksumCRC32" if self.is_summed else "ETag")
        with talking(self.uri):
            try:
                return self._ask_to_complete(parts)
            except ClientError as error:
                if is_there(error):
                    return None
                if is_conflict(error) or code_of(error) == "NoSuchUpload":
                    # A completion whose answer was lost and that was sent again finds no upload.
                    if self.bucket.sizes(self.key).get(self.key) is not None:
                        return None
                    raise still_written(self.uri) from None
                raise

    def _ask_to_complete(self, parts: Sequence[Part]) -> str:
        made = self.bucket.client.complete_multipart_upload(
            Bucket=self.bucket.name,
            Key=self.key,
            UploadId=self.id,
            MultipartUpload={"Parts": [_completed_part(part) for part in parts]},
            **(WHOLE if self.is_summed else {}),
            **self.bucket.keeping.condition_arguments,
        )
        return made.get("ChecksumCRC32", "") if self.is_summed else made["ETag"]

    def _gone_or(self, error: ClientError) -> Exception:
        if code_of(error) != "NoSuchUpload":
            return error
        return UploadGoneError("the upload was ended from outside", where=self.uri)


def _range(span: tuple[int, int]) -> str:
    return f"bytes={span[0]}-{span[1]}"


def _completed_part(part: Part) -> CompletedPartTypeDef:
    told: CompletedPartTypeDef = {"PartNumber": part.number, "ETag": part.etag}
    if part.crc32:
        told["ChecksumCRC32"] = part.crc32
    return told


def _completion(parts: Sequence[Part]) -> bytes:
    lines = (
        f"<Part><PartNumber>{part.number}</PartNumber><ETag>{html.escape(part.etag)}</ETag>"
        + (f"<ChecksumCRC32>{part.crc32}</ChecksumCRC32>" if part.crc32 else "")
        + "</Part>"
        for part in parts
    )
    space = "http://s3.amazonaws.com/doc/2006-03-01/"
    inner = "".join(lines)
    return f'<CompleteMultipartUpload xmlns="{space}">{inner}</CompleteMultipartUpload>'.encode()
