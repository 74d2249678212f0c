"""The forges' proofs: theirs pass, anything else says why not."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from tests.unit.webhook import forges
from webhook.forge_signature import Sender, sender, verify
from webhook.payload import EventError
from webhook.signature import SignatureError

Sent = tuple[Mapping[str, str], bytes]
DATA = forges.push()
SENT: dict[str, Sent] = {
    "github": forges.github("push", DATA),
    "gitlab": forges.gitlab("Push Hook", DATA),
    "gitlab-signed": forges.gitlab_signed("Push Hook", DATA),
    "gitea": forges.gitea("push", DATA),
    "forgejo": forges.gitea("push", DATA, name="forgejo"),
    "bitbucket": forges.bitbucket("repo:push", DATA),
    "azure": forges.azure(DATA),
}
PROOFS = {
    "github": "x-hub-signature-256",
    "gitlab": "x-gitlab-token",
    "gitlab-signed": "webhook-signature",
    "gitea": "x-gitea-signature",
    "forgejo": "x-forgejo-signature",
    "bitbucket": "x-hub-signature",
    "azure": "authorization",
}
SECRETS = (forges.SECRET, forges.SIGNING_TOKEN)


def check(
    headers: Mapping[str, str], body: bytes, *secrets: str, now: float = forges.NOW
) -> Sender:
    found = sender(headers)
    verify(found.kind, headers, body, secrets or SECRETS, now=now, window=300)
    return found


@pytest.mark.parametrize("name", SENT)
def test_what_a_forge_signed_is_taken(name: str) -> None:
    found = check(*SENT[name])
    assert found.delivery == ("" if name == "azure" else forges.ID)
    assert found.kind == {"forgejo": "gitea", "gitlab-signed": "gitlab"}.get(name, name)


@pytest.mark.parametrize("name", SENT)
def test_any_of_several_secrets_will_do_and_no_other(name: str) -> None:
    headers, body = SENT[name]
    check(headers, body, "new", *SECRETS)
    check(headers, body, *SECRETS, "new")
    with pytest.raises(SignatureError):
        check(headers, body, "new", "whsec_bmV3")


@pytest.mark.parametrize("name", SENT)
@pytest.mark.parametrize("value", ["", "x", "sha256=", "v1,", "é", "\udcff", "0" * 64])
def test_no_other_proof_will_do(name: str, value: str) -> None:
    headers, body = SENT[name]
    with pytest.raises(SignatureError) as caught:
        check({**headers, PROOFS[name]: value}, body)
    assert caught.value.where.lower() == PROOFS[name] or "gitlab" in name
    assert forges.SECRET not in str(caught.value)


@pytest.mark.parametrize("name", [name for name in SENT if name not in ("gitlab", "azure")])
def test_another_body_is_refused(name: str) -> None:
    headers, body = SENT[name]
    with pytest.raises(SignatureError):
        check(headers, body + b" ")


def test_githubs_proof_does_not_stand_in_for_giteas() -> None:
    headers, body = SENT["forgejo"]
    bad = {**headers, "x-forgejo-signature": "0" * 64}
    with pytest.raises(SignatureError):
        check(bad, body)


@pytest.mark.parametrize("at", [forges.NOW - 301, forges.NOW + 301])
def test_a_signed_time_far_away_is_refused(at: int) -> None:
    with pytest.raises(SignatureError, match="away from this clock"):
        check(*forges.gitlab_signed("Push Hook", DATA, at))


def test_the_signed_time_and_id_are_what_was_signed() -> None:
    headers, body = SENT["gitlab-signed"]
    for name, value in (("webhook-id", "other"), ("webhook-timestamp", str(forges.NOW + 1))):
        with pytest.raises(SignatureError):
            check({**headers, name: value}, body)
    with pytest.raises(SignatureError, match="not a timestamp"):
        check({**headers, "webhook-timestamp": "1e9"}, body)


def test_a_signing_token_is_no_plain_token() -> None:
    headers, body = SENT["gitlab"]
    with pytest.raises(SignatureError):
        check({**headers, "x-gitlab-token": forges.SIGNING_TOKEN}, body, forges.SIGNING_TOKEN)


def test_one_of_several_signatures_will_do() -> None:
    headers, body = SENT["gitlab-signed"]
    both = f"v1,AAAA v2,x {headers['webhook-signature']}"
    check({**headers, "webhook-signature": both}, body)


@pytest.mark.parametrize("headers", [{}, {"x-github-event": ""}, {"x-github-event": "a\nb"}])
def test_what_no_forge_sends_is_told(headers: dict[str, str]) -> None:
    with pytest.raises(EventError, match="which forge"):
        sender(headers)


def test_an_odd_id_is_none() -> None:
    assert sender({"x-github-event": "push", "x-github-delivery": "a b"}).delivery == ""
    best = {"x-gitlab-event": "Push Hook", "x-gitlab-event-uuid": "u", "idempotency-key": "k"}
    assert sender(best).delivery == "k"
