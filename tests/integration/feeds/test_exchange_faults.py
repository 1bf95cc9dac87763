"""What exchanges and networks do to a feed, done on purpose: real ccxt against the local exchange."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing

import pytest

from sigil_ext.errors import UnknownSymbol, UsageError
from sigil_ext.paper.exchange_feed import ExchangeFeed
from sigil_ext.paper.feed import MINUTE_MS, ClosedMinute, FeedEvent
from tests.exchange_server.market import ShiftedClock
from tests.exchange_server.virtual_time import run
from tests.integration.feeds.bench import SYMBOLS, Bench, exchange, recording, take, truth, without

pytestmark = pytest.mark.timeout(120)
both = pytest.mark.parametrize("name", ["binance", "kraken"])

Act = Callable[[ClosedMinute], Awaitable[None]]


def check(market: Bench, minutes: Sequence[ClosedMinute]) -> None:
    """Every minute once, in order, and as it was recorded."""
    recorded = truth(market.candles)
    assert [m.open_ms for m in minutes] == [minutes[0].open_ms + i * MINUTE_MS for i in range(len(minutes))]
    assert [dict(m.candles) for m in minutes] == [recorded.get(m.open_ms, {}) for m in minutes]


async def watch(market: Bench, feed: ExchangeFeed, count: int, act: Act) -> list[ClosedMinute]:
    """Take `count` minutes, two of the past first, and call `act` after each."""
    minutes: list[ClosedMinute] = []
    async with aclosing(feed.minutes(market.symbols, market.first_ms + 57 * MINUTE_MS)) as stream:
        async for minute in stream:
            minutes.append(minute)
            if len(minutes) == count:
                break
            await act(minute)
    return minutes


def once(number: int, what: Callable[[], Awaitable[None] | None]) -> Act:
    """Do `what` after the minute with this number."""
    seen = 0

    async def act(_: ClosedMinute) -> None:
        nonlocal seen
        seen += 1
        if seen == number:
            done = what()
            if done is not None:
                await done

    return act


def kinds(events: Sequence[FeedEvent]) -> Counter[str]:
    return Counter(e.kind for e in events)


@both
@pytest.mark.parametrize("confirm", ["always", "doubtful"])
def test_live_minutes_come_soon_after_they_close(name, confirm):
    async def work() -> None:
        async with exchange(name, confirm=confirm) as market:
            late: list[float] = []

            async def act(minute: ClosedMinute) -> None:
                if not minute.downtime:
                    late.append((market.now_ms() - minute.open_ms - MINUTE_MS) / 1000)

            feed = market.make()
            check(market, await watch(market, feed, 7, act))
            assert len(late) >= 3
            assert max(late) < 10.0, "seconds of a market that runs 60 times as fast"
            assert kinds(feed.events()).keys() <= {"hole_filled"}

    run(work)


def test_where_the_connection_was_whole_nothing_is_asked_for_again():
    async def work() -> None:
        async with exchange("binance", confirm="doubtful") as market:
            feed = market.make()
            asked: list[int] = []

            async def act(_: ClosedMinute) -> None:
                asked.append(market.server.requests["klines"])

            check(market, await watch(market, feed, 9, act))
            # Three symbols, three minutes: nine when all are asked for. What remains are the rechecks, one in five seconds.
            assert asked[-1] - asked[-3] <= 26

    run(work)


@both
def test_a_dropped_connection_is_made_again_and_nothing_is_missing(name):
    async def work() -> None:
        async with exchange(name) as market:
            feed = market.make()
            minutes = await watch(market, feed, 8, once(3, market.server.drop_connections))
            check(market, minutes)
            told = kinds(feed.events())
            assert (told["lost"], told["back"]) == (1, 1)
            assert market.server.connections >= 2

    run(work)


@both
def test_an_exchange_gone_for_half_an_hour_is_waited_for_and_the_hole_is_filled(name):
    async def work() -> None:
        async with exchange(name) as market:
            feed = market.make()

            async def leave() -> None:
                await market.server.go_away()
                asyncio.get_running_loop().create_task(come_back())

            async def come_back() -> None:
                await asyncio.sleep(30 * 60)
                await market.server.come_back()

            minutes = await watch(market, feed, 40, once(3, leave))
            check(market, minutes)
            assert sum(m.downtime for m in minutes) >= 29
            assert not minutes[-1].downtime, "it is live again"
            told = kinds(feed.events())
            assert told["lost"] >= 1
            assert told["lost"] == told["back"]
            assert told["hole_filled"] >= 1

    run(work)


@pytest.mark.parametrize(("status", "word"), [(429, "too many requests"), (418, "banned")])
def test_a_rate_limit_is_waited_out_by_all_requests_together(status, word):
    async def work() -> None:
        async with exchange("binance") as market:
            feed = market.make()
            minutes = await watch(market, feed, 8, once(3, lambda: market.server.refuse(3, status, retry_after=40)))
            check(market, minutes)
            limited = [e for e in feed.events() if e.kind == "rate_limited"]
            assert 1 <= len(limited) <= 3
            assert word in limited[0].detail
            assert "40 s" in limited[0].detail
            assert market.server.requests["refused"] == 3

    run(work)


def test_krakens_own_words_for_too_many_requests_are_understood():
    async def work() -> None:
        async with exchange("kraken") as market:
            feed = market.make()
            refusal = '{"error":["EAPI:Rate limit exceeded"]}'
            minutes = await watch(market, feed, 7, once(3, lambda: market.server.refuse(2, 200, body=refusal)))
            check(market, minutes)
            assert kinds(feed.events())["rate_limited"] >= 1

    run(work)


@both
def test_through_a_long_ban_the_websocket_carries_on(name):
    async def work() -> None:
        async with exchange(name) as market:
            feed = market.make()
            refused = 200 if name == "kraken" else 418
            body = '{"error":["EAPI:Rate limit exceeded"]}' if name == "kraken" else "{}"

            def ban() -> None:
                market.server.refuse(1000, refused, retry_after=100_000, body=body)

            minutes = await watch(market, feed, 8, once(3, ban))
            check(market, minutes)
            assert not any(m.downtime for m in minutes[3:])

    run(work)


@both
def test_messages_that_cannot_be_read_are_counted_and_the_next_ones_are_read(name):
    async def work() -> None:
        async with exchange(name) as market:
            feed = market.make()
            broken = ["{not json", "\x00\x01", "[]", '{"channel":"ohlc","data":[{}]}', '{"e":"kline","k":null}', "null"]
            minutes = await watch(market, feed, 8, once(3, lambda: market.server.send_garbage(*broken)))
            check(market, minutes)
            told = kinds(feed.events())
            assert told["garbage"] >= 1
            assert told["lost"] == 0
            assert market.server.connections == 1

    run(work)


@pytest.mark.parametrize("answer", ["<html>busy</html>", '{"a": 1}', "[[1]]", "[[1,2,3,4,5,6]]", '[["x","y",null]]'])
def test_answers_that_cannot_be_read_are_asked_for_again(answer):
    async def work() -> None:
        async with exchange("binance") as market:
            feed = market.make()
            minutes = await watch(market, feed, 7, once(3, lambda: market.server.refuse(2, 200, body=answer)))
            check(market, minutes)

    run(work)


@both
@pytest.mark.parametrize("fault", ["send_twice", "send_reversed", "swallow_closing", "mute"])
def test_a_websocket_that_repeats_reorders_loses_or_is_silent_changes_no_candle(name, fault):
    async def work() -> None:
        async with exchange(name) as market:
            setattr(market.server, fault, True)
            feed = market.make()
            check(market, await take(feed, market.symbols, market.first_ms + 57 * MINUTE_MS, 7))

    run(work)


@both
def test_slow_answers_only_delay(name):
    async def work() -> None:
        async with exchange(name) as market:
            feed = market.make()
            await feed._patiently(feed._client.load)
            market.server.delay_s = 4.5
            check(market, await take(feed, market.symbols, market.first_ms + 57 * MINUTE_MS, 6))

    run(work)


def test_a_silent_connection_is_made_again():
    async def work() -> None:
        async with exchange("binance") as market:
            feed = market.make()
            minutes = await watch(market, feed, 9, once(3, lambda: setattr(market.server, "mute", True)))
            check(market, minutes)
            assert market.server.connections >= 2
            assert kinds(feed.events())["lost"] >= 1

    run(work)


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


def test_an_exchange_that_is_down_at_the_start_is_waited_for():
    async def work() -> None:
        async with exchange("binance") as market:
            await market.server.go_away()
            feed = market.make()

            async def come_back() -> None:
                await asyncio.sleep(90)
                await market.server.come_back()

            task = asyncio.create_task(come_back())
            check(market, await take(feed, market.symbols, market.first_ms + 57 * MINUTE_MS, 5))
            await task

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
