"""What networks and overworked servers do to a feed, done on purpose: real ccxt against the local exchange."""

from __future__ import annotations

import asyncio

import pytest

from sigil_ext.paper.feed import MINUTE_MS, ClosedMinute
from tests.exchange_server.virtual_time import run
from tests.integration.feeds.bench import exchange, take, without
from tests.integration.feeds.course import check, kinds, once, watch

pytestmark = pytest.mark.timeout(120)
both = pytest.mark.parametrize("name", ["binance", "kraken"])


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
@pytest.mark.parametrize("confirm", ["always", "doubtful"])
@pytest.mark.parametrize("fault", ["send_twice", "send_reversed", "swallow_closing", "mute"])
def test_a_websocket_that_repeats_reorders_loses_or_is_silent_changes_no_candle(name, confirm, fault):
    async def work() -> None:
        async with exchange(name, confirm=confirm) as market:
            setattr(market.server, fault, True)
            feed = market.make()
            check(market, await take(feed, market.symbols, market.first_ms + 57 * MINUTE_MS, 6))

    run(work)


@both
def test_slow_answers_only_delay(name):
    async def work() -> None:
        async with exchange(name) as market:
            feed = market.make()
            await feed._reader.patiently(feed._client.load)
            market.server.delay_s = 4.5
            check(market, await take(feed, market.symbols, market.first_ms + 57 * MINUTE_MS, 6))

    run(work)


@both
@pytest.mark.parametrize("silence", ["mute", "frozen"])
def test_a_connection_without_candles_or_without_any_sign_of_life_is_made_again(name, silence):
    async def work() -> None:
        async with exchange(name) as market:
            feed = market.make()
            minutes = await watch(market, feed, 9, once(3, lambda: setattr(market.server, silence, True)))
            check(market, minutes)
            assert not any(m.downtime for m in minutes[3:])
            assert market.server.connections >= 2
            assert kinds(feed.events())["lost"] >= 1

    run(work)


@both
def test_a_market_without_trades_is_no_reason_to_break_the_connection(name):
    async def work() -> None:
        async with exchange(name) as market:
            for symbol in market.symbols:
                for minute in range(61, 70):
                    market.market.rows[symbol].pop(market.first_ms + minute * MINUTE_MS, None)
            market.candles = without(market.candles, {s: [*range(61, 70)] for s in market.symbols})
            feed = market.make()
            check(market, await watch(market, feed, 14, once(99, lambda: None)))
            assert market.server.connections == 1
            assert kinds(feed.events())["lost"] == 0

    run(work)


@both
def test_behind_a_firewall_without_websockets_the_candles_are_asked_for(name):
    async def work() -> None:
        async with exchange(name, confirm="doubtful") as market:
            market.server.no_websockets = True
            feed = market.make()
            minutes = await watch(market, feed, 8, once(99, lambda: None))
            check(market, minutes)
            assert not any(m.downtime for m in minutes[3:])
            [lost] = [e for e in feed.events() if e.kind == "lost"]
            assert "websocket" in lost.detail

    run(work)


@both
def test_an_outage_shorter_than_the_grace_is_no_downtime(name):
    async def work() -> None:
        async with exchange(name) as market:
            feed = market.make()

            async def blink() -> None:
                await asyncio.sleep(55)
                await market.server.go_away()
                await asyncio.sleep(9)
                await market.server.come_back()

            tasks: list[asyncio.Task[None]] = []
            start = once(3, lambda: tasks.append(asyncio.create_task(blink())))
            minutes = await watch(market, feed, 8, start)
            check(market, minutes)
            assert not any(m.downtime for m in minutes[3:])

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
