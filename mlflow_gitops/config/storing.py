"""How the storage is asked to keep each object: `artifacts.*`, and MLflow's own variable for it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType

from mlflow_gitops.config.document import Findings, Value
from mlflow_gitops.config.reference_settings import SETTINGS
from mlflow_gitops.planning.storing import HEADERS, argument_complaint, together_complaint

__all__ = ["UPLOAD_ARGUMENTS", "UploadArguments", "read_storing", "read_upload_arguments"]

UPLOAD_ARGUMENTS = "MLFLOW_S3_UPLOAD_EXTRA_ARGS"
FORMS = {row.key: row.form for row in SETTINGS}
KEYS = {
    "encryption": "ServerSideEncryption",
    "kms-key": "SSEKMSKeyId",
    "bucket-key": "BucketKeyEnabled",
    "acl": "ACL",
    "storage-class": "StorageClass",
}
IGNORED = frozenset(
    (
        *("CacheControl", "ChecksumAlgorithm", "ChecksumType", "ContentDisposition"),
        *("ContentEncoding", "ContentLanguage", "ContentType", "Expires", "IfNoneMatch"),
        *("Metadata", "MpuObjectSize", "WebsiteRedirectLocation"),
    )
)
CUSTOMER_KEYS = ("SSECustomerAlgorithm", "SSECustomerKey", "SSECustomerKeyMD5")
LOCKS = ("ObjectLockMode", "ObjectLockRetainUntilDate")


@dataclass(frozen=True, slots=True)
class UploadArguments:
    """`ignored` are names that MLflow sends and this tool does not; `problem` is "" or what is
    wrong. No value is shown: it may be a secret.
    """

    arguments: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}), repr=False)
    is_requester: bool = False
    ignored: tuple[str, ...] = ()
    problem: str = ""


def read_storing(artifacts: Mapping[str, Value], found: Findings) -> Mapping[str, str]:
    """The arguments that the settings name."""
    arguments: dict[str, str] = {}
    for key, name in KEYS.items():
        value = artifacts.get(key)
        if value is not None and (text := _text(value, key, name, found)):
            arguments[name] = text
    name, why = together_complaint(arguments)
    if name:
        key = next(key for key, argument in KEYS.items() if argument == name)
        found.add(artifacts[key], why, hint="set `artifacts.encryption`, or remove this key")
    return MappingProxyType(arguments)


def read_upload_arguments(text: str) -> UploadArguments:
    """MLflow's variable: a JSON object of arguments for boto3's uploads."""
    if not text:
        return UploadArguments()
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        return UploadArguments(problem="is no JSON")
    if not isinstance(values, dict):
        return UploadArguments(problem="is no JSON object")
    known = {name: values[name] for name in values if name not in IGNORED}
    payer = known.pop("RequestPayer", "")
    if payer not in ("", "requester"):
        return UploadArguments(problem="`RequestPayer` is not requester")
    for name, value in known.items():
        if problem := _problem(name, value):
            return UploadArguments(problem=f"`{_short(name)}` {problem}")
    arguments = {name: _plain(value) for name, value in known.items()}
    name, why = together_complaint(arguments)
    if name:
        return UploadArguments(problem=f"`{name}` {why}")
    ignored = tuple(sorted(values.keys() & IGNORED))
    return UploadArguments(MappingProxyType(arguments), bool(payer), ignored)


def _text(value: Value, key: str, name: str, found: Findings) -> str | None:
    form = FORMS[f"artifacts.{key}"]
    if name == "BucketKeyEnabled":
        flag = found.flag(value, form)
        return None if flag is None else _plain(flag)
    return found.text(value, partial(argument_complaint, name), form)


def _problem(name: str, value: object) -> str:
    if name in CUSTOMER_KEYS:
        return "cannot be used: KServe has no such key, and could not read the objects"
    if name in LOCKS:
        return "cannot be used here: set `artifacts.object-lock` in mlflow-gitops.yaml"
    if name not in HEADERS:
        return f"is no argument that this tool can send; it sends {', '.join(HEADERS)}"
    if not isinstance(value, str | bool):
        return "has to be a text"
    return argument_complaint(name, _plain(value))


def _plain(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _short(name: str) -> str:
    return name if name.isalnum() and name.isascii() and len(name) <= 40 else "…"
