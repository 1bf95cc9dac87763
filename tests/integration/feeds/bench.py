"""A bench for feeds: each kind built over the same recorded candles, so that one suite can try them all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import numpy as np

from sigil_ext.bridge.candle_files import CandleSet, load_candles
from sigil_ext.paper.exchange_feed import ExchangeFeed
from sigil_ext.paper.feed import MINUTE_MS, Clock, ClosedMinute, Feed, Row
from sigil_ext.paper.replay_feed import ReplayFeed
from tests.exchange_server import virtual_time
from tests.exchange_server.market import Market, MarketClock
from tests.exchange_server.server import ExchangeServer

SAMPLE = Path(__file__).resolve().parents[3] / "sample"
SYMBOLS = {
    "binance": ["ACH-USDT", "DOGS-USDT", "KNC-USDT"],
    "kraken": ["ADA-USDT", "DOGE-USDT", "XRP-USDT"],  # the same candles, under names that Kraken lists
}
T = TypeVar("T")


def run(work: Callable[[], Awaitable[T]], seconds: float = 60.0) -> T:
    """Run `work` by the wall's clock, for `seconds` at most: for feeds that need a process besides this one."""
    return asyncio.run(asyncio.wait_for(work(), seconds))  # type: ignore[arg-type]


def recording(names: list[str], minutes: int = 1500) -> dict[str, CandleSet]:
    """Return the first minutes of the bundled candles under `names`."""
    real = load_candles(SAMPLE, SYMBOLS["binance"])
    return {
        name: replace(s, symbol=name, candles=np.ascontiguousarray(s.candles[:minutes]))
        for name, s in zip(names, real.values(), strict=True)
    }


def without(candles: Mapping[str, CandleSet], holes: Mapping[str, list[int]]) -> dict[str, CandleSet]:
    """Return `candles` without the rows of `holes`, by number."""
    return {
        s: replace(c, candles=np.ascontiguousarray(np.delete(c.candles, holes.get(s, []), axis=0)))
        for s, c in candles.items()
    }


def truth(candles: Mapping[str, CandleSet]) -> dict[int, dict[str, Row]]:
    """Return the recorded candles by minute."""
    minutes: dict[int, dict[str, Row]] = {}
    for symbol in sorted(candles):
        for row in candles[symbol].candles.tolist():
            minutes.setdefault(int(row[0]), {})[symbol] = tuple(row)
    return minutes


async def take(feed: Feed, symbols: list[str], after_ms: int | None, count: int) -> list[ClosedMinute]:
    """Return the next `count` minutes and end the iteration."""
    taken: list[ClosedMinute] = []
    async with aclosing(feed.minutes(symbols, after_ms)) as minutes:  # type: ignore[type-var]
        async for minute in minutes:
            taken.append(minute)
            if len(taken) == count:
                break
    return taken


@dataclass
class Bench:
    """A market under test: `make` builds a feed on it, `first_ms` is its first recorded minute."""

    symbols: list[str]
    candles: dict[str, CandleSet]
    make: Callable[..., Feed]
    now_ms: Callable[[], int]
    server: ExchangeServer | None = None
    clock: MarketClock | None = None

    @property
    def first_ms(self) -> int:
        return min(int(c.candles[0, 0]) for c in self.candles.values())

    @property
    def market(self) -> Market:
        assert self.server is not None
        return self.server.market


@asynccontextmanager
async def exchange(
    name: str,
    *,
    candles: dict[str, CandleSet] | None = None,
    at_minute: float = 60,
    speed: float | None = None,
    feed_clock: Callable[[MarketClock], Clock] = lambda clock: clock,
    **options: Any,
) -> AsyncIterator[Bench]:
    """A local exchange whose market time begins `at_minute` of the recording; the feeds it makes are closed at the end."""
    import_module("ccxt.pro")  # takes seconds, which would pass on the market's clock
    candles = candles or recording(SYMBOLS[name])
    start_ms = min(int(c.candles[0, 0]) for c in candles.values()) + int(at_minute * MINUTE_MS)
    is_virtual = isinstance(asyncio.get_running_loop(), virtual_time.VirtualTimeLoop)
    clock = MarketClock(start_ms, speed or (1.0 if is_virtual else 60.0))
    server = ExchangeServer(Market(candles, clock))
    await server.start()
    feeds: list[Feed] = []

    def make(**more: Any) -> Feed:
        settings = {"rest_interval_ms": 1, "clock": feed_clock(clock), **options, **more}
        feeds.append(ExchangeFeed(name, server.rest_url, server.ws_url, **settings))
        return feeds[-1]

    try:
        yield Bench(sorted(candles), candles, make, clock.now_ms, server, clock)
    finally:
        for feed in feeds:
            await feed.close()
        await server.stop()


@asynccontextmanager
async def replay(*, candles: dict[str, CandleSet] | None = None, **_: Any) -> AsyncIterator[Bench]:
    """A recording."""
    candles = candles or recording(SYMBOLS["binance"])
    last = max(int(c.candles[-1, 0]) for c in candles.values())
    yield Bench(sorted(candles), candles, lambda: ReplayFeed(candles), lambda: last + MINUTE_MS)


@asynccontextmanager
async def stream(*, candles: dict[str, CandleSet] | None = None, **_: Any) -> AsyncIterator[Bench]:
    """A Redis stream with a publisher that is still at it."""
    from sigil_ext.paper.publisher import publish
    from sigil_ext.paper.redis_feed import RedisFeed
    from tests.integration.feeds.redis_server import RedisServer

    candles = candles or recording(SYMBOLS["binance"])
    feeds: list[Feed] = []
    with TemporaryDirectory() as folder, RedisServer(Path(folder)) as server:

        def make() -> Feed:
            feeds.append(RedisFeed(server.url, "minutes"))
            return feeds[-1]

        publishing = asyncio.create_task(publish(ReplayFeed(candles), server.url, "minutes", sorted(candles)))
        try:
            yield Bench(sorted(candles), candles, make, lambda: 0)
        finally:
            publishing.cancel()
            await asyncio.gather(publishing, return_exceptions=True)
            for feed in feeds:
                await feed.close()


BENCHES: dict[str, Callable[..., AbstractAsyncContextManager[Bench]]] = {
    "replay": replay,
    "redis": stream,
    "binance": partial(exchange, "binance"),
    "kraken": partial(exchange, "kraken"),
}


def run_on(kind: str, work: Callable[[], Awaitable[T]]) -> T:
    """Run `work` in virtual time, but for the kinds that need another process."""
    return run(work) if kind == "redis" else virtual_time.run(work)
