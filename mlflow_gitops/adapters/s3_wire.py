"""S3 requests that cost a third of boto3's: signed by botocore, sent over its pooled connections.

Only the way of a request that goes well is here. Whatever else happens (an error, a redirect, a
connection that broke) gives None, and the caller asks boto3, whose retries and errors count. What
is sent can be sent twice: every write is conditional, or a part of an upload.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode, urlsplit

from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSPreparedRequest, AWSRequest, HeadersDict
from botocore.credentials import Credentials
from botocore.exceptions import BotoCoreError, HTTPClientError
from botocore.httpsession import URLLib3Session
from botocore.utils import get_environ_proxies

if TYPE_CHECKING:
    from botocore.session import Session
    from mypy_boto3_s3 import S3Client

    from mlflow_gitops.planning.checksums import Buffer

__all__ = ["UNSIGNED", "Answer", "Wire"]

UNSIGNED = "UNSIGNED-PAYLOAD"  # its checksum is signed as a header
KEY = "k"


@dataclass(frozen=True, slots=True)
class Answer:
    """`status` is 200, or 412: a condition of the request did not hold."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def text(self, name: str) -> str:
        """A value of the answer's XML; "" where it has none."""
        found = re.search(rf"<{name}>([^<]*)</{name}>", self.body.decode("utf-8", "replace"))
        return html.unescape(found[1]) if found else ""


@dataclass(slots=True)
class Wire:
    """The same credentials, endpoint, proxies and certificates as the client's. For all threads."""

    core: Session
    client: S3Client
    connections: int
    timeout: tuple[float, float]
    _credentials: Credentials | None = None
    _bases: dict[str, str] = field(default_factory=dict)
    _http: URLLib3Session = field(init=False)

    def __post_init__(self) -> None:
        self._credentials = self.core.get_credentials()
        self._http = URLLib3Session(
            verify=self.core.get_config_variable("ca_bundle") or True,
            proxies=get_environ_proxies(self.client.meta.endpoint_url),
            timeout=self.timeout,  # type: ignore[arg-type]  # the stubs know no pair
            max_pool_connections=self.connections,
        )

    def send(
        self,
        method: str,
        bucket: str,
        key: str,
        query: Mapping[str, str],
        headers: Mapping[str, str],
        body: Buffer = b"",
        *,
        sha256: str = UNSIGNED,
    ) -> Answer | None:
        """The answer, if it is one of the two. `sha256` is the body's, in hexadecimal."""
        if self._credentials is None:
            return None
        try:
            url = f"{self._base(bucket)}{quote(key, safe='/-._~')}"
            if query:
                url += f"?{urlencode(query, quote_via=quote)}"
            request = AWSRequest(method, url, headers={**headers, "Content-Length": str(len(body))})
            self._signer(sha256).add_auth(request)
            signed = HeadersDict(request.headers.items())
            # The stubs know neither HeadersDict, which botocore gives it, nor what urllib3 sends.
            given: tuple[Any, Any] = (signed, body)
            prepared = AWSPreparedRequest(method, url, *given, stream_output=False)
            answer = self._http.send(prepared)
        except (BotoCoreError, HTTPClientError):
            return None
        if answer.status_code not in (200, 412):
            return None
        return Answer(answer.status_code, answer.headers, answer.content)

    def _signer(self, sha256: str) -> SigV4Auth:
        assert self._credentials is not None
        frozen = self._credentials.get_frozen_credentials()
        return _Signer(frozen, "s3", self.client.meta.region_name, sha256)

    def _base(self, bucket: str) -> str:
        """The bucket's address with "/" at its end, by botocore's rules for endpoints."""
        base = self._bases.get(bucket)
        if base is None:
            parameters = {"Bucket": bucket, "Key": KEY}
            parts = urlsplit(self.client.generate_presigned_url("get_object", Params=parameters))
            base = f"{parts.scheme}://{parts.netloc}{parts.path.removesuffix(KEY)}"
            self._bases[bucket] = base
        return base


class _Signer(S3SigV4Auth):
    """Takes the body's hash as it is known, and does not compute it again."""

    def __init__(self, credentials: Any, service: str, region: str, sha256: str) -> None:
        super().__init__(credentials, service, region)
        self._sha256 = sha256

    def payload(self, request: AWSRequest) -> str:
        del request
        return self._sha256
