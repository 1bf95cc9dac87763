"""What exchanges do to candles, symbols and clocks, done on purpose: real ccxt against the local exchange."""

from __future__ import annotations

import pytest

from sigil_ext.errors import UnknownSymbol, UsageError
from sigil_ext.paper.exchange_feed import ExchangeFeed
from sigil_ext.paper.feed import MINUTE_MS, ClosedMinute
from tests.exchange_server.market import ShiftedClock
from tests.exchange_server.virtual_time import run
from tests.integration.feeds.bench import SYMBOLS, exchange, recording, take, without
from tests.integration.feeds.course import check, kinds, once, watch

pytestmark = pytest.mark.timeout(120)
both = pytest.mark.parametrize("name", ["binance", "kraken"])


@both
def test_a_candle_that_the_exchange_revises_is_told_and_not_applied(name):
    async def work() -> None:
        async with exchange(name) as market:
            feed = market.make()
            symbol, open_ms = market.symbols[1], market.first_ms + 60 * MINUTE_MS

            async def act(minute: ClosedMinute) -> None:
                if minute.open_ms == open_ms:
                    market.market.revise(symbol, open_ms, minute.candles[symbol][2] * 1.01)

            check(market, await watch(market, feed, 7, act))
            [revised] = [e for e in feed.events() if e.kind == "revised"]
            assert revised.symbol == symbol
            assert "close" in revised.detail

    run(work)


@both
def test_a_wrong_clock_is_measured_and_reckoned_with(name):
    async def work() -> None:
        async with exchange(name, feed_clock=lambda clock: ShiftedClock(clock, -45_000)) as market:
            feed = market.make()
            check(market, await take(feed, market.symbols, market.first_ms + 57 * MINUTE_MS, 6))
            skews = [e for e in feed.events() if e.kind == "clock_skew"]
            assert len(skews) == 1
            assert "behind" in skews[0].detail
            assert 40_000 < feed.skew_ms < 50_000

    run(work)


@both
def test_a_halted_symbol_is_told_and_the_others_go_on_at_once(name):
    a, b, c = SYMBOLS[name]
    candles = without(recording(SYMBOLS[name]), {b: list(range(59, 200))})

    async def work() -> None:
        async with exchange(name, candles=candles, grace_ms=50_000) as market:
            market.market.halted.add(b)
            feed = market.make()
            minutes = await take(feed, [a, b, c, "NONE-USDT"], market.first_ms + 58 * MINUTE_MS, 5)
            check(market, minutes)
            assert market.now_ms() < minutes[-1].open_ms + MINUTE_MS + 30_000, "the grace is not waited for"
            halted = {e.symbol: e.detail for e in feed.events() if e.kind == "halted"}
            assert set(halted) == {b, "NONE-USDT"}
            assert halted["NONE-USDT"] == "not listed"

    run(work)


def test_a_symbol_is_halted_and_trades_again_while_the_feed_runs():
    async def work() -> None:
        async with exchange("binance", housekeeping_s=30, stale_after=2) as market:
            symbol = market.symbols[1]
            for minute in range(62, 66):
                market.market.rows[symbol].pop(market.first_ms + minute * MINUTE_MS, None)
                market.candles[symbol] = without(
                    {symbol: market.candles[symbol]}, {symbol: [62]}
                )[symbol]  # fmt: skip
            feed = market.make()

            async def act(minute: ClosedMinute) -> None:
                number = (minute.open_ms - market.first_ms) // MINUTE_MS
                if number == 61:
                    market.market.halted.add(symbol)
                elif number == 64:
                    market.market.halted.discard(symbol)

            check(market, await watch(market, feed, 12, act))
            told = [e.kind for e in feed.events() if e.symbol == symbol and e.kind in ("halted", "stale", "fresh")]
            assert sorted(told) == ["fresh", "fresh", "halted", "stale"]

    run(work)


def test_far_behind_it_asks_page_by_page():
    async def work() -> None:
        async with exchange("binance", at_minute=1300) as market:
            minutes = await take(market.make(), market.symbols, market.first_ms + 2 * MINUTE_MS, 1290)
            check(market, minutes)
            assert all(m.downtime for m in minutes)

    run(work)


def test_what_kraken_no_longer_has_is_a_hole_that_is_told():
    async def work() -> None:
        async with exchange("kraken", at_minute=1300) as market:
            feed = market.make()
            minutes = await take(feed, market.symbols, market.first_ms + 99 * MINUTE_MS, 1199)
            have = [m for m in minutes if m.candles]
            assert 715 <= len(have) <= 720, "Kraken gives the last 720 minutes only"
            assert [m.open_ms for m in minutes[-len(have) :]] == [m.open_ms for m in have]
            assert kinds(feed.events())["hole_left"] >= 1

    run(work)


def test_without_a_last_minute_it_begins_with_the_one_that_is_open():
    async def work() -> None:
        async with exchange("binance", at_minute=60.5) as market:
            minutes = await take(market.make(), market.symbols, None, 2)
            check(market, minutes)
            assert minutes[0].open_ms >= market.first_ms + 60 * MINUTE_MS
            assert not any(m.downtime for m in minutes)

    run(work)


def test_what_no_exchange_can_give_is_refused():
    with pytest.raises(UsageError, match="did you mean 'binance'"):
        ExchangeFeed("binanse")

    async def work() -> None:
        async with exchange("binance") as market:
            with pytest.raises(UnknownSymbol):
                await take(market.make(), ["NONE-USDT"], None, 1)
            with pytest.raises(UsageError, match="takes 30 s, longer than the grace of 10 s"):
                await take(market.make(confirm="always", rest_interval_ms=8333), market.symbols, None, 1)

    run(work)


@both
def test_a_symbol_that_is_delisted_is_told_and_the_others_go_on_at_once(name):
    async def work() -> None:
        async with exchange(name, grace_ms=50_000, housekeeping_s=30) as market:
            gone = market.symbols[1]
            feed = market.make()

            def delist() -> None:
                market.market.delisted.add(gone)
                market.candles = without(market.candles, {gone: list(range(61, 200))})

            late: list[int] = []

            async def act(minute: ClosedMinute) -> None:
                late.append(market.now_ms() - minute.open_ms - MINUTE_MS)
                await leave(minute)

            leave = once(3, delist)
            check(market, await watch(market, feed, 8, act))
            assert max(late[4:]) < 10_000, "the grace is not waited for"
            told = feed.events()
            assert {e.symbol: e.detail for e in told if e.kind == "halted"} == {gone: "not listed"}
            assert kinds(told)["lost"] == 0

    run(work)


@both
def test_a_symbol_that_is_not_listed_does_not_take_the_websocket_from_the_others(name):
    async def work() -> None:
        async with exchange(name) as market:
            feed = market.make(confirm="doubtful")
            asked = [*market.symbols, "NONE-USDT"]
            check(market, await take(feed, asked, market.first_ms + 57 * MINUTE_MS, 5))
            assert market.server.watchers == 1
            assert kinds(feed.events())["lost"] == 0

    run(work)


@both
def test_a_symbol_that_is_called_halted_and_trades_all_the_same_is_followed(name):
    async def work() -> None:
        async with exchange(name) as market:
            market.server.called_halted.add(market.symbols[1])
            feed = market.make()
            minutes = await take(feed, market.symbols, market.first_ms + 57 * MINUTE_MS, 7)
            check(market, minutes)
            told = [(e.kind, e.symbol) for e in feed.events() if e.kind in ("halted", "fresh", "late")]
            assert told == [("halted", market.symbols[1]), ("fresh", market.symbols[1])]

    run(work)


@both
def test_a_symbol_whose_answers_cannot_be_read_does_not_stop_the_others(name):
    bad = SYMBOLS[name][1]
    candles = without(recording(SYMBOLS[name]), {bad: list(range(61, 200))})

    async def work() -> None:
        async with exchange(name) as market:
            feed = market.make()
            past = await take(feed, market.symbols, market.first_ms + 40 * MINUTE_MS, 20)
            market.candles, market.market.rows[bad] = candles, {}
            market.server.broken.add(bad)
            live = await take(market.make(), market.symbols, past[-1].open_ms, 5)
            check(market, past + live)
            assert not any(m.downtime for m in live[2:])

    run(work)


def test_a_past_that_cannot_be_read_is_a_hole_of_its_symbol_alone():
    async def work() -> None:
        async with exchange("binance") as market:
            bad = market.symbols[1]
            market.server.broken.add(bad)
            feed = market.make()
            minutes = await take(feed, market.symbols, market.first_ms + 20 * MINUTE_MS, 30)
            assert [sorted(m.candles) for m in minutes] == [sorted({*market.symbols} - {bad})] * 30
            [hole] = [e for e in feed.events() if e.kind == "hole_left"]
            assert hole.symbol == bad
            assert "cannot be read" in hole.detail

    run(work)


def test_thin_coins_do_not_use_up_the_requests_of_a_large_pool():
    """At a request in five seconds, to ask for three silent coins would take longer than the grace."""
    candles = without(recording(SYMBOLS["kraken"]), {s: list(range(62, 80)) for s in SYMBOLS["kraken"][1:]})

    async def work() -> None:
        async with exchange("kraken", candles=candles, confirm="doubtful", rest_interval_ms=5000) as market:
            feed = market.make()
            late: list[float] = []

            async def act(minute: ClosedMinute) -> None:
                late.append((market.now_ms() - minute.open_ms - MINUTE_MS) / 1000)

            minutes = await watch(market, feed, 12, act)
            check(market, minutes)
            assert not any(m.downtime for m in minutes[6:])
            assert max(late[6:]) < 12

    run(work)


def test_minutes_that_kraken_fills_by_request_and_leaves_out_of_its_websocket_are_not_told_as_late():
    quiet = SYMBOLS["kraken"][1]
    candles = without(recording(SYMBOLS["kraken"]), {quiet: [62, 63, 65]})

    async def work() -> None:
        async with exchange("kraken", candles=candles, confirm="doubtful", rest_interval_ms=5000) as market:
            market.server.fills_flat = True
            feed = market.make()
            minutes = await watch(market, feed, 14, once(99, lambda: None))
            flat = [m.candles[quiet] for m in minutes if quiet in m.candles and m.candles[quiet][5] == 0]
            assert all(row[1] == row[2] == row[3] == row[4] for row in flat)
            assert kinds(feed.events())["late"] == 0

    run(work)


@both
@pytest.mark.parametrize("step_ms", [-3_600_000, 3_600_000])
def test_a_clock_that_somebody_sets_while_the_feed_runs_changes_no_minute(name, step_ms):
    async def work() -> None:
        clocks: list[ShiftedClock] = []

        def clock_of(clock):
            clocks.append(ShiftedClock(clock, 0))
            return clocks[-1]

        async with exchange(name, feed_clock=clock_of) as market:
            feed = market.make()
            minutes = await watch(market, feed, 9, once(3, lambda: setattr(clocks[0], "off_ms", step_ms)))
            check(market, minutes)
            assert not any(m.downtime for m in minutes[3:])
            assert kinds(feed.events())["clock_skew"] == 1
            assert abs(feed.skew_ms + step_ms) < 2000

    run(work)
