"""Feeds a session: minutes from any feed, one after the other, until the feed ends or somebody stops it.

Start at `run`.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import structlog

from sigil_ext.bridge.records import Trade
from sigil_ext.errors import DatabaseUnavailable, LockHeld, StrategyFailed
from sigil_ext.paper.feed import ClosedMinute, Feed
from sigil_ext.paper.session import PaperSession

RETRY_S = 0.5
BREATHE_EVERY = 10
LOCK_PATIENCE_S = 60.0
BY_A_PERSON = "stopped by a person"

log = structlog.get_logger("sigil.paper")


@dataclass(frozen=True, slots=True)
class SessionReport:
    """What a session did in this process: minutes rebuilt and processed, and every trade since its record began."""

    rebuilt: int
    processed: int
    trades: list[Trade]
    cash: float
    equity: float
    open_positions: int
    finished: bool


async def run(
    session: PaperSession,
    feed: Feed,
    *,
    after_ms: int | None,
    stop: asyncio.Event,
    until_end: bool = False,
    progress: Callable[[PaperSession], None] = lambda session: None,
    why_stopped: Callable[[], str] = lambda: BY_A_PERSON,
) -> SessionReport:
    """Process what `feed` gives until it ends or `stop` is set; an open `session` is closed at the end.

    Args:
        after_ms: of a new session: open time of the minute before its first one.
        until_end: close what is open when the feed ends, and end the record.
        why_stopped: asked once `stop` is set; people are told what it says.
    Raises:
        LockHeld: another session took the variant over while the database was away.
        StrategyFailed: a strategy of the user's own raised; the session is noted as stopped before its minute.
    """
    first = session.last_ms if session.last_ms is not None else after_ms
    finished = False
    try:
        while True:
            try:
                await _feed(session, feed, first, stop, progress)
                if until_end and not stop.is_set():
                    await asyncio.to_thread(session.finish)
                    finished = True
                else:
                    await asyncio.to_thread(session.stopped, why_stopped() if stop.is_set() else "the feed ended")
                break
            except StrategyFailed:
                if not session.ahead:
                    raise
                # Minutes before the one that failed were in its transaction: once more, each in its own.
                await asyncio.to_thread(session.reopen_ungrouped)
                first = session.last_ms if session.last_ms is not None else after_ms
            except DatabaseUnavailable as error:
                if not await _come_back(session, error, stop):
                    break
                first = session.last_ms if session.last_ms is not None else after_ms
    except StrategyFailed as failed:
        await asyncio.to_thread(session.stopped, str(failed))
        raise
    finally:
        await feed.close()
        cash, held, count = session.host.worth()
        report = SessionReport(
            session.rebuilt, session.processed, list(session.host.trades), cash, cash + held, count, finished
        )
        session.close()
    return report


async def _feed(
    session: PaperSession, feed: Feed, after_ms: int | None, stop: asyncio.Event,
    progress: Callable[[PaperSession], None],
) -> None:  # fmt: skip
    minutes = feed.minutes(session.recorded.symbols, after_ms)
    if getattr(feed, "never_waits", False):
        await _rush(session, minutes, stop, progress)
        return
    stopping = asyncio.create_task(stop.wait())
    try:
        while not stop.is_set():
            minute = await _next(minutes, stopping, session, feed)
            if minute is None:
                return
            await asyncio.to_thread(session.process, minute, feed.events())
            progress(session)
    finally:
        stopping.cancel()
        await minutes.aclose()  # type: ignore[attr-defined]  # every feed is an async generator


async def _rush(
    session: PaperSession, minutes: AsyncIterator[ClosedMinute], stop: asyncio.Event,
    progress: Callable[[PaperSession], None],
) -> None:  # fmt: skip
    """Process a recording as fast as it goes: without threads and timers, which cost more than a minute does.

    What is processed when it ends, at whoever's wish, is committed.
    """
    try:
        for count in itertools.count(1):
            minute = await anext(minutes, None)
            if minute is None or stop.is_set():
                session.settle()
                return
            session.process(minute)
            progress(session)
            if count % BREATHE_EVERY == 0:
                await asyncio.sleep(0)  # signals and the sender of alerts have their turn
    finally:
        await minutes.aclose()  # type: ignore[attr-defined]  # every feed is an async generator


async def _next(
    minutes: AsyncIterator[ClosedMinute], stopping: asyncio.Task[bool], session: PaperSession, feed: Feed
) -> ClosedMinute | None:
    """Return the next minute, None at the feed's end or when the session is to stop.

    While it waits, the session tells what the feed met, obeys people, and looks for a database that it has lost.
    """
    coming = asyncio.ensure_future(anext(minutes, None))
    try:
        while not coming.done():
            await asyncio.wait({coming, stopping}, timeout=RETRY_S * 4, return_when=asyncio.FIRST_COMPLETED)
            if stopping.done() and not coming.done():
                return None
            if not coming.done():
                await asyncio.to_thread(session.wait, feed.events())
    finally:
        if not coming.done():  # nobody may close the feed while it is asked
            coming.cancel()
            await asyncio.gather(coming, return_exceptions=True)
    return coming.result()


async def _come_back(session: PaperSession, error: DatabaseUnavailable, stop: asyncio.Event) -> bool:
    """Wait for a lost database and begin again from the record; False if the session was stopped meanwhile."""
    log.error("database lost, waiting for it", variant=session.variant.name, detail=str(error))
    refused = 0
    while not stop.is_set():
        try:
            await asyncio.to_thread(session.reopen)
            log.warning("database back", variant=session.variant.name, last_minute=session.last_ms)
            return True
        except DatabaseUnavailable:
            refused = 0
        except LockHeld:
            # The server may not know yet that the old connection is dead, and keep its lock for a while.
            refused += 1
            if refused * RETRY_S > LOCK_PATIENCE_S:
                raise
        await asyncio.sleep(RETRY_S)
    return False
