"""`sigil positions close --stale` takes what nobody manages, whatever happens at the same moment, and makes no price up."""

from __future__ import annotations

import json
import re
from datetime import timedelta

import numpy as np
import pytest

from sigil_ext.db.journal import Journal
from sigil_ext.db.postgres_store import PostgresStore
from sigil_ext.errors import LockHeld
from sigil_ext.rules.types import Entry
from sigil_ext.services import closing
from tests.paper_history import FIRST_DAY

START_MS = int(FIRST_DAY.timestamp() * 1000)
DAY = timedelta(days=1)


@pytest.fixture
def store(database, server, monkeypatch) -> PostgresStore:
    """The store of baseline, found by commands too."""
    monkeypatch.setenv("SIGIL_DATABASE_URL_BASELINE", database.address.url().get_secret_value())
    monkeypatch.setenv("SIGIL_HOME", str(server.root))
    return PostgresStore(database)


def enter(store: PostgresStore, symbol: str, at) -> int:
    entry = Entry(
        symbol=symbol, at=at, price=1.0, qty=50.0, notional_usd=50.0, stop_price=0.97, stop_pct=3.0, atr_at_entry=0.02,
        risk_usd=1.5, cap_bound=True, universe_id=None, cooldown_until=None, max_open_positions=9, signal=None,
    )  # fmt: skip
    return store.enter(entry).position_id


def session(store: PostgresStore, *symbols: str):
    """Begin a session on `symbols`, whose last price is 1.1."""
    rows = np.array([[START_MS - 60_000, 1.0, 1.1, 1.2, 0.9, 5.0]])
    return Journal(store.database).begin({}, sorted(symbols), START_MS, dict.fromkeys(symbols, rows), feed="exchange")


def held(store: PostgresStore) -> set[str]:
    return {p.symbol for p in store.open_positions()}


def test_what_a_running_session_enters_meanwhile_is_left_alone(store, monkeypatch):
    enter(store, "TST-USDT", FIRST_DAY - DAY)
    session(store, "TST-USDT", "NFP-USDT")
    read = closing._last_prices

    def read_slowly(journal):
        found = read(journal)
        enter(store, "NFP-USDT", FIRST_DAY + DAY)
        return found

    monkeypatch.setattr(closing, "_last_prices", read_slowly)
    link = Journal(store.database).lock()  # its process
    try:
        closed = closing.close_stale("baseline", "left over")
    finally:
        link.close()
    assert [(c.position.symbol, c.price) for c in closed] == [("TST-USDT", 1.1)]
    assert held(store) == {"NFP-USDT"}


def test_a_session_that_begins_meanwhile_keeps_what_it_adopts(store, monkeypatch):
    number = enter(store, "TST-USDT", FIRST_DAY - DAY)
    first = session(store, "NFP-USDT")
    read = closing._last_prices

    def read_slowly(journal):
        found = read(journal)
        journal.end(first)
        adopted = [{"table": "micro_positions", "id": number, "symbol": "TST-USDT"}]
        journal.begin({}, ["TST-USDT"], START_MS, {}, feed="exchange", adopted=adopted)
        return found

    monkeypatch.setattr(closing, "_last_prices", read_slowly)
    link = Journal(store.database).lock()
    try:
        with pytest.raises(LockHeld, match="has ended or begun meanwhile; ask again"):
            closing.close_stale("baseline", "left over")
    finally:
        link.close()
    assert held(store) == {"TST-USDT"}


def test_no_session_can_begin_while_rows_are_closed_and_none_is_closed_while_one_begins(store, monkeypatch):
    enter(store, "TST-USDT", FIRST_DAY - DAY)
    link = Journal(store.database).lock()
    with pytest.raises(LockHeld, match="runs already"):
        closing.close_stale("baseline", "left over")
    link.close()
    read = closing._last_prices

    def begin(journal):
        with pytest.raises(LockHeld):
            journal.lock()
        return read(journal)

    monkeypatch.setattr(closing, "_last_prices", begin)
    assert len(closing.close_stale("baseline", "left over")) == 1
    Journal(store.database).lock().close()  # given back


def test_rows_of_the_same_number_in_both_books_are_not_mixed_up(store):
    with store.database.transaction() as cur:
        cur.execute("INSERT INTO paper_positions (id, symbol, qty, entry_price) VALUES (1, 'TSTUSDT', 5, 1)")
    session(store, "TST-USDT")
    with store.database.transaction() as cur:
        cur.execute(
            "INSERT INTO micro_positions (id, symbol, qty, entry_price, opened_at, variant_id)"
            " VALUES (1, 'TSTUSDT', 5, 1, %s, 'baseline')",
            (FIRST_DAY + DAY,),
        )
    closed = closing.close_stale("baseline", "left over")
    assert [c.position.table for c in closed] == ["paper_positions"]
    assert [p.table for p in store.open_positions()] == ["micro_positions"]


def test_without_a_known_price_nothing_is_made_up_and_lists_say_so(store, server, sigil):
    for symbol in ("TST-USDT", "NFP-USDT"):
        enter(store, symbol, FIRST_DAY)
    with store.database.transaction() as cur:
        cur.execute("INSERT INTO paper_positions (symbol, qty, entry_price) VALUES ('DOGSUSDT', 50, 1)")
    line = ("positions", "close", "--stale", "--reason", "left over", "--price", "NFPUSDT=1.3", "--json")
    ran = sigil(*line, project=server)
    assert ran.status == 0, ran.err
    assert {c["symbol"]: c["price"] for c in json.loads(ran.out)} == {
        "TST-USDT": None,
        "NFP-USDT": 1.3,
        "DOGS-USDT": None,
    }
    assert held(store) == set()
    won = 15 - 50 * 2.3 * 0.0015
    assert Journal(store.database).realized() == pytest.approx(won)
    listed = json.loads(sigil("positions", "list", "--json", project=server).out)
    assert (listed["closed"], listed["unpriced"], listed["pnl_usd"]) == (3, 2, pytest.approx(won))
    unknown = [p for p in listed["positions"] if p["symbol"] != "NFP-USDT"]
    assert [(p["exit_price"], p["pnl_usd"], p["fees_usd"], p["exit_reason"]) for p in unknown] == [
        (None, None, 0.0, "adopted_close")
    ] * 2
    said = sigil("positions", "list", project=server).out
    assert f"P&L of the closed without 2 of which no price is known {won:+.2f} USD" in said
    for number in (p["id"] for p in unknown):
        shown = sigil("positions", "show", number, project=server).out
        assert "at a price that is not known: adopted_close" in shown
        assert [line.split() for line in shown.splitlines() if "result" in line] == [["result", "not", "known"]]
    for command in (("status",), ("status", "--json")):
        assert sigil(*command, project=server).status in (0, 1)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (
            ("--stale", "--price", "DOGS-USDT=1"),
            "--price names DOGS-USDT, but no open position .* those are on: TST-USDT",
        ),
        (("--stale", "--price", "TST-USDT"), "must be SYMBOL=USD with a price above 0"),
        (("--stale", "--price", "TST-USDT=-1"), "must be SYMBOL=USD with a price above 0"),
        (("--stale", "--price", "TST-USDT=nan"), "must be SYMBOL=USD with a price above 0"),
        (("TST-USDT", "--price", "TST-USDT=1"), "--price is for --stale"),
    ],
)
def test_a_price_that_cannot_be_used_closes_nothing(store, server, sigil, line, says):
    enter(store, "TST-USDT", FIRST_DAY)
    ran = sigil("positions", "close", *line, "--reason", "x", project=server)
    assert (ran.status, ran.out) == (2, "")
    assert re.search(says, " ".join(ran.err.split())), ran.err
    assert held(store) == {"TST-USDT"}
