"""Whether a delivery comes from MLflow: decided on the raw bytes, before anything is parsed.

MLflow signs `delivery-id.timestamp.body` with HMAC-SHA256 and sends `v1,<base64>`. Id, timestamp
and signature stay the same over its retries, so the window must outlast those. An id holds no
dot and a timestamp only digits: what was signed can be split in one way only. No I/O here.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass

from mlflow_gitops import TerminalError

__all__ = [
    "DELIVERY_ID",
    "SIGNATURE",
    "TIMESTAMP",
    "Delivery",
    "SignatureError",
    "Unverified",
    "sign",
    "verify",
]

DELIVERY_ID = "X-MLflow-Delivery-Id"
TIMESTAMP = "X-MLflow-Timestamp"
SIGNATURE = "X-MLflow-Signature"

_ID = re.compile(r"[A-Za-z0-9_-]{1,128}", re.ASCII)
_SECONDS = re.compile(r"[0-9]{1,12}", re.ASCII)


class SignatureError(TerminalError):
    """The delivery is not proven to come from MLflow, or not to be recent."""


@dataclass(frozen=True, slots=True)
class Unverified:
    """What the headers of a delivery claim; "" where a header is missing."""

    id: str
    timestamp: str
    signature: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Delivery:
    """A delivery that may be acted on. `timestamp` is in seconds since the epoch."""

    id: str
    timestamp: int


def sign(secret: str, delivery_id: str, timestamp: str, body: bytes) -> str:
    """The value of the signature header, as MLflow computes it."""
    content = b".".join((delivery_id.encode(), timestamp.encode(), body))
    digest = hmac.new(secret.encode(), content, hashlib.sha256).digest()
    return "v1," + base64.b64encode(digest).decode("ascii")


def verify(claim: Unverified, secrets: Sequence[str], *, now: float, window: float) -> Delivery:
    """The delivery, if any of `secrets` signed it within `window` seconds of `now`.

    Raises SignatureError otherwise. Every secret is tried, so that the time taken tells nothing
    about which one matched.
    """
    delivery = _well_formed(claim)
    given = claim.signature.encode("utf-8", "surrogateescape")
    good = False
    for secret in secrets:
        expected = sign(secret, claim.id, claim.timestamp, claim.body).encode("ascii")
        good |= hmac.compare_digest(expected, given)
    if not good:
        raise SignatureError(
            "the signature does not match the body",
            where=SIGNATURE,
            hint="give the webhook in MLflow and this service the same secret",
        )
    if abs(now - delivery.timestamp) > window:
        raise SignatureError(
            f"the delivery is {abs(now - delivery.timestamp):.0f} s away from this clock,"
            f" {window:.0f} s are allowed",
            where=TIMESTAMP,
            hint="compare the clocks of the MLflow server and of this service",
        )
    return delivery


def _well_formed(claim: Unverified) -> Delivery:
    for header, value in (
        (SIGNATURE, claim.signature),
        (DELIVERY_ID, claim.id),
        (TIMESTAMP, claim.timestamp),
    ):
        if not value:
            raise SignatureError(
                "the header is missing", where=header, hint="set a secret on the webhook in MLflow"
            )
    if not _ID.fullmatch(claim.id):
        raise SignatureError(
            "not a delivery id", where=DELIVERY_ID, hint="send letters, digits, - and _ only"
        )
    if not _SECONDS.fullmatch(claim.timestamp):
        raise SignatureError(
            "not a timestamp", where=TIMESTAMP, hint="send whole seconds since the epoch"
        )
    return Delivery(claim.id, int(claim.timestamp))
