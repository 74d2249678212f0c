"""The text of a pull request in a real browser, as GitHub shows it: nothing has to be scrolled."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page

from tests.support.evidence_page import WIDTH, page_of
from tests.support.evidence_stories import STORIES, story
from tests.support.mlflow_ui import browser_page

pytestmark = pytest.mark.slow

WIDTHS = """() => [...document.querySelectorAll('table')].map(table => table.scrollWidth)"""
OPEN = """() => document.querySelectorAll('details').forEach(each => each.open = true)"""
OUTSIDE = """() => document.documentElement.scrollWidth > document.documentElement.clientWidth"""


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    with browser_page() as page:
        yield page


@pytest.mark.parametrize("name", STORIES)
def test_no_table_is_wider_than_a_comment(page: Page, name: str) -> None:
    page.set_viewport_size({"width": 1280, "height": 900})
    page.set_content(page_of(story(name)))
    page.evaluate(OPEN)
    widths = page.evaluate(WIDTHS)
    assert len(widths) >= 3
    assert max(widths) <= WIDTH, f"{name}: {widths}"


@pytest.mark.parametrize("name", STORIES)
def test_a_narrow_screen_scrolls_no_sideways(page: Page, name: str) -> None:
    """A table or a block of code may scroll within itself there, and the page does not."""
    page.set_viewport_size({"width": 390, "height": 844})
    page.set_content(page_of(story(name)))
    page.evaluate(OPEN)
    assert not page.evaluate(OUTSIDE)


def test_a_table_that_is_too_wide_is_seen(page: Page) -> None:
    page.set_viewport_size({"width": 1280, "height": 900})
    page.set_content(page_of(f"| a |\n| --- |\n| `{'x' * 110}` |"))
    (width,) = page.evaluate(WIDTHS)
    assert width > WIDTH
