from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlflow_gitops.planning.checksums import Checksum, Sums, crc32_text, sha256_text, sums_of


def md5(content: bytes) -> bytes:
    return hashlib.md5(content, usedforsecurity=False).digest()


@given(st.lists(st.binary(min_size=1, max_size=20), min_size=1), st.integers(1, 30))
def test_the_sums_do_not_depend_on_the_pieces(pieces: list[bytes], part_size: int) -> None:
    sums, whole = Sums(part_size), b"".join(pieces)
    for piece in pieces:
        sums.add(memoryview(piece))
    parts = [whole[at : at + part_size] for at in range(0, len(whole), part_size)]
    etag = f"{md5(b''.join(md5(part) for part in parts)).hex()}-{len(parts)}"
    assert sums.has(Checksum("etag", etag, part_size))
    assert sums.has(Checksum("crc32", crc32_text(whole)))
    assert sums.has(Checksum("sha256", sha256_text(hashlib.sha256(whole).hexdigest())))
    assert sums.sha256 == hashlib.sha256(whole).hexdigest()


def test_other_bytes_have_other_sums() -> None:
    sums, other = sums_of(b"weights", 5), sums_of(b"Weights", 5)
    assert sums.sha256 != other.sha256
    assert not sums.has(Checksum("crc32", crc32_text(b"Weights")))
    etag = f"{md5(md5(b'weigh') + md5(b'ts')).hex()}-2"
    assert sums.has(Checksum("etag", etag, 5))
    assert not other.has(Checksum("etag", etag, 5))


@pytest.mark.parametrize("part_size", [0, 4])
def test_an_etag_of_other_parts_is_not_compared(part_size: int) -> None:
    with pytest.raises(ValueError, match="other parts"):
        sums_of(b"weights", part_size).has(Checksum("etag", f"{'0' * 32}-2", 5))
