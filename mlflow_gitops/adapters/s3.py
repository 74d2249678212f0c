"""One S3 bucket, with what write-once publishing needs of it: nothing is ever overwritten.

Only PUT and CompleteMultipartUpload carry the condition: several good servers ignore it on
CopyObject. Requests are made one by one, never through boto3's transfer manager, whose CRT client
ignores `endpoint_url`.
"""

from __future__ import annotations

import base64
import hashlib
import math
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from mlflow_gitops.adapters.s3_errors import (
    code_of,
    is_conflict,
    is_missing_key,
    is_there,
    talking,
)
from mlflow_gitops.errors import PublishError, TransientError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef

__all__ = ["Bucket", "Clients", "composite", "part_size"]

CONNECT_SECONDS = 10
READ_SECONDS = 120
ATTEMPTS = 4  # of one request, by botocore's standard retries: all that we send can be repeated
CONFLICTS = 8  # times that another write of the same key was going on
MOST_PARTS = 10_000
CHUNK = 1024 * 1024  # bytes


@dataclass(slots=True)
class Clients:
    """Makes the S3 client when it is first needed, and keeps it: a client is for all threads.

    `endpoint_url` and `region` are "" where boto3's own rules decide; credentials are always found
    by those. `connections` bounds the pool.
    """

    endpoint_url: str = ""
    region: str = ""
    connections: int = 10
    _client: S3Client | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self) -> S3Client:
        with self._lock:
            if self._client is None:
                with talking(self.endpoint_url or "S3"):
                    self._client = self._made()
            return self._client

    def _made(self) -> S3Client:
        config = Config(
            connect_timeout=CONNECT_SECONDS,
            read_timeout=READ_SECONDS,
            retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
            max_pool_connections=self.connections,
            s3={"addressing_style": "path" if self.endpoint_url else "auto"},
            request_checksum_calculation="when_required",  # ours are given with each request
            response_checksum_validation="when_required",
        )
        return boto3.session.Session().client(
            "s3",
            endpoint_url=self.endpoint_url or None,
            region_name=self.region or None,
            config=config,
        )


def part_size(size: int, least: int) -> int:
    """How a file is cut: the same for the same size, so that its parts can be checked later."""
    return max(least, math.ceil(size / MOST_PARTS))


@dataclass(frozen=True, slots=True)
class Bucket:
    """Every method raises GitOpsError with the object's URI, and nothing else."""

    client: S3Client
    name: str

    def uri(self, key: str) -> str:
        return f"s3://{self.name}/{key}"

    def sizes(self, prefix: str) -> Mapping[str, int]:
        """Every key that starts with the prefix, with its size in bytes."""
        found: dict[str, int] = {}
        with talking(self.uri(prefix)):
            pages = self.client.get_paginator("list_objects_v2")
            for page in pages.paginate(Bucket=self.name, Prefix=prefix):
                found |= {item["Key"]: item["Size"] for item in page.get("Contents", [])}
        return found

    def read(self, key: str, most: int) -> bytes | None:
        """The whole object, or None where there is none."""
        with talking(self.uri(key)):
            try:
                answer = self.client.get_object(Bucket=self.name, Key=key)
            except ClientError as error:
                if is_missing_key(error):
                    return None
                raise
            with answer["Body"] as body:
                content: bytes = body.read(most + 1)
        if len(content) > most:
            raise PublishError(
                f"it is larger than {most} bytes", where=self.uri(key), hint="look at it"
            )
        return content

    @contextmanager
    def open(self, key: str) -> Iterator[Any]:
        """The object as a stream; PublishError where there is none."""
        with talking(self.uri(key)):
            try:
                answer = self.client.get_object(Bucket=self.name, Key=key)
            except ClientError as error:
                if is_missing_key(error):
                    raise PublishError(
                        "the object is gone", where=self.uri(key), hint="run it again"
                    ) from None
                raise
            with answer["Body"] as body:
                yield body

    def put_new(self, key: str, body: bytes, *, kind: str = "application/octet-stream") -> bool:
        """Write the object, unless there is one: then False, and nothing is changed."""
        checksum = _base64(hashlib.sha256(body).digest())
        for _ in range(CONFLICTS):
            with talking(self.uri(key)):
                try:
                    self.client.put_object(
                        Bucket=self.name,
                        Key=key,
                        Body=body,
                        ContentType=kind,
                        ChecksumSHA256=checksum,
                        IfNoneMatch="*",
                    )
                except ClientError as error:
                    if is_there(error):
                        return False
                    if not is_conflict(error):
                        raise
                else:
                    return True
        raise _still_written(self.uri(key))

    def upload_new(self, key: str, parts: Iterable[bytes]) -> bool:
        """As `put_new`, in parts: the object appears when all of them have arrived.

        Every part but the last has to have 5 MiB or more. An error of `parts` ends the upload.
        """
        with talking(self.uri(key)):
            made = self.client.create_multipart_upload(
                Bucket=self.name, Key=key, ChecksumAlgorithm="SHA256"
            )
            upload = made["UploadId"]
            try:
                done = [
                    self._put_part(key, upload, number, part)
                    for number, part in enumerate(parts, start=1)
                ]
                if self._complete(key, upload, done):
                    return True
            except BaseException:
                self._abort(key, upload)
                raise
        self._abort(key, upload)
        return False

    def is_same(self, key: str, size: int, sha256: str, composite: str) -> bool:
        """Whether the object has these bytes: by the storage's checksum, else by reading it.

        `sha256` is of the whole, in hexadecimal; `composite` is as S3 makes it of our parts.
        """
        with talking(self.uri(key)):
            head = self.client.head_object(Bucket=self.name, Key=key, ChecksumMode="ENABLED")
        if head["ContentLength"] != size:
            return False
        stored = head.get("ChecksumSHA256", "")
        if stored and stored in (composite, _base64(bytes.fromhex(sha256))):
            return True
        read = hashlib.sha256()
        with self.open(key) as body:
            while chunk := body.read(CHUNK):
                read.update(chunk)
        return read.hexdigest() == sha256

    def _put_part(self, key: str, upload: str, number: int, part: bytes) -> CompletedPartTypeDef:
        checksum = _base64(hashlib.sha256(part).digest())
        answer = self.client.upload_part(
            Bucket=self.name,
            Key=key,
            UploadId=upload,
            PartNumber=number,
            Body=part,
            ChecksumSHA256=checksum,
        )
        return {"PartNumber": number, "ETag": answer["ETag"], "ChecksumSHA256": checksum}

    def _complete(self, key: str, upload: str, parts: list[CompletedPartTypeDef]) -> bool:
        try:
            self.client.complete_multipart_upload(
                Bucket=self.name,
                Key=key,
                UploadId=upload,
                MultipartUpload={"Parts": parts},
                IfNoneMatch="*",
            )
        except ClientError as error:
            if is_there(error):
                return False
            if is_conflict(error) or code_of(error) == "NoSuchUpload":
                # A completion whose answer was lost and that was sent again finds no upload.
                if self.sizes(key).get(key) is not None:
                    return False
                raise _still_written(self.uri(key)) from None
            raise
        return True

    def _abort(self, key: str, upload: str) -> None:
        """Parts that nobody completes are paid for; what stays behind is for the bucket's rule."""
        with suppress(ClientError, BotoCoreError):
            self.client.abort_multipart_upload(Bucket=self.name, Key=key, UploadId=upload)


def composite(digests: Iterable[bytes]) -> str:
    """What S3 calls the SHA-256 of a multipart object: of the parts' digests, and their number."""
    joined = list(digests)
    return f"{_base64(hashlib.sha256(b''.join(joined)).digest())}-{len(joined)}"


def _base64(digest: bytes) -> str:
    return base64.b64encode(digest).decode()


def _still_written(where: str) -> TransientError:
    return TransientError("another publisher is writing this object", where=where)
