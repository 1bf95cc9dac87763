"""A paper session: closed minutes in, one transaction a minute, recovery by what was recorded.

The minute's candles, every fill, stop, refusal, scan and protection are committed together or not at all: a process that
is killed at any instant has either processed a minute or not begun it. Start at `run_session`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sigil_ext.bridge.paper_host import PaperHost
from sigil_ext.bridge.records import Trade
from sigil_ext.db.journal import Journal, RecordedSession
from sigil_ext.db.postgres_store import PostgresStore
from sigil_ext.errors import UsageError
from sigil_ext.rules.symbols import to_jesse
from sigil_ext.settings.overlays import Variant, flatten

Row = Sequence[float]
Minutes = Iterable[tuple[int, Mapping[str, Row]]]


@dataclass(frozen=True, slots=True)
class SessionReport:
    """What a session did in this process: minutes rebuilt and processed, and every trade since its record began."""

    rebuilt: int
    processed: int
    trades: list[Trade]
    balance: float
    finished: bool


def run_session(
    variant: Variant,
    store: PostgresStore,
    minutes_after: Callable[[int | None], Minutes],
    symbols: Sequence[str],
    start_ms: int,
    warmup: Mapping[str, NDArray[np.float64]],
    *,
    stop: Callable[[], bool] = lambda: False,
    until_end: bool = False,
    progress: Callable[[int], None] = lambda open_ms: None,
) -> SessionReport:
    """Run `variant` on the minutes that `minutes_after` yields, from where its record ends.

    Args:
        minutes_after: given the open time of the last processed minute (None: none), yields those after it, ascending.
        symbols, start_ms, warmup: of a new session; a recorded one keeps its own.
        stop: asked after each minute. until_end: close what is open when the minutes end, and end the record.
    Raises:
        LockHeld: a session of the variant runs already. UsageError: a recorded session had other settings.
    """
    journal = Journal(store.database)
    lock = journal.lock()
    try:
        session = journal.running() or journal.begin(flatten(variant.settings), sorted(symbols), start_ms, warmup)
        _same_settings(variant, session)
        entries = {(to_jesse(symbol), at_ms): number for (symbol, at_ms), number in journal.entries(session).items()}
        scans = journal.scans(session)
        host = PaperHost(variant, session.symbols, session.start_ms, session.warmup, entries, scans)
        last: int | None = None
        rebuilt = 0
        for open_ms, recorded in journal.minutes(session):
            host.minute(open_ms, recorded)
            last, rebuilt = open_ms, rebuilt + 1
        host.live(store)
        processed = 0
        for open_ms, candles in minutes_after(last):
            with store.database.one_transaction():
                host.minute(open_ms, candles)
                journal.write(session, open_ms, candles)
            processed += 1
            progress(open_ms)
            if stop():
                return _report(host, rebuilt, processed, finished=False)
        if until_end:
            with store.database.one_transaction():
                host.finish()
                journal.end(session)
        return _report(host, rebuilt, processed, finished=until_end)
    finally:
        lock.close()


def _report(host: PaperHost, rebuilt: int, processed: int, *, finished: bool) -> SessionReport:
    trades = host.session.record.trades if host.session else []
    return SessionReport(rebuilt, processed, trades, host.host.balance(), finished)


def _same_settings(variant: Variant, session: RecordedSession) -> None:
    now = flatten(variant.settings)
    other = sorted(path for path in now if session.settings.get(path) != now[path])
    if other:
        raise UsageError(
            f"the paper session of variant '{variant.name}' was begun with other settings: {', '.join(other)}; "
            "run it with those, or end it with --restart to begin a new one"
        )
