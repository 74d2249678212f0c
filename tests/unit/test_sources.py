from __future__ import annotations

import pytest

from mlflow_gitops.errors import PublishError
from mlflow_gitops.planning.sources import check_source, parse_location, shown

ALLOWED = [
    ("s3://bucket/a/model", "s3://bucket/a"),
    ("s3://bucket/a", "s3://bucket/a"),
    ("s3://bucket/a/", "s3://bucket/a"),
    ("s3://bucket/a", "s3://bucket/a/"),
    ("s3://bucket/a/b", "s3://bucket"),
    ("s3://bucket/a/b", "s3://bucket/"),
    ("S3://bucket/a", "s3://bucket/"),
    ("s3://bucket//a/b", "s3://bucket//a"),
    ("mlflow-artifacts:/0/models/m-1/artifacts", "mlflow-artifacts:/"),
    ("mlflow-artifacts:/0/models/m-1/artifacts", "mlflow-artifacts:/0/"),
    ("mlflow-artifacts://host:5000/0/x", "mlflow-artifacts://HOST:5000/"),
    ("/mnt/models/x", "/mnt/models"),
    ("file:///mnt/models/x", "/mnt/models/"),
    ("/mnt/models/x", "file:///mnt/models"),
    ("file:/mnt/models/x", "/mnt"),
    ("file://localhost/mnt/x", "/mnt"),
    ("/mnt//models///x", "/mnt/models"),
    ("file:///mnt/my%20models/x", "/mnt/my models"),
    ("gs://bucket/a/b", "gs://bucket/a"),
    ("wasbs://box@account.blob.core.windows.net/a", "wasbs://box@account.blob.core.windows.net/"),
]

OUTSIDE = [
    ("s3://bucket/ab", "s3://bucket/a"),
    ("s3://bucket/", "s3://bucket/a"),
    ("s3://bucket", "s3://bucket/a"),
    ("s3://bucket-2/a", "s3://bucket"),
    ("s3://bucket.evil/a", "s3://bucket"),
    ("s3://other/a", "s3://bucket/"),
    ("s3://bucket/a/b", "s3://bucket//a"),
    ("s3://bucket//a", "s3://bucket/a"),
    ("s3a://bucket/a", "s3://bucket/"),
    ("gs://bucket/a", "s3://bucket/"),
    ("mlflow-artifacts://evil/0/x", "mlflow-artifacts:/"),
    ("mlflow-artifacts:/10/x", "mlflow-artifacts:/1"),
    ("/mnt/models2", "/mnt/models"),
    ("/etc", "/mnt/models"),
    ("file:///etc", "s3://bucket/"),
    ("wasbs://box2@account.blob.core.windows.net/a", "wasbs://box@account.blob.core.windows.net/"),
]

UNUSABLE = [
    "",
    "relative/path",
    "./x",
    "models:/fraud/1",
    "runs:/abc/model",
    "s3:///key",
    "s3:key",
    "file://other-host/mnt/x",
    "file:relative",
    "s3://bucket/a/../b",
    "s3://bucket/./b",
    "s3://bucket/..",
    "s3://../b",
    "/mnt/models/../../etc",
    "file:..",
    "s3://bucket/a/%2e%2e/b",
    "s3://bucket/a/%2E%2E%2Fb",
    "s3://bucket/a%2fb",
    "s3://bucket/a%5cb",
    "s3://bucket/a%00b",
    "s3://bucket/a%0ab",
    "s3://bucket/a%252e%252e",
    "s3://bucket/a\\..\\b",
    "s3://bucket/a?versionId=1",
    "s3://bucket/a#b",
    "s3://bucket/a\nb",
    "s3://bucket/a\x00b",
    "s3://bucket/a\u202eb",
    "s3://key:secret@bucket/a",
    "https://user:secret@host/a",
    "https://user@host/a",
    "wasbs://user:secret@account/a",
]


@pytest.mark.parametrize(("location", "allowed"), ALLOWED)
def test_a_place_below_an_allowed_one_may_be_read(location: str, allowed: str) -> None:
    check_source(location, ["s3://elsewhere/", allowed])


@pytest.mark.parametrize(("location", "allowed"), OUTSIDE)
def test_a_place_elsewhere_is_refused_with_the_setting_to_change(
    location: str, allowed: str
) -> None:
    with pytest.raises(PublishError, match=r"do not allow") as refused:
        check_source(location, [allowed])
    assert "artifacts.sources" in refused.value.hint


@pytest.mark.parametrize("location", UNUSABLE)
def test_what_hides_where_it_leads_is_refused_whatever_is_allowed(location: str) -> None:
    everything = ["/", "s3://bucket", "s3://key:secret@bucket", "https://host/", location]
    with pytest.raises(PublishError) as refused:
        check_source(location, everything)
    assert refused.value.hint
    assert "secret" not in str(refused.value)
    assert "do not allow" not in str(refused.value)


def test_nothing_is_allowed_by_an_empty_list_or_by_what_cannot_be_read() -> None:
    for allowed in ([], [""], ["s3://"], ["bucket"], ["s3://bucket/../"]):
        with pytest.raises(PublishError, match="do not allow"):
            check_source("s3://bucket/a", allowed)


def test_a_message_shows_a_location_without_credentials_query_and_control_characters() -> None:
    assert shown("https://user:pw@host/a?X-Amz-Signature=s#f") == "https://host/a"
    assert shown("s3://b/a\nGitops-Service: x") == "s3://b/a�Gitops-Service: x"
    assert len(shown("s3://b/" + "a" * 10_000)) < 400


def test_a_location_is_taken_apart() -> None:
    place = parse_location("s3://bucket/a/b/")
    assert (place.scheme, place.host, place.path) == ("s3", "bucket", "a/b")
    assert parse_location("file:///mnt//my%20models/").path == "/mnt/my models"
    assert parse_location("mlflow-artifacts:/0/x").path == "0/x"


def test_a_long_location_is_not_kept_in_memory() -> None:
    secret = "s3://user:" + "p" * 5000 + "@host/x"
    assert shown(secret) == "s3://host/x"
