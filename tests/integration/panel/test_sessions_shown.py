"""What is said of a session that is not the first one of its variant, and of a strategy of the user's own."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta

import pytest
from click.testing import CliRunner

from sigil_ext.db import migrate
from sigil_ext.db.postgres_store import PostgresStore
from sigil_ext.db.standing import market_now
from sigil_ext.entrypoints.cli.protections import list_, show
from sigil_ext.entrypoints.panel.app import HERE as PANEL
from sigil_ext.services.acts import Wanted, act
from sigil_ext.services.board_variant import variant_page
from sigil_ext.settings.strategies import note_session
from tests.panel_server import serving, write_env
from tests.paper_history import PaperHistory

from .conftest import ROOT, address_of, new_home


@pytest.fixture
def home(settings_of_nobody, tmp_path):
    return new_home(tmp_path)


def test_a_drawdown_is_that_of_the_session_whose_breaker_would_trip(home, own):
    write_env(home, {"baseline": address_of(own)})
    history = PaperHistory(own)
    history.session(0.25)
    history.equity(1, 110.0)
    history.equity(5, 104.0)
    history.session(0.25, begins=6)
    history.equity(7, 100.0)
    history.equity(8, 99.0)
    with serving(home) as panel:
        (risk,) = panel.get("/risk", params={"variant": "baseline"}).json()["data"]
    assert {limit["name"]: limit["value"] for limit in risk["limits"]}["drawdown"] == pytest.approx(1.0)


def test_the_page_of_a_strategys_session_offers_what_can_be_done_with_it(home, own, server, new_database):
    strategys = new_database("mine")
    migrate.up(strategys, server.migrations)
    note_session("mine", home)
    write_env(home, {"mine": address_of(strategys), "baseline": address_of(own)})
    with serving(home) as panel, panel.logged_in() as person:
        mine, baseline = (person.get(f"/sigil/variant/{name}").text for name in ("mine", "baseline"))
    assert "Ban a symbol" in baseline
    assert "sigil universe scan --variant baseline" in baseline
    assert "Ban a symbol" not in mine
    assert "sigil universe scan" not in mine
    assert "sigil run paper --variant mine" not in mine
    assert "sigil run paper --strategy MODULE:CLASS --name mine" in mine


def test_the_walk_forward_that_is_offered_is_the_one_that_the_docs_run_on_the_sample():
    page = (PANEL / "templates" / "research.html").read_text(encoding="utf-8")
    (offered,) = re.findall(r"<code>(sigil walkforward .*?)</code>", page)
    assert f"{offered} --html walk.html\n" in (ROOT / "docs" / "grid.md").read_text(encoding="utf-8")


def test_protections_are_listed_by_the_clock_of_the_replay(recorded, tmp_path, monkeypatch):
    home = new_home(tmp_path)
    monkeypatch.setenv("SIGIL_HOME", str(home.root))
    monkeypatch.setenv("SIGIL_DATABASE_URL_UNHINGED", address_of(recorded))
    at = market_now(recorded)
    PostgresStore(recorded).add_ban("KNC-USDT", until=at + timedelta(hours=1), at=at, actor="a test", reason="news")
    said = CliRunner().invoke(list_, ["--variant", "unhinged", "--json"], catch_exceptions=False)
    assert {p["symbol"]: p["barred_by"] for p in json.loads(said.output)}["KNC-USDT"] == "ban"
    one = CliRunner().invoke(show, ["KNC-USDT", "--variant", "unhinged", "--json"], catch_exceptions=False)
    assert json.loads(one.output)["barred_by"] == "ban"


def test_an_act_of_the_panel_upon_a_recording_goes_by_its_market_and_is_told_by_the_clock_on_the_wall(recorded):
    began, store, hour = datetime.now(UTC), PostgresStore(recorded), timedelta(hours=1)
    at = market_now(recorded)
    store.add_ban("ORCA-USDT", until=at + 2 * hour, at=at, actor="a test", reason="news")
    wanted = Wanted("a test", "ORCA-USDT", 5.0)
    assert f"until {at + 5 * hour:%Y-%m-%d %H:%M}" in act(recorded, "ban", wanted, actor="panel@here")
    page = {b.protection.symbol: (b.bar, b.until) for b in variant_page(recorded).protections}
    assert page["ORCA-USDT"] == ("ban", at + 5 * hour)
    act(recorded, "lift", wanted, actor="panel@here")
    page = {b.protection.symbol: b.bar for b in variant_page(recorded).protections}
    assert page["ORCA-USDT"] is None
    assert all(a.at >= began for a in store.acts() if a.actor == "panel@here")
