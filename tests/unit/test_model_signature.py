"""What a signature says, against what was sealed; whom the settings trust; when it is asked for."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping

import pytest

from mlflow_gitops.config import parse_settings
from mlflow_gitops.errors import ConfigError
from mlflow_gitops.planning.checksums import Checksum, sums_of
from mlflow_gitops.planning.fields import UnreadableError
from mlflow_gitops.planning.model_signature import (
    Statement,
    disagreement,
    is_covered,
    read_statement,
)
from mlflow_gitops.planning.revision_manifest import File
from mlflow_gitops.state import SignedBy
from tests.support.memory_session import Parts

KEY = "ab" * 32
BODY = b"weights"
SHA = sums_of(BODY).sha256
OTHER = sums_of(b"others").sha256
PEM = "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYI\n-----END PUBLIC KEY-----\n"
ROOT = PEM.replace("PUBLIC KEY", "CERTIFICATE")


def bundle(payload: Mapping[str, object] | None = None, **more: object) -> bytes:
    resources = [{"name": "a/model.pkl", "algorithm": "sha256", "digest": SHA}]
    statement = payload or {
        "subject": [{"name": "v1", "digest": {"sha256": SHA}}],
        "predicate": {"serialization": {"method": "files"}, "resources": resources},
    }
    text = base64.b64encode(json.dumps(statement).encode()).decode()
    made = {
        "verificationMaterial": {"publicKey": {"hint": KEY}},
        "dsseEnvelope": {"payload": text},
        **more,
    }
    return json.dumps(made).encode()


def test_a_signature_is_read() -> None:
    assert read_statement(bundle()) == Statement("v1", {"a/model.pkl": SHA}, KEY)
    chain = {"certificates": [{"rawBytes": "AAAA"}, {"rawBytes": "BBBB"}]}
    found = read_statement(bundle(verificationMaterial={"x509CertificateChain": chain}))
    assert (found.key, found.certificate) == ("", b"\0\0\0")


def predicate(**more: object) -> bytes:
    made = {"serialization": {"method": "files"}, "resources": [], **more}
    return bundle({"subject": [{"name": "v1"}], "predicate": made})


TWICE = [{"name": "a", "algorithm": "sha256", "digest": SHA}] * 2
UNREADABLE = {
    "no json": b"signed",
    "no text": b"\xff\xfe",
    "a list": b"[]",
    "no envelope": b"{}",
    "no base64": bundle(dsseEnvelope={"payload": "***"}),
    "payload no text": bundle(dsseEnvelope={"payload": "/////w=="}),
    "nobody": bundle(verificationMaterial={}),
    "no hint": bundle(verificationMaterial={"publicKey": {"hint": "abc"}}),
    "no chain": bundle(verificationMaterial={"x509CertificateChain": {"certificates": []}}),
    "no subject": bundle({"predicate": {"serialization": {"method": "files"}, "resources": []}}),
    "shards": predicate(serialization={"method": "shards"}),
    "no resources": predicate(resources={}),
    "no resource": predicate(resources=["a"]),
    "other algorithm": predicate(resources=[{"name": "a", "algorithm": "blake3", "digest": SHA}]),
    "no digest": predicate(resources=[{"name": "a", "algorithm": "sha256", "digest": "ab"}]),
    "twice": predicate(resources=TWICE),
    "deep": b'{"a":' * 100_000,
}


@pytest.mark.parametrize("case", UNREADABLE)
def test_what_is_no_signature_is_said_to_be_none(case: str) -> None:
    with pytest.raises(UnreadableError):
        read_statement(UNREADABLE[case])


FILE = File("model.pkl", len(BODY), SHA)
COPIED = File("model.pkl", len(BODY), "", Checksum("crc32", "AAAAAA=="))
SEVEN = [File(f"f{number}", 1, SHA) for number in range(7)]
CASES = [
    ({"model.pkl": SHA}, [FILE], {}, ""),
    ({"model.pkl": OTHER}, [FILE], {}, "signed with another SHA-256: model.pkl"),
    ({}, [FILE], {}, "not signed: model.pkl"),
    ({"model.pkl": SHA, "b": SHA}, [FILE], {}, "signed, but not sealed: b"),
    ({"model.pkl": OTHER}, [COPIED], {}, ""),
    ({"model.pkl": SHA}, [COPIED], {"model.pkl": sums_of(BODY)}, ""),
    (
        {"model.pkl": OTHER},
        [COPIED],
        {"model.pkl": sums_of(BODY)},
        "signed with another SHA-256: model.pkl",
    ),
    ({"model.pkl": SHA}, [FILE, File(".gitattributes", 1, OTHER)], {}, ""),
    (
        {},
        [File(f"f{n}", 1, SHA) for n in range(7)],
        {},
        "not signed: f0, f1, f2, f3, f4 and 2 more",
    ),
]


@pytest.mark.parametrize(("signed", "sealed", "read", "expected"), CASES)
def test_a_signature_is_of_the_sealed_files_or_says_which_not(
    signed: dict[str, str], sealed: list[File], read: dict[str, object], expected: str
) -> None:
    assert disagreement(signed, sealed, read) == expected  # type: ignore[arg-type]


def test_gits_own_files_at_the_top_are_left_out_as_the_format_does() -> None:
    covered = ["MLmodel", "data/.gitattributes", ".gitkeep", "git", "data/.git/config"]
    left_out = [".git/config", ".gitattributes", ".gitignore", ".github/x.yml"]
    assert [path for path in covered + left_out if is_covered(path)] == covered


# The settings

ENVIRONMENTS = "environments:\n  production: {path: models, select: {stage: Production}}\n"


def settings(signed_by: object) -> str:
    text = json.dumps({"bucket": "models", "signed-by": signed_by})
    return f"artifacts: {text}\n{ENVIRONMENTS}"


def test_the_settings_say_who_is_trusted() -> None:
    found = parse_settings(settings({"public-keys": [PEM, PEM.strip()], "certificates": ROOT * 2}))
    assert found.signed_by == SignedBy((PEM,), ROOT * 2)
    assert not parse_settings(settings({})).signed_by
    block = "\n".join(f"        {line}" for line in PEM.splitlines())
    text = f"artifacts:\n  bucket: models\n  signed-by:\n    public-keys:\n      - |\n{block}\n"
    assert parse_settings(text + ENVIRONMENTS).signed_by == SignedBy((PEM,))


PRIVATE = PEM.replace("PUBLIC", "PRIVATE")


@pytest.mark.parametrize(
    ("signed_by", "words"),
    [
        (PEM, "has to be a mapping"),
        ({"public-key": PEM}, "no known key"),
        ({"public-keys": PEM}, "has to be a list"),
        ({"public-keys": ["/etc/key.pub"]}, "is no such text"),
        ({"public-keys": [PEM + PEM]}, "is no such text"),
        ({"public-keys": [PRIVATE]}, "is a private key"),
        ({"public-keys": [ROOT]}, "is no such text"),
        ({"certificates": [ROOT]}, "has to be a text"),
        ({"certificates": PEM}, "is no such text"),
        ({"certificates": ROOT + "\x07"}, "unprintable"),
    ],
)
def test_what_is_no_key_is_told_and_never_repeated(signed_by: object, words: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse_settings(settings(signed_by))
    assert words in str(error.value)
    assert "MFkw" not in str(error.value)


# When a signature is asked for


def test_what_is_sealed_is_published_again_where_it_has_to_be_signed() -> None:
    """So an unsigned revision is signed, and a wrong signature holds a promotion back."""
    parts = Parts()
    parts.register("fraud")
    parts.registry.transition("fraud", "1", "Staging")
    parts.session().reconciler.reconcile("fraud")
    assert [each.signed_by for each in parts.store.asked] == [SignedBy()]
    text = parts.repository.files()["mlflow-gitops.yaml"]
    keys = json.dumps({"public-keys": [PEM]})
    trusting = text.replace("artifacts:\n", f"artifacts:\n  signed-by: {keys}\n")
    parts.repository.person_commits({"mlflow-gitops.yaml": trusting})
    parts.registry.transition("fraud", "1", "Production")
    parts.session().reconciler.reconcile("fraud")
    assert [each.signed_by for each in parts.store.asked[1:]] == [SignedBy((PEM,))]
    parts.session().reconciler.reconcile("fraud")
    assert len(parts.store.asked) == 2
    assert parts.version("production", "fraud") == "1"
