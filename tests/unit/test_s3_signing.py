from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from unittest.mock import patch
from urllib.parse import quote

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import ReadOnlyCredentials
from hypothesis import given
from hypothesis import strategies as st

from mlflow_gitops.adapters.s3_signing import UNSIGNED, Request, Signer, query_text

NAMES = st.from_regex(r"[A-Za-z][A-Za-z0-9-]{0,20}", fullmatch=True).filter(
    lambda name: name.lower() not in ("authorization", "date", "expect", "host", "user-agent")
)
TEXTS = st.text(st.characters(codec="latin-1", exclude_categories=["Cc"]), max_size=20)
CREDENTIALS = st.builds(
    ReadOnlyCredentials,
    st.from_regex(r"[A-Z0-9]{1,20}", fullmatch=True),
    st.from_regex(r"[A-Za-z0-9/+]{1,40}", fullmatch=True),
    st.none() | st.from_regex(r"[A-Za-z0-9/+=]{1,40}", fullmatch=True),
)
MOMENTS = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))


@given(
    method=st.sampled_from(["GET", "HEAD", "POST", "PUT"]),
    key=st.text(max_size=20),
    query=st.dictionaries(st.text(min_size=1, max_size=8), st.text(max_size=8), max_size=3),
    headers=st.dictionaries(NAMES, TEXTS, max_size=4),
    sha256=st.sampled_from([UNSIGNED, "e3b0" * 16]),
    credentials=CREDENTIALS,
    now=MOMENTS,
)
def test_the_signature_is_botocores(
    method: str,
    key: str,
    query: dict[str, str],
    headers: dict[str, str],
    sha256: str,
    credentials: ReadOnlyCredentials,
    now: datetime,
) -> None:
    headers = {name.lower(): value for name, value in headers.items()}
    path = f"/bucket/{quote(key, safe='/~')}"
    sent = query_text(query)
    request = Request(method, "s3.example:8333", path, sent, headers, sha256)
    signed = Signer("eu-central-1").headers(request, credentials, now)

    class Known(S3SigV4Auth):
        def payload(self, request: AWSRequest) -> str:
            return sha256

    url = f"http://s3.example:8333{path}" + (f"?{sent}" if query else "")
    theirs = AWSRequest(method, url, headers=dict(headers))
    given: Any = credentials
    with patch("botocore.auth.get_current_datetime", return_value=now):
        Known(given, "s3", "eu-central-1").add_auth(theirs)
    expected = {name.lower(): value for name, value in theirs.headers.items()}
    assert signed == {"host": "s3.example:8333", **expected}


def test_a_signer_goes_on_with_another_days_key_and_with_rotated_credentials() -> None:
    request = Request("GET", "s3.example", "/b/k", "", {}, UNSIGNED)
    days = datetime(2026, 11, 24, tzinfo=UTC), datetime(2026, 11, 25, tzinfo=UTC)
    secrets = ReadOnlyCredentials("A", "one", None), ReadOnlyCredentials("A", "two", None)
    kept = Signer("us-east-1")
    for day in days:
        for secret in secrets:
            fresh = Signer("us-east-1").headers(request, secret, day)
            assert kept.headers(request, secret, day) == fresh
    assert "two" not in repr(kept)
