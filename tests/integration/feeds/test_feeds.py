"""What services ask of an exchange: a feed by name, the candles before now, and whether it answers."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from sigil_ext.errors import ExchangeUnreachable, UnknownSymbol, UsageError
from sigil_ext.paper.feed import MINUTE_MS, FeedEvent
from sigil_ext.paper.feeds import exchange_feed, history, reachable
from tests.exchange_server.market import ShiftedClock
from tests.exchange_server.virtual_time import run
from tests.integration.feeds.bench import Bench, exchange, take, truth

pytestmark = pytest.mark.timeout(120)
both = pytest.mark.parametrize("name", ["binance", "kraken"])


async def past(market: Bench, name: str, start: float, end: float, **more):
    """Return the candles of [start, end), told in minutes of the recording, and the events."""
    events: list[FeedEvent] = []
    first = market.first_ms
    asked = {"base_url": market.server.rest_url, "clock": market.clock, "rest_interval_ms": 1, "tell": events.append}
    found = await history(
        name, more.pop("symbols", market.symbols), int(first + start * MINUTE_MS), int(first + end * MINUTE_MS),
        **{**asked, **more},
    )  # fmt: skip
    return found, events


@both
def test_a_feed_is_made_by_name_and_led_to_another_address(name):
    async def work() -> None:
        async with exchange(name) as market:
            feed = exchange_feed(
                name, market.symbols, base_url=market.server.rest_url, clock=market.clock, rest_interval_ms=1
            )
            minutes = await take(feed, market.symbols, market.first_ms + 57 * MINUTE_MS, 4)
            await feed.close()
            assert [dict(m.candles) for m in minutes] == [truth(market.candles)[m.open_ms] for m in minutes]
            assert market.server.connections == 1, "websockets go to the same address"

    run(work)


@pytest.mark.parametrize(
    ("name", "symbols", "base_url", "words"),
    [
        ("binanse", ["TST-USDT"], None, "ccxt knows no exchange 'binanse'; did you mean 'binance'?"),
        ("coincheck", ["TST-USDT"], None, "exchange 'coincheck' offers no candles of one minute"),
        ("binance", ["TSTUSDT"], None, "symbol 'TSTUSDT' is not spelt as base and quote with a dash"),
        ("binance", ["TST/USDT"], None, "symbol 'TST/USDT' is not spelt"),
        ("binance", [], None, "at least one symbol"),
        ("binance", ["TST-USDT"], "localhost:80", "must begin with http:// or https://, was 'localhost:80'"),
    ],
)
def test_what_cannot_be_a_feed_is_refused_in_a_sentence(name, symbols, base_url, words):
    with pytest.raises(UsageError) as refused:
        exchange_feed(name, symbols, base_url=base_url)
    assert words in str(refused.value)


def test_an_exchange_that_ccxt_cannot_watch_is_a_feed_too():
    assert exchange_feed("bitso", ["BTC-USD"]).name == "bitso"


@both
def test_a_history_holds_every_closed_candle_of_the_period_once(name):
    async def work() -> None:
        async with exchange(name, at_minute=700.5) as market:
            shown: list[tuple[int, int]] = []
            found, events = await past(market, name, 10, 5000, progress=lambda *n: shown.append(n))
            for symbol in market.symbols:
                np.testing.assert_array_equal(found[symbol], market.candles[symbol].candles[10:700])
            assert events == []
            assert shown[-1] == (3 * 690, 3 * 690)
            assert all(a[0] <= b[0] for a, b in pairwise(shown))

    run(work)


def test_a_long_history_is_asked_for_page_by_page():
    async def work() -> None:
        async with exchange("binance", at_minute=1499.5) as market:
            found, _ = await past(market, "binance", 0, 1499)
            assert [len(rows) for rows in found.values()] == [1499] * 3
            assert market.server.requests["klines"] == 6

    run(work)


def test_the_end_is_not_part_of_the_period_and_odd_instants_are_fine():
    async def work() -> None:
        async with exchange("binance") as market:
            found, _ = await past(market, "binance", 9.5, 20)
            minutes = (found[market.symbols[0]][:, 0] - market.first_ms) / MINUTE_MS
            assert minutes.tolist() == list(range(10, 20))
            with pytest.raises(UsageError, match="must begin before it ends"):
                await past(market, "binance", 20, 20)

    run(work)


def test_what_kraken_no_longer_keeps_is_said():
    async def work() -> None:
        async with exchange("kraken", at_minute=1300.5) as market:
            found, events = await past(market, "kraken", 0, 1300)
            assert [len(rows) for rows in found.values()] == [719] * 3, "720 with the one that is forming"
            assert [e.kind for e in events] == ["hole_left"] * 3
            assert "kraken has none before" in events[0].detail
            assert "the first 581 min asked for are missing" in events[0].detail

    run(work)


def test_a_symbol_that_is_not_listed_is_told_and_the_others_come():
    async def work() -> None:
        async with exchange("binance") as market:
            found, events = await past(market, "binance", 0, 50, symbols=["NONE-USDT", *market.symbols])
            assert found["NONE-USDT"].shape == (0, 6)
            assert all(len(found[symbol]) == 50 for symbol in market.symbols)
            assert [(e.kind, e.symbol) for e in events] == [("halted", "NONE-USDT")]
            with pytest.raises(UnknownSymbol):
                await past(market, "binance", 0, 50, symbols=["NONE-USDT"])

    run(work)


def test_a_history_waits_for_an_exchange_that_asks_for_patience():
    async def work() -> None:
        async with exchange("binance") as market:
            market.server.refuse(2, 429, retry_after=30)
            began = market.now_ms()
            found, events = await past(market, "binance", 0, 50)
            assert all(len(rows) == 50 for rows in found.values())
            assert market.now_ms() - began >= 60_000
            assert {e.kind for e in events} == {"rate_limited"}

    run(work)


def test_a_history_from_an_exchange_that_stays_away_ends_with_a_sentence():
    async def work() -> None:
        async with exchange("binance") as market:
            await market.server.go_away()
            began = market.now_ms()
            with pytest.raises(
                ExchangeUnreachable, match=r"binance gave no usable answer for 60 s .*check the network"
            ):
                await past(market, "binance", 0, 50, patience_s=60)
            assert 60_000 < market.now_ms() - began < 120_000

    run(work)


@both
def test_an_exchange_that_answers_is_reachable_and_the_clocks_are_compared(name):
    async def work() -> None:
        async with exchange(name) as market:
            clock = ShiftedClock(market.clock, -45_000)
            is_fine, words, skew_ms = await reachable(name, base_url=market.server.rest_url, clock=clock)
            assert is_fine
            assert 44_000 <= skew_ms <= 45_100
            assert words.startswith(f"{name} answers in ")
            assert "behind the exchange's" in words

    run(work)


def test_an_exchange_that_does_not_answer_is_not_reachable_and_the_sentence_says_how():
    async def work() -> None:
        async with exchange("binance") as market:
            asked = {"base_url": market.server.rest_url, "clock": market.clock}
            market.server.delay_s = 60
            is_fine, words, skew_ms = await reachable("binance", timeout_s=5, **asked)
            assert (is_fine, skew_ms) == (False, None)
            assert words.startswith("binance does not answer within 5 s; check the network")
            market.server.delay_s = 0
            market.server.refuse(1, 451, body='{"code":0,"msg":"Service unavailable from a restricted location"}')
            assert "does not serve this country" in (await reachable("binance", **asked))[1]
            await market.server.go_away()
            assert "cannot be reached" in (await reachable("binance", **asked))[1]

    run(work)


def test_an_unknown_exchange_is_not_reachable_and_the_sentence_names_a_near_one():
    async def work() -> None:
        is_fine, words, _ = await reachable("krakn")
        assert not is_fine
        assert "did you mean 'kraken'" in words

    run(work)
