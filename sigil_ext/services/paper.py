"""Paper: a variant on closed minutes, recorded or live, with its memory in its database. Start at `run_paper`."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sigil_ext.bridge.candle_files import CandleSet, load_candles
from sigil_ext.db.connection import Database
from sigil_ext.db.journal import Journal
from sigil_ext.db.postgres_store import PostgresStore
from sigil_ext.errors import CandleError, UsageError
from sigil_ext.paper.feed import MINUTE_MS, Feed
from sigil_ext.paper.loop import run
from sigil_ext.paper.replay_feed import ReplayFeed, Speed
from sigil_ext.paper.session import Beginning, Conduct, PaperSession, SessionReport
from sigil_ext.rules.indicators import WINDOW
from sigil_ext.services.database import open_database
from sigil_ext.settings.overlays import Variant
from sigil_ext.settings.project import find_project

FeedName = Literal["replay", "exchange", "redis"]


@dataclass(frozen=True, slots=True)
class PaperRequest:
    """What `sigil run paper` was asked for."""

    variant: Variant
    feed: FeedName = "replay"
    candles: Path | None = None
    start_ms: int | None = None
    finish_ms: int | None = None
    speed: Speed = "max"
    restart: bool = False
    until_end: bool = True
    alerts: bool = False


def run_paper(
    request: PaperRequest, *, progress: Callable[[PaperSession, float | None], None] = lambda session, share: None
) -> SessionReport:
    """Run one variant until the feed ends or this process is asked to stop, continuing a session that was broken off.

    SIGTERM and Ctrl-C finish the minute and stop. This process becomes Jesse's: it leaves the project folder meanwhile.

    Args:
        progress: called after each minute with the share of the recording done, None where there is no end.
    """
    variant = request.variant
    if variant.research_only:
        raise UsageError(f"variant '{variant.name}' is for research only; backtest it instead")
    candles = _recording(request)
    project = find_project()
    database = open_database(variant.name, project)
    if request.restart:
        _end_old(database)
    feed: Feed = ReplayFeed(candles, speed=request.speed, finish_ms=request.finish_ms)
    beginning = _begin_in(candles, variant, request)
    session = PaperSession(variant, database, Conduct(feed=request.feed, patient=True, alerts=request.alerts))
    last = max(c.finish_ms for c in candles.values())

    def on_minute(session: PaperSession) -> None:
        assert session.last_ms is not None
        progress(session, (session.last_ms - session.recorded.start_ms) / max(1, last - session.recorded.start_ms))

    with _elsewhere():
        return asyncio.run(
            _run(session, feed, beginning, until_end=request.until_end, progress=on_minute),
        )


async def _run(
    session: PaperSession, feed: Feed, beginning: Beginning, *, until_end: bool,
    progress: Callable[[PaperSession], None],
) -> SessionReport:  # fmt: skip
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    try:
        await asyncio.to_thread(session.open, beginning)
        after = session.recorded.start_ms - MINUTE_MS
        return await run(session, feed, after_ms=after, stop=stop, until_end=until_end, progress=progress)
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


def _recording(request: PaperRequest) -> dict[str, CandleSet]:
    if request.candles is None:
        raise UsageError("--feed replay needs recorded candles: --candles DIR")
    before = None if request.start_ms is None else request.start_ms - warmup_minutes(request.variant) * MINUTE_MS
    return load_candles(request.candles, None, before, request.finish_ms)


def _begin_in(candles: dict[str, CandleSet], variant: Variant, request: PaperRequest) -> Beginning:
    """Return where a new session on a recording begins: on a boundary of every timeframe, earlier candles as warm-up."""
    first = min(c.start_ms for c in candles.values())
    last = max(c.finish_ms for c in candles.values())
    step = _longest(variant) * MINUTE_MS
    begin = max(request.start_ms or 0, -(-first // step) * step)
    if begin >= last:
        raise CandleError(f"{request.candles} holds no candles after the start")
    return Beginning(sorted(candles), begin, {s: c.candles[c.candles[:, 0] < begin] for s, c in candles.items()})


def warmup_minutes(variant: Variant) -> int:
    """Return how many minutes before its start a variant looks back at most."""
    return _longest(variant) * WINDOW + 2 * 1440


def _longest(variant: Variant) -> int:
    return max(variant.settings.signal_minutes, variant.settings.atr_minutes)


def _end_old(database: Database) -> None:
    journal = Journal(database)
    session = journal.running()
    if session is None:
        return
    link = journal.lock()  # a session that runs is not ended behind its back
    try:
        if PostgresStore(database).open_positions():
            raise UsageError(
                f"variant '{database.variant}' holds open positions; close them first: "
                f"sigil flatten --variant {database.variant} --reason '...'"
            )
        journal.end(session)
    finally:
        link.close()


@contextlib.contextmanager
def _elsewhere() -> Iterator[None]:
    """Leave the project folder: Jesse opens a database of its own when it is imported inside a project."""
    here = Path.cwd()
    with tempfile.TemporaryDirectory(prefix="sigil-paper-") as elsewhere:
        os.chdir(elsewhere)
        try:
            yield
        finally:
            os.chdir(here)
