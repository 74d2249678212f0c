"""Foreign text in Markdown, shown by GitHub's own renderer: it stays text, whatever it is."""

from __future__ import annotations

import html
import re

import cmarkgfm
import pytest
from cmarkgfm.cmark import Options
from hypothesis import example, given
from hypothesis import strategies as st

from mlflow_gitops.planning.markdown import (
    block,
    code,
    exact_block,
    folded,
    link,
    quote,
    short_code,
    table,
)
from mlflow_gitops.planning.messages import clean

NASTY = (
    "closes #1",
    "Fixes owner/repo#12, resolves JIRA-7",
    "@everyone look, and @org/team",
    "see https://evil.example/x?y=1 or www.evil.example",
    "[click](https://evil.example)",
    "![x](https://evil.example/x.png)",
    "<script>alert(1)</script>",
    "<!-- mlflow-gitops {} -->",
    "--> </details>",
    "a | b \\| c \\",
    "`` ` ``` code ````",
    "/approve",
    "first\n\n/lgtm\nCo-authored-by: Eve <eve@example.com>",
    "# heading\n- list\n> quote",
    "~~~\nfence\n~~~",
    ":tada: $`x`$ $$y$$",
    "!12 &3 %4 ~label $5 ^alert#6 GH-7 abcdef1",
    "\u202egnp.exe \u200b\x00\x1b[31m",
    "&lt;b&gt; &#64;",
    "*bold* _it_ __x__ ~~no~~",
)
TEXTS = st.one_of(st.sampled_from(NASTY), st.text(max_size=60), st.text("`|\\ab \n", max_size=30))
TAGS = re.compile(r"<[^>]*>")


def shown(markdown: str) -> str:
    return str(cmarkgfm.github_flavored_markdown_to_html(markdown, Options.CMARK_OPT_UNSAFE))


def tags(page: str) -> set[str]:
    return {tag.strip("</>").split()[0] for tag in TAGS.findall(page)}


def words(page: str) -> str:
    return html.unescape(TAGS.sub("", page)).strip()


def the_code(page: str) -> str:
    found = re.search(r"<code>(.*?)</code>", page, re.DOTALL)
    return html.unescape(found[1]) if found else ""


@given(TEXTS)
@example("`")
@example("a\\|b")
def test_code_is_shown_as_it_is(text: str) -> None:
    page = shown(f"before {code(text)} after")
    assert tags(page) <= {"p", "code"}
    assert the_code(page) == clean(text)
    assert words(page).startswith("before")


@given(st.lists(TEXTS, min_size=1, max_size=4))
@example(["|", "\\", "a\\|b", "`|`"])
def test_a_cell_holds_its_text_and_the_table_its_cells(texts: list[str]) -> None:
    page = shown(table(["a", "b"], [[code(text), "end"] for text in texts]))
    assert tags(page) <= {"table", "thead", "tbody", "tr", "th", "td", "code"}
    cells = re.findall(r"<td>(.*?)</td>", page, re.DOTALL)
    assert [words(cell) for cell in cells[::2]] == [clean(text).strip() for text in texts]
    assert cells[1::2] == ["end"] * len(texts)


@given(TEXTS)
@example("x" * 200)
@example("sha256:" + "0af3" * 16)
def test_a_short_cell_has_no_long_word(text: str) -> None:
    page = shown(table(["a"], [[short_code(text, 60, 20)]]))
    assert tags(page) <= {"table", "thead", "tbody", "tr", "th", "td", "code"}
    assert max(map(len, the_code(page).split()), default=0) <= 20
    assert len(the_code(page)) <= 60


def test_a_short_cell_keeps_what_tells_two_words_apart() -> None:
    assert short_code("sha256:" + "0af3" * 16, 80, 30) == "`sha256:0af30af30af3`"
    assert short_code("0af3" * 8, 80, 30) == "`0af30af30af3`"
    assert (
        short_code("of s3://models/fraud/v1/model.pkl", 80, 20) == "`of s3: //models/...odel.pkl`"
    )
    assert short_code("mlflow 3.17", 80, 6) == "`mlflow 3.17`"


@given(TEXTS.filter(lambda text: bool(clean(text))))
def test_a_quotation_is_one_block_of_text(text: str) -> None:
    page = shown(f"{quote(text, 500)}\n\nafter")
    assert tags(page) <= {"blockquote", "code", "p"}
    assert page.endswith("<p>after</p>\n")
    inside = html.unescape(page.partition("<code>")[2].partition("</code>")[0])
    assert "".join(inside.split()) == "".join(clean(text, 500).split())


@given(st.lists(TEXTS.map(lambda text: text.replace("\n", " ")), max_size=5))
def test_a_diff_is_one_block(lines: list[str]) -> None:
    page = shown(f"{block((f'+{line}' for line in lines), 'diff')}\n\nafter")
    assert tags(page) <= {"pre", "code", "p"}
    assert page.endswith("<p>after</p>\n")


@pytest.mark.parametrize("text", NASTY)
def test_no_line_begins_with_what_is_foreign(text: str) -> None:
    for line in (f"x {code(text)}", quote(text, 500), table(["a"], [[code(text)]])):
        assert all(each[0] in "x>|`" for each in line.splitlines())


@pytest.mark.parametrize("text", ["closes #1", "Fixes owner/repo#12", "resolves https://a.b/c/1"])
def test_words_that_close_an_issue_do_not(text: str) -> None:
    """Also as a line of a diff, or once the text is the message of a squashed commit."""
    closing = re.compile(r"(?i)(clos|fix|resolv)\w* +([\w/]*#\d|https?://)")
    assert closing.search(text)
    for made in (code(text), quote(text, 500), block([f"+{text}"], "diff")):
        assert not closing.search(made)


@given(TEXTS, TEXTS)
def test_what_is_folded_stays_inside(text: str, other: str) -> None:
    page = shown(f"{folded('2 changed', table(['a'], [[code(text)], [code(other)]]))}\n\nafter")
    assert page.count("<details>") == page.count("</details>") == 1
    assert page.endswith("</details>\n<p>after</p>\n")


def test_an_address_of_ours_is_not_changed() -> None:
    text = exact_block([("now URI", "s3://fixes/#1/v1/"), ("now digest", "sha256:ab\n```\n# x")])
    assert text == "````text\nnow URI     s3://fixes/#1/v1/\nnow digest  sha256:ab ``` # x\n````"
    assert tags(shown(text)) == {"pre", "code"}
    page = shown(link(code("run`1"), "https://mlflow.example/#/experiments/1/runs/a%20b"))
    assert 'href="https://mlflow.example/#/experiments/1/runs/a%20b"' in page
    for url in ("javascript:alert(1)", "https://a.b/>x", "https://u:p@a.b/", "https://a.b/ x"):
        assert link(code("run"), url) == "`run`"
