"""The rest that a storage may do differently: locks, multipart uploads, names."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from _checksums import sha256
from _storage import Answer, Property, Storage, refused

BODY = b"these bytes"
LOCKED_FOR = timedelta(minutes=2)


def lock(storage: Storage) -> Answer:
    def write(key: str, until: datetime) -> str:
        answer = storage.client.put_object(
            Bucket=storage.lock_bucket,
            Key=key,
            Body=BODY,
            ChecksumSHA256=sha256(BODY),  # a lock demands one, says S3
            ObjectLockMode="GOVERNANCE",
            ObjectLockRetainUntilDate=until,
        )
        return answer.get("VersionId", "")

    return _locked(storage, write)


def lock_multipart(storage: Storage) -> Answer:
    def write(key: str, until: datetime) -> str:
        at: Any = {"Bucket": storage.lock_bucket, "Key": key}
        made = storage.client.create_multipart_upload(
            **at,
            ChecksumAlgorithm="SHA256",
            ObjectLockMode="GOVERNANCE",
            ObjectLockRetainUntilDate=until,
        )
        at["UploadId"] = made["UploadId"]
        checksum = {"ChecksumSHA256": sha256(BODY)}
        part = storage.client.upload_part(**at, PartNumber=1, Body=BODY, **checksum)
        done: Any = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"], **checksum}]}
        answer = storage.client.complete_multipart_upload(**at, MultipartUpload=done)
        return answer.get("VersionId", "")

    return _locked(storage, write)


def _locked(storage: Storage, write: Any) -> Answer:
    """The version cannot be deleted, but for whoever may pass over governance."""
    if not storage.lock_bucket:
        return Answer(None, storage.lock_note)
    key = storage.key()
    version = write(key, datetime.now(UTC) + LOCKED_FOR)
    if not version:
        return Answer(False, "no version id")
    at: Any = {"Bucket": storage.lock_bucket, "Key": key, "VersionId": version}
    if not refused(partial(storage.client.delete_object, **at)):
        return Answer(False, "deleted")
    kept = storage.client.get_object_retention(**at)["Retention"]["Mode"] == "GOVERNANCE"
    storage.client.delete_object(**at, BypassGovernanceRetention=True)
    return Answer(kept)


def uploads_of_key(storage: Storage) -> Answer:
    """Listed while it is open, and gone once aborted."""
    key = storage.key()
    upload, _ = storage.uploaded(key, BODY)
    if upload not in storage.uploads(key):
        return Answer(False, "not listed")
    storage.abort(key, upload)
    is_gone = upload not in storage.uploads(key)
    return Answer(is_gone, "" if is_gone else "listed after the abort")


def uploads_of_folder(storage: Storage) -> Answer:
    key = storage.key()
    upload, _ = storage.uploaded(key, BODY)
    return Answer(upload in storage.uploads(f"{key.rpartition('/')[0]}/"))


def folder(storage: Storage) -> Answer:
    """Both are kept, and both are listed."""
    key = storage.key()
    below = f"{key}/below"
    storage.keys.append(below)
    storage.put(key, BODY)
    storage.put(below, BODY)
    if not storage.read(key) == BODY == storage.read(below):
        return Answer(False, "one is lost")
    listed = storage.client.list_objects_v2(Bucket=storage.bucket, Prefix=key).get("Contents", [])
    is_listed = {item["Key"] for item in listed} == {key, below}
    return Answer(is_listed, "" if is_listed else "one is not listed")


def no_such_upload(storage: Storage) -> Answer:
    """How a completion is answered that was made already: as when its answer was lost."""
    key = storage.key()
    upload, parts = storage.uploaded(key, BODY)
    storage.abort(key, upload)
    aborted = refused(partial(storage.complete_new, key, upload, parts))
    upload, parts = storage.uploaded(key, BODY)
    storage.complete_new(key, upload, parts)
    again = refused(partial(storage.complete_new, key, upload, parts)) or "200"
    is_plain = aborted == "404 NoSuchUpload"
    return Answer(is_plain, f"{'' if is_plain else f'{aborted}; '}completed twice: {again}")


OBJECTS = (
    Property("lock", "Object Lock of an object", lock),
    Property("lock-multipart", "Object Lock of a multipart", lock_multipart),
    Property("uploads", "open uploads of a key: listed, aborted", uploads_of_key),
    Property("uploads-prefix", "open uploads of a folder: listed", uploads_of_folder),
    Property("folder", "a key that is also a folder", folder),
    Property("no-such-upload", "an aborted upload: NoSuchUpload", no_such_upload),
)
