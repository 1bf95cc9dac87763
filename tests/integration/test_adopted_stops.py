"""A position that a session adopted shows the stop it was given, though its row has none; and which side it is on."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import timedelta

import pytest

from sigil_ext.bridge.adopted import adopt, as_record
from sigil_ext.db.journal import Journal
from sigil_ext.db.postgres_store import PostgresStore
from sigil_ext.paper.feed import ClosedMinute
from sigil_ext.services import readings, readings_account
from sigil_ext.settings.overlays import flatten, load_variant
from tests.integration.panel.conftest import address_of, new_home
from tests.panel_server import serving, write_env
from tests.paper_history import FIRST_DAY

START_MS = int(FIRST_DAY.timestamp() * 1000)
DAY = timedelta(days=1)
POOL = ["NFP-USDT", "TST-USDT"]


@pytest.fixture
def store(database, monkeypatch) -> PostgresStore:
    """The store of baseline, found by commands too; both books hold a position of the earlier bot's."""
    monkeypatch.setenv("SIGIL_DATABASE_URL_BASELINE", database.address.url().get_secret_value())
    with database.transaction() as cur:
        cur.execute(
            "INSERT INTO micro_positions (symbol, variant_id, status, qty, entry_price, opened_at)"
            " VALUES ('TSTUSDT', 'baseline', 'open', 1000, 0.042, %s)",
            (FIRST_DAY - DAY,),
        )
        cur.execute(
            "INSERT INTO paper_positions (symbol, status, qty, entry_price, atr_at_entry, opened_at)"
            " VALUES ('NFPUSDT', 'open', 30, 1.5, 0.03, %s)",
            (FIRST_DAY - DAY,),
        )
    return PostgresStore(database)


@pytest.fixture
def adopted(store):
    """What a session that began afterwards gave them, by symbol; its first minute went from 0.98 to 1.01 of the entries."""
    settings = load_variant("baseline").settings
    given = {p.symbol: adopt(p, settings) for p in store.open_positions()}
    journal = Journal(store.database)
    session = journal.begin(
        flatten(settings), POOL, START_MS, {}, feed="exchange", adopted=[as_record(a) for a in given.values()]
    )
    candles = {
        a.symbol: (float(START_MS), a.entry_price, a.entry_price, a.entry_price * 1.01, a.entry_price * 0.98, 5.0)
        for a in given.values()
    }
    with store.database.transaction():
        journal.write(session, [ClosedMinute(START_MS, candles)])
    return given


def listed(sigil, server) -> dict[str, dict]:
    ran = sigil("positions", "list", "--json", project=server)
    assert ran.status == 0, ran.err
    return {p["symbol"]: p for p in json.loads(ran.out)["positions"]}


def test_a_stop_that_only_the_adoption_knows_is_shown_and_said_to_be_of_then(adopted, sigil, server):
    found = listed(sigil, server)
    for symbol, given in adopted.items():
        shown = found[symbol]
        assert (shown["stop_price"], shown["stop_pct"]) == (given.stop, given.stop_pct)
        assert shown["stop_at_adoption"]
        assert shown["r"] == 0
    said = sigil("positions", "list", project=server).out
    for given in adopted.values():
        assert f"{given.stop:.4g}*" in said
    assert "* the stop at its adoption; a trail may have raised it since" in said
    for number in ("1", "p1"):
        shown = sigil("positions", "show", number, project=server).out
        assert re.search(r"stop +0\.04\d+|stop +1\.4\d+", shown), shown
        assert "% under the entry at first; at its adoption" in shown
        mae, mfe = re.search(r"MAE, MFE +(\S+) R against it, (\S+) R for it, measured", shown).groups()
        given = next(a for a in adopted.values() if (a.table == "micro_positions") == (number == "1"))
        assert float(mae) == pytest.approx(2 / given.stop_pct, abs=0.006)
        assert float(mfe) == pytest.approx(1 / given.stop_pct, abs=0.006)


def test_the_api_knows_it_too_and_counts_what_is_at_risk(adopted, store):
    views = [marked.row for marked in readings.positions(store.database, readings.Window())]
    assert {v.symbol: (v.stop_price, v.stop_pct) for v in views} == {
        a.symbol: (a.stop, a.stop_pct) for a in adopted.values()
    }
    risk = readings_account.risk(store.database)
    assert risk.without_stop == 0
    assert risk.open_risk_usd == pytest.approx(sum(a.qty * (a.entry_price - a.stop) for a in adopted.values()))


def test_the_panel_shows_it_and_says_of_when_it_is(adopted, store, tmp_path):
    home = new_home(tmp_path)
    write_env(home, {"baseline": address_of(store.database)})
    with serving(home) as panel, panel.logged_in() as person:
        for page in ("/sigil/", "/sigil/variant/baseline"):
            said = person.get(page, follow_redirects=True).text
            found = re.findall(r'<td class="num" title="at its adoption[^"]*">([^<]+)</td>', said)
            shown = sorted(float(text) for text in found)
            assert shown == pytest.approx(sorted(a.stop for a in adopted.values()), rel=1e-3), page


def test_of_two_adoptions_the_newer_counts_and_a_stop_of_the_row_that_is_closed_stays(adopted, store, sigil, server):
    journal = Journal(store.database)
    journal.end(journal.running())
    again = [as_record(replace(a, stop=a.stop * 1.01)) for a in adopted.values()]
    journal.begin({}, POOL, START_MS, {}, feed="exchange", adopted=again)
    found = listed(sigil, server)
    assert {s: p["stop_price"] for s, p in found.items()} == {a["symbol"]: a["stop"] for a in again}
    with store.database.transaction() as cur:
        cur.execute("UPDATE micro_positions SET status = 'closed', stop_price = 0.0411, exit_price = 0.0411")
    assert listed(sigil, server)["TST-USDT"]["stop_price"] == 0.0411


def test_a_position_that_no_session_adopted_has_no_stop(store, sigil, server):
    assert [p["stop_price"] for p in listed(sigil, server).values()] == [None, None]
    shown = sigil("positions", "show", "1", project=server).out
    assert re.search(r"stop +-\n", re.sub(r" +\n", "\n", shown))


def test_a_short_position_is_said_to_be_short(store, sigil, server):
    with store.database.transaction() as cur:
        cur.execute("UPDATE micro_positions SET qty = -1000")
    assert {p["symbol"]: p["side"] for p in listed(sigil, server).values()} == {"TST-USDT": "short", "NFP-USDT": "long"}
    (line,) = [text for text in sigil("positions", "list", project=server).out.splitlines() if "TST-USDT" in text]
    assert "short" in line
    shown = sigil("positions", "show", "1", project=server).out
    assert "at 0.042, short, 1000 coins" in shown
    assert "42.00 USD" in shown
