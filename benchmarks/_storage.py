"""What the conformance checks share: a bucket to try things in, and how a check answers."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

MIB = 1024 * 1024
LEAST_PART = 5 * MIB  # of every part but the last, says S3
WRITERS = 8


@dataclass(frozen=True, slots=True)
class Answer:
    """Whether a property holds, None where it could not be tried; `note` is for people."""

    holds: bool | None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Storage:
    """One bucket that may be written to; `rounds` is how often a race is run.

    `lock_bucket` is one with Object Lock, "" where none could be made; `lock_note` says why.
    """

    client: S3Client
    bucket: str
    rounds: int
    lock_bucket: str = ""
    lock_note: str = ""
    keys: list[str] = field(default_factory=list)

    def key(self, name: str = "object") -> str:
        """One that nothing has yet; `clear` takes away what is written there."""
        made = f"conformance/{uuid.uuid4().hex[:12]}/{name}"
        self.keys.append(made)
        return made

    def clear(self) -> None:
        """By the keys themselves: not every server lists all of them, or uploads by a prefix."""
        for key in reversed(self.keys):
            for upload in self.uploads(key):
                self.abort(key, upload)
            self.client.delete_object(Bucket=self.bucket, Key=key)

    def uploads(self, prefix: str) -> list[str]:
        """The ids of those that are open."""
        answer = self.client.list_multipart_uploads(Bucket=self.bucket, Prefix=prefix)
        return [found["UploadId"] for found in answer.get("Uploads", [])]

    def abort(self, key: str, upload: str) -> None:
        self.client.abort_multipart_upload(Bucket=self.bucket, Key=key, UploadId=upload)

    def read(self, key: str, bucket: str = "") -> bytes:
        answer = self.client.get_object(Bucket=bucket or self.bucket, Key=key)
        content: bytes = answer["Body"].read()
        return content

    def put(self, key: str, body: bytes, **more: Any) -> Any:
        return self.client.put_object(Bucket=self.bucket, Key=key, Body=body, **more)

    def put_new(self, key: str, body: bytes) -> None:
        self.put(key, body, IfNoneMatch="*")

    def begin(self, key: str, **more: Any) -> str:
        answer = self.client.create_multipart_upload(Bucket=self.bucket, Key=key, **more)
        upload: str = answer["UploadId"]
        return upload

    def part(self, key: str, upload: str, body: bytes, number: int = 1, **more: Any) -> Any:
        """What the completion has to say of the part."""
        sent = self.client.upload_part(
            Bucket=self.bucket, Key=key, UploadId=upload, PartNumber=number, Body=body, **more
        )
        return {"PartNumber": number, **_told(sent)}

    def part_copy(self, key: str, upload: str, source: str, number: int = 1, **more: Any) -> Any:
        answer = self.client.upload_part_copy(
            Bucket=self.bucket,
            Key=key,
            UploadId=upload,
            PartNumber=number,
            CopySource={"Bucket": self.bucket, "Key": source},
            **more,
        )
        return {"PartNumber": number, **_told(answer["CopyPartResult"])}

    def complete(self, key: str, upload: str, parts: Sequence[Any], **more: Any) -> None:
        self.client.complete_multipart_upload(
            Bucket=self.bucket,
            Key=key,
            UploadId=upload,
            MultipartUpload={"Parts": list(parts)},
            **more,
        )

    def complete_new(self, key: str, upload: str, parts: Sequence[Any]) -> None:
        self.complete(key, upload, parts, IfNoneMatch="*")

    def uploaded(self, key: str, body: bytes) -> tuple[str, list[Any]]:
        """An upload of one part that only has to be completed."""
        upload = self.begin(key)
        return upload, [self.part(key, upload, body)]

    def head(self, key: str) -> Any:
        return self.client.head_object(Bucket=self.bucket, Key=key, ChecksumMode="ENABLED")


@dataclass(frozen=True, slots=True)
class Property:
    """A row of the table. Publishing relies on it where it is `used`."""

    name: str
    title: str
    check: Callable[[Storage], Answer]
    used: bool = False

    def ask(self, storage: Storage) -> Answer:
        """An error where none was looked for is the storage's answer too, and so is nonsense."""
        try:
            return self.check(storage)
        except ClientError as error:
            return Answer(False, code_of(error))
        except (BotoCoreError, ResponseParserError, KeyError) as error:
            return Answer(False, type(error).__name__)


def code_of(error: ClientError) -> str:
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", "")
    return f"{status} {error.response.get('Error', {}).get('Code', '')}".strip()


def refused(act: Callable[[], Any]) -> str:
    """The status and code with which the storage refused it, "" where it did not."""
    try:
        act()
    except ClientError as error:
        return code_of(error)
    return ""


def race(acts: Sequence[Callable[[], Any]]) -> list[str]:
    """All at the same moment; `refused` of each, in order."""
    start = threading.Barrier(len(acts))

    def run(act: Callable[[], Any]) -> str:
        start.wait()
        return refused(act)

    with ThreadPoolExecutor(len(acts)) as pool:
        return list(pool.map(run, acts))


def _told(answer: Any) -> dict[str, str]:
    return {k: v for k, v in answer.items() if k == "ETag" or k.startswith("Checksum")}
