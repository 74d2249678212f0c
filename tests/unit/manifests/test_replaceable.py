"""May this value be replaced? Read it as a truth table."""

from __future__ import annotations

import pytest

from mlflow_gitops.manifests.replaceable import (
    SCHEMES,
    label_complaint,
    shortened,
    uri_complaint,
    version_complaint,
    version_in,
)


@pytest.mark.parametrize("value", [None, "", " ", "\n", *(f"{each}://a/b" for each in SCHEMES)])
def test_nothing_and_a_uri_may_be_replaced(value: str | None) -> None:
    assert uri_complaint(value) == ""


@pytest.mark.parametrize(
    "value",
    [
        "s3://b/model v1/",
        "s3://b/v1\n",
        "oci://registry.example.com:5000/models/fraud@sha256:00",
        "https://account.blob.core.windows.net/container/model",
        "pvc://claim",
    ],
)
def test_forms_of_a_uri(value: str) -> None:
    assert uri_complaint(value) == ""


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("1", "a number, `1`"),
        ("-1.5e3", "a number, `-1.5e3`"),
        ("0x1f", "a number, `0x1f`"),
        ("true", "true or false, `true`"),
        ("Off", "true or false, `Off`"),
        ("llama2_7b_chat", "`llama2_7b_chat`, which is not a model URI"),
        ("Org/Model", "`Org/Model`, which is not a model URI"),
        ("models:/fraud/1", "`models:/fraud/1`, which is not a model URI"),
        ("/mnt/models", "`/mnt/models`, which is not a model URI"),
        ("ftp://host/model", "`ftp://host/model`, which is not a model URI"),
        ("s3:/b/v1", "`s3:/b/v1`, which is not a model URI"),
        ("a\nb", "a text of 2 lines"),
        ("s3://a/\ns3://b/", "a text of 2 lines"),
        ("${model_uri}", "`${model_uri}`, which something else fills in"),
        ("${model_uri:=s3://b/}", "`${model_uri:=s3://b/}`, which something else fills in"),
        ("$MODEL_URI", "`$MODEL_URI`, which something else fills in"),
        ("$(MODEL_URI)", "`$(MODEL_URI)`, which something else fills in"),
        ("s3://b/${v}/", "`s3://b/${v}/`, which something else fills in"),
        ("{{ .Values.uri }}", "`{{ .Values.uri }}`, which something else fills in"),
        ("s3://b/{{version}}", "`s3://b/{{version}}`, which something else fills in"),
        ("s3://<bucket>/v1/", "`s3://<bucket>/v1/`, which something else fills in"),
        ("<path:secret#uri>", "`<path:secret#uri>`, which something else fills in"),
    ],
)
def test_what_may_not_be_replaced(value: str, says: str) -> None:
    assert uri_complaint(value) == says


@pytest.mark.parametrize(
    ("value", "named", "is_number", "says"),
    [
        (None, "1", False, ""),
        ("", "1", False, ""),
        ("1", "1", True, ""),
        ("2", "1", False, ""),
        ("2", "", True, ""),
        ("2", "1", True, "the number `2`, and the URI names version `1`"),
        ("champion", "champion", False, ""),
        ("champion", "1", False, "`champion`, which is not a version"),
        ("v1.2.0-rc.1", "1", False, ""),
        ("true", "1", False, "true or false, `true`"),
        ("${version}", "1", False, "`${version}`, which something else fills in"),
        ("1\n2", "1", False, "a text of 2 lines"),
        ("s3://b/v1/", "1", False, "`s3://b/v1/`, which is not a version"),
    ],
)
def test_which_versions_may_be_replaced(
    value: str | None, named: str, is_number: bool, says: str
) -> None:
    assert version_complaint(value, named, is_number=is_number) == says


@pytest.mark.parametrize(
    ("value", "may"),
    [(None, True), ("1", True), ("true", True), ("champion", True), ("${v}", False)],
)
def test_a_label_is_the_version_by_its_name(value: str | None, may: bool) -> None:
    assert (label_complaint(value) == "") is may


@pytest.mark.parametrize(
    ("uri", "version"),
    [("s3://b/f/v1/", "1"), ("s3://b/f/v1.2-nest", "1.2"), ("s3://b/latest/", ""), ("", "")],
)
def test_the_version_in_a_uri(uri: str, version: str) -> None:
    assert version_in(uri) == version


def test_a_value_is_shown_on_one_line_without_secrets() -> None:
    assert shortened("a\x1bb`c") == "`a\N{REPLACEMENT CHARACTER}b\N{REPLACEMENT CHARACTER}c`"
    assert shortened("x" * 100) == f"`{'x' * 59}…`"
    assert shortened("ftp://user:password@host/a?token=b") == "`ftp://host/a`"
