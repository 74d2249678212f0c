"""The short way of a request: where it goes well, boto3 is not asked; else it is, and tells."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from mlflow_gitops.adapters.s3 import Bucket, Clients
from mlflow_gitops.adapters.s3_wire import Answer
from mlflow_gitops.demo.seaweedfs import SeaweedFS, seaweedfs
from mlflow_gitops.errors import PublishError, TransientError
from tests.support.proxy import Seen, proxy
from tests.support.publications import TestBucket, clients_of
from tests.support.s3_servers import S3Server
from tests.support.signing_keys import certificate, key_pair
from tests.support.tunnel import tunnel

pytest_plugins = ["tests.support.s3"]

KEY = "models/fraud/v1/a-b_c.d/0"
LOGIN = f"Basic {b64encode(b'reader:p@ss').decode()}"
PROXY_LOGIN = "reader:p%40ss"


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "AWS_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture(scope="module")
def tls_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[SeaweedFS, Path]]:
    """A server with a certificate that nothing trusts by itself, and that certificate."""
    folder = tmp_path_factory.mktemp("tls")
    pair = key_pair(folder, "key")
    shown = folder / "certificate.pem"
    shown.write_text(certificate("localhost", pair))
    with seaweedfs(folder / "s3", (shown, Path(pair.file))) as server:
        server.client().create_bucket(Bucket="models")
        yield server, shown


def over_tls(server: SeaweedFS) -> Clients:
    return replace(clients_of(server, attempts=1), endpoint_url=server.https_endpoint)


def put(bucket: Bucket, content: bytes = b"weights") -> Answer | None:
    assert bucket.wire is not None
    sha256 = hashlib.sha256(content).hexdigest()
    headers = {"If-None-Match": "*", "Content-Type": "text/plain"}
    return bucket.wire.send("PUT", bucket.name, KEY, {}, headers, content, sha256=sha256)


def test_each_kind_of_request_is_answered(race_server: S3Server, race_bucket: TestBucket) -> None:
    """Each server says what it says to boto3: the signature holds, with a query too."""
    bucket = clients_of(race_server).bucket(race_bucket.name)
    wire = bucket.wire
    assert wire is not None
    answers = [put(bucket), put(bucket)]
    assert [answer and answer.status for answer in answers] == [200, 412]
    head = wire.send("HEAD", bucket.name, KEY, {}, {})
    assert head is not None
    assert (head.status, head.headers["Content-Length"]) == (200, "7")
    begun = wire.send("POST", bucket.name, f"{KEY}1", {"uploads": ""}, {})
    assert begun is not None
    query = {"uploadId": begun.text("UploadId"), "partNumber": "1"}
    part = wire.send("PUT", bucket.name, f"{KEY}1", query, {}, memoryview(b"part"))
    assert part is not None
    assert part.headers["ETag"]


def test_what_does_not_go_well_is_left_to_boto3(
    s3_server: S3Server, bucket: TestBucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = replace(clients_of(s3_server), credentials=(s3_server.access_key, "wrong"))
    assert put(wrong.bucket(bucket.name)) is None
    assert put(clients_of(s3_server).bucket("no-such-bucket")) is None
    assert put(Clients("http://127.0.0.1:1", credentials=("a", "b")).bucket("models")) is None
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:99999")
    no_port = clients_of(s3_server, attempts=1).bucket(bucket.name)
    assert put(no_port) is None
    with pytest.raises(TransientError, match="cannot be reached"):
        no_port.put_new(KEY, b"weights")


def test_a_line_end_in_a_credential_is_told_without_it(
    s3_server: S3Server, bucket: TestBucket
) -> None:
    clients = replace(clients_of(s3_server), credentials=("AKID\n", "hush"))
    with pytest.raises(PublishError, match="line end") as error:
        clients.bucket(bucket.name).put_new(KEY, b"weights")
    assert "AWS_ACCESS_KEY_ID" in error.value.hint
    assert "AKID" not in str(error.value)


def test_a_certificate_is_accepted_only_where_its_authority_is_set(
    tls_server: tuple[SeaweedFS, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    server, shown = tls_server
    with pytest.raises(PublishError, match="certificate is not accepted") as error:
        over_tls(server).bucket("models").put_new(KEY, b"weights")
    assert "AWS_CA_BUNDLE" in error.value.hint
    monkeypatch.setenv("AWS_CA_BUNDLE", str(tmp_path / "not-there.pem"))
    with pytest.raises(PublishError, match="certificate is not accepted"):
        over_tls(server).bucket("models").put_new(KEY, b"weights")
    assert server.client().list_objects_v2(Bucket="models")["KeyCount"] == 0
    monkeypatch.setenv("AWS_CA_BUNDLE", str(shown))
    answer = put(over_tls(server).bucket("models"))
    assert answer is not None
    assert answer.status == 200


def test_a_proxy_is_asked_with_its_login(
    s3_server: S3Server, bucket: TestBucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    passed: list[Seen] = []
    with proxy(s3_server.endpoint) as made:
        made.before.append(passed.append)
        monkeypatch.setenv("HTTP_PROXY", made.url.replace("://", f"://{PROXY_LOGIN}@"))
        answer = put(clients_of(s3_server).bucket(bucket.name))
    assert answer is not None
    assert answer.status == 200
    assert bucket.read(KEY) == b"weights"
    [seen] = passed
    assert seen.path == f"{s3_server.endpoint}/{bucket.name}/{KEY}"
    assert seen.headers["Proxy-Authorization"] == LOGIN


def test_a_proxy_is_a_tunnel_for_tls(
    tls_server: tuple[SeaweedFS, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    server, shown = tls_server
    monkeypatch.setenv("AWS_CA_BUNDLE", str(shown))
    with tunnel() as made:
        monkeypatch.setenv("HTTPS_PROXY", made.url.replace("://", f"://{PROXY_LOGIN}@"))
        bucket = over_tls(server).bucket("models")
        assert bucket.wire is not None
        begun = bucket.wire.send("POST", "models", KEY, {"uploads": ""}, {})
    assert begun is not None
    assert begun.text("UploadId")
    assert made.asked == [(server.https_endpoint.removeprefix("https://"), LOGIN)]
