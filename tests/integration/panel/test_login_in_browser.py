"""The login page in a real browser: links from elsewhere, a server that is away. Baseline alone is served here."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.panel_in_browser import PATIENCE_MS, chromium
from tests.panel_server import PASSWORD, serving, write_env

from .conftest import address_of, new_home

VARIANT = "/sigil/variant/baseline"
ELSEWHERE = "http://localhost:1/"  # another site than 127.0.0.1; it is answered here and nowhere


@pytest.fixture(scope="module")
def small(settings_of_nobody, own, tmp_path_factory):
    home = new_home(tmp_path_factory.mktemp("home"))
    write_env(home, {"baseline": address_of(own)})
    with serving(home) as panel:
        yield panel


@pytest.fixture(scope="module")
def browser():
    with chromium() as started:
        yield started


@pytest.fixture
def window(browser, small):
    """A window at a page elsewhere, whose link leads to a variant."""
    context = browser.new_context(base_url=small.base)
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    link = f'<a href="{small.base}{VARIANT}?bar=1h">to the panel</a>'
    page.route(f"{ELSEWHERE}**", lambda route: route.fulfill(body=link, content_type="text/html"))
    page.goto(ELSEWHERE)
    yield page
    context.close()


def test_a_link_from_elsewhere_leads_whoever_is_logged_in_to_its_page(window, small):
    assert window.context.request.post("/sigil/login", data={"password": PASSWORD}).ok
    asked = []
    window.on("request", lambda request: asked.append(request.url))
    window.get_by_role("link").click()
    window.wait_for_url(f"{small.base}{VARIANT}?bar=1h")
    expect(window.get_by_role("heading", level=1)).to_contain_text("baseline")
    assert any("/sigil/login?next=" in url for url in asked)  # the cookie did not come along with the link


def test_a_link_from_elsewhere_asks_a_stranger_for_the_password_and_then_leads_on(window, small):
    window.get_by_role("link").click()
    window.get_by_label("Password").fill(PASSWORD)
    window.keyboard.press("Enter")
    window.wait_for_url(f"{small.base}{VARIANT}?bar=1h")
    window.get_by_role("button", name="Log out").click()
    window.goto(ELSEWHERE)
    window.get_by_role("link").click()
    expect(window.get_by_label("Password")).to_be_visible()


def test_a_server_that_does_not_answer_is_said(window, small):
    window.goto("/sigil/login")
    window.get_by_label("Password").fill(PASSWORD)
    window.context.set_offline(True)
    window.keyboard.press("Enter")
    expect(window.get_by_role("alert")).to_contain_text("does not answer")
    window.context.set_offline(False)
    window.keyboard.press("Enter")
    window.wait_for_url(f"{small.base}/sigil/")
