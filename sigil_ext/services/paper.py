"""Paper: a variant on closed minutes, recorded or live, with its memory in its database. Start at `run_paper`."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import structlog

from sigil_ext.bridge.paper_strategy import PaperStrategy, find_strategy
from sigil_ext.bridge.simulate import StrategyRun
from sigil_ext.db.connection import Database
from sigil_ext.db.journal import Journal
from sigil_ext.db.postgres_store import PostgresStore
from sigil_ext.errors import DatabaseUnavailable, SigilError, UsageError
from sigil_ext.paper.feed import MINUTE_MS, FeedEvent
from sigil_ext.paper.loop import BY_A_PERSON, SessionReport, run
from sigil_ext.paper.session import PaperSession
from sigil_ext.services.database import open_database
from sigil_ext.services.paper_feeds import PaperRequest, Source, open_source, refuse_misfits
from sigil_ext.services.paper_history import refuse_other_candles, refuse_own_future, set_aside
from sigil_ext.services.schedule import Jobs
from sigil_ext.settings.project import Project, find_project
from sigil_ext.settings.strategies import demand_session_name, forget_session, note_session

T = TypeVar("T")
Progress = Callable[[PaperSession, float | None], bool]
NOBODY_WATCHES = "stopped because its supervisor is gone"

log = structlog.get_logger("sigil.paper")


def prepare_strategy(name: str | None, run: StrategyRun) -> PaperStrategy:
    """Return the strategy of `run` under the name of its session, by default its class in small letters.

    Raises:
        UsageError: it cannot be loaded from the current folder, or its name cannot be that of a session.
    """
    wanted = run.name.lower() if name is None else name
    project, folder = find_project(), str(Path.cwd())
    with elsewhere():
        found = find_strategy(wanted, run, folder)
    demand_session_name(wanted, project)
    return found


def run_paper(request: PaperRequest, *, progress: Progress = lambda session, share: True) -> SessionReport:
    """Run one variant until the feed ends or this process is asked to stop, continuing a session that was broken off.

    SIGTERM and Ctrl-C finish the minute and stop. This process becomes Jesse's: it leaves the project folder meanwhile.

    Args:
        progress: called after each minute with the share of the recording done, None where there is no end; False: stop,
            because whoever it told is gone.
    Raises:
        UsageError: the session cannot be begun as asked. SigilError: it cannot go on; a supervisor may try again.
    """
    variant = request.variant
    if variant.research_only:
        raise UsageError(f"variant '{variant.name}' is for research only; backtest it instead")
    refuse_misfits(request)
    project = find_project()
    named_now = isinstance(variant, PaperStrategy) and note_session(variant.name, project)
    database: Database | None = None
    try:
        database = open_database(variant.name, project)
        if request.restart and not request.fresh:
            _demand_endable(database)
        recorded = None if request.restart or request.fresh else Journal(database).running()
        known = recorded.symbols if recorded else None
        if recorded and recorded.feed != request.feed:
            raise UsageError(
                f"the paper session of variant '{variant.name}' was begun with --feed {recorded.feed}; go on with that, "
                "or end it with --restart to begin a new one"
            )
        source = open_source(request, project, known, _tell)
        if request.fresh:  # only now: what is refused leaves the old database in its place
            if (kept := set_aside(database)) is not None:
                log.warning("database set aside", variant=variant.name, kept_as=kept)
            database = open_database(variant.name, project)
        if recorded and source.candles is not None:
            refuse_other_candles(database, recorded, source.candles)
        with elsewhere():
            return asyncio.run(_run(request, source, database, project, is_new=recorded is None, progress=progress))
    except DatabaseUnavailable as lost:
        # Not wrong use here: whoever started the session is to start it again when the server is back.
        raise SigilError(str(lost)) from lost
    finally:
        if named_now and not _was_recorded(database):
            forget_session(variant.name, project)


def _was_recorded(database: Database | None) -> bool:
    """Return whether a session ever began in the database; True where that cannot be known."""
    try:
        return database is not None and Journal(database).last() is not None
    except DatabaseUnavailable:
        return True


async def _run(
    request: PaperRequest, source: Source, database: Database, project: Project, *, is_new: bool, progress: Progress
) -> SessionReport:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    conduct = source.conduct
    if isinstance(request.variant, PaperStrategy):
        # Its entries cannot be refused one by one: without a durable record its time stands still, on any feed.
        conduct = replace(conduct, patient=True)
    session = PaperSession(request.variant, database, conduct)
    jobs: Jobs | None = None
    why = BY_A_PERSON

    def on_minute(session: PaperSession) -> None:
        nonlocal why
        share = None
        if source.last_ms is not None and session.last_ms is not None:
            begun = session.recorded.start_ms
            share = (session.last_ms + MINUTE_MS - begun) / max(1, source.last_ms - begun)
        if not progress(session, share):
            why = NOBODY_WATCHES
            stop.set()

    try:
        beginning = await _unless_stopped(source.begin(), stop) if is_new else None
        if stop.is_set():
            raise SigilError("stopped before the session began; nothing was recorded")
        if beginning is not None and not source.live:
            refuse_own_future(database, beginning.start_ms)
        if request.restart:
            _end_old(database)  # only now: the old one can go on as long as no new one can begin
        await asyncio.to_thread(session.open, beginning)
        if source.live or source.conduct.alerts:
            jobs = Jobs(session, project)
            jobs.start(scans=source.live)
        on_minute(session)
        until_end = request.until_end if request.until_end is not None else not source.live
        after = session.recorded.start_ms - MINUTE_MS
        return await run(
            session, source.feed, after_ms=after, stop=stop, until_end=until_end, progress=on_minute,
            why_stopped=lambda: why,
        )  # fmt: skip
    finally:
        if jobs is not None:
            await jobs.stop()
        await source.feed.close()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


async def _unless_stopped(work: Awaitable[T], stop: asyncio.Event) -> T | None:
    """Return what `work` gives, None when `stop` is set first."""
    task, stopping = asyncio.ensure_future(work), asyncio.ensure_future(stop.wait())
    await asyncio.wait({task, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if not task.done():
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return None
    return task.result()


def _tell(event: FeedEvent) -> None:
    log.info("feed", kind=event.kind, symbol=event.symbol, detail=event.detail)


def _demand_endable(database: Database) -> None:
    """Refuse to end a session that runs, or that holds positions which nobody would follow any more."""
    journal = Journal(database)
    if (session := journal.running()) is None:
        return
    journal.lock().close()
    if PostgresStore(database).open_positions():
        gone = " (where the strategy cannot run any more: sigil positions close --stale)" if session.strategy else ""
        raise UsageError(
            f"variant '{database.variant}' holds open positions; close them first: "
            f"sigil flatten --variant {database.variant} --reason '...'{gone}"
        )


def _end_old(database: Database) -> None:
    _demand_endable(database)
    journal = Journal(database)
    link = journal.lock()  # a session that runs is not ended behind its back
    try:
        if (session := journal.running()) is not None:
            journal.end(session)
    finally:
        link.close()


@contextlib.contextmanager
def elsewhere() -> Iterator[None]:
    """Leave the project folder: Jesse opens a database of its own when it is imported inside a project."""
    here = Path.cwd()
    with tempfile.TemporaryDirectory(prefix="sigil-paper-") as elsewhere:
        os.chdir(elsewhere)
        try:
            yield
        finally:
            os.chdir(here)
