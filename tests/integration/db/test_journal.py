"""The record of a session's minutes: what is read back is what was written, to the last bit."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sigil_ext.db.connection import Database
from sigil_ext.db.journal import Journal

START_MS = 1_750_000_020_000
SYMBOLS = ("ACX-USDT", "DOGS-USDT", "1000SATS-USDT", "Ä-USDT")


@dataclass(frozen=True)
class Written:
    """A minute as a session hands it over."""

    open_ms: int
    candles: dict[str, tuple[float, ...]] = field(default_factory=dict)
    downtime: bool = False


numbers = st.floats(allow_nan=True, allow_infinity=True)
pools = st.permutations(SYMBOLS).flatmap(lambda order: st.integers(0, len(order)).map(lambda n: order[:n]))
rows = st.tuples(*[numbers] * 5)
minutes_of_a_group = st.lists(
    st.tuples(pools, st.lists(rows, min_size=len(SYMBOLS), max_size=len(SYMBOLS)), st.booleans()), max_size=6
)


def bits(candles: dict[str, tuple[float, ...]]) -> dict[str, bytes]:
    return {symbol: struct.pack("6d", *row) for symbol, row in candles.items()}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(minutes_of_a_group)
def test_minutes_come_back_with_every_bit_of_their_candles_whatever_symbols_they_have(
    database: Database, drawn
) -> None:
    journal = Journal(database)
    warmup = {symbol: np.zeros((0, 6)) for symbol in SYMBOLS}
    session = journal.begin({}, SYMBOLS, START_MS, warmup)
    group = []
    for place, (symbols, values, downtime) in enumerate(drawn):
        open_ms = START_MS + place * 60_000
        candles = {s: (float(open_ms), *row) for s, row in zip(symbols, values, strict=False)}
        group.append(Written(open_ms, candles, downtime))
    journal.write(session, group)
    read = list(journal.minutes(session))
    assert [(at, bits(dict(candles))) for at, candles in read] == [(m.open_ms, bits(m.candles)) for m in group]
    with database.transaction() as cursor:
        cursor.execute("SELECT downtime FROM paper_minutes WHERE session_id = %s ORDER BY open_ms", (session.id,))
        assert [row[0] for row in cursor.fetchall()] == [m.downtime for m in group]
    journal.end(session)


def test_a_minute_of_a_symbol_outside_the_pool_is_refused_and_nothing_of_its_group_is_kept(database: Database) -> None:
    journal = Journal(database)
    session = journal.begin({}, SYMBOLS, START_MS, {})
    known = Written(START_MS, {SYMBOLS[0]: (float(START_MS), 1.0, 1.0, 1.0, 1.0, 1.0)})
    foreign = Written(START_MS + 60_000, {"PEPE-USDT": (float(START_MS + 60_000), 1.0, 1.0, 1.0, 1.0, 1.0)})
    with pytest.raises(KeyError, match="PEPE-USDT"):
        journal.write(session, [known, foreign])
    assert list(journal.minutes(session)) == []
