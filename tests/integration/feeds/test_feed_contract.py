"""One contract for all feeds, tried on each: a recording, a stream, and two exchanges over their own protocols."""

from __future__ import annotations

import pytest

from sigil_ext.paper.feed import MINUTE_MS, ClosedMinute
from tests.integration.feeds.bench import BENCHES, SYMBOLS, Bench, recording, run_on, take, truth, without

pytestmark = [pytest.mark.timeout(120), pytest.mark.parametrize("kind", BENCHES)]


def names(kind: str) -> list[str]:
    return SYMBOLS["kraken" if kind == "kraken" else "binance"]


def expected(market: Bench, minutes: list[ClosedMinute]) -> list[dict]:
    recorded = truth(market.candles)
    return [recorded.get(m.open_ms, {}) for m in minutes]


def check_order(minutes: list[ClosedMinute], first_ms: int) -> None:
    assert [m.open_ms for m in minutes] == [first_ms + i * MINUTE_MS for i in range(len(minutes))]
    assert all(list(m.candles) == sorted(m.candles) for m in minutes)
    assert all(row[0] == m.open_ms for m in minutes for row in m.candles.values())


def test_minutes_begin_after_the_one_processed_last_and_hold_what_the_exchange_had(kind):
    async def work() -> None:
        async with BENCHES[kind]() as market:
            after = market.first_ms + 20 * MINUTE_MS
            minutes = await take(market.make(), market.symbols, after, 42)
            check_order(minutes, after + MINUTE_MS)
            assert [dict(m.candles) for m in minutes] == expected(market, minutes)

    run_on(kind, work)


def test_absent_candles_stay_absent_and_an_empty_minute_is_a_minute(kind):
    a, b, c = names(kind)
    holes = {a: [25, 27, 61], b: [25, 61, 62], c: [25]}
    candles = without(recording(names(kind)), holes)

    async def work() -> None:
        async with BENCHES[kind](candles=candles) as market:
            after = market.first_ms + 23 * MINUTE_MS
            minutes = await take(market.make(), market.symbols, after, 40)
            check_order(minutes, after + MINUTE_MS)
            assert minutes[1].candles == {}
            assert sorted(minutes[3].candles) == [b, c]
            assert [dict(m.candles) for m in minutes] == expected(market, minutes)

    run_on(kind, work)


def test_a_second_feed_goes_on_where_the_first_one_was_left(kind):
    async def work() -> None:
        async with BENCHES[kind]() as market:
            after = market.first_ms + 57 * MINUTE_MS
            first = market.make()
            begun = await take(first, market.symbols, after, 4)
            await first.close()
            went_on = await take(market.make(), market.symbols, begun[-1].open_ms, 3)
            check_order(begun + went_on, after + MINUTE_MS)
            assert [dict(m.candles) for m in begun + went_on] == expected(market, begun + went_on)

    run_on(kind, work)


def test_only_the_symbols_asked_for_come(kind):
    async def work() -> None:
        async with BENCHES[kind]() as market:
            lone = market.symbols[1]
            minutes = await take(market.make(), [lone], market.first_ms + 50 * MINUTE_MS, 5)
            assert [list(m.candles) for m in minutes] == [[lone]] * 5

    run_on(kind, work)


def test_events_are_told_once_and_closing_twice_is_fine(kind):
    async def work() -> None:
        async with BENCHES[kind]() as market:
            feed = market.make()
            await take(feed, market.symbols, market.first_ms + 50 * MINUTE_MS, 5)
            feed.events()
            await feed.close()
            assert feed.events() == []
            await feed.close()

    run_on(kind, work)
