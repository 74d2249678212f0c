from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlflow_gitops.errors import PublishError
from mlflow_gitops.planning import write_once
from mlflow_gitops.planning.checksums import Checksum
from mlflow_gitops.planning.fields import UnreadableError
from mlflow_gitops.planning.revision_manifest import (
    File,
    Manifest,
    claim_of,
    claim_text,
    digest_of,
    manifest_of,
    manifest_text,
    parse_claim,
    parse_manifest,
    place_of,
)
from mlflow_gitops.state import Identity, Publication

PUBLICATION = Publication(
    uri="s3://bucket/models/fraud/v12/",
    source="mlflow-artifacts:/0/models/m-1/artifacts",
    model="fraud",
    number="12",
    name="12",
    identity=Identity(1_700_000_000_000, "run-1", "m-1"),
)
PLACE = place_of(PUBLICATION.uri)
A, B = (hashlib.sha256(content).hexdigest() for content in (b"a", b"bb"))
FILES = (File("model.pkl", 2, B), File("MLmodel", 1, A))
MANIFEST = manifest_of(PUBLICATION, FILES, created="2026-01-01T00:00:00.000Z", tool="test 1")


def test_claim_and_manifest_lie_beside_the_path_and_never_in_it() -> None:
    assert PLACE.bucket == "bucket"
    assert PLACE.prefix == "models/fraud/v12/"
    assert PLACE.claim == "models/fraud/_manifests/v12.claim.json"
    assert PLACE.manifest == "models/fraud/_manifests/v12.json"
    assert place_of("s3://bucket/v1/").manifest == "_manifests/v1.json"


@pytest.mark.parametrize(
    "uri",
    [
        "s3://bucket/fraud/v1",
        "s3://bucket/",
        "s3://bucket//",
        "s3:///fraud/v1/",
        "gs://bucket/fraud/v1/",
        "s3://bucket/fraud/../v1/",
        "s3://bucket/fr#aud/v1/",
        "s3://bucket/fr aud/v1/",
        "s3://bucket/fraud//v1/",
        "s3://bucket/fraud/v1//",
        "s3://key:secret@bucket/fraud/v1/",
        "s3://bucket/fraud/v1.claim/",
        "s3://bucket/_manifests/v1/",
    ],
)
def test_an_address_that_would_be_misread_is_refused(uri: str) -> None:
    with pytest.raises(PublishError) as refused:
        place_of(uri)
    assert refused.value.hint


def test_documents_survive_the_way_through_text() -> None:
    assert parse_claim(claim_text(claim_of(PUBLICATION))) == claim_of(PUBLICATION)
    assert parse_manifest(manifest_text(MANIFEST)) == MANIFEST


@given(
    model=st.text(max_size=20),
    name=st.text(max_size=10),
    sizes=st.lists(st.integers(0, 2**50), min_size=1, max_size=5),
)
def test_any_names_survive_the_way_through_text(model: str, name: str, sizes: list[int]) -> None:
    publication = replace(PUBLICATION, model=model, name=name)
    files = [File(f"f{i}", size, A) for i, size in enumerate(sizes)]
    made = manifest_of(publication, files, created="now", tool="test")
    assert parse_manifest(manifest_text(made)) == made


def copied(value: str, part_size: int, size: int = 11) -> Manifest:
    stored = Checksum("etag", value, part_size)
    return replace(MANIFEST, files=(File("model.pkl", size, "", stored),))


def test_an_etag_survives_with_the_size_of_its_parts() -> None:
    made = parse_manifest(manifest_text(copied(f"{'0' * 32}-3", 5)))
    assert made.files[0].stored == Checksum("etag", f"{'0' * 32}-3")
    assert made.files[0].part_size == 5


@pytest.mark.parametrize(
    ("value", "part_size", "size", "words"),
    [
        (f"{'0' * 32}-3", 4, 7, "other parts"),
        (f"{'0' * 32}-3", -5, 11, "other parts"),
        (f"{'0' * 32}-1000000", 1, 1_000_000, "no right value"),
        (f"{'0' * 32}", 5, 11, "other parts"),
        (f"{'0' * 32}-3", 1, 10**400, "other parts"),
        ("AAAAAA==-3", 5, 11, "no right value"),
    ],
)
def test_an_etag_is_of_the_parts_that_the_file_has(
    value: str, part_size: int, size: int, words: str
) -> None:
    with pytest.raises(UnreadableError, match=words):
        parse_manifest(manifest_text(copied(value, part_size, size)))


def test_files_are_sorted_so_that_the_same_content_has_the_same_text() -> None:
    again = manifest_of(PUBLICATION, reversed(FILES), created=MANIFEST.created, tool="test 1")
    assert [file.path for file in MANIFEST.files] == ["MLmodel", "model.pkl"]
    assert manifest_text(again) == manifest_text(MANIFEST)


def test_the_digest_is_that_of_what_sha256sum_prints() -> None:
    printed = f"{A}  MLmodel\n{B}  model.pkl\n"
    assert MANIFEST.digest == f"sha256:{hashlib.sha256(printed.encode()).hexdigest()}"


def test_the_digest_tells_contents_and_names_apart() -> None:
    assert digest_of(FILES) != digest_of((FILES[0], File("MLmodel", 1, B)))
    assert digest_of(FILES) != digest_of((FILES[0], File("MLmodel2", 1, A)))
    assert digest_of(FILES) != digest_of(FILES[:1])


def change(**values: Any) -> str:
    document = json.loads(manifest_text(MANIFEST))
    return json.dumps({**document, **values})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{",
        "[" * 100_000,
        claim_text(claim_of(PUBLICATION)),
        change(format=2),
        change(format="1"),
        change(format=True),
        change(kind="claim"),
        change(digest="sha256:" + "0" * 64),
        change(files=[]),
        change(files=None),
        change(files={}),
        change(files=["MLmodel"]),
        change(files=[{"path": "MLmodel", "size": 1}]),
        change(files=[{"path": "../x", "size": 1, "sha256": A}]),
        change(files=[{"path": "x", "size": -1, "sha256": A}]),
        change(files=[{"path": "x", "size": 1, "sha256": A.upper()}]),
        change(files=[{"path": "x", "size": 1, "sha256": A}] * 2),
        change(identity=None),
        change(identity={"created": "1", "run_id": "", "model_id": ""}),
        change(source=None),
        change(model="\ud800"),
    ],
)
def test_what_the_tool_would_not_write_is_unreadable(text: str) -> None:
    with pytest.raises(UnreadableError):
        parse_manifest(text)


def test_a_document_that_cannot_be_read_names_its_object() -> None:
    for content in (b"{", b"\xff\xfe", b""):
        with pytest.raises(PublishError, match="not what the tool writes") as refused:
            write_once.read_document(content, parse_manifest, "s3://bucket/x.json")
        assert refused.value.where == "s3://bucket/x.json"


# What may be written, and what has to be there


def test_a_claim_of_the_same_version_lets_it_go_on_under_a_new_name_of_the_model() -> None:
    claim = claim_of(PUBLICATION)
    write_once.check_claim(claim, PUBLICATION, PLACE)
    write_once.check_claim(claim, replace(PUBLICATION, model="renamed"), PLACE)


@pytest.mark.parametrize(
    "other",
    [
        replace(PUBLICATION, identity=Identity(1_700_000_000_001, "run-1", "m-1")),
        replace(PUBLICATION, identity=Identity(1_700_000_000_000, "run-2", "m-1")),
        replace(PUBLICATION, identity=Identity(1_700_000_000_000, "run-1", "m-2")),
        replace(PUBLICATION, layout="nest"),
    ],
)
def test_another_version_is_told_what_is_there_and_how_to_go_on(other: Publication) -> None:
    for check, document in (
        (write_once.check_claim, claim_of(PUBLICATION)),
        (write_once.check_manifest, MANIFEST),
    ):
        with pytest.raises(PublishError, match="by another: version 12 of fraud") as refused:
            check(document, other, PLACE)  # type: ignore[operator]
        assert refused.value.where == PUBLICATION.uri
        assert "version-name" in refused.value.hint
        assert "artifacts.prefix" in refused.value.hint
        assert "s3://bucket/models/fraud/_manifests/v12.claim.json" in refused.value.hint


def test_a_claim_cannot_break_the_message_that_shows_it() -> None:
    claim = replace(claim_of(PUBLICATION), model="a\n  next: pay", source="s3://k:secret@b/x?sig=1")
    told = str(claim)
    assert "\n" not in told
    assert "secret" not in told
    assert "sig" not in told


def test_the_same_version_from_another_source_is_refused_while_it_is_unsealed() -> None:
    moved = replace(PUBLICATION, source="s3://elsewhere/x")
    with pytest.raises(PublishError, match="is now at s3://elsewhere/x"):
        write_once.check_claim(claim_of(PUBLICATION), moved, PLACE)
    write_once.check_manifest(MANIFEST, moved, PLACE)


def test_sealed_files_have_to_be_there_as_they_were() -> None:
    write_once.check_complete(MANIFEST, {"MLmodel": 1, "model.pkl": 2}, PLACE)
    listed = {"model.pkl": 3} | dict.fromkeys("abcdef", 0)
    with pytest.raises(
        PublishError,
        match=r"missing: MLmodel; other size: model\.pkl; not sealed: a, b, c, d, e and 1 more",
    ):
        write_once.check_complete(MANIFEST, listed, PLACE)


def test_a_claimed_path_may_hold_only_the_versions_files() -> None:
    files = {"MLmodel": 1, "model.pkl": 2}
    write_once.check_known(files, {}, PLACE)
    write_once.check_known(files, {"MLmodel": 1}, PLACE)
    with pytest.raises(PublishError, match="extra"):
        write_once.check_known(files, {"extra": 1}, PLACE)
    with pytest.raises(PublishError, match="other bytes") as refused:
        write_once.check_known(files, {"MLmodel": 5}, PLACE)
    assert refused.value.where == "s3://bucket/models/fraud/v12/MLmodel"


def test_a_seal_that_was_lost_to_the_same_content_is_fine() -> None:
    later = replace(MANIFEST, created="2027", tool="test 2")
    write_once.check_same_content(MANIFEST, later, PLACE)
    other = manifest_of(PUBLICATION, [FILES[0], File("MLmodel", 1, B)], created="", tool="")
    with pytest.raises(PublishError, match=r"other content meanwhile \(MLmodel\)"):
        write_once.check_same_content(MANIFEST, other, PLACE)


def test_a_key_may_not_be_longer_than_s3_takes() -> None:
    place = place_of(f"s3://bucket/{'a' * 500}/v1/")
    write_once.check_keys(["b" * 500], place)
    with pytest.raises(PublishError, match="1024"):
        write_once.check_keys(["ok", "b" * 530], place)
