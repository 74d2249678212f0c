"""Versions that are signed as they are published: by whom, of what, and who else can tell."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from mlflow_gitops.adapters.artifacts import S3ArtifactStore
from mlflow_gitops.adapters.model_signing import ModelSigner
from mlflow_gitops.adapters.shelf import S3Shelf
from mlflow_gitops.errors import ConfigError, PublishError
from mlflow_gitops.planning.model_signature import Signed, is_covered
from mlflow_gitops.planning.revision_manifest import parse_manifest
from mlflow_gitops.planning.verifying import Chain, Committed, verify
from mlflow_gitops.state import (
    ModelVersion,
    Publication,
    ServiceKey,
    ServiceSpec,
    SignedBy,
    Snapshot,
)
from tests.support.publications import FILES, TestBucket, publication, write_files
from tests.support.signing_keys import KeyPair, certificate, key_pair

pytest_plugins = ["tests.support.s3"]

PREFIX = "models/fraud"
SIGNATURE = f"{PREFIX}/_manifests/v1.sig"
MANIFEST = f"{PREFIX}/_manifests/v1.json"


@dataclass(frozen=True, slots=True)
class Keys:
    """`chain` is a file: the certificate of `leaf`, and the one between it and the root."""

    own: KeyPair
    other: KeyPair
    leaf: KeyPair
    chain: str
    root: str

    @property
    def signer(self) -> ModelSigner:
        return ModelSigner(self.own.file)

    @property
    def trusted(self) -> SignedBy:
        return SignedBy((self.own.public,))


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    folder = tmp_path_factory.mktemp("keys")
    own, other, leaf, between, root = (
        key_pair(folder, name) for name in ("own", "other", "leaf", "between", "root")
    )
    chain = folder / "chain.pem"
    chain.write_text(
        certificate("models", leaf, ("between", between))
        + certificate("between", between, ("root", root), is_ca=True)
    )
    return Keys(own, other, leaf, str(chain), certificate("root", root, is_ca=True))


@pytest.fixture
def signing(store: S3ArtifactStore, keys: Keys) -> S3ArtifactStore:
    return replace(store, signer=keys.signer)


@pytest.fixture
def asked(bucket: TestBucket, keys: Keys, tmp_path: Path) -> Publication:
    source = write_files(tmp_path / "source")
    return replace(publication(bucket.name, source), signed_by=keys.trusted)


def resources(signature: bytes) -> Mapping[str, str]:
    payload = json.loads(base64.b64decode(json.loads(signature)["dsseEnvelope"]["payload"]))
    return {each["name"]: each["digest"] for each in payload["predicate"]["resources"]}


def chain_of(
    store: S3ArtifactStore, asked: Publication, trusted: SignedBy, *, deep: bool = False
) -> Chain:
    """As `verify` judges it, with Git and the registry as they should be."""
    examined = S3Shelf(store.clients).examine(asked.uri, deep=deep)
    committed = Committed(
        ServiceKey("production", asked.model), "fraud", ServiceSpec(asked.uri, asked.name)
    )
    version = ModelVersion(asked.model, asked.number, asked.identity)
    signed: Signed | str
    if examined.signature is None:
        signed = "there is no signature"
    else:
        try:
            signed = ModelSigner().verified(examined.signature, trusted)
        except PublishError as error:
            signed = error.what
    return verify(committed, examined, Snapshot(asked.model, (version,)), signed=signed)


def broken(chain: Chain) -> str:
    return f"{chain.broken.name}: {chain.broken.why}" if chain.broken else ""


def link(chain: Chain, name: str) -> str:
    return next(f"{each.verdict}: {each.why}" for each in chain.links if each.name == name)


def test_the_library_alone_verifies_what_was_published(
    bucket: TestBucket, signing: S3ArtifactStore, asked: Publication, keys: Keys, tmp_path: Path
) -> None:
    write_files(Path(asked.source), {".gitattributes": b"*.bin lfs\n"})
    signing.publish(asked)
    files = {**FILES, ".gitattributes": b""}
    assert resources(bucket.read(SIGNATURE)).keys() == FILES.keys()
    chain = chain_of(signing, asked, keys.trusted)
    assert broken(chain) == ""
    assert "4 files signed by key" in link(chain, "signature")
    assert link(chain, "signature").endswith("not covered: .gitattributes")

    folder = tmp_path / "v1"
    write_files(folder, {path: bucket.read(f"{PREFIX}/v1/{path}") for path in files})
    (tmp_path / "v1.sig").write_bytes(bucket.read(SIGNATURE))
    (tmp_path / "key.pub").write_text(keys.own.public)
    command = [sys.executable, "-m", "model_signing", "verify", "key", str(folder)]
    options = ["--signature", str(tmp_path / "v1.sig"), "--public_key", str(tmp_path / "key.pub")]
    ended = subprocess.run([*command, *options], capture_output=True, text=True)
    assert "Verification succeeded" in ended.stdout, ended.stderr
    (folder / "model.pkl").write_bytes(b"others")
    ended = subprocess.run([*command, *options], capture_output=True, text=True)
    assert (ended.returncode, "Verification succeeded" in ended.stdout) == (1, False)


def test_a_certificate_signs_where_its_root_is_trusted(
    bucket: TestBucket, store: S3ArtifactStore, asked: Publication, keys: Keys
) -> None:
    by_certificate = replace(store, signer=ModelSigner(keys.leaf.file, keys.chain))
    trusted = SignedBy(certificates=keys.root)
    by_certificate.publish(replace(asked, signed_by=trusted))
    chain = chain_of(store, asked, trusted)
    assert broken(chain) == ""
    assert "signed by certificate CN=models" in link(chain, "signature")
    assert "none is trusted" in broken(chain_of(store, asked, keys.trusted))
    other = SignedBy(certificates=certificate("root", keys.other, is_ca=True))
    assert "the signature is not right" in broken(chain_of(store, asked, other))


def test_a_key_with_a_passphrase_and_a_larger_curve(
    signing: S3ArtifactStore, asked: Publication, tmp_path: Path
) -> None:
    pair = key_pair(tmp_path, "locked", ec.SECP384R1(), "correct horse")
    trusted = SignedBy((pair.public,))
    signer = ModelSigner(pair.file, passphrase=lambda: "correct horse")
    asked = replace(asked, signed_by=trusted)
    replace(signing, signer=signer).publish(asked)
    assert broken(chain_of(signing, asked, trusted)) == ""


def test_a_replaced_key_signs_what_comes_and_the_old_one_still_counts(
    signing: S3ArtifactStore, asked: Publication, keys: Keys
) -> None:
    signing.publish(asked)
    both = SignedBy((keys.other.public, keys.own.public))
    second = replace(asked, uri=asked.uri.replace("v1", "v2"), number="2", name="2")
    second = replace(second, signed_by=both)
    replace(signing, signer=ModelSigner(keys.other.file)).publish(second)
    for each in (asked, second):
        assert broken(chain_of(signing, each, both)) == ""
    assert "which is not trusted" in broken(
        chain_of(signing, asked, SignedBy((keys.other.public,)))
    )


# What the storage copied by itself has no SHA-256 until somebody reads it


def test_what_the_storage_copied_is_read_to_be_signed(
    bucket: TestBucket, other_bucket: TestBucket, signing: S3ArtifactStore, asked: Publication,
    keys: Keys,
) -> None:  # fmt: skip
    for path, body in FILES.items():
        other_bucket.put(f"run/{path}", body)
    asked = replace(asked, source=f"s3://{other_bucket.name}/run")
    signing.publish(asked)
    sealed = parse_manifest(bucket.read(MANIFEST).decode())
    assert {file.path: file.sha256 for file in sealed.files} == resources(bucket.read(SIGNATURE))
    assert broken(chain_of(signing, asked, keys.trusted)) == ""


def test_what_was_sealed_before_anybody_signed_is_signed_later(
    bucket: TestBucket, other_bucket: TestBucket, signing: S3ArtifactStore, asked: Publication,
    keys: Keys,
) -> None:  # fmt: skip
    for path, body in FILES.items():
        other_bucket.put(f"run/{path}", body)
    asked = replace(asked, source=f"s3://{other_bucket.name}/run")
    signing.publish(replace(asked, signed_by=SignedBy()))
    before = bucket.objects()
    assert "there is no signature" in broken(chain_of(signing, asked, keys.trusted))
    assert not signing.publish(asked).created
    assert bucket.objects().keys() - before.keys() == {SIGNATURE}
    assert broken(chain_of(signing, asked, keys.trusted, deep=True)) == ""
    signature = bucket.read(SIGNATURE)
    signing.publish(asked)
    assert bucket.read(SIGNATURE) == signature


def test_bytes_that_are_not_the_sealed_ones_are_not_signed(
    bucket: TestBucket, signing: S3ArtifactStore, asked: Publication
) -> None:
    signing.publish(replace(asked, signed_by=SignedBy()))
    bucket.put(f"{PREFIX}/v1/model.pkl", FILES["model.pkl"][::-1])
    with pytest.raises(PublishError, match="other bytes than were sealed"):
        signing.publish(asked)
    assert SIGNATURE not in bucket.names()


# Somebody writes to the bucket


def test_files_and_manifest_replaced_together_are_found_out(
    bucket: TestBucket, signing: S3ArtifactStore, asked: Publication, keys: Keys, tmp_path: Path
) -> None:
    """The digest agrees again, and only the signature cannot be made anew."""
    signing.publish(asked)
    signature = bucket.read(SIGNATURE)
    for name in bucket.names():
        bucket.delete(name)
    write_files(Path(asked.source), {"model.pkl": b"evil"})
    replace(signing, signer=ModelSigner()).publish(replace(asked, signed_by=SignedBy()))
    bucket.put(SIGNATURE, signature)
    assert broken(chain_of(signing, asked, keys.trusted)) == (
        "signature: signed with another SHA-256: model.pkl"
    )
    with pytest.raises(PublishError, match="the signature is of other files"):
        signing.publish(asked)

    replace(signing, signer=ModelSigner(keys.other.file)).publish(
        replace(asked, uri=asked.uri.replace("v1", "v2"), signed_by=SignedBy((keys.other.public,)))
    )
    bucket.put(SIGNATURE, bucket.read(SIGNATURE.replace("v1", "v2")))
    assert "which is not trusted" in broken(chain_of(signing, asked, keys.trusted))
    with pytest.raises(PublishError, match="which is not trusted") as error:
        signing.publish(asked)
    assert error.value.where == f"s3://{bucket.name}/{SIGNATURE}"


@pytest.mark.parametrize("harm", ["payload", "sig", "hint", "text", "cut", "list"])
def test_a_damaged_signature_is_not_right(
    bucket: TestBucket, signing: S3ArtifactStore, asked: Publication, keys: Keys, harm: str
) -> None:
    signing.publish(asked)
    content = bucket.read(SIGNATURE)
    made = json.loads(content)
    envelope = made["dsseEnvelope"]
    if harm == "payload":
        text = base64.b64decode(envelope["payload"]).replace(b'"MLmodel"', b'"MLModel"')
        envelope["payload"] = base64.b64encode(text).decode()
    elif harm == "sig":
        turned = base64.b64decode(envelope["signatures"][0]["sig"])[::-1]
        envelope["signatures"][0]["sig"] = base64.b64encode(turned).decode()
    elif harm == "hint":
        del made["verificationMaterial"]["publicKey"]["hint"]
    damaged = {"text": b"signed", "cut": content[:-20], "list": b"[]"}
    bucket.put(SIGNATURE, damaged.get(harm) or json.dumps(made).encode())
    assert broken(chain_of(signing, asked, keys.trusted)).startswith("signature: the signature ")


# Crashes and races


def test_a_signature_without_a_manifest_is_kept_by_who_goes_on(
    bucket: TestBucket, signing: S3ArtifactStore, asked: Publication, keys: Keys
) -> None:
    signing.publish(asked)
    signature = bucket.read(SIGNATURE)
    bucket.delete(MANIFEST)
    assert signing.publish(asked).created
    assert bucket.read(SIGNATURE) == signature
    assert broken(chain_of(signing, asked, keys.trusted)) == ""


def test_the_signature_is_there_before_the_seal(
    bucket: TestBucket, signing: S3ArtifactStore, asked: Publication
) -> None:
    bucket.put(SIGNATURE, b"{}")
    with pytest.raises(PublishError, match="the signature cannot be read"):
        signing.publish(asked)
    assert MANIFEST not in bucket.names()


# What a user can set wrongly: nothing is written


def test_without_a_key_that_counts_nothing_is_written(
    bucket: TestBucket, store: S3ArtifactStore, asked: Publication, keys: Keys, tmp_path: Path
) -> None:
    locked = key_pair(tmp_path, "locked", passphrase="correct horse")
    text = tmp_path / "text.pem"
    text.touch(0o600)
    text.write_text("secret words\n")
    shown = key_pair(tmp_path, "shown")
    Path(shown.file).chmod(0o644)
    gone = str(tmp_path / "gone.pem")
    own = keys.own.file
    wrong = {
        "no key to sign": ModelSigner(),
        "No such file": ModelSigner(gone),
        "others than its owner may read the key file (0644)": ModelSigner(shown.file),
        "not trusted": ModelSigner(keys.other.file),
        "used to sign": ModelSigner(str(text)),
        "PASSPHRASE for a key": ModelSigner(locked.file),
        "its right passphrase": ModelSigner(locked.file, passphrase=lambda: "wrong horse"),
        "only for such a one": ModelSigner(own, passphrase=lambda: "correct horse"),
        "no certificate in": ModelSigner(own, str(text)),
        "no certificate but its own": ModelSigner(own, keys.chain),
        "none is trusted": ModelSigner(keys.leaf.file, keys.chain),
        "no passphrase where": ModelSigner(locked.file, keys.chain),
    }
    for words, signer in wrong.items():
        with pytest.raises(ConfigError) as error:
            replace(store, signer=signer).publish(asked)
        told = f"{error.value.what} {error.value.where} {error.value.hint}"
        assert words in told
        assert not any(secret in told for secret in ("horse", "secret words", "PRIVATE"))
    unusable = SignedBy(("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",))
    with pytest.raises(ConfigError, match="a public key cannot be read"):
        replace(store, signer=keys.signer).publish(replace(asked, signed_by=unusable))
    assert bucket.names() == []
    assert "horse" not in repr(ModelSigner(own, passphrase=lambda: "horse"))


def test_without_the_library_it_is_told_how_to_get_it(keys: Keys) -> None:
    """As in a process where it was never installed."""
    program = (
        "import sys; sys.modules['model_signing'] = None\n"
        "from mlflow_gitops.adapters.model_signing import ModelSigner\n"
        "from mlflow_gitops.errors import ConfigError\n"
        f"try: ModelSigner({keys.own.file!r}).sign('v1', {{}})\n"
        "except ConfigError as error: print(error)\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert "pip install 'mlflow-gitops[signing]'" in ended.stdout, ended.stderr


# Any names

SEGMENT = st.text(
    st.characters(codec="utf-8", exclude_categories=("C", "Z"), exclude_characters="/\\"),
    min_size=1,
    max_size=8,
).filter(lambda text: text not in (".", ".."))
PATHS = st.lists(SEGMENT, min_size=1, max_size=3).map("/".join)


@given(st.dictionaries(PATHS, st.binary(min_size=32, max_size=32).map(bytes.hex), min_size=1))
def test_what_was_signed_is_what_is_verified(keys: Keys, files: dict[str, str]) -> None:
    signed = keys.signer.verified(keys.signer.sign("v1", files), keys.trusted)
    assert signed.files == {path: sha for path, sha in files.items() if is_covered(path)}
