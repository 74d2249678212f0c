"""What each write asks of the storage: from the settings, and from MLflow's variable."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime

import pytest
from botocore.exceptions import ClientError

from mlflow_gitops.adapters.s3_errors import said_by, talking
from mlflow_gitops.adapters.s3_keeping import keeping
from mlflow_gitops.config import Process, parse_settings
from mlflow_gitops.errors import ConfigError, PublishError
from mlflow_gitops.planning.sources import parse_location
from mlflow_gitops.planning.storing import HEADERS, combined
from mlflow_gitops.state import WriteOnce

VARIABLE = "MLFLOW_S3_UPLOAD_EXTRA_ARGS"
KMS = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": "k1"}
KEY = "arn:aws:kms:eu-west-1:111122223333:key/0f2a"


def settings(artifacts: str, bucket: str = "models") -> str:
    more = f", {artifacts}" if artifacts else ""
    return (
        f"artifacts: {{bucket: {bucket}{more}}}\n"
        "environments: {production: {select: {stage: Production}, path: production}}\n"
    )


def process(value: object) -> Process:
    text = value if isinstance(value, str) else json.dumps(value)
    return Process.from_environ({VARIABLE: text})


# The settings

RIGHT: list[tuple[str, Mapping[str, str]]] = [
    ("", {}),
    ("encryption: AES256", {"ServerSideEncryption": "AES256"}),
    (
        f"encryption: 'aws:kms', kms-key: '{KEY}', bucket-key: true",
        {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": KEY, "BucketKeyEnabled": "true"},
    ),
    (
        "encryption: 'aws:kms:dsse', kms-key: alias/ml",
        {"ServerSideEncryption": "aws:kms:dsse", "SSEKMSKeyId": "alias/ml"},
    ),
    ("acl: bucket-owner-full-control", {"ACL": "bucket-owner-full-control"}),
    ("storage-class: GLACIER_IR", {"StorageClass": "GLACIER_IR"}),
]


@pytest.mark.parametrize(("text", "arguments"), RIGHT)
def test_the_settings_name_what_each_write_asks_for(
    text: str, arguments: Mapping[str, str]
) -> None:
    assert parse_settings(settings(text)).storing == arguments


WRONG = [
    ("encryption: kms", "artifacts.encryption", "is none of AES256, aws:kms, aws:kms:dsse"),
    ("encryption: true", "artifacts.encryption", "is true or false"),
    ("kms-key: k1", "artifacts.kms-key", "needs the encryption aws:kms or aws:kms:dsse"),
    ("encryption: AES256, kms-key: k1", "artifacts.kms-key", "needs the encryption aws:kms"),
    ("encryption: 'aws:kms', kms-key: ' '", "artifacts.kms-key", "printable ASCII"),
    ("encryption: 'aws:kms', kms-key: clé", "artifacts.kms-key", "printable ASCII"),
    ("bucket-key: true", "artifacts.bucket-key", "needs the encryption aws:kms"),
    ("encryption: 'aws:kms', bucket-key: maybe", "artifacts.bucket-key", "true or false"),
    ("acl: full-control", "artifacts.acl", "is none of private, bucket-owner-full-control"),
    ("storage-class: GLACIER", "artifacts.storage-class", "could not read the objects before"),
    ("storage-class: DEEP_ARCHIVE", "artifacts.storage-class", "GLACIER_IR can be read at once"),
    ("storage-class: standard", "artifacts.storage-class", "is none of STANDARD"),
]


@pytest.mark.parametrize(("text", "where", "what"), WRONG)
def test_a_wrong_setting_is_told_where_it_is(text: str, where: str, what: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse_settings(settings(text))
    assert where in error.value.where
    assert what in error.value.what


def test_the_alias_of_an_access_point_is_a_bucket() -> None:
    alias = "ml-models-qa7xw5m3hfobhzq9bnqdyw6a4euw1a-s3alias"
    assert parse_settings(settings("", alias)).bucket == alias


def test_an_arn_as_a_source_says_what_to_use_instead() -> None:
    with pytest.raises(PublishError, match="an ARN in place of the bucket") as error:
        parse_location("s3://arn:aws:s3:eu-west-1:111122223333:accesspoint/ml/models/1")
    assert "-s3alias" in error.value.hint


# MLflow's variable


def test_mlflows_variable_is_read_as_mlflow_reads_it() -> None:
    found = process({**KMS, "ACL": "bucket-owner-full-control", "RequestPayer": "requester"})
    assert found.upload_arguments == {**KMS, "ACL": "bucket-owner-full-control"}
    assert found.is_requester
    assert not found.warnings
    assert process("").upload_arguments == {}
    assert not process("{}").is_requester
    assert Process.from_environ({"MLFLOW_GITOPS_S3_REQUEST_PAYER": "requester"}).is_requester


def test_what_says_nothing_of_the_storing_is_left_out_and_told() -> None:
    found = process({"ContentType": "x/y", "Metadata": {"a": "b"}, "StorageClass": "STANDARD_IA"})
    assert found.upload_arguments == {"StorageClass": "STANDARD_IA"}
    assert found.warnings == (f"{VARIABLE}: ContentType, Metadata is not sent by this tool",)


VALUES = [
    ("{", "is no JSON"),
    ("[1]", "is no JSON object"),
    ("[" * 100_000, "is no JSON"),
    ({"StorageClass": "GLACIER"}, "`StorageClass` is an archive"),
    ({"StorageClass": "hush-hush"}, "`StorageClass` is none of STANDARD"),
    ({"SSECustomerKey": "hush-hush"}, "KServe has no such key"),
    ({"SSEKMSKeyId": "hush-hush"}, "`SSEKMSKeyId` needs the encryption aws:kms"),
    ({"ObjectLockMode": "COMPLIANCE"}, "artifacts.object-lock"),
    ({"ACL": 7}, "`ACL` has to be a text"),
    ({"GrantRead": "a\nx-amz-acl: hush-hush"}, "`GrantRead` has to be"),
    ({"ServerSideEncription": "hush-hush"}, "`ServerSideEncription` is no argument"),
    ({"x\ny hush-hush": "1"}, "`…` is no argument"),
    ({"RequestPayer": "owner"}, "`RequestPayer` is not requester"),
]


@pytest.mark.parametrize(("value", "what"), VALUES)
def test_a_wrong_variable_is_told_without_its_values(value: object, what: str) -> None:
    with pytest.raises(ConfigError) as error:
        process(value)
    assert error.value.where == VARIABLE
    assert what in error.value.what
    assert "hush-hush" not in str(error.value)


def test_the_settings_win_and_what_belongs_together_stays_together() -> None:
    grants = {"GrantRead": "id=1", "StorageClass": "STANDARD_IA"}
    environment = {**KMS, **grants}
    assert combined({}, environment) == environment
    assert combined({"ServerSideEncryption": "AES256"}, environment) == {
        "ServerSideEncryption": "AES256",
        **grants,
    }
    assert combined({"ACL": "private"}, environment) == {
        **KMS,
        "ACL": "private",
        "StorageClass": "STANDARD_IA",
    }


# What is sent


def test_headers_and_boto3s_arguments_say_the_same() -> None:
    storing = dict.fromkeys(HEADERS, "x") | {"BucketKeyEnabled": "true"}
    kept = keeping(WriteOnce(), storing, datetime(2026, 11, 24, tzinfo=UTC))
    assert {HEADERS[name] for name in kept.arguments} == kept.headers.keys()
    assert kept.arguments["BucketKeyEnabled"] is True
    assert kept.copy_headers["x-amz-tagging-directive"] == "REPLACE"
    assert "x-amz-tagging-directive" not in kept.headers
    untagged = keeping(WriteOnce(), KMS, datetime(2026, 11, 24, tzinfo=UTC))
    assert untagged.copy_headers == untagged.headers
    assert not untagged.has_md5_etags
    assert keeping(WriteOnce(), {}, datetime(2026, 11, 24, tzinfo=UTC)).has_md5_etags


# What the storage says


def answer(code: str, message: str | None, status: int = 403) -> ClientError:
    told = {"Code": code, "Message": message}
    return ClientError({"Error": told, "ResponseMetadata": {"HTTPStatusCode": status}}, "x")  # type: ignore[typeddict-item]


SAID = [
    ("It is not\n allowed  to do: s3:PutObject", ': "It is not allowed to do: s3:PutObject"'),
    ("Access Denied.", ""),
    ("Forbidden", ""),
    (None, ""),
    ("key AKIAABCDEFGHIJKLMNOP here", ': "key … here"'),
    ("s wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY e", ': "s … e"'),
    ("at https://u:pw@h/x?X-Amz-Signature=ab1&X-Amz-Security-Token=zz", ': "at https://…h/x?…&…"'),
    ("esc\x1b[31m", ': "esc�[31m"'),
]


@pytest.mark.parametrize(("message", "said"), SAID)
def test_the_storages_sentence_is_quoted_without_secrets(message: str | None, said: str) -> None:
    assert said_by(answer("AccessDenied", message)) == said


def test_a_long_sentence_is_cut() -> None:
    assert len(said_by(answer("AccessDenied", "no way " * 1000))) < 320


REFUSALS = [
    ("AccessDenied", "not authorized to perform: kms:GenerateDataKey", 403, "kms:Decrypt"),
    ("AccessDenied", "an explicit deny", 403, "artifacts.encryption"),
    ("AccessControlListNotSupported", "The bucket does not allow ACLs", 400, "artifacts.acl"),
    ("KMS.NotFoundException", "Invalid keyId k1", 400, "artifacts.encryption"),
    ("InvalidStorageClass", "is not valid", 400, "storage-class"),
    ("NotImplemented", "KMS is not configured", 501, "artifacts.encryption"),
    ("InvalidArgument", "the ACL is odd", 400, "MLFLOW_GITOPS_S3_ENDPOINT"),
]


@pytest.mark.parametrize(("code", "message", "status", "hint"), REFUSALS)
def test_a_refusal_quotes_the_storage_and_names_the_setting(
    code: str, message: str, status: int, hint: str
) -> None:
    with pytest.raises(PublishError) as error, talking("s3://models/fraud/v1/MLmodel"):
        raise answer(code, message, status)
    assert message in error.value.what
    assert hint in error.value.hint
