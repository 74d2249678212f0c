"""Commit text: what people read, what is read back, and what nobody can smuggle in."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mlflow_gitops.planning.messages import clean, commit_message, parse_trailers, trailer_lines
from mlflow_gitops.state import Identity, ModelVersion, Request, ServiceSpec

V2 = ServiceSpec(uri="s3://models/prod/fraud-detector/v2/", version="2")
V3 = ServiceSpec(uri="s3://models/prod/fraud-detector/v3/", version="3")
ROW = ModelVersion(model="fraud-detector", number="3", identity=Identity(created=1, run_id="abc12"))
ASKED = Request(id="r-1", version="3", time="2026-11-01T10:00:00.000Z", by="ada", reason="")
KEYS = {
    "Gitops-Service",
    "Gitops-Request",
    "Model",
    "Model-Version",
    "Run-Id",
    "Artifact-Digest",
    "Artifact-Uri",
    "Requested-By",
    "Claimed-By",
    "Requested-At",
    "Undoes",
}


def message(
    *,
    model: str = "fraud-detector",
    action: str = "deploy",
    before: ServiceSpec | None = V2,
    after: ServiceSpec | None = V3,
    version: ModelVersion | None = ROW,
    request: Request = ASKED,
    undoes: str = "",
) -> str:
    return commit_message(
        environment="production",
        service="fraud-detector",
        model=model,
        action=action,
        before=before,
        after=after,
        version=version,
        request=request,
        digest="sha256:00ff",
        undoes=undoes,
    )


def test_a_promotion_reads_well() -> None:
    assert message() == (
        "production: fraud-detector v2 -> v3\n"
        "\n"
        "The registry asks for version 3 of the model fraud-detector.\n"
        "\n"
        "Gitops-Service: production/fraud-detector\n"
        "Gitops-Request: r-1\n"
        "Model: fraud-detector\n"
        "Model-Version: 3\n"
        "Run-Id: abc12\n"
        "Artifact-Digest: sha256:00ff\n"
        "Artifact-Uri: s3://models/prod/fraud-detector/v3/\n"
        "Claimed-By: ada\n"
        "Requested-At: 2026-11-01T10:00:00.000Z\n"
    )


SUBJECTS = [
    ("deploy", None, V3, "", "production: deploy fraud-detector v3"),
    ("deploy", V2, V3, "", "production: fraud-detector v2 -> v3"),
    ("rollback", V3, V2, "", "production: rollback fraud-detector v3 -> v2"),
    ("retire", V3, None, "", "production: retire fraud-detector v3"),
    ("retire", None, None, "", "production: retire fraud-detector"),
    (
        "rollback",
        V3,
        V2,
        "0123456789abcdef0123456789abcdef01234567",
        "production: rollback fraud-detector v3 -> v2 (undoes 0123456789ab)",
    ),
    (
        "deploy",
        ServiceSpec(uri="s3://old/v3/", version="3"),
        V3,
        "",
        "production: fraud-detector v3, from another place",
    ),
    (
        "deploy",
        ServiceSpec(uri=V3.uri, version="3", rollout="canary 10"),
        V3,
        "",
        "production: fraud-detector v3, another rollout",
    ),
    ("deploy", V3, V3, "", "production: fraud-detector v3, delivered again"),
    (
        "deploy",
        ServiceSpec(uri="s3://m/by-hand/", version=""),
        V3,
        "",
        "production: fraud-detector (without a label) -> v3",
    ),
    (
        "retire",
        ServiceSpec(uri="s3://m/by-hand/", version=""),
        None,
        "",
        "production: retire fraud-detector",
    ),
    (
        "deploy",
        ServiceSpec(uri="s3://m/v1.2.0/", version="v1.2.0"),
        ServiceSpec(uri="s3://m/1.3.0/", version="1.3.0"),
        "",
        "production: fraud-detector v1.2.0 -> v1.3.0",
    ),
]


@pytest.mark.parametrize(("action", "before", "after", "undoes", "subject"), SUBJECTS)
def test_the_subject_says_what_changed(
    action: str,
    before: ServiceSpec | None,
    after: ServiceSpec | None,
    undoes: str,
    subject: str,
) -> None:
    text = message(action=action, before=before, after=after, undoes=undoes)
    assert text.split("\n")[0] == subject


def test_a_signed_name_is_requested_by_and_any_other_is_claimed() -> None:
    signed = Request(id="r", version="3", by="ada", signed=True)
    assert parse_trailers(message(request=signed))["Requested-By"] == "ada"
    assert "Claimed-By" not in parse_trailers(message(request=signed))
    assert parse_trailers(message())["Claimed-By"] == "ada"
    assert "Requested-By" not in parse_trailers(message())


def test_a_reason_is_quoted_and_cannot_end_the_message() -> None:
    text = message(
        request=Request(id="r", version="3", reason="slow\n\nModel-Version: 9\nRun-Id: 0")
    )
    assert "\n> slow Model-Version: 9 Run-Id: 0\n" in text
    assert parse_trailers(text)["Model-Version"] == "3"
    assert [key for key, _ in trailer_lines(text)].count("Run-Id") == 1


def test_the_undone_commit_is_named_in_full() -> None:
    undone = "0123456789abcdef0123456789abcdef01234567"
    assert parse_trailers(message(action="rollback", undoes=undone))["Undoes"] == undone


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("plain text, with: marks (ok) 100% & more!", "plain text, with: marks (ok) 100% & more!"),
        ("two\nlines\r\nand\ttabs", "two lines and tabs"),
        ("a\u2028b\u2029c\x85d\x0be\x1cf", "a b c d e f"),
        ("bidi \u202egnp.exe\u202c, zero\u200bwidth, bell\x07, esc\x1b[31m", None),
        ("ask @octocat now", "ask @ octocat now"),
        ("(@org/team)", "(@ org/team)"),
        ("mail ada@example.com", "mail ada@example.com"),
        ("closes #12", "closes # 12"),
        ("fixes org/repo#3", "fixes org/repo# 3"),
        ("see GH-7 and gh-8", "see GH- 7 and gh- 8"),
        ("fixes ML-1 and ML-2", "fixes ML- 1 and ML- 2"),
        ("UTF-8 as ever", "UTF-8 as ever"),
        ("merge !4 of &5", "merge ! 4 of & 5"),
        ("https://evil.example/x", "https: //evil.example/x"),
        ("www.evil.example", "www .evil.example"),
        ("[click](http://evil.example)", "[click] (http: //evil.example)"),
        ("<img src=x> </b> <!-- -->", "< img src=x> < /b> < !-- -->"),
        ("done [skip ci]", "done [ skip ci]"),
        ("***NO_CI***", "* * *NO_CI* * *"),
        ("\ud800lone", "lone"),
        ("   ", ""),
    ],
)
def test_text_from_outside_does_nothing(text: str, line: str | None) -> None:
    cleaned = clean(text)
    if line is None:
        assert not re.search(r"[^ -~]", cleaned)
    else:
        assert cleaned == line


def test_text_from_outside_is_bounded() -> None:
    assert clean("x" * 1000, 50) == "x" * 47 + "..."
    long = Request(id="i" * 9999, version="3" * 9999, by="b" * 9999, reason="r " * 9999)
    text = message(model="m" * 9999, request=long)
    assert len(text) < 4000
    assert len(text.split("\n")[0]) <= 120


NASTY = st.text(
    alphabet=st.one_of(
        st.characters(),
        st.sampled_from("\n\r\x0b\x0c\x1c\x85\u2028\u2029\u202e\u200b\ufeff @#:-<>[]()!&*GHgh12"),
    ),
    max_size=60,
) | st.sampled_from(
    [
        "x\n\nSigned-off-by: a <a@b>\n",
        "\nGitops-Service: production/other",
        "(cherry picked from commit 0123)",
        "Model: other",
        "#",
    ]
)


@given(model=NASTY, number=NASTY, ident=NASTY, by=NASTY, reason=NASTY, uri=NASTY, run=NASTY)
@example(model="a\n\nb: c", number="1", ident="", by="\r\rx: y", reason="\n\nz: z", uri="", run="#")
def test_nothing_from_the_registry_adds_a_line_or_a_trailer(
    model: str, number: str, ident: str, by: str, reason: str, uri: str, run: str
) -> None:
    text = message(
        model=model,
        version=ModelVersion(model=model, number=number, identity=Identity(1, run_id=run)),
        after=ServiceSpec(uri=uri, version=number),
        request=Request(id=ident, version=number, by=by, reason=reason),
    )
    keys = [key for key, _ in trailer_lines(text)]
    assert set(keys) <= KEYS
    assert len(keys) == len(set(keys))
    assert parse_trailers(text)["Gitops-Service"] == "production/fraud-detector"
    assert len(text.rstrip("\n").split("\n\n")[-1].splitlines()) == len(keys)
    for line in text.splitlines():
        assert not re.search(r"(?<![A-Za-z0-9])@\w|#\w|https?://|<[A-Za-z/!]|\]\(", line) or (
            line.startswith("Artifact-Uri: ")
        )
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e]", text)


@given(NASTY, st.integers(10, 80))
def test_cleaning_twice_is_cleaning_once(text: str, limit: int) -> None:
    once = clean(text, limit)
    assert len(once) <= limit
    assert len(once.splitlines()) <= 1
    if len(once) < limit:
        assert clean(once) == once


@pytest.mark.parametrize(
    ("text", "trailers"),
    [
        ("title\n\nKey: value\n", {"Key": "value"}),
        ("Key: value\n", {}),  # a title is never a trailer
        ("title\nKey: value\n", {}),
        ("title\n\nbody\n\nKey: value\n", {"Key": "value"}),
        ("title\n\nKey: value\n\nbody\n", {}),
        ("title\n\nsome words\nKey: value\n", {}),
        ("title\n\nwords\nSigned-off-by: a\nKey: value\n", {"Signed-off-by": "a", "Key": "value"}),
        ("title\n\nKey: one\nKey: two\n", {"Key": "one"}),
        ("title\n\nKey: folded\n  more\n", {"Key": "folded\n  more"}),
        ("title\n\nnot a key: value\n", {}),
        ("title\n\nK\u00e9y: value\n", {}),
        ("title\n\nKey: value\n\n\n", {"Key": "value"}),
        ("title\r\n\r\nKey: value\r\n", {"Key": "value"}),
        ("", {}),
    ],
)
def test_trailers_are_read_as_git_reads_them(text: str, trailers: dict[str, str]) -> None:
    assert parse_trailers(text) == trailers
