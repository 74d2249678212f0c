"""MLflow's signature: real deliveries pass, anything else says why not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from webhook.signature import SignatureError, Unverified, sign, verify

SECRET = "s3cr3t-32-bytes-long-aaaaaaaaaaaa"
NOW = 1795390354.0

# A delivery of MLflow 3.17.2's own.
REAL = Unverified(
    id="fb67a78a-387d-4eb4-92dc-251313cd31a5",
    timestamp="1795390354",
    signature="v1,Ouksqy/DqFQuca8LM2N9FqdmRKjnbF6m6scTfhWf9Fk=",
    body=(
        b'{"entity": "model_version_tag", "action": "set", "timestamp": '
        b'"2026-11-22T23:32:34.513895+00:00", "data": {"name": "hooked", "version": "1", '
        b'"key": "k", "value": "v"}}'
    ),
)


def check(claim: Unverified, *secrets: str, now: float = NOW, window: float = 300) -> str:
    return verify(claim, secrets or (SECRET,), now=now, window=window).id


def signed(claim: Unverified) -> Unverified:
    return replace(claim, signature=sign(SECRET, claim.id, claim.timestamp, claim.body))


def test_a_real_delivery_is_accepted() -> None:
    assert check(REAL) == REAL.id


@pytest.mark.parametrize("secrets", [("new", SECRET), (SECRET, "new"), ("a", SECRET, "b")])
def test_any_of_several_secrets_will_do(secrets: tuple[str, ...]) -> None:
    assert check(REAL, *secrets) == REAL.id


@pytest.mark.parametrize("at", range(0, len(REAL.body), 7))
def test_one_changed_bit_of_the_body_is_refused(at: int) -> None:
    body = bytearray(REAL.body)
    body[at] ^= 1
    with pytest.raises(SignatureError, match="does not match"):
        check(replace(REAL, body=bytes(body)))


@pytest.mark.parametrize(
    "claim",
    [
        replace(REAL, body=b""),
        replace(REAL, body=REAL.body + b" "),
        replace(REAL, id=REAL.id[:-1] + "6"),
        replace(REAL, timestamp="1795390355"),
        replace(REAL, timestamp="01795390354"),
        replace(REAL, signature=REAL.signature + " "),
        replace(REAL, signature=REAL.signature.removeprefix("v1,")),
        replace(REAL, signature="v2," + REAL.signature.removeprefix("v1,")),
        replace(REAL, signature=REAL.signature + "," + REAL.signature),
        replace(REAL, signature="\udcff\u20ac"),
    ],
)
def test_what_was_not_signed_is_refused(claim: Unverified) -> None:
    with pytest.raises(SignatureError, match="does not match"):
        check(claim)


def test_another_secret_is_refused() -> None:
    with pytest.raises(SignatureError, match="does not match") as caught:
        check(REAL, "other")
    assert "other" not in str(caught.value)
    assert "same secret" in caught.value.hint


@pytest.mark.parametrize("field", ["id", "timestamp", "signature"])
def test_a_missing_header_is_named(field: str) -> None:
    with pytest.raises(SignatureError, match="missing") as caught:
        check(replace(REAL, **{field: ""}))
    assert caught.value.where.startswith("X-MLflow-")


@pytest.mark.parametrize("timestamp", ["soon", "-1", "1.5", "1e9", "٣", " 1795390354", "9" * 13])
def test_a_timestamp_is_whole_seconds(timestamp: str) -> None:
    with pytest.raises(SignatureError, match="not a timestamp"):
        check(signed(replace(REAL, timestamp=timestamp)))


@pytest.mark.parametrize("delivery_id", ["a.1", "a b", "ü", "x" * 129, "a\n"])
def test_an_id_leaves_one_way_only_to_split_what_was_signed(delivery_id: str) -> None:
    with pytest.raises(SignatureError, match="not a delivery id"):
        check(signed(replace(REAL, id=delivery_id)))


@pytest.mark.parametrize("off", [-300, -299.5, 0, 299.5, 300])
def test_the_window_is_open_on_both_sides(off: float) -> None:
    assert check(REAL, now=NOW + off) == REAL.id


@pytest.mark.parametrize("off", [-301, 300.5, 86_400])
def test_outside_of_the_window_even_a_signed_delivery_is_refused(off: float) -> None:
    with pytest.raises(SignatureError, match="away from this clock"):
        check(REAL, now=NOW + off)


def test_without_any_secret_nothing_is_accepted() -> None:
    with pytest.raises(SignatureError):
        verify(REAL, (), now=NOW, window=300)
