"""What each write says so that the storage keeps what is there: a condition, and a lock.

As headers and as boto3's arguments, since both ways of sending a request have to say the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from mlflow_gitops.errors import PublishError
from mlflow_gitops.state import WriteOnce

__all__ = ["CONDITIONAL", "Keeping", "keeping", "no_lock"]


@dataclass(frozen=True, slots=True)
class Keeping:
    """`is_checked`: whoever writes looks first, and the storage is given no condition.

    `lock` is a mode of Object Lock, "" for none, which ends at `until`.
    """

    is_checked: bool = False
    lock: str = ""
    until: datetime | None = None

    @property
    def condition(self) -> Mapping[str, str]:
        return {} if self.is_checked else {"If-None-Match": "*"}

    @property
    def condition_arguments(self) -> dict[str, Any]:
        return {} if self.is_checked else {"IfNoneMatch": "*"}

    @property
    def retention(self) -> Mapping[str, str]:
        """Said when an object, or an upload of one, begins."""
        if self.until is None:
            return {}
        return {
            "x-amz-object-lock-mode": self.lock,
            "x-amz-object-lock-retain-until-date": self.until.strftime("%Y-%m-%dT%H:%M:%SZ"),
        }

    @property
    def retention_arguments(self) -> dict[str, Any]:
        if self.until is None:
            return {}
        return {"ObjectLockMode": self.lock, "ObjectLockRetainUntilDate": self.until}


CONDITIONAL = Keeping()


def keeping(write_once: WriteOnce, now: datetime) -> Keeping:
    is_checked, lock = write_once.mode == "checked", write_once.lock
    if lock is None:
        return Keeping(is_checked)
    return Keeping(is_checked, lock.mode.upper(), now + timedelta(days=lock.days))


def no_lock(where: str, code: str) -> PublishError:
    return PublishError(
        f"the storage refuses to lock the object ({code})",
        where=where,
        hint="the bucket has to be made with Object Lock: make such a bucket, or remove "
        "`artifacts.object-lock` from mlflow-gitops.yaml",
    )
