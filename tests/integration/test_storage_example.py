"""examples/storage: the policies say what they mean, and allow each request that the code makes."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
from botocore import xform_name
from botocore.session import Session
from botocore.validate import ParamValidator

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "examples/storage"
ARN = "arn:aws:s3:::"
KEY = "prod-ml-models/a/v1/MLmodel"
ADMIN = "arn:aws:iam::111122223333:role/ml-storage-admin"
OTHER = "arn:aws:iam::111122223333:role/mlflow-gitops"

ACTIONS: Mapping[str, Sequence[str]] = {
    "abort_multipart_upload": ["s3:AbortMultipartUpload"],
    "complete_multipart_upload": ["s3:PutObject"],
    "create_multipart_upload": ["s3:PutObject"],
    "delete_object": ["s3:DeleteObject"],
    "get_object": ["s3:GetObject"],
    "head_object": ["s3:GetObject"],
    "list_multipart_uploads": ["s3:ListBucketMultipartUploads"],
    "list_objects_v2": ["s3:ListBucket"],
    "list_parts": ["s3:ListMultipartUploadParts"],
    "put_object": ["s3:PutObject"],
    "upload_part": ["s3:PutObject"],
    "upload_part_copy": ["s3:GetObject", "s3:PutObject"],
}
"""boto3's operation, and what S3 asks the caller to be allowed."""

PRUNING = {"list_objects_v2", "get_object", "delete_object"}
"""What `prune --yes` asks of the storage."""

OF_BUCKET = {"s3:ListBucket", "s3:ListBucketMultipartUploads"}


def read(name: str) -> Any:
    return json.loads((FOLDER / name).read_text())


def listed(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def holds(conditions: Mapping[str, Any], context: Mapping[str, str]) -> bool:
    """Whether all hold, as IAM reads those that are in the files; any other fails the test."""

    def one(operator: str, key: str, wanted: list[str]) -> bool:
        given = context.get(key)
        if operator == "Null":
            return [str(given is None).lower()] == wanted
        if operator == "ArnNotEquals":
            return given not in wanted
        assert operator in ("Bool", "StringLike")
        return given is not None and any(fnmatchcase(given, each) for each in wanted)

    return all(
        one(operator, key, listed(wanted))
        for operator, keys in conditions.items()
        for key, wanted in keys.items()
    )


def matches(name: str, effect: str, action: str, resource: str, **context: str) -> list[str]:
    """The statements of this effect that meet the request."""
    keys = {"aws:SecureTransport": "true", "aws:PrincipalArn": OTHER}
    keys |= {key.replace("__", ":").replace("_", "-"): text for key, text in context.items()}
    return [
        each["Sid"]
        for each in read(name)["Statement"]
        if each["Effect"] == effect
        and any(fnmatchcase(action, known) for known in listed(each["Action"]))
        and any(fnmatchcase(ARN + resource, known) for known in listed(each["Resource"]))
        and holds(each.get("Condition", {}), keys)
    ]


def modules() -> Iterator[Path]:
    """Ours, without the demo's: it has a storage of its own."""
    for path in (ROOT / "mlflow_gitops").rglob("*.py"):
        if "demo" not in path.parts:
            yield path


def operations() -> Iterator[str]:
    """Every S3 operation that a module of ours names."""
    model = Session().get_service_model("s3")
    known = {xform_name(name) for name in model.operation_names}
    for path in modules():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and node.attr in known:
                yield node.attr
            if isinstance(node, ast.Constant) and node.value in known:
                yield node.value


@pytest.mark.parametrize("name", sorted(path.name for path in FOLDER.glob("*-policy.json")))
def test_policies_have_what_iam_asks_for(name: str) -> None:
    policy = read(name)
    assert policy["Version"] == "2012-10-17"
    sids = [each["Sid"] for each in policy["Statement"]]
    assert len(set(sids)) == len(sids)
    for each in policy["Statement"]:
        assert each["Effect"] in ("Allow", "Deny")
        assert ("Principal" in each) == (name == "bucket-policy.json")
        assert all(resource.startswith(ARN) for resource in listed(each["Resource"]))
        assert all(action.startswith("s3:") for action in listed(each["Action"]))


def deleting() -> Iterator[Path]:
    """The modules of ours that delete objects."""
    for path in modules():
        if "delete_object" in path.read_text():
            yield path


def allows(policy: str, operation: str) -> bool:
    """Whether the policy has every right that the operation needs, on a published object."""
    return all(
        matches(policy, "Allow", action, "prod-ml-models" if action in OF_BUCKET else KEY)
        for action in ACTIONS[operation]
    )


def test_prune_may_delete_and_write_nothing() -> None:
    assert all(allows("prune-policy.json", operation) for operation in PRUNING)
    assert not matches("prune-policy.json", "Allow", "s3:PutObject", KEY)
    assert not matches("prune-policy.json", "Allow", "s3:DeleteObjectVersion", KEY)
    assert not matches("prune-policy.json", "Allow", "s3:DeleteObject", "mlflow-artifacts/1/a")
    as_admin = {"aws__PrincipalArn": ADMIN}
    assert not matches("bucket-policy.json", "Deny", "s3:DeleteObject", KEY, **as_admin)


def test_every_request_of_publishing_is_allowed_and_no_deletion() -> None:
    made = set(operations())
    assert {"put_object", "upload_part", "list_objects_v2"} <= made
    assert made <= ACTIONS.keys(), "say in ACTIONS which right the new operation needs"
    assert [path.name for path in deleting()] == ["shelf.py"], "only prune deletes"
    for operation in made - {"delete_object"}:
        assert allows("writer-policy.json", operation), operation
    for action in ("s3:DeleteObject", "s3:DeleteObjectVersion", "s3:PutBucketPolicy"):
        assert not matches("writer-policy.json", "Allow", action, KEY)
    assert matches("writer-policy.json", "Allow", "s3:GetObject", "mlflow-artifacts/1/a")
    assert not matches("writer-policy.json", "Allow", "s3:PutObject", "mlflow-artifacts/1/a")


def test_the_reader_gets_its_versions_and_nothing_beside_them() -> None:
    def allowed(action: str, resource: str, **context: str) -> bool:
        return bool(matches("kserve-reader-policy.json", "Allow", action, resource, **context))

    bucket = "prod-ml-models"
    assert allowed("s3:ListBucket", bucket, s3__prefix="image-classifier/v3/")
    assert allowed("s3:GetObject", f"{bucket}/image-classifier/v3/model.pkl")
    assert not allowed("s3:ListBucket", bucket)
    assert not allowed("s3:ListBucket", bucket, s3__prefix="")
    assert not allowed("s3:GetObject", f"{bucket}/image-classifier/_manifests/v3.json")
    assert not allowed("s3:GetObject", f"{bucket}/fraud/v3/model.pkl")
    assert not allowed("s3:PutObject", f"{bucket}/image-classifier/v3/model.pkl")


CREATES = {"s3__ObjectCreationOperation": "true"}
CONDITIONAL = {**CREATES, "s3__if_none_match": "*"}


@pytest.mark.parametrize(
    ("action", "context", "by"),
    [
        ("s3:PutObject", CONDITIONAL, None),
        ("s3:PutObject", CREATES, "NothingIsOverwritten"),
        ("s3:PutObject", {**CREATES, "aws__PrincipalArn": ADMIN}, None),
        ("s3:PutObject", {"s3__ObjectCreationOperation": "false"}, None),  # a part
        ("s3:PutObject", {**CONDITIONAL, "aws__SecureTransport": "false"}, "OnlyOverTLS"),
        ("s3:GetObject", {}, None),
        ("s3:GetObject", {"aws__SecureTransport": "false"}, "OnlyOverTLS"),
        ("s3:AbortMultipartUpload", {}, None),
        ("s3:DeleteObject", {}, "NothingIsDeleted"),
        ("s3:DeleteObjectVersion", {}, "NothingIsDeleted"),
        ("s3:DeleteObjectVersion", {"aws__PrincipalArn": ADMIN}, None),
    ],
)
def test_the_bucket_denies_what_would_change_a_version(
    action: str, context: dict[str, str], by: str | None
) -> None:
    denied = matches("bucket-policy.json", "Deny", action, KEY, **context)
    assert denied == ([by] if by else [])
    assert not matches("bucket-policy.json", "Allow", action, KEY, **context)


def test_the_lifecycle_rule_is_one_that_s3_takes_and_expires_no_object() -> None:
    shape = Session().get_service_model("s3").operation_model("PutBucketLifecycleConfiguration")
    rules = read("lifecycle.json")
    given = {"Bucket": "prod-ml-models", "LifecycleConfiguration": rules}
    assert not ParamValidator().validate(given, shape.input_shape).has_errors()
    [rule] = rules["Rules"]
    assert rule["AbortIncompleteMultipartUpload"]["DaysAfterInitiation"] > 1
    assert not {"Expiration", "NoncurrentVersionExpiration", "Transitions"} & rule.keys()
