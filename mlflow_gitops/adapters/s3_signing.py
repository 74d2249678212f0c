"""AWS Signature Version 4 of one request to S3, with less work than botocore's general signer.

It signs every header that it is given. botocore's signer gives the same signature: the tests
compare the two.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from urllib.parse import quote

from botocore.credentials import ReadOnlyCredentials

__all__ = ["UNSIGNED", "Request", "Signer", "query_text"]

UNSIGNED = "UNSIGNED-PAYLOAD"  # its checksum is signed as a header
ALGORITHM = "AWS4-HMAC-SHA256"


@dataclass(frozen=True, slots=True)
class Request:
    """What is signed. `host` is as in its header, `path` is quoted, `query` is `query_text`'s.

    `sha256` is the body's, in hexadecimal, or UNSIGNED.
    """

    method: str
    host: str
    path: str
    query: str
    headers: Mapping[str, str]
    sha256: str


@dataclass(slots=True)
class Signer:
    """Keeps the key that follows from a secret, a day and the region. For all threads."""

    region: str
    _key: tuple[tuple[str, str], bytes] = field(default=(("", ""), b""), repr=False)

    def headers(
        self, request: Request, credentials: ReadOnlyCredentials, now: datetime
    ) -> dict[str, str]:
        """The request's headers in lower case, with those that sign it. `now` is in UTC."""
        moment = f"{now:%Y%m%dT%H%M%SZ}"
        signed = {
            **{name.lower(): value for name, value in request.headers.items()},
            "host": request.host,
            "x-amz-content-sha256": request.sha256,
            "x-amz-date": moment,
        }
        if credentials.token:
            signed["x-amz-security-token"] = credentials.token
        names = sorted(signed)
        listed = ";".join(names)
        lines = (
            request.method,
            request.path,
            request.query,
            *(f"{name}:{' '.join(signed[name].split())}" for name in names),
            "",
            listed,
            request.sha256,
        )
        canonical = hashlib.sha256("\n".join(lines).encode()).hexdigest()
        day = moment[:8]
        scope = f"{day}/{self.region}/s3/aws4_request"
        text = f"{ALGORITHM}\n{moment}\n{scope}\n{canonical}"
        signature = _hmac(self._key_of(credentials.secret_key or "", day), text).hex()
        signed["authorization"] = (
            f"{ALGORITHM} Credential={credentials.access_key}/{scope}, "
            f"SignedHeaders={listed}, Signature={signature}"
        )
        return signed

    def _key_of(self, secret: str, day: str) -> bytes:
        of, key = self._key  # together: another thread may put another day's in their place
        if of != (secret, day):
            key = f"AWS4{secret}".encode()
            for part in (day, self.region, "s3", "aws4_request"):
                key = _hmac(key, part)
            self._key = (secret, day), key
        return key


def query_text(query: Mapping[str, str]) -> str:
    """Sorted and quoted, as it is signed and has to be sent."""
    pairs = sorted((quote(name, safe=""), quote(value, safe="")) for name, value in query.items())
    return "&".join(f"{name}={value}" for name, value in pairs)


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.digest(key, text.encode(), "sha256")
