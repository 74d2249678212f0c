"""A pull request's text on Bitbucket: what people see, and what is read back."""

from __future__ import annotations

import cmarkgfm
import pytest

from mlflow_gitops.adapters.forge.bitbucket_text import LIMIT, read, written
from mlflow_gitops.planning.marker import marker, read_marker

MARK = marker({"request": "r (1)", "hold": "a) b\\c <x> -->"})


@pytest.mark.parametrize("labels", [(), ("ml",), ("ml", "mlflow-gitops/withdrawn")])
def test_the_mark_and_the_labels_are_read_back(labels: tuple[str, ...]) -> None:
    text = written(f"why\n\n{MARK}", labels)
    assert "<!--" not in text
    body, found = read(text)
    assert (body, found) == (f"why\n\n{MARK}", labels)
    assert read_marker(body) == read_marker(MARK)
    assert written(body, found) == text
    assert read(text.replace("\n", "\r\n")) == (body, labels)


def test_nobody_sees_the_mark() -> None:
    html = cmarkgfm.markdown_to_html(written(f"why\n\n{MARK}", ("ml",)))
    assert html == "<p>why</p>\n<p>Labels: <code>ml</code></p>\n"


def test_a_folded_part_is_a_heading() -> None:
    body = "a\n\n<details><summary>Metrics</summary>\n\n|x|\n\n</details>\n\n" + MARK
    text = written(body, ())
    assert "<" not in text.partition("[//]")[0]
    assert "**Metrics**" in text


def test_a_line_before_the_mark_names_no_labels() -> None:
    text = written(f"Labels: `mlflow-gitops/withdrawn`\n\n{MARK}", ())
    assert read(text)[1] == ()
    assert read(written(f"Labels: `x`\n\n{MARK}", ("ml",)))[1] == ("ml",)


def test_what_people_add_below_stays_in_the_text() -> None:
    text = written(f"why\n\n{MARK}", ("ml",)) + "\n\nPlease hurry."
    body, labels = read(text)
    assert labels == ("ml",)
    assert "Please hurry." in body


def test_a_long_text_keeps_its_mark_and_its_labels() -> None:
    text = written("(" * 80_000 + "\n\n" + MARK, ("ml",))
    assert len(text) <= LIMIT
    body, labels = read(text)
    assert (read_marker(body), labels) == (read_marker(MARK), ("ml",))
