"""S3 requests at a fraction of boto3's cost: signed here, sent over urllib3's pooled connections.

Only the way of a request that goes well is here. Whatever else happens (an error, a redirect, a
connection that broke) gives None, and the caller asks boto3, whose retries and errors count. What
is sent can be sent twice: every write is conditional, or a part of an upload.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

import urllib3
from botocore.credentials import Credentials
from botocore.exceptions import BotoCoreError
from botocore.httpsession import ProxyConfiguration, get_cert_path
from botocore.utils import get_environ_proxies
from urllib3.util.ssl_ import create_urllib3_context

from mlflow_gitops.adapters.s3_signing import UNSIGNED, Request, Signer, query_text

if TYPE_CHECKING:
    from botocore.session import Session
    from mypy_boto3_s3 import S3Client

    from mlflow_gitops.planning.checksums import Buffer

__all__ = ["Answer", "Wire"]

KEY = "k"
MOST_POOLS = 1000  # one for each bucket with an address of its own
DEFAULT_PORTS = {"http": ":80", "https": ":443"}


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


@dataclass(frozen=True, slots=True)
class _Address:
    """A bucket's: `path` ends in "/". `origin` is "" unless a proxy has to be told it."""

    pool: urllib3.HTTPConnectionPool
    origin: str
    host: str
    path: str


@dataclass(slots=True)
class Wire:
    """The same credentials, endpoint, proxies and certificates as the client's. For all threads.

    `always` are headers of each request.
    """

    core: Session
    client: S3Client
    connections: int
    timeout: tuple[float, float]
    always: Mapping[str, str] = field(default_factory=dict)
    _credentials: Credentials | None = None
    _addresses: dict[str, _Address] = field(default_factory=dict)
    _signer: Signer = field(init=False)
    _http: urllib3.PoolManager | None = None

    def __post_init__(self) -> None:
        self._credentials = self.core.get_credentials()
        self._signer = Signer(self.client.meta.region_name)
        with suppress(OSError, ValueError, urllib3.exceptions.HTTPError):  # boto3 tells what it is
            self._http = self._connections()

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
        if self._credentials is None or self._http is None:
            return None
        try:
            address = self._address(bucket, self._http)
            path = address.path + quote(key, safe="/~")
            sent = {**headers, **self.always, "content-length": str(len(body))}
            sorted_query = query_text(query)
            asked = Request(method, address.host, path, sorted_query, sent, sha256)
            credentials = self._credentials.get_frozen_credentials()
            content: Any = body  # the hints know no memoryview
            answer = address.pool.urlopen(
                method,
                address.origin + path + (f"?{sorted_query}" if query else ""),
                body=content,
                headers=self._signer.headers(asked, credentials, datetime.now(UTC)),
                assert_same_host=False,
                redirect=False,
                retries=False,
                decode_content=False,
            )
        except (BotoCoreError, ValueError, urllib3.exceptions.HTTPError):
            return None
        if answer.status not in (200, 412):
            return None
        return Answer(answer.status, answer.headers, answer.data)

    def _connections(self) -> urllib3.PoolManager:
        endpoint = self.client.meta.endpoint_url
        connect, read = self.timeout
        options: dict[str, Any] = {
            "num_pools": MOST_POOLS,
            "maxsize": self.connections,
            "timeout": urllib3.Timeout(connect=connect, read=read),
        }
        if endpoint.startswith("https:"):
            bundle = self.core.get_config_variable("ca_bundle") or True
            options["ssl_context"] = create_urllib3_context()
            options["ssl_context"].load_verify_locations(get_cert_path(bundle))
        proxies = ProxyConfiguration(get_environ_proxies(endpoint))
        proxy = proxies.proxy_url_for(endpoint)
        if not proxy:
            return urllib3.PoolManager(**options)
        return urllib3.ProxyManager(
            proxy, proxy_headers=proxies.proxy_headers_for(proxy), **options
        )

    def _address(self, bucket: str, http: urllib3.PoolManager) -> _Address:
        """By botocore's rules for endpoints."""
        address = self._addresses.get(bucket)
        if address is None:
            parameters = {"Bucket": bucket, "Key": KEY}
            url = self.client.generate_presigned_url("get_object", Params=parameters)
            parts = urlsplit(url)
            is_forwarded = http.proxy is not None and parts.scheme == "http"
            origin = f"{parts.scheme}://{parts.netloc}"
            address = _Address(
                http.connection_from_url(origin),
                origin if is_forwarded else "",
                parts.netloc.lower().removesuffix(DEFAULT_PORTS[parts.scheme]),
                parts.path.removesuffix(KEY),
            )
            self._addresses[bucket] = address
        return address
