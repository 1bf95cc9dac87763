"""Text that a reader selects stays, and the page does not pass it off as what is true now."""

from __future__ import annotations

import re
from collections.abc import Callable

from playwright.sync_api import Page, expect

from tests.panel_in_browser import History


def test_selected_text_stays_and_says_from_when_it_is(visit: Callable[..., Page], history: History):
    page = visit("/sigil/")
    summary, row = page.locator("#summary"), page.locator("#row-unhinged")
    row.locator("[data-label=Equity]").dblclick()
    selected = page.evaluate("getSelection().toString()")
    assert selected.strip()
    history.sigil("pause", "--variant", "unhinged", "--reason", "while a figure is selected")
    try:
        expect(page.locator("#column-unhinged")).to_contain_text("paused")
        expect(summary).to_have_attribute("data-held", re.compile(r"^As of \d\d:\d\d:\d\d UTC: it changed since"))
        expect(row).not_to_contain_text("paused")
        expect(row.locator("xpath=ancestor::table")).to_have_css("opacity", "0.55")
        assert page.evaluate("getSelection().toString()") == selected
        page.evaluate("getSelection().removeAllRanges()")
        expect(row).to_contain_text("paused")
        expect(summary).not_to_have_attribute("data-held", re.compile("."))
    finally:
        history.sigil("resume", "--variant", "unhinged", "--reason", "done")
