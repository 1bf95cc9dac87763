"""Everything at once, by dice whose throws are repeatable: half an hour in which an exchange does what it can do."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable

import pytest

from sigil_ext.paper.feed import MINUTE_MS
from tests.exchange_server.server import ExchangeServer
from tests.exchange_server.virtual_time import run
from tests.integration.feeds.bench import exchange, truth
from tests.integration.feeds.course import kinds, watch

pytestmark = pytest.mark.timeout(120)

MINUTES = 30
Fault = Callable[[ExchangeServer, float], Awaitable[None]]
GARBAGE = ["{not json", "[]", '{"e":"kline","k":{}}', '{"channel":"ohlc","type":"update","data":[{"symbol":1}]}', "0"]


async def go(server: ExchangeServer, seconds: float) -> None:
    await server.go_away()
    await asyncio.sleep(seconds)
    await server.come_back()


async def answer_slowly(server: ExchangeServer, seconds: float) -> None:
    server.delay_s = 3.0
    await asyncio.sleep(seconds)
    server.delay_s = 0.0


async def drop(server: ExchangeServer, _: float) -> None:
    server.drop_connections()


async def refuse(server: ExchangeServer, seconds: float) -> None:
    server.refuse(3, 429, retry_after=seconds / 4)


async def ban(server: ExchangeServer, seconds: float) -> None:
    server.refuse(2, 418, retry_after=seconds)


async def answer_garbage(server: ExchangeServer, _: float) -> None:
    server.refuse(4, 200, body="<html>busy</html>")


async def send_garbage(server: ExchangeServer, _: float) -> None:
    await server.send_garbage(*GARBAGE)


def lasting(fault: str) -> Fault:
    async def work(server: ExchangeServer, seconds: float) -> None:
        setattr(server, fault, True)
        await asyncio.sleep(seconds)
        setattr(server, fault, False)

    return work


# Binance says itself which frame is a candle's last. Kraken does not: where requests are banned its last frame is believed,
# so there a frame must not be lost or overtaken, as none is on a connection that holds.
ON_BOTH = [
    go, drop, refuse, ban, answer_slowly, answer_garbage, send_garbage,
    *map(lasting, ("send_twice", "no_websockets")),
]  # fmt: skip
LOSING = [*map(lasting, ("mute", "frozen", "send_reversed", "swallow_closing"))]
FAULTS = {"kraken": ON_BOTH, "binance": [*ON_BOTH, *LOSING]}


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize(
    ("name", "confirm"), [("binance", "always"), ("binance", "doubtful"), ("kraken", "always"), ("kraken", "doubtful")]
)
def test_whatever_happens_every_minute_comes_once_in_order_and_as_it_was(name, confirm, seed):
    async def work() -> None:
        dice = random.Random(f"{name} {confirm} {seed}")
        async with exchange(name, confirm=confirm) as market:

            async def trouble() -> None:
                while True:
                    await asyncio.sleep(dice.uniform(5, 150))
                    await dice.choice(FAULTS[name])(market.server, dice.choice([4, 15, 40, 130, 400]))

            feed = market.make()
            task = asyncio.create_task(trouble())
            try:
                minutes = await watch(market, feed, MINUTES, nothing)
            finally:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
            recorded = truth(market.candles)
            assert [m.open_ms for m in minutes] == [minutes[0].open_ms + i * MINUTE_MS for i in range(MINUTES)]
            wrong = [(m.open_ms, s) for m in minutes for s, row in m.candles.items() if recorded[m.open_ms][s] != row]
            absent = sum(len(recorded[m.open_ms]) - len(m.candles) for m in minutes)
            assert (wrong, absent) == ([], 0)
            told = kinds(feed.events())
            assert told["lost"] - told["back"] <= 2, "of requests, of the websocket"
            assert not {"hole_left", "halted", "stale"} & told.keys()

    async def nothing(_: object) -> None: ...

    run(work)
