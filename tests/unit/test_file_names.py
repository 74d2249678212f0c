from __future__ import annotations

import unicodedata

import pytest

from mlflow_gitops.errors import PublishError
from mlflow_gitops.planning.file_names import (
    check_address,
    check_path,
    check_paths,
    named,
    shown_name,
)
from mlflow_gitops.planning.revision_manifest import place_of
from mlflow_gitops.planning.write_once import check_keys

GOOD_NAMES = [
    *("MLmodel", "code/pkg/__init__.py", ".hidden", "a-b_c.d/E9", "..a", "a..b/c..", "..."),
    *("my file (1).csv", "year=2024/part-0.parquet", "code/año.py", "a+b", "x@2x", "a,b", "a~b"),
    *("a#b", "a&b", "a%b", "a%20b", "a%2e%2e/b", "a'b", 'a"b', "a?b", "a*b", "a[b]", "a{b}"),
    *("a:b", "a;b", "a$b", "a!b", "a|b", "a<b>", "a^b", "a`b", "-rf", "~", " ", " a /b ", "a."),
    *("日本語/モデル.bin", "emoji😀", "rtl\u202ex", "zwj\u200dx", "line\u2028x", "\ufffe"),
    *("x" * 255, "é" * 123, f"{'é' * 127}/a", "/".join("d" * 200 for _ in range(4))),
]

BAD_NAMES = [
    ("", "is empty"),
    ("/etc/passwd", "empty part"),
    ("a//b", "empty part"),
    ("a/", "empty part"),
    ("..", "out of its folder"),
    (".", "out of its folder"),
    ("../x", "out of its folder"),
    ("a/../b", "out of its folder"),
    ("a/./b", "out of its folder"),
    ("a\\b", "backslash"),
    ("a\nb", r"control character \(U\+000A\)"),
    ("a\x00b", "control character"),
    ("a\x1b[2J", "control character"),
    ("a\x7f", "control character"),
    ("a\x85b", "control character"),
    ("a\udcffb", "not UTF-8"),
    ("x" * 256, "part of 256 bytes"),
    (f"{'é' * 128}/a", "part of 256 bytes"),
    ("é" * 124, "has 248 bytes after the last `/`; KServe's download adds 9"),
]


@pytest.mark.parametrize("name", GOOD_NAMES)
def test_names_that_kserve_brings_back(name: str) -> None:
    check_path(name)


@pytest.mark.parametrize(("name", "why"), BAD_NAMES)
def test_other_names_are_refused_with_the_reason(name: str, why: str) -> None:
    with pytest.raises(PublishError, match=why) as refused:
        check_path(name)
    assert "log the model again" in refused.value.hint
    assert refused.value.where == shown_name(name)
    assert refused.value.where.isprintable()


def test_one_bad_name_refuses_them_all() -> None:
    check_paths(["MLmodel", "a/b"], "s3://b/x")
    with pytest.raises(PublishError, match="out of its folder"):
        check_paths(["MLmodel", "a/../b"], "s3://b/x")


def test_an_empty_source_is_refused() -> None:
    with pytest.raises(PublishError, match="no files") as refused:
        check_paths([], "s3://b/x")
    assert refused.value.where == "s3://b/x"


def test_a_file_that_is_also_a_folder_is_refused() -> None:
    with pytest.raises(PublishError, match="`a/b` is a file and a folder"):
        check_paths(["a/b", "a/b/c/d", "z"], "s3://b/x")


def test_names_that_differ_by_case_or_normalization_only_are_two_files() -> None:
    name = "año"
    check_paths([name, unicodedata.normalize("NFD", name), "A", "a"], "s3://b/x")


@pytest.mark.parametrize("path", ["models/fr#aud", "a?b", "a%20b", "a b", "año", "a+b"])
def test_the_address_above_the_names_stays_strict(path: str) -> None:
    with pytest.raises(PublishError, match="other than letters"):
        check_address(path)
    with pytest.raises(PublishError):
        place_of(f"s3://bucket/{path}/v1/")


def test_a_key_is_measured_in_bytes() -> None:
    place = place_of("s3://bucket/fraud/v1/")
    parts = "/".join("é" * 100 for _ in range(5))  # 1,004 bytes
    check_keys([parts], place)
    with pytest.raises(PublishError, match="1024 bytes, and the file's would have 1025") as refused:
        check_keys([f"{parts}/{'x' * 11}"], place)
    assert "artifacts.prefix" in refused.value.hint


def test_a_message_shows_names_whole_on_one_line() -> None:
    assert shown_name("a?b#c//x@y") == "a?b#c//x@y"
    assert shown_name("rtl\u202ex") == "rtl�x"
    assert len(shown_name("x" * 10_000)) < 400
    assert named(["a#1", "b?2"], 1) == "a#1 and 1 more"


def test_folders_in_folders_are_bounded() -> None:
    check_path("a/" * 50 + "b")
    with pytest.raises(PublishError, match="52 parts"):
        check_path("a/" * 51 + "b")
