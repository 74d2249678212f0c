"""Which forge sent a delivery, and whether it did: decided before the body is parsed.

GitHub, Gitea, Forgejo and Bitbucket sign the raw body with HMAC-SHA256. GitLab sends its secret
token as it is, or signs `id.timestamp.body` with a signing token (`whsec_…`, as Standard Webhooks
have it). Azure DevOps signs nothing: it sends a password.
None of the event's name and the delivery's id is signed, but for GitLab's: they choose what is
read of the body, and what counts as sent before, and nothing else. No I/O here.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from webhook.payload import EventError
from webhook.signature import SignatureError

__all__ = ["Kind", "Sender", "sender", "verify"]

Kind = Literal["github", "gitlab", "gitea", "bitbucket", "azure"]

SIGNING_TOKEN: Final = "whsec_"  # noqa: S105 - what such tokens begin with
HINT: Final = "give the forge's webhook and MLFLOW_GITOPS_FORGE_WEBHOOK_SECRET the same secret"
_ID = re.compile(r"[A-Za-z0-9_.:-]{1,128}", re.ASCII)
_EVENT = re.compile(r"[A-Za-z0-9_: -]{1,64}", re.ASCII)
_SECONDS = re.compile(r"[0-9]{1,12}", re.ASCII)

# Gitea and Forgejo send GitHub's headers too, and Forgejo Gitea's: the first row that fits counts.
_EVENTS: Final[tuple[tuple[str, Kind], ...]] = (
    ("x-forgejo-event", "gitea"),
    ("x-gitea-event", "gitea"),
    ("x-gitlab-event", "gitlab"),
    ("x-github-event", "github"),
    ("x-event-key", "bitbucket"),
)
_DELIVERIES: Final[Mapping[Kind, tuple[str, ...]]] = {
    "gitea": ("x-forgejo-delivery", "x-gitea-delivery"),
    # GitLab's event UUID is the same for what one webhook's event brings about: the last choice.
    "gitlab": ("webhook-id", "idempotency-key", "x-gitlab-event-uuid"),
    "github": ("x-github-delivery",),
    "bitbucket": ("x-request-uuid", "x-request-id"),  # of Cloud, of Data Center
}


@dataclass(frozen=True, slots=True)
class Sender:
    """Forgejo counts as `gitea`. `delivery` is "" where there is no usable id, `event` where only
    the body says it, as Azure DevOps does.
    """

    kind: Kind
    event: str
    delivery: str


def sender(headers: Mapping[str, str]) -> Sender:
    """By its headers, whose names are in lower case. Raises EventError where no forge sends it."""
    for name, kind in _EVENTS:
        event = headers.get(name, "")
        if _EVENT.fullmatch(event):
            ids = (headers.get(each, "") for each in _DELIVERIES[kind])
            return Sender(kind, event, next((i for i in ids if _ID.fullmatch(i)), ""))
    is_basic = headers.get("authorization", "").lower().startswith("basic ")
    if is_basic or headers.get("user-agent", "").startswith("VSServices"):
        return Sender("azure", "", "")
    raise EventError(
        "no header tells which forge sent this",
        where="X-GitHub-Event, X-Gitlab-Event, X-Gitea-Event, X-Forgejo-Event, X-Event-Key",
        hint="send it from a webhook of GitHub, GitLab, Gitea, Forgejo or Bitbucket, or from a "
        "service hook of Azure DevOps that has a password",
    )


def verify(
    kind: Kind,
    headers: Mapping[str, str],
    body: bytes,
    secrets: Sequence[str],
    *,
    now: float,
    window: float,
) -> None:
    """Nothing, if any of `secrets` proves the delivery. Raises SignatureError otherwise."""
    if kind == "github":
        given = _required(headers, "X-Hub-Signature-256").removeprefix("sha256=")
        _check("X-Hub-Signature-256", given, (_hex(secret, body) for secret in secrets))
    elif kind == "gitea":
        name = "X-Forgejo-Signature" if "x-forgejo-signature" in headers else "X-Gitea-Signature"
        given = _required(headers, name)
        _check(name, given, (_hex(secret, body) for secret in secrets))
    elif kind == "bitbucket":
        given = _required(headers, "X-Hub-Signature").removeprefix("sha256=")
        _check("X-Hub-Signature", given, (_hex(secret, body) for secret in secrets))
    elif kind == "azure":
        _check("Authorization", _password(_required(headers, "Authorization")), secrets)
    else:
        _verify_gitlab(headers, body, secrets, now, window)


def _verify_gitlab(
    headers: Mapping[str, str], body: bytes, secrets: Sequence[str], now: float, window: float
) -> None:
    keys = [key for secret in secrets if (key := _signing_key(secret))]
    if not keys or "webhook-signature" not in headers:
        tokens = [secret for secret in secrets if not secret.startswith(SIGNING_TOKEN)]
        _check("X-Gitlab-Token", _required(headers, "X-Gitlab-Token"), tokens)
        return
    delivery, time = _required(headers, "webhook-id"), _required(headers, "webhook-timestamp")
    if not _SECONDS.fullmatch(time):
        raise SignatureError("not a timestamp", where="webhook-timestamp", hint=HINT)
    content = b".".join((_bytes(delivery), time.encode(), body))
    expected = [_base64(key, content) for key in keys]
    given = _required(headers, "webhook-signature").split()[:10]
    matches = [_is_any(each.removeprefix("v1,"), expected) for each in given]
    if not any(matches):
        raise _mismatch("webhook-signature")
    away = abs(now - int(time))
    if away > window:
        raise SignatureError(
            f"the delivery is {away:.0f} s away from this clock, {window:.0f} s are allowed",
            where="webhook-timestamp",
            hint="compare the clocks of GitLab and of this service",
        )


def _password(authorization: str) -> str:
    """The password of basic authentication; "" where there is none."""
    try:
        pair = base64.b64decode(authorization[len("Basic ") :].strip(), validate=True)
    except (binascii.Error, ValueError):
        return ""
    return pair.decode("utf-8", "surrogateescape").partition(":")[2]


def _signing_key(secret: str) -> bytes:
    """b"" for what is no signing token."""
    if not secret.startswith(SIGNING_TOKEN):
        return b""
    try:
        return base64.b64decode(secret.removeprefix(SIGNING_TOKEN), validate=True)
    except (binascii.Error, ValueError):
        return b""


def _check(header: str, given: str, expected: Iterable[str]) -> None:
    if not _is_any(given, expected):
        raise _mismatch(header)


def _is_any(given: str, expected: Iterable[str]) -> bool:
    """Each is compared, so that the time taken tells nothing about which one matched."""
    good = False
    for each in expected:
        good |= hmac.compare_digest(_bytes(each), _bytes(given))
    return good


def _required(headers: Mapping[str, str], name: str) -> str:
    value = headers.get(name.lower(), "")
    if not value:
        raise SignatureError("the header is missing", where=name, hint=HINT)
    return value


def _mismatch(header: str) -> SignatureError:
    return SignatureError("no secret of this service matches", where=header, hint=HINT)


def _hex(secret: str, body: bytes) -> str:
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def _base64(key: bytes, content: bytes) -> str:
    return base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode("ascii")


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
