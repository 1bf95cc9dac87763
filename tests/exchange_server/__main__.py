"""The local exchange as a process, by the wall's clock: the bundled candles, moved so that half of them are past.

Run as `python -m tests.exchange_server`; says its address on stdout and runs until it is killed.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from pathlib import Path

from sigil_ext.bridge.candle_files import load_candles
from sigil_ext.paper.feed import MINUTE_MS
from tests.exchange_server.market import Market, MarketClock
from tests.exchange_server.server import ExchangeServer

SAMPLE = Path(__file__).resolve().parents[2] / "sample"


async def serve() -> None:
    candles = load_candles(SAMPLE)
    now_ms = int(time.time() * 1000)
    middle = sum(next(iter(candles.values())).candles[[0, -1], 0]) / 2
    shift = (now_ms - int(middle)) // MINUTE_MS * MINUTE_MS
    for symbol, series in candles.items():
        rows = series.candles.copy()
        rows[:, 0] += shift
        candles[symbol] = replace(series, candles=rows)
    server = ExchangeServer(Market(candles, MarketClock(now_ms)))
    await server.start()
    print(server.rest_url, flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve())
