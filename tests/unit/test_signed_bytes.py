"""A commit's bytes with a signature, and which kind of key a file holds."""

from __future__ import annotations

import pytest

from mlflow_gitops.adapters.commit_signing import kind_of
from mlflow_gitops.adapters.git_commits import with_merged, with_parent, with_signature
from mlflow_gitops.adapters.signing_failures import failure
from mlflow_gitops.errors import ConfigError

RAW = b"tree t\nparent p\nauthor A <a> 1 +0000\ncommitter C <c> 1 +0000\n\nparent p\n\nmore\n"
ARMOUR = b"-----BEGIN-----\n\nabc\n-----END-----\n"


def test_the_signature_is_the_last_header_and_folded() -> None:
    signed = with_signature(RAW, ARMOUR, sha256=False)
    head, _, text = signed.partition(b"\n\n")
    assert head.endswith(b"1 +0000\ngpgsig -----BEGIN-----\n \n abc\n -----END-----")
    assert text == b"parent p\n\nmore\n"
    assert b"\ngpgsig-sha256 -----BEGIN" in with_signature(RAW, ARMOUR, sha256=True)


def test_a_merge_has_its_second_parent_behind_the_first() -> None:
    assert with_merged(RAW, "q") == RAW.replace(b"parent p\n", b"parent p\nparent q\n", 1)


def test_only_the_parent_header_is_renamed() -> None:
    assert with_parent(RAW, {"p": "q"}) == RAW.replace(b"parent p", b"parent q", 1)
    assert with_parent(RAW, {"other": "q"}) == RAW


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"-----BEGIN OPENSSH PRIVATE KEY-----\n", "ssh"),
        (b"\n-----BEGIN RSA PRIVATE KEY-----\n", "ssh"),
        (b"-----BEGIN ENCRYPTED PRIVATE KEY-----\n", "ssh"),
        (b"ssh-ed25519 AAAAC3Nz bot\n", "ssh"),
        (b"sk-ssh-ed25519@openssh.com AAAAGnNr bot\n", "ssh"),
        (b"-----BEGIN PGP PRIVATE KEY BLOCK-----\n", "gpg"),
        (b"\x94\x58\x04", "gpg"),
    ],
)
def test_the_file_tells_the_kind_of_key(data: bytes, kind: str) -> None:
    assert kind_of(data) == kind


@pytest.mark.parametrize("data", [b"", b"hunter2", b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n"])
def test_what_is_no_key_is_refused_unseen(data: bytes) -> None:
    with pytest.raises(ConfigError) as caught:
        kind_of(data)
    assert "hunter2" not in str(caught.value)


def test_unknown_words_are_shown_without_the_file_or_control_characters() -> None:
    error = failure("first\nsomething new about /k/ey\x1b[31m\n[GNUPG:] FAILURE sign 1\n", "/k/ey")
    assert "something new about the key file [31m" in str(error)
    assert "no reason was given" in str(failure("", "/k/ey"))
