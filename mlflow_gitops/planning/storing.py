"""What each write asks the storage to do with the object: encrypt it, give access, class it. PURE.

Arguments have the names of boto3 and MLflow (`ServerSideEncryption`), values are their texts. The
same text is refused in `mlflow-gitops.yaml` and in MLFLOW_S3_UPLOAD_EXTRA_ARGS, for one reason.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

__all__ = ["HEADERS", "KMS", "argument_complaint", "combined", "together_complaint"]

HEADERS: Mapping[str, str] = {
    "ServerSideEncryption": "x-amz-server-side-encryption",
    "SSEKMSKeyId": "x-amz-server-side-encryption-aws-kms-key-id",
    "SSEKMSEncryptionContext": "x-amz-server-side-encryption-context",
    "BucketKeyEnabled": "x-amz-server-side-encryption-bucket-key-enabled",
    "ACL": "x-amz-acl",
    "GrantFullControl": "x-amz-grant-full-control",
    "GrantRead": "x-amz-grant-read",
    "GrantReadACP": "x-amz-grant-read-acp",
    "GrantWriteACP": "x-amz-grant-write-acp",
    "StorageClass": "x-amz-storage-class",
    "Tagging": "x-amz-tagging",
    "ExpectedBucketOwner": "x-amz-expected-bucket-owner",
    "ObjectLockLegalHoldStatus": "x-amz-object-lock-legal-hold",
}
"""All of them go with PutObject, CreateMultipartUpload and CopyObject."""

TOGETHER = (
    ("ServerSideEncryption", "SSEKMSKeyId", "SSEKMSEncryptionContext", "BucketKeyEnabled"),
    ("ACL", "GrantFullControl", "GrantRead", "GrantReadACP", "GrantWriteACP"),
)
KMS = ("aws:kms", "aws:kms:dsse")
ARCHIVES = ("GLACIER", "DEEP_ARCHIVE")
CHOICES: Mapping[str, tuple[str, ...]] = {
    "ServerSideEncryption": ("AES256", *KMS),
    "BucketKeyEnabled": ("true", "false"),
    "ACL": (
        *("private", "bucket-owner-full-control", "bucket-owner-read", "authenticated-read"),
        *("aws-exec-read", "public-read", "public-read-write"),
    ),
    "StorageClass": (
        *("STANDARD", "INTELLIGENT_TIERING", "STANDARD_IA", "ONEZONE_IA", "GLACIER_IR"),
        "REDUCED_REDUNDANCY",
    ),
    "ObjectLockLegalHoldStatus": ("ON", "OFF"),
}
HEADER_VALUE = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]{0,2046}[\x21-\x7e])?")


def argument_complaint(name: str, text: str) -> str:
    """Why the value cannot be sent, "" if it can. Does not repeat the value."""
    if name == "StorageClass" and text in ARCHIVES:
        return (
            "is an archive: KServe could not read the objects before somebody restores them; "
            "GLACIER_IR can be read at once"
        )
    choices = CHOICES.get(name)
    if choices is not None:
        return "" if text in choices else f"is none of {', '.join(choices)}"
    if not HEADER_VALUE.fullmatch(text):
        return "has to be 1 to 2048 printable ASCII characters without spaces at the ends"
    return ""


def together_complaint(arguments: Mapping[str, str]) -> tuple[str, str]:
    """The argument that does not go with the others, and why; both "" where they fit."""
    encryption = arguments.get("ServerSideEncryption", "")
    for name in ("SSEKMSKeyId", "SSEKMSEncryptionContext"):
        if name in arguments and encryption not in KMS:
            return name, f"needs the encryption {' or '.join(KMS)}"
    if "BucketKeyEnabled" in arguments and encryption != "aws:kms":
        return "BucketKeyEnabled", "needs the encryption aws:kms"
    return "", ""


def combined(settings: Mapping[str, str], process: Mapping[str, str]) -> Mapping[str, str]:
    """The settings win over the process's environment.

    What belongs together is taken from one of them: a key of the environment is not used with the
    encryption of the settings.
    """
    settled = {name for group in TOGETHER if settings.keys() & set(group) for name in group}
    rest = {name: text for name, text in process.items() if name not in settled}
    return {**rest, **settings}
