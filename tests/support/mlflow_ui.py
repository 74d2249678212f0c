"""Clicks in MLflow's own pages, in a real headless Chromium.

The new pages show a stage read-only, so the page is switched to the old registry view first.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Page, sync_playwright

from tests.support.kubectl import require

MODAL = "mlflow.model_registry.stage_transition_modal_v2"
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def chromium() -> str:
    """Chromium's path. Without one the test skips, or fails where CI is meant to have it."""
    names = ("chromium", "chromium-browser", "google-chrome")
    found = next(filter(None, map(shutil.which, names)), None)
    require(found, "needs Chromium (Debian: apt-get install chromium)")
    assert found is not None
    return found


@contextmanager
def browser_page() -> Iterator[Page]:
    """A page of a new browser with an empty profile."""
    path = chromium()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        try:
            page = browser.new_page()
            page.set_default_timeout(60_000)
            yield page
        finally:
            browser.close()


def transition_in_ui(page: Page, server: str, model: str, version: str, stage: str) -> None:
    """Open the version's page, pick the stage in its menu and confirm the dialog."""
    page.goto(f"{server}/#/models/{model}/versions/{version}")
    switch = page.locator('[aria-label="New model registry UI"]')
    switch.wait_for(state="visible")
    if switch.get_attribute("aria-checked") == "true":
        switch.click()
        page.locator('button:visible:has-text("Disable")').click()
    page.locator(".mlflow-stage-transition-dropdown").click()
    item = page.get_by_role("menuitem").filter(has_text="Transition to").filter(has_text=stage)
    item.click()
    with page.expect_response(lambda r: "transition-stage" in r.url) as response:
        page.locator(f'[data-component-id="{MODAL}.footer.ok"]:visible').click()
    assert response.value.ok, response.value.text()
