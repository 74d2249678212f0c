"""A bucket policy, as AWS enforces one: a proxy before a real server, which knows none.

Every object and every upload of one has to begin with the headers that the policy demands; all else
is denied. The server behind has no keys for SSE-KMS: encryption is seen here and not passed on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import urlsplit

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from tests.support.proxy import Seen, proxy

ACTION = "User is not authorized to perform: s3:PutObject"
ACTION = "User is not authorized to perform: s3:PutObject"
SENTENCE = f"{ACTION} with an explicit deny in a resource-based policy"
DENIED = (
    f"<?xml version='1.0'?><Error><Code>AccessDenied</Code><Message>{SENTENCE}</Message></Error>"
).encode()
ENCRYPTION = "x-amz-server-side-encryption"


class Server(Protocol):
    access_key: str
    secret_key: str

    @property
    def endpoint(self) -> str: ...


@dataclass(slots=True)
class Policed:
    """Requests with their headers, whose names are in lower case. `begun` began an object."""

    endpoint: str
    access_key: str
    secret_key: str
    begun: list[tuple[str, Mapping[str, str]]] = field(default_factory=list)
    requests: list[tuple[str, Mapping[str, str]]] = field(default_factory=list)
    denied: list[str] = field(default_factory=list)


@contextmanager
def policed(server: Server, demanded: Mapping[str, str]) -> Iterator[Policed]:
    """Serve on a free loopback port until the block ends."""
    with proxy(server.endpoint) as made:
        police = Policed(made.url, server.access_key, server.secret_key)

        def watch(seen: Seen) -> None:
            headers = {name.lower(): value for name, value in seen.headers.items()}
            what = f"{seen.method} {seen.path}"
            police.requests.append((what, headers))
            if begins(seen):
                if any(headers.get(name) != value for name, value in demanded.items()):
                    police.denied.append(what)
                    seen.reply = (403, DENIED)
                    return
                police.begun.append((what, headers))
            if any(name.startswith(ENCRYPTION) for name in headers):
                seen.headers = _resigned(seen, headers, server)

        made.before.append(watch)
        yield police


def begins(seen: Seen) -> bool:
    """PutObject and CopyObject, or CreateMultipartUpload."""
    parts = urlsplit(seen.path)
    if seen.method == "PUT":
        return "uploadId=" not in parts.query
    return seen.method == "POST" and parts.query.startswith("uploads")


def _resigned(seen: Seen, headers: Mapping[str, str], server: Server) -> Mapping[str, str]:
    """Without encryption, and with the signature that the server then expects."""
    gone = ("authorization", "x-amz-date", "x-amz-security-token", "connection", "host")
    kept = {
        name: value
        for name, value in headers.items()
        if name not in gone and not name.startswith(ENCRYPTION)
    }

    class Known(S3SigV4Auth):
        def payload(self, request: AWSRequest) -> str:
            return headers["x-amz-content-sha256"]

    request = AWSRequest(seen.method, f"{server.endpoint}{seen.path}", headers=kept)
    Known(Credentials(server.access_key, server.secret_key), "s3", "us-east-1").add_auth(request)
    host = urlsplit(server.endpoint).netloc
    return {**dict(request.headers.items()), "Host": host}
