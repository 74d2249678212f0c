"""Every way in which a chain from Git to the registry can be broken, and how `verify` names it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from mlflow_gitops.errors import TransientError
from mlflow_gitops.planning.checksums import (
    Checksum,
    crc32_text,
    etag_of,
    sha256_text,
    sums_of,
)
from mlflow_gitops.planning.kept import Examined, Kept
from mlflow_gitops.planning.revision_manifest import (
    Claim,
    File,
    Manifest,
    claim_text,
    manifest_text,
)
from mlflow_gitops.planning.verifying import Chain, Committed, Link, Verdict, verify
from mlflow_gitops.state import (
    Delivered,
    Identity,
    ModelVersion,
    Request,
    ServiceKey,
    ServiceSpec,
    Snapshot,
)
from mlflow_gitops.verification import Verification
from tests.support.memory_session import FILES, Parts

URI = "s3://models/fraud/v7/"
BODY = b"weights"
SUMS = sums_of(BODY)
SHA256 = Checksum("sha256", sha256_text(SUMS.sha256))
CRC32 = Checksum("crc32", "HFvNuQ==")
IDENTITY = Identity(1_700_000_000_000, "run-1", "m-1")
CLAIM = Claim(URI, "fraud", "7", "7", IDENTITY, "as-is", "s3://runs/1/model")
FILE = File("model.pkl", len(BODY), SUMS.sha256)
MANIFEST = Manifest(CLAIM, (FILE,), "2026-11-23T10:00:00.000Z", "test")
GIT = Committed(
    ServiceKey("production", "fraud"), "fraud", ServiceSpec(URI, "7"), "c" * 40, MANIFEST.digest
)
VERSION = ModelVersion("fraud", "7", IDENTITY)
SNAPSHOT = Snapshot("fraud", (VERSION,))


def examined(
    manifest: Manifest | bytes | None = MANIFEST,
    claim: Claim | bytes | None = CLAIM,
    **objects: Kept,
) -> Examined:
    if isinstance(manifest, Manifest):
        manifest = manifest_text(manifest).encode()
    if isinstance(claim, Claim):
        claim = claim_text(claim).encode()
    found = objects or {"model": Kept(len(BODY), SHA256)}
    return Examined(claim, manifest, {f"{name}.pkl": kept for name, kept in found.items()})


def links(chain: Chain) -> dict[str, str]:
    return {link.name: link.verdict.value for link in chain.links}


def test_an_unbroken_chain() -> None:
    chain = verify(GIT, examined(), SNAPSHOT)
    assert links(chain) == {
        "git": "ok",
        "claim": "ok",
        "manifest": "ok",
        "signature": "not checked",
        "files": "ok",
        "registry": "ok",
    }
    assert chain.digest == MANIFEST.digest
    assert chain.broken is None


OTHER = replace(CLAIM, identity=replace(IDENTITY, run_id="run-2"))
SHORT = Kept(len(BODY) - 1, SHA256)
BROKEN = {
    "label": (replace(GIT, spec=ServiceSpec(URI, "8")), examined(), SNAPSHOT, "git", "label says"),
    "no label": (replace(GIT, spec=ServiceSpec(URI, "")), examined(), SNAPSHOT, "git", "no label"),
    "trailer": (replace(GIT, digest="sha256:1"), examined(), SNAPSHOT, "git", "names the digest"),
    "claim gone": (GIT, examined(claim=None), SNAPSHOT, "claim", "not there"),
    "claim damaged": (GIT, examined(claim=b"\xff"), SNAPSHOT, "claim", "no UTF-8"),
    "claim of another": (GIT, examined(claim=OTHER), SNAPSHOT, "claim", "claimed for"),
    "manifest gone": (GIT, examined(None), SNAPSHOT, "manifest", "not there"),
    "manifest damaged": (GIT, examined(b"{"), SNAPSHOT, "manifest", "cannot be read"),
    "manifest edited": (
        GIT,
        examined(manifest_text(MANIFEST).replace('"size": 7', '"size": 70').encode()),
        SNAPSHOT,
        "files",
        "other size: model.pkl",
    ),
    "file edited in the manifest": (
        GIT,
        examined(manifest_text(MANIFEST).replace("model.pkl", "other.pkl").encode()),
        SNAPSHOT,
        "manifest",
        "not the digest",
    ),
    "manifest of another path": (
        GIT,
        examined(replace(MANIFEST, claim=replace(CLAIM, uri="s3://models/fraud/v8/"))),
        SNAPSHOT,
        "manifest",
        "another path",
    ),
    "manifest of another name": (
        GIT,
        examined(replace(MANIFEST, claim=replace(CLAIM, name="8"))),
        SNAPSHOT,
        "manifest",
        "of version 8",
    ),
    "expired": (GIT, examined(other=Kept(1)), SNAPSHOT, "files", "missing: model.pkl; not sealed"),
    "shorter": (GIT, examined(model=SHORT), SNAPSHOT, "files", "other size: model.pkl"),
    "tampered": (
        GIT,
        examined(model=Kept(len(BODY), Checksum("sha256", sha256_text("0" * 64)))),
        SNAPSHOT,
        "files",
        "other bytes: model.pkl",
    ),
    "tampered, and the storage does not know": (
        GIT,
        examined(model=Kept(len(BODY), SHA256, sums_of(b"Weights"))),
        SNAPSHOT,
        "files",
        "other bytes: model.pkl",
    ),
    "unreadable": (
        GIT,
        examined(model=Kept(len(BODY), problem="the bytes are damaged")),
        SNAPSHOT,
        "files",
        "cannot be read: model.pkl (the bytes are damaged)",
    ),
    "model gone": (GIT, examined(), None, "registry", "no model"),
    "version gone": (GIT, examined(), Snapshot("fraud", ()), "registry", "no version 7"),
    "registered anew": (
        GIT,
        examined(),
        Snapshot("fraud", (replace(VERSION, identity=replace(IDENTITY, created=5)),)),
        "registry",
        "created 5, sealed 1700000000000",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_the_first_broken_link_is_named(case: str) -> None:
    git, found, snapshot, link, words = BROKEN[case]
    broken = verify(git, found, snapshot).broken
    assert broken is not None
    assert (broken.name, words in broken.why) == (link, True), broken


def test_the_delivery_that_is_recorded_has_the_digest_of_the_manifest() -> None:
    request = Request("r", "7")
    record = Delivered(
        *(request, IDENTITY, "fraud", "fraud", "git", "main", "h", GIT.spec), digest="sha256:0"
    )
    snapshot = replace(SNAPSHOT, delivered={"production": record})
    assert links(verify(GIT, examined(), snapshot))["registry"] == "broken"
    elsewhere = replace(record, spec=ServiceSpec("s3://models/fraud/v6/", "6"))
    snapshot = replace(SNAPSHOT, delivered={"production": elsewhere})
    assert links(verify(GIT, examined(), snapshot))["registry"] == "ok"


def test_what_was_not_looked_at_is_not_said_to_be_right() -> None:
    chain = verify(GIT, examined(), None, unasked="nobody is there")
    assert chain.links[-1].verdict is Verdict.NOT_CHECKED
    assert chain.broken is None
    wrong = verify(replace(GIT, spec=ServiceSpec("gs://x/", "7")), None, SNAPSHOT)
    assert list(links(wrong).values()) == ["broken", *["not checked"] * 5]
    by_size = verify(GIT, examined(model=Kept(len(BODY), None)), SNAPSHOT)
    assert "1 file by name and size only: --deep" in by_size.links[4].why


def test_a_file_that_only_the_storage_has_a_checksum_of_is_given_its_sha256() -> None:
    right, wrong = Checksum("crc32", crc32_text(BODY)), Checksum("crc32", "AAAAAA==")
    copied = replace(MANIFEST, files=(File("model.pkl", len(BODY), "", right),))
    git = replace(GIT, digest="")
    chain = verify(git, examined(copied, model=Kept(len(BODY), right, SUMS)), SNAPSHOT)
    assert chain.broken is None
    assert chain.found == {"model.pkl": SUMS.sha256}
    other = verify(git, examined(copied, model=Kept(len(BODY), wrong)), SNAPSHOT)
    assert links(other)["files"] == "broken"
    assert other.found == {}


def test_another_etag_is_an_upload_in_other_parts_until_the_bytes_are_read() -> None:
    part = hashlib.md5(BODY, usedforsecurity=False).digest()
    right, wrong = Checksum("etag", etag_of([part]), 8), Checksum("etag", "0" * 32)
    copied = replace(MANIFEST, files=(File("model.pkl", len(BODY), "", right),))

    def files(kept: Kept, manifest: Manifest = copied) -> tuple[Verdict, str]:
        found = verify(replace(GIT, digest=""), examined(manifest, model=kept), SNAPSHOT)
        return found.links[4].verdict, found.links[4].why

    size = len(BODY)
    assert files(Kept(size, right)) == (Verdict.OK, "1 file by the storage's checksum")
    assert "written again since" in files(Kept(size, wrong))[1]
    assert files(Kept(size, wrong, sums_of(BODY, 8)))[0] is Verdict.OK
    assert "other bytes" in files(Kept(size, wrong, sums_of(b"Weights", 8)))[1]
    assert "by name and size only" in files(Kept(size, wrong), MANIFEST)[1]


# The command


@pytest.fixture
def parts() -> Parts:
    made = Parts()
    made.register("fraud")
    made.registry.transition("fraud", "1", "Production")
    made.session().reconciler.reconcile("fraud")
    return made


FOLDER = "s3://models/fraud/"


def test_the_command_shows_every_link(parts: Parts) -> None:
    before = parts.written()
    result = parts.cli("verify", "fraud", "--deep")
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[0].split() == ["SERVICE", "LINK", "VERDICT", "WHY"]
    assert f"{len(FILES)} files read, the bytes are the sealed ones" in result.stdout
    assert "names this digest" in result.stdout
    assert "no MLflow server is named" in result.stdout
    assert "production/fraud: no broken link; digest sha256:" in result.stdout
    assert parts.written() == before


def _expire(objects: dict[str, bytes]) -> None:
    del objects[f"{FOLDER}v1/model.pkl"]


def _damage(objects: dict[str, bytes]) -> None:
    objects[f"{FOLDER}_manifests/v1.json"] = b"[" * 5000


def _tamper(objects: dict[str, bytes]) -> None:
    objects[f"{FOLDER}v1/model.pkl"] = FILES["model.pkl"][::-1]


@pytest.mark.parametrize(
    ("harm", "link"), [(_expire, "files"), (_tamper, "files"), (_damage, "manifest")]
)
def test_harm_is_found_and_named(
    parts: Parts, harm: Callable[[dict[str, bytes]], None], link: str
) -> None:
    harm(parts.store.objects)
    result = parts.cli("verify", "fraud", "-e", "production")
    assert result.exit_code == 2
    assert f"production/fraud: the first broken link is `{link}`" in result.stdout
    found = json.loads(parts.cli("verify", "fraud", "--json").stdout)["services"]
    assert [each["broken"] for each in found] == [link]


def test_a_registry_is_asked_where_one_is_named(parts: Parts) -> None:
    named = parts.cli("verify", "fraud", environ={"MLFLOW_TRACKING_URI": "http://127.0.0.1:1"})
    assert "version 1 is the one that was sealed" in named.stdout


def test_a_registry_that_does_not_answer_leaves_its_link_open(parts: Parts) -> None:
    session = parts.session()
    parts.registry.failure = TransientError("it is down")
    settings = session.settings_from_git()
    gathered = Verification(
        session.repository, session.shelf, settings, session.model_signer, session.registry
    )
    (chain,) = gathered.verify("fraud", ("production",), deep=False)
    assert chain.broken is None
    assert chain.links[-1] == Link(
        "registry", Verdict.NOT_CHECKED, "the registry cannot be asked: it is down"
    )


def test_what_cannot_be_verified_is_an_error(parts: Parts) -> None:
    result = parts.cli("verify", "nope")
    assert (result.exit_code, "Git has no service of the model `nope`" in result.stderr) == (
        1,
        True,
    )


def test_an_object_that_keeps_another_checksum_than_publishing_left_was_written_again() -> None:
    chain = verify(GIT, examined(model=Kept(len(BODY), CRC32)), SNAPSHOT)
    assert chain.broken is not None
    assert "written again since (--deep compares the bytes): model.pkl" in chain.broken.why
    read = verify(GIT, examined(model=Kept(len(BODY), CRC32, SUMS)), SNAPSHOT)
    assert read.broken is None, "its bytes are the sealed ones"
