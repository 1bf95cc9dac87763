"""A live paper session on a local exchange, in a process of its own and in virtual time: days of market in a minute.

Run as `python -m tests.live_course COURSE`, SIGIL_HOME set; prints one JSON object. Used by acceptance/test_paper_live.py.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import structlog

from sigil_ext.bridge.candle_files import load_candles
from sigil_ext.db import embedded
from sigil_ext.paper.conduct import Beginning, Conduct
from sigil_ext.paper.exchange_feed import ExchangeFeed
from sigil_ext.paper.feed import MINUTE_MS
from sigil_ext.paper.loop import run
from sigil_ext.paper.session import PaperSession
from sigil_ext.research.backtest_report import trade_row
from sigil_ext.services.database import open_database
from sigil_ext.services.paper import elsewhere
from sigil_ext.settings.overlays import load_variant
from sigil_ext.settings.project import Project, find_project
from tests.exchange_server import virtual_time
from tests.exchange_server.market import Market, MarketClock
from tests.exchange_server.server import ExchangeServer

SAMPLE = Path(__file__).resolve().parents[1] / "sample"
START_MS = 1750201200000  # 2025-06-17 23:00, a day and two hours of warm-up before
MINUTES = 1500
Act = Callable[[ExchangeServer, Project], Awaitable[None] | None]


async def away(server: ExchangeServer, project: Project) -> None:
    await server.go_away()


async def back(server: ExchangeServer, project: Project) -> None:
    await server.come_back()


def cut(server: ExchangeServer, project: Project) -> None:
    server.drop_connections()


async def garbage(server: ExchangeServer, project: Project) -> None:
    await server.send_garbage("{", "null", '{"stream":"x","data":{"k":{"t":"soon"}}}')


def ban(server: ExchangeServer, project: Project) -> None:
    server.refuse(3, 418, 120.0)


def stop_database(server: ExchangeServer, project: Project) -> None:
    embedded.stop(project)


def start_database(server: ExchangeServer, project: Project) -> None:
    embedded.ensure_running(project)


# After how many market minutes what happens.
COURSES: dict[str, dict[int, Act]] = {
    "quiet": {},
    "feed": {200: cut, 340: away, 370: back, 600: garbage, 640: cut, 700: ban, 900: cut, 903: away, 904: back, 1400: cut},
    "database": {650: stop_database, 740: start_database, 901: stop_database, 902: start_database, 1100: stop_database, 1220: start_database},
}  # fmt: skip


async def follow(course: dict[int, Act]) -> dict[str, object]:
    project = find_project()
    candles = load_candles(SAMPLE)
    clock = MarketClock(START_MS)
    server = ExchangeServer(Market(candles, clock))
    await server.start()
    variant = load_variant("unhinged")
    session = PaperSession(
        variant, open_database("unhinged", project), Conduct("exchange", patient=False, alerts=True, durable=False),
        now=lambda: datetime.fromtimestamp(clock.now_ms() / 1000, UTC),
    )  # fmt: skip
    feed = ExchangeFeed("binance", server.rest_url, server.ws_url, clock=clock, rest_interval_ms=1, confirm="doubtful")
    warmup = {s: np.ascontiguousarray(c.candles[c.candles[:, 0] < START_MS]) for s, c in candles.items()}
    stop = asyncio.Event()

    async def direct() -> None:
        for minute in sorted(course):
            await clock.sleep((START_MS + minute * MINUTE_MS + 20_000 - clock.now_ms()) / 1000)
            done = course[minute](server, project)
            if done is not None:
                await done
        await clock.sleep((START_MS + MINUTES * MINUTE_MS - clock.now_ms()) / 1000)
        stop.set()

    session.open(Beginning(sorted(candles), START_MS, warmup))
    director = asyncio.create_task(direct())
    try:
        report = await run(session, feed, after_ms=START_MS - MINUTE_MS, stop=stop)
        await director
    finally:
        director.cancel()
        await server.stop()
    return {
        "processed": report.processed, "last_ms": session.last_ms, "lost": session.lost_since is not None,
        "trades": [trade_row(trade) for trade in report.trades],
    }  # fmt: skip


if __name__ == "__main__":
    structlog.configure(logger_factory=structlog.WriteLoggerFactory(sys.stderr))
    with elsewhere():
        print(json.dumps(virtual_time.run(lambda: follow(COURSES[sys.argv[1]]), seconds=3 * 86400)))
