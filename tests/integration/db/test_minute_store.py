"""The memory of a session's minutes: what shares a transaction leaves the rows of minutes that have their own."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from sigil_ext.db.minute_store import MinuteStore
from sigil_ext.rules.types import Entered, Entry, Signal

NOON = datetime(2026, 5, 8, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
SIGNAL = Signal("TST-USDT", NOON, "breakout", 0.04, 0.039, 2.0, 60.0)
ENTRY = Entry(
    "NFP-USDT", NOON + MINUTE, 0.04, 1000.0, 40.0, 0.0388, 3.0, 0.001, 1.2, True, None, None, 99,
    signal=replace(SIGNAL, symbol="NFP-USDT", at=NOON + MINUTE),
)  # fmt: skip


def test_a_signal_that_was_refused_has_its_row_before_the_one_of_an_entry_after_it(database):
    store = MinuteStore(database)
    with database.one_transaction():
        store.begin()
        store.record_signal(SIGNAL, acted=False, reject_reason="cooldown")
        store.begin(goes_on=True)
        assert isinstance(store.enter(ENTRY), Entered)
        store.drain()
    with database.transaction() as cur:
        cur.execute("SELECT symbol, acted FROM signals ORDER BY id")
        assert cur.fetchall() == [("TSTUSDT", False), ("NFPUSDT", True)]
