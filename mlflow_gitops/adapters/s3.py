"""One S3 bucket, with what write-once publishing needs of it: nothing is ever overwritten.

Only PUT and CompleteMultipartUpload carry the condition: several good servers ignore it on
CopyObject. Requests are made one by one, never through boto3's transfer manager, whose CRT client
ignores `endpoint_url`.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import boto3
import botocore.session
from botocore.config import Config
from botocore.exceptions import ClientError

from mlflow_gitops.adapters.s3_errors import (
    code_of,
    is_conflict,
    is_missing_key,
    is_storing,
    is_there,
    status_of,
    talking,
)
from mlflow_gitops.adapters.s3_keeping import CONDITIONAL, Keeping, no_lock
from mlflow_gitops.adapters.s3_wire import Wire
from mlflow_gitops.errors import PublishError, TransientError
from mlflow_gitops.planning.checksums import Buffer, Checksum, Sums, sha256_text
from mlflow_gitops.planning.sources import printable

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import GetObjectRequestTypeDef

__all__ = [
    "CHUNK",
    "Bucket",
    "Clients",
    "Head",
    "Listed",
    "bare",
    "changed_meanwhile",
    "still_written",
    "whole_checksum",
]

CONNECT_SECONDS = 10
READ_SECONDS = 120
ATTEMPTS = 4  # of one request, by botocore's standard retries: all that we send can be repeated
CONFLICTS = 8  # times that another write of the same key was going on
CHUNK = 1024 * 1024  # bytes


@dataclass(slots=True)
class Clients:
    """Makes the S3 client when it is first needed, and keeps it: a client is for all threads.

    `endpoint_url` and `region` are "" where boto3's own rules decide, which also find the
    credentials, those of `profile` if it is named, unless `credentials` gives key and secret.
    `connections` bounds the pool; `attempts` is how often boto3 sends a request at most. With
    `is_requester` each request agrees that these credentials' account pays for it.
    """

    endpoint_url: str = ""
    region: str = ""
    profile: str = ""
    connections: int = 10
    credentials: tuple[str, str] | None = field(default=None, repr=False)
    attempts: int = ATTEMPTS
    is_requester: bool = False
    _made: tuple[S3Client, Wire] | None = field(default=None, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)

    def __call__(self) -> S3Client:
        return self._both()[0]

    def bucket(self, name: str) -> Bucket:
        client, wire = self._both()
        return Bucket(client, name, wire)

    def _both(self) -> tuple[S3Client, Wire]:
        with self._lock:
            if self._made is None:
                with talking(self.endpoint_url or "S3"):
                    self._made = self._make()
            return self._made

    def _make(self) -> tuple[S3Client, Wire]:
        config = Config(
            signature_version="s3v4",  # with the older one, botocore presigns for another address
            connect_timeout=CONNECT_SECONDS,
            read_timeout=READ_SECONDS,
            retries={"mode": "standard", "total_max_attempts": self.attempts},
            max_pool_connections=self.connections,
            s3={"addressing_style": "path" if self.endpoint_url else "auto"},
            request_checksum_calculation="when_required",  # ours are given with each request
            response_checksum_validation="when_required",
        )
        core = botocore.session.Session(profile=self.profile or None)
        if self.credentials is not None:
            core.set_credentials(*self.credentials)
        client = boto3.session.Session(botocore_session=core).client(
            "s3",
            endpoint_url=self.endpoint_url or None,
            region_name=self.region or None,
            config=config,
        )
        always = {"x-amz-request-payer": "requester"} if self.is_requester else {}

        def add(params: dict[str, Any], **_: object) -> None:
            params["headers"].update(always)

        client.meta.events.register("before-call.s3", add)
        timeout = (CONNECT_SECONDS, READ_SECONDS)
        return client, Wire(core, client, self.connections, timeout, always)


@dataclass(frozen=True, slots=True)
class Listed:
    """An object as a list shows it: bytes, and the ETag, which another content does not have."""

    size: int
    etag: str


@dataclass(frozen=True, slots=True)
class Head:
    """An object: bytes, the checksum of the whole where the storage keeps one, and the ETag."""

    size: int
    checksum: Checksum | None
    etag: str


@dataclass(frozen=True, slots=True)
class Bucket:
    """Every method raises GitOpsError with the object's URI, and nothing else.

    With a `wire` most requests go past boto3's costly client. `keeping` is said with each write.
    """

    client: S3Client
    name: str
    wire: Wire | None = None
    keeping: Keeping = CONDITIONAL

    def uri(self, key: str) -> str:
        """The key's address, for people."""
        return f"s3://{self.name}/{printable(key)}"

    def sizes(self, prefix: str) -> Mapping[str, int]:
        """Every key that starts with the prefix, with its size in bytes."""
        return {key: each.size for key, each in self.listed(prefix).items()}

    def listed(self, prefix: str, most: int = 0) -> Mapping[str, Listed]:
        """Every key that starts with the prefix; not all where there are more than `most`."""
        found: dict[str, Listed] = {}
        with talking(self.uri(prefix)):
            pages = self.client.get_paginator("list_objects_v2")
            for page in pages.paginate(Bucket=self.name, Prefix=prefix):
                for item in page.get("Contents", []):
                    found[item["Key"]] = Listed(item["Size"], item.get("ETag", ""))
                if 0 < most < len(found):
                    break
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
    def open(self, key: str, etag: str = "") -> Iterator[Any]:
        """The object as a stream; PublishError where there is none, or another than `etag`'s."""
        asked: GetObjectRequestTypeDef = {
            "Bucket": self.name,
            "Key": key,
            "ChecksumMode": "ENABLED",  # at the end, botocore compares what the storage keeps
        }
        if etag:
            asked["IfMatch"] = etag
        with talking(self.uri(key)):
            try:
                answer = self.client.get_object(**asked)
            except ClientError as error:
                if is_missing_key(error):
                    raise PublishError(
                        "the object is gone", where=self.uri(key), hint="run it again"
                    ) from None
                if is_there(error):
                    raise changed_meanwhile(self.uri(key)) from None
                raise
            with closing(answer["Body"]) as body:  # its own context gives the unchecked stream
                yield body

    def put_new(
        self, key: str, body: Buffer, *, kind: str = "application/octet-stream", sha256: str = ""
    ) -> bool:
        """Write the object, unless there is one: then False, and nothing is changed.

        `sha256` is the body's, in hexadecimal, where it is known already.
        """
        sha256 = sha256 or hashlib.sha256(body).hexdigest()
        checksum = sha256_text(sha256)
        if self.is_taken(key):
            return False
        if self.wire is not None:
            headers = {"x-amz-checksum-sha256": checksum, "Content-Type": kind}
            headers |= {**self.keeping.condition, **self.keeping.headers}
            answer = self.wire.send("PUT", self.name, key, {}, headers, body, sha256=sha256)
            if answer is not None:
                return answer.status == 200
        for _ in range(CONFLICTS):
            with talking(self.uri(key)):
                try:
                    self.client.put_object(
                        Bucket=self.name,
                        Key=key,
                        Body=bytes(body),
                        ContentType=kind,
                        ChecksumSHA256=checksum,
                        **self.keeping.condition_arguments,
                        **self.keeping.arguments,
                    )
                except ClientError as error:
                    if is_there(error):
                        return False
                    if self.keeping.lock and status_of(error) == 400 and not is_storing(error):
                        raise no_lock(self.uri(key), code_of(error)) from None
                    if not is_conflict(error):
                        raise
                else:
                    return True
        raise still_written(self.uri(key))

    def is_taken(self, key: str) -> bool:
        """Looked for only where the storage itself would not refuse the write."""
        return self.keeping.is_checked and self.kept(key) is not None

    def kept(self, key: str) -> Head | None:
        """None if it is gone."""
        if self.wire is not None:
            answer = self.wire.send("HEAD", self.name, key, {}, {"x-amz-checksum-mode": "ENABLED"})
            if answer is not None and answer.status == 200:
                headers = answer.headers
                sha256 = headers.get("x-amz-checksum-sha256", "")
                crc32 = headers.get("x-amz-checksum-crc32", "")
                checksum = whole_checksum(sha256, crc32)
                return Head(int(headers["Content-Length"]), checksum, bare(headers.get("ETag", "")))
        with talking(self.uri(key)):
            try:
                head = self.client.head_object(Bucket=self.name, Key=key, ChecksumMode="ENABLED")
            except ClientError as error:
                if is_missing_key(error):
                    return None
                raise
        checksum = whole_checksum(head.get("ChecksumSHA256", ""), head.get("ChecksumCRC32", ""))
        return Head(head["ContentLength"], checksum, bare(head.get("ETag", "")))

    def sums(self, key: str, each: Callable[[bytes], object] = len, part_size: int = 0) -> Sums:
        """Of the bytes that are there, read once; `each` is given them as they come."""
        sums = Sums(part_size)
        with self.open(key) as body:
            while chunk := body.read(CHUNK):
                sums.add(chunk)
                each(chunk)
        return sums


def bare(etag: str) -> str:
    return etag.strip('"')


def whole_checksum(sha256: str, crc32: str) -> Checksum | None:
    """Of the whole; from the parts' checksums, which S3 may keep instead, nothing follows."""
    for algorithm, value in (("sha256", sha256), ("crc32", crc32)):
        if value and "-" not in value:
            return Checksum(algorithm, value)
    return None


def changed_meanwhile(where: str) -> PublishError:
    return PublishError(
        "the file changed while it was copied",
        where=where,
        hint="a registered version must not change: log the model again as a new version",
    )


def still_written(where: str) -> TransientError:
    return TransientError("another publisher is writing this object", where=where)
