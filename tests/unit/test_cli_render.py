"""Texts for a pipe: whole, plain, and without anything that a terminal would obey."""

from __future__ import annotations

from io import StringIO

import pytest

from mlflow_gitops.ask import Answer
from mlflow_gitops.planning.figures import size_text
from mlflow_gitops.progress import LineProgress, counted, make_progress, tracked
from mlflow_gitops.render import (
    answer_text,
    clean,
    print_diff,
    print_table,
    spec_text,
)
from mlflow_gitops.state import Identity, ModelVersion, ServiceSpec, State

BEFORE = ServiceSpec("s3://models/fraud/v1/", "1")
AFTER = ServiceSpec("s3://models/fraud/v2/", "2")


def answer(**fields: object) -> Answer:
    known: dict[str, object] = {
        "environment": "production",
        "model": "fraud",
        "service": "fraud",
        "version": ModelVersion("fraud", "2", Identity(2)),
        "state": State.COMMITTED,
        "message": "version 2: it was asked for",
        "branch": "main",
        "before": BEFORE,
        "after": AFTER,
    }
    return Answer(**{**known, **fields})  # type: ignore[arg-type]


def test_a_table_in_a_pipe_is_never_cut_or_wrapped() -> None:
    out = StringIO()
    long = "x" * 5_000
    print_table(["SERVICE", "WHY"], [("a", long), ("longer", "y\nz")], out)
    assert out.getvalue() == f"SERVICE  WHY\na        {long}\nlonger   y z\n"


def test_nothing_that_a_terminal_obeys_is_printed() -> None:
    assert clean("a\x1b[31mb\x9bc\r\nd\te\x07") == "a\\x1b[31mb\\x9bc\nd\te\\x07"
    out = StringIO()
    print_table(["A"], [["[bold]no markup[/bold] :smile: \x1b]0;title\x07"]], out)
    assert out.getvalue() == "A\n[bold]no markup[/bold] :smile: \\x1b]0;title\\x07\n"


def test_a_diff_in_a_pipe_is_as_it_is() -> None:
    out = StringIO()
    print_diff("--- a\n+++ b\n-x: 1\r\n+x: [2]\r\n", out)
    assert out.getvalue() == "--- a\n+++ b\n-x: 1\n+x: [2]\n"


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 bytes"), (999, "999 bytes"), (1_500, "1.5 KB"), (2e6, "2.0 MB"), (7.25e9, "7.2 GB")],
)
def test_sizes(size: float, text: str) -> None:
    assert size_text(size) == text


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        (None, "(no service)"),
        (AFTER, "2"),
        (ServiceSpec("s3://b/x/", ""), "s3://b/x/"),
        (ServiceSpec("", ""), "(no version)"),
    ],
)
def test_a_spec_in_few_words(spec: ServiceSpec | None, text: str) -> None:
    assert spec_text(spec) == text


@pytest.mark.parametrize(
    ("fields", "head"),
    [
        ({"commit": "abc", "diff": "d"}, "1 -> 2: committed to main as abc"),
        ({}, "1 -> 2: Git said so already, the request is recorded"),
        ({"dry_run": True, "diff": "d"}, "1 -> 2: would be committed to main"),
        ({"dry_run": True}, "only the request would be recorded"),
        ({"already": True, "before": AFTER}, "version 2 is committed already"),
    ],
)
def test_an_answer_says_first_what_became_of_git(fields: dict[str, object], head: str) -> None:
    text = answer_text(answer(**fields))
    assert text.splitlines()[0].startswith("production/fraud: ")
    assert head in text.splitlines()[0]
    assert "uri: s3://models/fraud/v2/" in text
    assert ("nothing was written" in text) is bool(fields.get("dry_run"))


def test_progress_in_a_pipe_is_two_lines() -> None:
    out = StringIO()
    progress = make_progress(out)
    assert isinstance(progress, LineProgress)
    progress.start("publishing fraud v2", 2, 2_000)
    progress.advance(1_500, file="model.pkl")
    progress.advance(500, file="MLmodel")
    progress.finish()
    assert out.getvalue() == (
        "publishing fraud v2: 2 files, 2.0 KB\npublishing fraud v2: done, 2.0 KB\n"
    )
    progress.start("next", 1, 2_000)
    progress.advance(500)
    progress.finish()
    assert out.getvalue().endswith("next: 1 file, 2.0 KB\nnext: stopped, 500 bytes\n")


def test_long_work_in_a_pipe_is_a_line_for_each_hundred() -> None:
    out = StringIO()
    with counted(200, "Reconciling", out) as one_more:
        for _ in range(199):
            one_more()
        assert out.getvalue() == "Reconciling: 100 of 200\n"
        one_more()
    assert list(tracked("ab", "Asking", out)) == ["a", "b"]
    assert out.getvalue() == "Reconciling: 100 of 200\n"


def test_columns_line_up_on_a_screen_whatever_the_names_are() -> None:
    out = StringIO()
    print_table(["SERVICE", "GIT"], [("模型", "1"), ("é́", "2")], out)
    assert out.getvalue() == "SERVICE  GIT\n模型     1\né́        2\n"


def test_lines_tell_files_bytes_rate_and_the_time_left() -> None:
    moments = iter((0.0, 4.0, 10.0))
    out = StringIO()
    progress = LineProgress(out, clock=lambda: next(moments))
    progress.start("s3://bucket/fraud/v1/", 3, 4_000_000)
    progress.advance(500_000, file="a")
    progress.done("a")
    progress.advance(500_000, file="b")
    assert out.getvalue().splitlines()[1] == (
        "s3://bucket/fraud/v1/: 1 of 3 files, 1.0 MB of 4.0 MB, 100.0 KB/s, 30 s left"
    )
