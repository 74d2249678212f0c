"""What each write says of how the storage keeps the object: a condition, a lock, encryption, ….

As headers and as boto3's arguments, since both ways of sending a request have to say the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from mlflow_gitops.errors import PublishError
from mlflow_gitops.planning.storing import HEADERS, KMS
from mlflow_gitops.state import EMPTY, WriteOnce

__all__ = ["CONDITIONAL", "Keeping", "keeping", "no_lock"]

DIRECTIVE = "x-amz-tagging-directive"


@dataclass(frozen=True, slots=True)
class Keeping:
    """`is_checked`: whoever writes looks first, and the storage is given no condition.

    `lock` is a mode of Object Lock, "" for none, which ends at `until`. `storing` are arguments of
    `planning.storing`.
    """

    is_checked: bool = False
    lock: str = ""
    until: datetime | None = None
    storing: Mapping[str, str] = field(default_factory=lambda: EMPTY)

    @property
    def condition(self) -> Mapping[str, str]:
        return {} if self.is_checked else {"If-None-Match": "*"}

    @property
    def condition_arguments(self) -> dict[str, Any]:
        return {} if self.is_checked else {"IfNoneMatch": "*"}

    @property
    def headers(self) -> Mapping[str, str]:
        """Said when an object, or an upload of one, begins; not with its parts."""
        said = {HEADERS[name]: text for name, text in self.storing.items()}
        if self.until is not None:
            said["x-amz-object-lock-mode"] = self.lock
            until = self.until.strftime("%Y-%m-%dT%H:%M:%SZ")
            said["x-amz-object-lock-retain-until-date"] = until
        return said

    @property
    def copy_headers(self) -> Mapping[str, str]:
        """The same for CopyObject, which else keeps the tags of the source."""
        is_tagged = "Tagging" in self.storing
        return {**self.headers, DIRECTIVE: "REPLACE"} if is_tagged else self.headers

    @property
    def arguments(self) -> dict[str, Any]:
        """The same as `headers`, for boto3."""
        said: dict[str, Any] = dict(self.storing)
        if "BucketKeyEnabled" in said:
            said["BucketKeyEnabled"] = said["BucketKeyEnabled"] == "true"
        if self.until is not None:
            said |= {"ObjectLockMode": self.lock, "ObjectLockRetainUntilDate": self.until}
        return said

    @property
    def has_md5_etags(self) -> bool:
        """Whether an ETag may prove what was written: with SSE-KMS it is no MD5."""
        return self.storing.get("ServerSideEncryption") not in KMS


CONDITIONAL = Keeping()


def keeping(write_once: WriteOnce, storing: Mapping[str, str], now: datetime) -> Keeping:
    is_checked, lock = write_once.mode == "checked", write_once.lock
    if lock is None:
        return Keeping(is_checked, storing=storing)
    return Keeping(is_checked, lock.mode.upper(), now + timedelta(days=lock.days), storing)


def no_lock(where: str, code: str) -> PublishError:
    return PublishError(
        f"the storage refuses to lock the object ({code})",
        where=where,
        hint="the bucket has to be made with Object Lock: make such a bucket, or remove "
        "`artifacts.object-lock` from mlflow-gitops.yaml",
    )
