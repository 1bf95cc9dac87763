"""Every page and every act of the panel in a real browser: logged in and not, on a desktop and on a phone, light and dark."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, Route, expect

from sigil_ext.db import reading
from sigil_ext.db.postgres_store import PostgresStore
from sigil_ext.services.board_chart import candle_chart
from sigil_ext.services.positions import Positions
from tests.panel_in_browser import (
    DESKTOP,
    FAINT_TEXTS,
    PASSWORD,
    PATIENCE_MS,
    PHONE,
    SCROLLS_SIDEWAYS,
    TOKEN,
    UNNAMED_CONTROLS,
    History,
    PanelProcess,
    Seen,
)

expect.set_options(timeout=PATIENCE_MS)
Visit = Callable[..., Page]
UNHINGED = "/sigil/variant/unhinged"
PAGES = ("/sigil/", UNHINGED, "/sigil/variant/baseline", "/sigil/research", "/sigil/operations")


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize(("size", "scheme"), [(DESKTOP, "light"), (PHONE, "dark")], ids=["desktop-light", "phone-dark"])
def test_a_page_fits_its_window_is_readable_and_complains_of_nothing(visit: Visit, path, size, scheme):
    page = visit(path, size=size, scheme=scheme)
    expect(page.get_by_role("heading", level=1)).to_have_count(1)
    for chart in page.locator("[data-chart]").all():
        expect(chart).to_have_attribute("data-drawn", "1")
    assert page.evaluate(SCROLLS_SIDEWAYS) == 0
    assert page.evaluate(FAINT_TEXTS) == []
    assert page.evaluate(UNNAMED_CONTROLS) == []
    assert page.locator("main").count() == 1
    assert page.title().endswith("· Sigil")


# --- logging in -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [*PAGES, "/sigil/research/grid-20261121T101500Z-ab12", "/sigil/data/equity"])
def test_a_stranger_is_led_to_the_login_and_sees_nothing(visit: Visit, path):
    page = visit(path, as_stranger=True)
    assert "/sigil/login?next=" in page.url
    assert "BID-USDT" not in page.content()


def test_a_wrong_password_is_told_the_right_one_leads_on_and_logging_out_ends_it(visit: Visit, seen: Seen):
    seen.expect("401")
    page = visit("/sigil/operations", size=PHONE, as_stranger=True)
    page.get_by_label("Password").fill("wrong")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_have_text("wrong password")
    page.get_by_label("Password").fill(PASSWORD)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Operations")
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_label("Password")).to_be_visible()
    page.goto("/sigil/")
    expect(page.get_by_label("Password")).to_be_visible()


def test_who_is_logged_in_to_jesses_dashboard_is_logged_in_here(visit: Visit):
    page = visit("/sigil/login?stay=1", as_stranger=True)
    page.evaluate("token => localStorage.setItem('main', JSON.stringify({ authToken: token }))", TOKEN)
    page.goto("/sigil/operations")
    expect(page.get_by_role("heading", level=1)).to_have_text("Operations")
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_role("alert")).to_contain_text("logged out of the panel, but not of Jesse’s dashboard")


# --- what is shown ----------------------------------------------------------------------------------------------------


def test_the_overview_shows_the_variants_side_by_side_each_as_it_is(visit: Visit):
    page = visit("/sigil/")
    line = page.locator("#row-unhinged")
    expect(line).to_contain_text("stopped")
    expect(line).to_contain_text("4.79")
    expect(line).to_contain_text("most: position open")
    expect(line).to_contain_text(re.compile(r"\d of 7\s+not yet"))
    expect(page.locator("#row-baseline")).to_contain_text("never started")
    expect(page.locator("#row-moderate")).to_contain_text("not begun")
    column = page.locator("#column-unhinged")
    expect(column).to_contain_text("2 open positions are watched by nobody")
    expect(column).to_contain_text("100%")  # both closed trades were hard stops
    needed = column.get_by_text("needed: 30 days live on paper")  # a replay is not live
    expect(needed).to_be_hidden()
    column.get_by_text("Graduation").click()
    expect(needed).to_be_visible()
    expect(page.locator("#column-moderate")).to_contain_text("sigil run paper --variant moderate --candles sample")
    expect(page.locator("#held tbody tr")).to_have_count(2)
    page.get_by_label("Show").select_option("7d")
    expect(page.locator("#equity:not([data-empty])")).to_be_visible()


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_one_look_at_the_first_screen_shows_every_variant_and_on_a_desktop_what_they_hold(visit: Visit, size):
    page = visit("/sigil/", size=size)
    for part in ["#summary", *(["#equity", "#held"] if size is DESKTOP else [])]:
        box = page.locator(part).bounding_box()
        assert box is not None
        assert box["y"] + box["height"] <= size["height"], part
    expect(page.locator("#row-unhinged")).to_contain_text("2")


def test_what_is_open_has_its_profit_in_money_and_its_size_named_as_such(visit: Visit, history: History):
    page = visit("/sigil/")
    heads = page.locator("#held thead th").all_inner_texts()
    assert "P&L, USD" in heads
    assert "Size, USD" in heads
    database = history.database()
    held = Positions(PostgresStore(database)).listed("open").positions
    assert {p.row.name for p in held} == {r.name for r in reading.positions(database) if r.status == "open"}
    assert [r.status for r in reading.positions(database, "open")] == ["open"] * len(held)
    database.close()
    column = heads.index("P&L, USD") + 1
    shown = page.locator(f"#held tbody tr > :nth-child({column})").all_inner_texts()
    assert sorted(shown) == sorted(
        f"{(p.price - p.row.entry_price) * p.row.qty:+,.2f}".replace("-", "−") for p in held if p.price
    )


@pytest.mark.parametrize("path", PAGES)
def test_the_page_one_is_on_is_in_sight_in_the_navigation_of_a_phone(visit: Visit, path):
    box = visit(path, size=PHONE).locator(".top nav [aria-current]").bounding_box()
    assert box is not None
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= PHONE["width"]


def test_where_nothing_ran_yet_nothing_is_red_and_the_command_can_be_typed(visit: Visit):
    command = "sigil run paper --variant moderate --candles sample"
    for path, part in (
        ("/sigil/", "#column-moderate"),
        ("/sigil/operations", "#probe-moderate"),
        ("/sigil/variant/moderate", "#state"),
    ):
        place = visit(path).locator(part)
        expect(place).to_contain_text(command)
        expect(place.locator(".bad")).to_have_count(0)


def test_a_variants_page_shows_positions_candles_exits_refusals_universe_and_protections(visit: Visit):
    page = visit(f"{UNHINGED}?symbol=BID-USDT")
    rows = page.locator("#positions tbody tr")
    expect(rows).to_have_count(4)
    expect(rows.filter(has_text="hard stop")).to_have_count(2)
    expect(page.locator("#exits tbody tr").first).to_contain_text("hard stop")
    expect(page.locator("#refusals tbody tr").first).to_contain_text("position open")
    expect(page.locator("#universe tbody tr")).to_have_count(2)
    expect(page.locator("#universe")).to_contain_text("accepted")
    expect(page.locator("#protections-scroll tbody tr")).to_have_count(2)
    expect(page.locator("#heartbeat")).to_contain_text("nobody holds its lock")
    expect(page.locator("#candles canvas").first).to_be_visible()
    page.get_by_label("Symbol", exact=True).first.select_option("KNC-USDT")
    page.get_by_role("button", name="Show").click()
    expect(page.locator("#candles")).to_have_attribute("data-symbol", "KNC-USDT")


def test_a_symbol_that_was_never_met_is_said_and_another_one_is_drawn(visit: Visit):
    chart = visit(f"{UNHINGED}?symbol=NOSUCH-USDT").locator("#chart")
    expect(chart).to_contain_text("No minute of NOSUCH-USDT is recorded here. These are the candles of")
    expect(chart.locator("canvas").first).to_be_visible()
    expect(visit(f"{UNHINGED}?symbol=BID-USDT").locator("#chart .note")).to_have_count(0)
    nothing_ran = visit("/sigil/variant/baseline?symbol=BID-USDT").locator("#chart")
    expect(nothing_ran).to_contain_text(
        re.compile(r"No minute of BID-USDT is recorded here\.\s*No candles are recorded yet\.")
    )


def test_the_stop_that_is_drawn_is_the_stop_that_was_kept(history: History):
    database = history.database()
    positions = {row.name: row for row in reading.positions(database)}
    drawn = {
        path.position.name: path.points
        for symbol in ("BID-USDT", "KNC-USDT")
        for path in candle_chart(database, symbol).stops
    }
    database.close()
    assert drawn.keys() == positions.keys()
    for name, row in positions.items():
        levels = [price for _, price in drawn[name]]
        assert levels == sorted(levels)
        assert levels[-1] == row.stop_price
    assert any(len(set(points)) > 2 for points in drawn.values()), "a trail moved"


def test_times_are_utc_and_ones_own_on_hover(visit: Visit):
    page = visit("/sigil/operations")
    time = page.locator("#audits time").first
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", time.get_attribute("datetime") or "")
    time.hover()
    expect(time).to_have_attribute("title", re.compile(r"UTC\n.*yours"))


def test_a_saved_page_runs_in_a_frame_that_reaches_nothing(visit: Visit, seen: Seen):
    seen.expect("sandboxed")
    page = visit("/sigil/research")
    expect(page.locator("#shelf tbody tr")).to_have_count(3)
    expect(page.locator("#shelf")).to_contain_text("is missing")
    page.get_by_role("link", name="baseline on <i>sample</i>").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("baseline on <i>sample</i>")
    page.locator("#saved").scroll_into_view_if_needed()
    head = page.frame_locator("#saved").locator("#head")
    expect(head).to_have_text("A saved page")
    expect(head).to_have_attribute("data-said", "no cookie; no parent")
    assert page.locator("b").count() == 0, "what a document holds is text"


@pytest.mark.parametrize(("size", "scheme"), [(PHONE, "light"), (DESKTOP, "dark")], ids=["phone", "desktop"])
def test_a_grid_is_a_heatmap_for_each_figure_with_its_best_cell_marked(visit: Visit, size, scheme):
    page = visit("/sigil/research?kind=grid", size=size, scheme=scheme)
    page.get_by_role("link", name="hard_stop.multiplier").click()
    maps = page.locator("table.heat")
    expect(maps).to_have_count(4)
    expect(maps.first.locator("tbody td")).to_have_count(4)
    assert all("★" in text for text in maps.all_inner_texts())
    page.locator("#saved").scroll_into_view_if_needed()
    expect(page.frame_locator("#saved").locator("h1").first).to_be_visible()
    assert page.evaluate(SCROLLS_SIDEWAYS) == 0
    assert page.evaluate(FAINT_TEXTS) == []


@pytest.mark.parametrize("path", ["/sigil/variant/nobody", "/sigil/research/..%2F..%2F.env", "/sigil/nothing"])
def test_what_is_not_there_is_told_in_a_sentence(visit: Visit, seen: Seen, path):
    seen.expect("404")
    page = visit(path)
    assert "Traceback" not in page.content()
    assert "PASSWORD" not in page.content()
    asked: list[str] = []
    page.clock.install()
    page.reload()
    page.on("request", lambda request: asked.append(request.url))
    page.clock.run_for(30_000)
    assert page.url not in asked, "a page of an error does not ask for itself again"
    expect(page.locator("#lost")).to_be_hidden()


# --- acts -------------------------------------------------------------------------------------------------------------


def do(page: Page, button: str, reason: str, **more: str) -> None:
    """Press a button, give the reason in the dialog, confirm, and wait until it is said to be done."""
    page.get_by_role("button", name=button, exact=True).first.click()
    dialog = page.get_by_role("dialog")
    for label, value in more.items():
        dialog.get_by_label(label).fill(value)
    dialog.get_by_label("Reason").fill(reason)
    dialog.locator("#act-do").click()
    expect(dialog).to_be_hidden(timeout=4 * PATIENCE_MS)


def test_an_act_wants_a_reason_and_can_be_left(visit: Visit, history: History):
    page = visit(UNHINGED)
    page.get_by_role("button", name="Pause", exact=True).click()
    dialog = page.get_by_role("dialog", name="Pause entries of unhinged")
    expect(dialog.get_by_label("Reason")).to_be_focused()
    dialog.get_by_label("Reason").fill("   ")
    dialog.locator("#act-do").click()
    expect(dialog).to_contain_text("Say why")
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(page.get_by_role("button", name="Pause", exact=True)).to_be_focused()
    assert not history.sigil("breaker", "status", "--variant", "unhinged", "--json").stdout.count('"paused": true')


def test_an_act_on_its_way_and_the_next_one_do_not_mix(visit: Visit):
    page = visit(UNHINGED)
    held_back: list[Route] = []
    page.route("**/acts/pause", lambda route: held_back.append(route))
    page.get_by_role("button", name="Pause", exact=True).click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Reason").fill("slow one")
    dialog.locator("#act-do").click()
    expect(dialog.locator("#act-do")).to_be_disabled()
    page.keyboard.press("Escape")
    expect(page.locator("#toast")).to_contain_text("Pause entries of unhinged: on its way")
    page.get_by_role("button", name="Trip breaker").click()
    dialog.get_by_label("Reason").fill("typed meanwhile")
    held_back[0].continue_()
    expect(page.locator("#toast")).to_contain_text("Pause entries of unhinged: ")
    expect(page.locator("#state")).to_contain_text("slow one")
    expect(dialog).to_be_visible()
    expect(dialog.get_by_label("Reason")).to_have_value("typed meanwhile")
    expect(dialog.locator("#act-do")).to_have_text("Trip breaker")
    expect(dialog.locator("#act-do")).to_be_enabled()
    page.keyboard.press("Escape")
    do(page, "Resume", "as it was")
    expect(page.get_by_role("button", name="Pause", exact=True)).to_be_focused()


def test_a_reason_that_is_one_long_word_stays_in_its_place(visit: Visit):
    page = visit(UNHINGED)
    do(page, "Pause", "w" * 400)
    for path in ("/sigil/", UNHINGED, "/sigil/operations"):
        page.goto(path)
        expect(page.get_by_text("w" * 400).first).to_be_visible()
        assert page.evaluate(SCROLLS_SIDEWAYS) == 0
        assert page.evaluate("() => Math.max(...[...document.querySelectorAll('#acts-scroll table, section li')].map((e) => e.offsetWidth))") < DESKTOP["width"]  # fmt: skip
    page.goto(UNHINGED)
    do(page, "Resume", "done")


WRITTEN_LEFT_TO_RIGHT = """(part) => {
  const walker = document.createTreeWalker(document.querySelector(part), NodeFilter.SHOW_TEXT);
  const range = document.createRange();
  const left = (node, at) => { range.setStart(node, at); range.setEnd(node, at + 1); return range.getBoundingClientRect().left; };
  while (walker.nextNode()) {
    const at = walker.currentNode.data.indexOf("12345");
    if (at >= 0) return [0, 1, 2, 3].every((n) => left(walker.currentNode, at + n) < left(walker.currentNode, at + n + 1));
  }
  return null;
}"""


def test_characters_that_turn_the_writing_around_are_shown_and_turn_nothing(visit: Visit, history: History):
    reason = "turned \u202e12345\x1b[1m"
    history.sigil("pause", "--variant", "unhinged", "--reason", reason)
    try:
        for path, part in ((UNHINGED, "#state"), ("/sigil/operations", "#acts")):
            page = visit(path)
            expect(page.locator(part)).to_contain_text("turned \\u202e12345\\u001b[1m")
            assert page.evaluate(WRITTEN_LEFT_TO_RIGHT, part) is True
            assert "\u202e" not in page.content()
    finally:
        history.sigil("resume", "--variant", "unhinged", "--reason", "שלום")
    page = visit("/sigil/operations")
    expect(page.locator("#acts tbody tr").first).to_contain_text("\u2068שלום\u2069")


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_pause_resume_trip_and_reset_are_done_shown_and_recorded(visit: Visit, size):
    page = visit(UNHINGED, size=size)
    do(page, "Pause", "looking at the feed")
    expect(page.locator("#state")).to_contain_text("looking at the feed")
    do(page, "Resume", "the feed is fine")
    expect(page.locator("#state .pill.warn", has_text="paused")).to_have_count(0)
    do(page, "Trip breaker", "five <b>losses</b> in a row")
    expect(page.locator("#state")).to_contain_text("five <b>losses</b> in a row")
    do(page, "Reset breaker", "it was the exchange")
    expect(page.locator("#state")).to_contain_text("armed: entries may pass")
    page.goto("/sigil/operations")
    acts = page.locator("#acts tbody")
    for act, reason in [
        ("pause", "looking at the feed"),
        ("resume", "the feed is fine"),
        ("reset", "it was the exchange"),
    ]:
        expect(acts.locator("tr", has_text=reason).first).to_contain_text(act)
    expect(acts.locator("tr", has_text="looking at the feed").first).to_contain_text("panel@127.0.0.1")


def test_a_symbol_is_banned_and_the_ban_lifted(visit: Visit):
    page = visit(UNHINGED)
    do(page, "Ban a symbol", "delisting announced", Symbol="KNC-USDT", Hours="48")
    row = page.locator("#protections-scroll tbody tr", has_text="KNC-USDT")
    expect(row).to_contain_text("ban")
    expect(row).to_contain_text("delisting announced")
    do(page, "Lift the ban on KNC-USDT in unhinged", "was a rumour")
    expect(row).to_contain_text("free")
    expect(row.get_by_role("button", name="Lift")).to_have_count(0)
    page.locator("#changes summary").click()
    expect(page.locator("#changes tbody tr").first).to_contain_text("was a rumour")


def test_an_act_that_cannot_be_is_told_in_the_dialog(visit: Visit, seen: Seen):
    seen.expect("404", "409", "422")
    page = visit(UNHINGED)
    page.get_by_role("button", name="Ban a symbol").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Symbol").fill("NOSUCH-USDT")
    dialog.get_by_label("Reason").fill("typing")
    dialog.locator("#act-do").click()
    expect(dialog.get_by_role("alert")).to_contain_text("NOSUCH-USDT")


def test_an_act_after_the_login_ended_or_from_a_page_of_an_earlier_one_says_so(visit: Visit, seen: Seen):
    seen.expect("401", "403")
    page = visit(UNHINGED)
    page.get_by_role("button", name="Pause", exact=True).click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Reason").fill("typed before")
    page.context.clear_cookies()
    dialog.locator("#act-do").click()
    expect(dialog.get_by_role("alert")).to_contain_text("Your login has ended and nothing was done")
    assert page.context.request.post("/sigil/login", data={"token": TOKEN}).ok  # in another tab
    dialog.locator("#act-do").click()
    expect(dialog.get_by_role("alert")).to_contain_text("This page is of an earlier login and nothing was done")
    expect(dialog.get_by_label("Reason")).to_have_value("typed before")


def test_another_site_cannot_act_with_the_readers_cookie(visit: Visit, history: History, seen: Seen):
    seen.expect("403")
    page = visit(UNHINGED)
    answer = page.evaluate(
        "async () => (await fetch('/sigil/api/v1/variants/unhinged/acts/pause', { method: 'POST',"
        " headers: { 'Content-Type': 'application/json' }, body: JSON.stringify({ reason: 'no header' }) })).status"
    )
    assert answer == 403
    seen_by_cli = history.sigil("breaker", "status", "--variant", "unhinged", "--json").stdout
    assert "no header" not in seen_by_cli


# --- alive without reload ---------------------------------------------------------------------------------------------


def test_what_others_do_appears_without_reload_and_leaves_the_reader_alone(visit: Visit, history: History):
    page = visit(UNHINGED)
    summary = page.locator("#changes summary")
    summary.click()
    summary.focus()
    history.sigil("pause", "--variant", "unhinged", "--reason", "from the command line")
    expect(page.locator("#state")).to_contain_text("from the command line")
    history.sigil("resume", "--variant", "unhinged", "--reason", "done")
    expect(page.locator("#state")).not_to_contain_text("from the command line")
    expect(page.locator("#changes")).to_have_attribute("open", "")
    expect(page.locator("#changes summary")).to_be_focused()


def test_selected_text_stays_and_says_from_when_it_is(visit: Visit, history: History):
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


def test_a_database_that_goes_away_dims_what_was_read_last_and_comes_back_by_itself(visit: Visit, history: History):
    overview, before = visit("/sigil/"), visit(UNHINGED)
    away = overview.locator("#column-unhinged.away")
    try:
        history.administer(
            "ALTER DATABASE sigil_unhinged ALLOW_CONNECTIONS false",
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'sigil_unhinged'",
        )
        expect(away).to_contain_text("Not readable now")
        for page in (overview, visit("/sigil/")):
            expect(page.locator("#row-unhinged.away")).to_contain_text("4.79")
            expect(page.locator("#row-unhinged")).to_contain_text(re.compile("as read .* ago"))
            expect(page.locator("#held tbody tr.away")).to_have_count(2)
            expect(page.locator("#held")).to_contain_text("unhinged is away: its positions are those of")
            expect(page.locator("#column-unhinged")).to_contain_text("Closed trades")
        expect(overview.locator("#column-baseline.away")).to_have_count(0)
        expect(before.locator("#state")).to_contain_text("Not readable now")
        expect(before.locator("#positions[data-stale]")).to_be_visible()
        during = visit(UNHINGED)
        expect(during.locator("#state")).to_contain_text("Not readable now")
        expect(during.locator("#positions")).to_have_count(0)
    finally:
        history.administer("ALTER DATABASE sigil_unhinged ALLOW_CONNECTIONS true")
    expect(away).to_have_count(0)
    expect(overview.locator("#held tbody tr:not(.away)")).to_have_count(2)
    expect(overview.locator("#column-unhinged")).to_contain_text("Closed trades")
    expect(before.locator("#positions[data-stale]")).to_have_count(0)
    expect(during.locator("#positions tbody tr")).to_have_count(4)


def test_a_server_that_goes_away_is_told_and_the_page_comes_back_by_itself(
    visit: Visit, panel: PanelProcess, seen: Seen
):
    seen.expect("ERR_CONNECTION_REFUSED", "ERR_CONNECTION_RESET", "ERR_EMPTY_RESPONSE")
    page = visit("/sigil/", size=PHONE)
    panel.stop()
    expect(page.locator("#lost")).to_contain_text("does not answer")
    panel.start()
    expect(page.locator("#lost")).to_be_hidden()
    expect(page.locator("#live-state")).to_have_attribute("data-state", "on")


# --- the last of the history: what is open is closed ------------------------------------------------------------------


@pytest.mark.timeout(900)
def test_a_position_is_closed_and_then_all_are(visit: Visit, history: History):
    page = visit(UNHINGED)
    do(page, "Close KNC-USDT in unhinged", "one less")
    expect(page.locator("#positions tbody tr", has_text="KNC-USDT").filter(has_text="manual")).to_have_count(1)
    do(page, "Flatten", "the weekend")
    expect(page.locator("#positions .pill", has_text="open")).to_have_count(0)
    found = history.sigil("positions", "list", "--open", "--variant", "unhinged", "--json").stdout
    assert '"open": 0' in found
    page.goto("/sigil/operations")
    expect(page.locator("#acts tbody tr", has_text="the weekend").first).to_contain_text("flatten")
