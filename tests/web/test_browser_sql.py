"""The SQL page as a browser shows it: completion, Ctrl+Enter, rows, an error, saving."""

import pytest
from playwright.sync_api import expect

from tests.web.test_browser import SOON_MS, Open, overhang, pytestmark
from tests.web.test_browser import browsed_site as browsed_site
from tests.web.test_browser import browser as browser
from tests.web.test_browser import open_page as open_page

__all__ = ["pytestmark"]


@pytest.mark.timeout(240)
def test_a_query_is_completed_run_corrected_and_saved(open_page: Open) -> None:
    page = open_page("/sql", viewport={"width": 1000, "height": 800})
    editor = page.get_by_role("textbox", name="Query")
    editor.press_sequentially("SELECT count(*) AS n FROM fleet_n")
    expect(page.locator("#completions")).to_be_visible()
    editor.press("Tab")
    expect(editor).to_have_value("SELECT count(*) AS n FROM fleet_now")
    editor.press("Control+Enter")
    rows = page.locator("table.rows tbody tr")
    expect(rows).to_have_count(1, timeout=6 * SOON_MS)  # a sandbox starts
    assert "q=SELECT" in page.url
    assert overhang(page) <= 0
    editor.fill("SELECT nope")
    page.get_by_role("button", name="Run").click()
    expect(page.locator("[data-state=failed]")).to_contain_text("line 1, character 8")
    page.go_back()
    expect(rows).to_have_count(1, timeout=SOON_MS)
    page.get_by_label("Save as").fill("how many")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator(".notice")).to_have_text("Saved as 'how many'")
    expect(page.locator("#saved")).to_contain_text("how many")
