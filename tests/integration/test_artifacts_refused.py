"""Storages that lie about conditional writes, refuse, or break: a small server of our own."""

from __future__ import annotations

import os
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest

from mlflow_gitops.errors import PublishError, TransientError
from tests.support.lying_s3 import Interfere, lying_s3
from tests.support.publications import publication, store_on, write_files

PATH = "models/fraud/v1/"
CLAIM = "models/fraud/_manifests/v1.claim.json"
MANIFEST = "models/fraud/_manifests/v1.json"
MIB = 1024 * 1024


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_files(tmp_path / "source")


def test_a_storage_that_overwrites_is_refused_before_a_byte_of_the_version(
    source: Path, tmp_path: Path
) -> None:
    with lying_s3() as server:
        store = store_on(server.clients(), tmp_path)
        for _ in range(2):
            with pytest.raises(PublishError, match="ignores the condition") as error:
                store.publish(publication("bucket", source))
        assert set(server.objects) == {CLAIM}
    assert "honours conditional writes" in error.value.hint
    assert error.value.where == f"s3://bucket/{CLAIM}"


def test_a_storage_that_overwrites_on_multipart_is_refused_only_where_parts_are_needed(
    source: Path, tmp_path: Path
) -> None:
    with lying_s3(honours_put=True) as server:
        store = store_on(server.clients(), tmp_path)
        assert store.publish(publication("bucket", source)).created
        write_files(source, {"large.bin": os.urandom(6 * MIB)})
        before = dict(server.objects)
        with pytest.raises(PublishError, match="multipart"):
            store.publish(publication("bucket", source, number="2"))
        claim = "models/fraud/_manifests/v2.claim.json"
        assert set(server.objects) - set(before) == {claim}


def test_a_storage_that_honours_both_is_asked_once(source: Path, tmp_path: Path) -> None:
    write_files(source, {"large.bin": os.urandom(6 * MIB)})
    with lying_s3(honours_put=True, honours_multipart=True) as server:
        store = store_on(server.clients(), tmp_path)
        assert store.publish(publication("bucket", source)).created
        asked = server.requests.count(f"PUT {CLAIM}")
        assert asked == 3, "the claim, the same again, and as one part of an upload"
        assert server.uploads == {}
        again = publication("bucket", source, number="2", created=2)
        assert store.publish(again).created
        assert server.requests.count("PUT models/fraud/_manifests/v2.claim.json") == 1


def test_every_object_is_written_once_claim_first_and_seal_last(
    source: Path, tmp_path: Path
) -> None:
    with lying_s3(honours_put=True, honours_multipart=True) as server:
        store_on(server.clients(), tmp_path).publish(publication("bucket", source))
        assert len(server.writes) == len(set(server.writes))
        assert server.writes[0] == CLAIM
        assert server.writes[-1] == MANIFEST


ANSWERS = [
    (403, "AccessDenied", PublishError, "does not permit", "s3:PutObject"),
    (403, "SignatureDoesNotMatch", PublishError, "credentials", "AWS_ACCESS_KEY_ID"),
    (403, "InvalidAccessKeyId", PublishError, "credentials", "AWS_ACCESS_KEY_ID"),
    (400, "ExpiredToken", PublishError, "credentials", "AWS_ACCESS_KEY_ID"),
    (403, "RequestTimeTooSkewed", PublishError, "clock", "clock"),
    (404, "NoSuchBucket", PublishError, "no such bucket", "artifacts.bucket"),
    (400, "AuthorizationHeaderMalformed", PublishError, "another region", "AWS_REGION"),
    (501, "NotImplemented", PublishError, "on condition", "If-None-Match"),
    (400, "SomethingNew", PublishError, "SomethingNew", "MLFLOW_GITOPS_S3_ENDPOINT"),
    (400, "<b>x</b>\nGitops-Service: x", PublishError, "refused it \\(400\\)", "ENDPOINT"),
    (400, "BadDigest", TransientError, "did not arrive", ""),
    (503, "SlowDown", TransientError, "SlowDown", "tried again"),
    (500, "InternalError", TransientError, "InternalError", "tried again"),
    (429, "TooManyRequests", TransientError, "TooManyRequests", "tried again"),
    (400, "RequestTimeout", TransientError, "RequestTimeout", "tried again"),
]


@pytest.mark.parametrize(("status", "code", "kind", "what", "hint"), ANSWERS)
def test_what_the_storage_answers_becomes_what_to_do(
    source: Path,
    tmp_path: Path,
    status: int,
    code: str,
    kind: type[PublishError | TransientError],
    what: str,
    hint: str,
) -> None:
    def interfere(method: str, key: str) -> tuple[int, str] | None:
        return (status, code) if method == "PUT" and key == f"{PATH}model.pkl" else None

    with lying_s3(honours_put=True, interfere=interfere) as server:
        store = store_on(server.clients(), tmp_path)
        with pytest.raises(kind, match=what) as error:
            store.publish(publication("bucket", source))
        assert MANIFEST not in server.objects
    assert error.value.where == f"s3://bucket/{PATH}model.pkl"
    assert hint in error.value.hint
    assert "a secret" not in str(error.value)
    assert "\n" not in error.value.what


def test_after_a_failure_the_next_run_ends_it(source: Path, tmp_path: Path) -> None:
    broken = True

    def interfere(method: str, key: str) -> tuple[int, str] | None:
        return (503, "SlowDown") if broken and key == f"{PATH}conda.yaml" else None

    with lying_s3(honours_put=True, interfere=interfere) as server:
        store = store_on(server.clients(), tmp_path)
        asked = publication("bucket", source)
        with pytest.raises(TransientError):
            store.publish(asked)
        broken = False
        made = store.publish(asked)
        assert made.created
        assert store.sealed(asked) == replace(made, created=False)
        assert len(server.writes) == len(set(server.writes)), "an object was written twice"


def conflicts(times: int, key: str) -> Interfere:
    turns = count()

    def interfere(method: str, at: str) -> tuple[int, str] | None:
        is_due = method == "PUT" and at == key and next(turns) < times
        return (409, "ConditionalRequestConflict") if is_due else None

    return interfere


def test_a_write_that_met_another_is_tried_again(source: Path, tmp_path: Path) -> None:
    with lying_s3(honours_put=True, interfere=conflicts(3, f"{PATH}model.pkl")) as server:
        assert store_on(server.clients(), tmp_path).publish(publication("bucket", source)).created


def test_a_write_that_meets_another_for_ever_is_left_for_later(
    source: Path, tmp_path: Path
) -> None:
    with lying_s3(honours_put=True, interfere=conflicts(10**6, f"{PATH}model.pkl")) as server:
        with pytest.raises(TransientError, match="another publisher"):
            store_on(server.clients(), tmp_path).publish(publication("bucket", source))
        assert MANIFEST not in server.objects


def test_a_failed_upload_leaves_no_parts_behind(source: Path, tmp_path: Path) -> None:
    write_files(source, {"large.bin": os.urandom(11 * MIB)})
    turns = count()

    def interfere(method: str, key: str) -> tuple[int, str] | None:
        is_due = method == "PUT" and key == f"{PATH}large.bin" and next(turns) > 0
        return (500, "InternalError") if is_due else None

    with lying_s3(honours_put=True, honours_multipart=True, interfere=interfere) as server:
        with pytest.raises(TransientError):
            store_on(server.clients(), tmp_path).publish(publication("bucket", source))
        assert server.uploads == {}
        assert f"{PATH}large.bin" not in server.objects


def test_what_is_no_s3_server_gets_nothing_and_says_where(source: Path, tmp_path: Path) -> None:
    """As a web server in its place would answer: a page for GET, and no PUT."""
    with lying_s3(interfere=web_server) as server:
        store = store_on(server.clients(), tmp_path)
        with pytest.raises(PublishError, match="finds nothing there") as error:
            store.publish(publication("bucket", source))
    assert "MLFLOW_GITOPS_S3_ENDPOINT" in error.value.hint


def web_server(method: str, key: str) -> tuple[int, str]:
    return (404, "") if method == "GET" else (405, "")
