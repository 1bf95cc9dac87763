"""Whoever reads recorded minutes says which one is damaged, instead of breaking off or showing another symbol's price."""

from __future__ import annotations

import struct

import pytest

from sigil_ext.db import board, reading
from sigil_ext.db.auditing import AuditRecords
from sigil_ext.db.journal import Journal
from sigil_ext.errors import DamagedRecord
from sigil_ext.services import readings_market
from tests.paper_history import PaperHistory, at

TST = "TST-USDT"
READERS = {
    "a session that goes on": lambda db: list(Journal(db).minutes(Journal(db).running())),
    "an audit": lambda db: AuditRecords(db, Journal(db).running()).candles(),
    "prices of positions": lambda db: reading.last_prices(db, [TST]),
    "a position's course": lambda db: reading.minutes_of(db, TST, at(0), at(1)),
    "a scan of the record": lambda db: reading.recorded_candles(db, 3_600_000),
    "a chart": lambda db: board.minutes(db, TST, at(0), at(1)),
    "the panel's prices": lambda db: readings_market.last_prices(db, ["TSTUSDT"]),
    "the panel's bars": lambda db: readings_market.bars(db, TST, "1m"),
    "the pool, bought and held": lambda db: readings_market.benchmark(db),
}


def candles(*places: float) -> bytes:
    return b"".join(struct.pack("6d", place, 1.0, 1.0, 1.0, 1.0, 1.0) for place in places)


@pytest.fixture
def recorded(database):
    """A session of two symbols whose last minute, the tenth, the test writes."""
    history = PaperHistory(database)
    history.session(10 / 1440, ended=False)

    def write(last: bytes) -> None:
        with database.transaction() as cur:
            cur.execute("UPDATE paper_minutes SET candles = %s", (candles(0, 1),))
            cur.execute(
                "UPDATE paper_minutes SET candles = %s WHERE open_ms = (SELECT max(open_ms) FROM paper_minutes)",
                (last,),
            )

    return database, write


def test_every_reader_names_the_minute_that_is_cut_off(recorded):
    database, write = recorded
    write(candles(0, 1))
    for read in READERS.values():
        read(database)
    write(candles(0, 1)[:-9])
    for name, read in READERS.items():
        with pytest.raises(DamagedRecord, match="minute 2026-01-05 00:09 UTC is cut off"):
            pytest.fail(f"{name} read on: {read(database)}")


@pytest.mark.parametrize("place", [2.0, -1.0])
def test_a_session_and_its_audit_take_no_candle_of_a_symbol_outside_the_pool(recorded, place):
    database, write = recorded
    write(candles(0, place))
    for name in ("a session that goes on", "an audit", "prices of positions", "the pool, bought and held"):
        with pytest.raises(DamagedRecord, match="names a symbol that is none of its 2"):
            pytest.fail(f"{name} read on: {READERS[name](database)}")
