"""What a database already holds, before a session begins or goes on in it: no second past, no other market.

Start at `refuse_own_future` and `refuse_other_candles`; `set_aside` is the way out of the first.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

import numpy as np

from sigil_ext.bridge.candle_files import CandleSet
from sigil_ext.db.connection import Database, rename_database
from sigil_ext.db.journal import Journal, RecordedSession
from sigil_ext.db.postgres_store import PostgresStore
from sigil_ext.errors import UsageError
from sigil_ext.instants import clock

MINUTE_MS = 60_000
COMPARED = 300  # recorded minutes, the newest ones


def refuse_own_future(database: Database, start_ms: int) -> None:
    """Raise UsageError where the database holds what happened after `start_ms`: its bars, bans and positions would count."""
    with database.transaction() as cur:
        cur.execute(
            "SELECT (extract(epoch FROM greatest((SELECT to_timestamp(max(open_ms) / 1000.0 + 60) FROM paper_minutes),"
            " (SELECT max(greatest(opened_at, closed_at)) FROM micro_positions),"
            " (SELECT max(greatest(opened_at, closed_at)) FROM paper_positions))) * 1000)::bigint"
        )
        row = cur.fetchone()
    last = row[0] if row else None
    if last is not None and start_ms < last:
        raise UsageError(
            f"the database of variant '{database.variant}' holds trades and minutes up to {clock(last)} UTC; a session that begins "
            f"at {clock(start_ms)} UTC would trade under its own future. Begin in an empty one with --fresh (the old one is kept "
            "under another name), or later with --start"
        )


def set_aside(database: Database) -> str | None:
    """Rename the database so that an empty one takes its place; return its new name, None where it held nothing.

    Raises:
        LockHeld: a session runs in it. UsageError: positions are open. DatabaseUnavailable: it cannot be renamed.
    """
    journal = Journal(database)
    if journal.last() is None and not PostgresStore(database).known_symbols():
        return None
    link = journal.lock()
    link.close()
    database.close()
    name = f"{database.address.name}_until_{datetime.now(UTC):%Y%m%d_%H%M%S}"
    rename_database(database.address, name)
    return name


def refuse_other_candles(database: Database, recorded: RecordedSession, candles: Mapping[str, CandleSet]) -> None:
    """Raise UsageError where a recording is not the one that the session was begun on.

    Compared are the symbols, the end, and the values of the newest recorded minutes.
    """
    whose = f"the paper session of variant '{database.variant}'"
    missing = sorted(set(recorded.symbols) - set(candles))
    if missing:
        raise UsageError(
            f"{whose} follows {', '.join(missing)}, of which these candles hold nothing; go on with the same ones"
        )
    journal = Journal(database)
    last = journal.last_minute(recorded)
    if last is None:
        return
    end = max(candles[s].finish_ms for s in recorded.symbols)
    if end <= last:
        raise UsageError(
            f"{whose} has recorded up to {clock(last + MINUTE_MS)} UTC, and these candles end at {clock(end)} UTC; go on with those "
            "it was begun on, and no --finish before that"
        )
    for open_ms, minute in journal.minutes(recorded, last - COMPARED * MINUTE_MS):
        for symbol, row in minute.items():
            rows = candles[symbol].candles
            place = int(np.searchsorted(rows[:, 0], open_ms))
            if place == len(rows) or not np.array_equal(rows[place], np.asarray(row, dtype=np.float64)):
                raise UsageError(
                    f"{whose} recorded another candle of {symbol} at {clock(open_ms)} UTC than these hold; go on with the "
                    "candles it was begun on"
                )
