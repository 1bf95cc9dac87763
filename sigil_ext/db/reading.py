"""What the reading commands ask of one variant's database: positions of both books, scans, recorded candles.

Reads only; every function is one transaction. Symbols come and go as Jesse writes them. Start at `positions`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sigil_ext.db import embedded
from sigil_ext.db.connection import EMBEDDED, Database
from sigil_ext.db.journal import Journal
from sigil_ext.db.queries import load
from sigil_ext.db.recorded_minutes import RecordedMinutes
from sigil_ext.db.symbols import row_symbol, store_symbol
from sigil_ext.instants import utc
from sigil_ext.rules.types import Signal
from sigil_ext.settings.environment import DatabaseAddress, database_name, load_environment
from sigil_ext.settings.project import Project

MINUTE_MS = 60_000
MOST_MINUTES_BACK = 1440
_READING = load("reading")


@dataclass(frozen=True, slots=True)
class PositionRow:
    """A position of either book, as its row stands; None is what was never written. Prices in quote currency."""

    id: int
    table: str
    symbol: str
    status: str
    opened_at: datetime
    entry_price: float
    qty: float
    high_water: float | None
    atr_at_entry: float | None
    stop_price: float | None
    stop_pct: float | None
    trail_armed: bool | None
    risk_usd: float | None
    notional_usd: float | None
    cap_bound: bool | None
    universe_id: int | None
    increases: int
    mae_r: float | None
    mfe_r: float | None
    exit_price: float | None
    closed_at: datetime | None
    exit_reason: str | None
    exit_detail: str | None
    fees_usd: float
    pnl_usd: float | None
    downtime: bool
    kept_id: int | None

    @property
    def name(self) -> str:
        """The number for people: 12, or p12 in the earlier bot's other book, whose numbers are its own."""
        return str(self.id) if self.table == "micro_positions" else f"p{self.id}"


@dataclass(frozen=True, slots=True)
class LastPrice:
    """The close of the last recorded minute in which a symbol had a candle, and when that minute ended."""

    price: float
    at: datetime


@dataclass(frozen=True, slots=True)
class RecordedCandles:
    """Candles of a paper session by symbol, Jesse's column order, and the end of its last minute."""

    session_id: int
    candles: Mapping[str, NDArray[np.float64]]
    end_ms: int


def find_database(project: Project, variant: str) -> Database | None:
    """Return where `variant`'s database would be; None while it would be on an embedded server that does not run.

    Starts, creates and migrates nothing.

    Raises:
        UsageError: the variant is for research only, or a setting is refused.
    """
    if address := load_environment(project).database(variant):
        return Database(variant, address)
    server = embedded.running_address(project)
    if server is None:
        return None
    return Database(
        variant,
        DatabaseAddress(server.host, server.port, server.user, server.password, database_name(variant), EMBEDDED),
    )


def positions(database: Database, status: str | None = None) -> list[PositionRow]:
    """Return the positions of both books, oldest first; of one status, if it is given."""
    with database.transaction() as cur:
        cur.execute(_READING["positions"], {"variant": database.variant, "status": status})
        return [PositionRow(*[*row[:2], store_symbol(row[2]), *row[3:]]) for row in cur.fetchall()]


def adopted_stops(database: Database) -> dict[tuple[str, int], tuple[float, float]]:
    """Return (table, id) -> (stop, its first distance from the entry in percent) of each position that a session adopted.

    The stop is that at the adoption: where it was moved to since, only the session knows.
    """
    with database.transaction() as cur:
        cur.execute(_READING["adopted"])
        return {(table, number): (stop, pct) for table, number, stop, pct in cur.fetchall()}


def signal_of(database: Database, position: PositionRow) -> Signal | None:
    """Return the signal that was recorded with the entry; the earlier bot's rows have none."""
    with database.transaction() as cur:
        cur.execute(_READING["signal_of"], {"symbol": row_symbol(position.symbol), "at": position.opened_at})
        row = cur.fetchone()
    if row is None:
        return None
    rule, *figures, score = row
    close, highest, ratio, rsi = (float("nan") if v is None else float(v) for v in figures)
    return Signal(position.symbol, position.opened_at, rule, close, highest, ratio, rsi, score)


def last_prices(database: Database, symbols: Collection[str]) -> dict[str, LastPrice]:
    """Return the last recorded price of each of `symbols` within a day of the record's end; others are left out."""
    found: dict[str, LastPrice] = {}
    if not symbols:
        return found
    with database.transaction() as cur:
        cur.execute(_READING["last_session"])
        session = cur.fetchone()
        if session is None:
            return found
        number = {symbol: i for i, symbol in enumerate(session[1])}
        wanted = {number[s]: s for s in symbols if s in number}
        recorded = RecordedMinutes(database.variant, session[0], len(session[1]))
        newest = None
        with cur.connection.cursor(name="last_minutes") as minutes:
            minutes.itersize = 30
            minutes.execute(_READING["last_minutes"], {"id": session[0]})
            for open_ms, packed in minutes:
                newest = newest or open_ms
                if not wanted or open_ms < newest - MOST_MINUTES_BACK * MINUTE_MS:
                    break
                for row in recorded.unpack(open_ms, packed):
                    if (symbol := wanted.pop(int(row[0]), None)) is not None:
                        found[symbol] = LastPrice(float(row[2]), utc(open_ms + MINUTE_MS))
    return found


def minutes_of(database: Database, symbol: str, since: datetime, until: datetime | None) -> NDArray[np.float64] | None:
    """Return `symbol`'s recorded candles that open in [since, until), None where no session recorded that time.

    Shape (n, 6), Jesse's column order, oldest first.
    """
    span = {
        "since": int(since.timestamp() * 1000),
        "until": 2**62 if until is None else int(until.timestamp() * 1000),
    }
    with database.transaction() as cur:
        cur.execute(_READING["sessions_overlapping"], span)
        session = cur.fetchone()
        if session is None or symbol not in session[1]:
            return None
        number = session[1].index(symbol)
        recorded = RecordedMinutes(database.variant, session[0], len(session[1]))
        cur.execute(_READING["minutes_between"], {"id": session[0], **span})
        kept = [
            (float(open_ms), *row[1:])
            for open_ms, packed in cur.fetchall()
            for row in recorded.unpack(open_ms, packed)
            if int(row[0]) == number
        ]
    return np.array(kept, dtype=np.float64).reshape(-1, 6)


def recorded_candles(database: Database, window_ms: int, until_ms: int | None = None) -> RecordedCandles | None:
    """Return what the last paper session recorded, up to `until_ms`; None if there was no session.

    Of each symbol its first candle, for its age, and those of the last `window_ms` before the end.
    """
    journal = Journal(database)
    session = journal.session(number) if (number := journal.last()) is not None else None
    if session is None:
        return None
    last = journal.last_minute(session)
    end_ms = session.start_ms if last is None else last + MINUTE_MS
    end_ms = end_ms if until_ms is None else min(end_ms, until_ms)
    before = {symbol: rows[rows[:, 0] + MINUTE_MS <= end_ms] for symbol, rows in session.warmup.items()}
    recorded = RecordedMinutes(database.variant, session.id, len(session.symbols))
    late = {i for i, symbol in enumerate(session.symbols) if not len(before.get(symbol, ()))}
    with closing(database.connect()) as link:
        minutes = [
            *_first_candles(link, recorded, late, end_ms - window_ms),
            *_recorded(link, recorded, max(0, end_ms - window_ms), end_ms),
        ]
    table = np.concatenate(minutes) if minutes else np.zeros((0, 7))
    table = table[np.argsort(table[:, 0], kind="stable")]
    starts = np.searchsorted(table[:, 0], np.arange(len(session.symbols) + 1))
    candles = {
        symbol: np.concatenate((before.get(symbol, np.zeros((0, 6))), table[starts[i] : starts[i + 1], 1:]))
        for i, symbol in enumerate(session.symbols)
    }
    since_ms = end_ms - window_ms
    return RecordedCandles(session.id, {s: _ending(rows, since_ms) for s, rows in candles.items()}, end_ms)


def _recorded(link: Any, recorded: RecordedMinutes, since_ms: int, until_ms: int) -> Iterator[NDArray[np.float64]]:
    """Yield each minute that opens in [since, until) as rows of symbol number and candle, oldest minute first."""
    with link.cursor(name="minutes") as cur:
        cur.itersize = 5000
        cur.execute(_READING["minutes_between"], {"id": recorded.session, "since": since_ms, "until": until_ms})
        for open_ms, packed in cur:
            rows = recorded.unpack(open_ms, packed)
            yield np.column_stack((rows[:, 0], np.full(len(rows), float(open_ms)), rows[:, 1:]))


def _first_candles(
    link: Any, recorded: RecordedMinutes, numbers: set[int], until_ms: int
) -> Iterator[NDArray[np.float64]]:
    """Yield the first candle before `until_ms` of each of the symbols, in the shape of `_recorded`."""
    sought = set(numbers)
    if sought:
        for rows in _recorded(link, recorded, 0, until_ms):
            first = rows[np.isin(rows[:, 0], list(sought))]
            sought -= {int(number) for number in first[:, 0]}
            yield first
            if not sought:
                return


def _ending(rows: NDArray[np.float64], since_ms: int) -> NDArray[np.float64]:
    first = int(np.searchsorted(rows[:, 0], since_ms))
    return np.concatenate((rows[:1], rows[max(first, 1) :]))


def scan_ids(database: Database, limit: int) -> list[tuple[int, datetime]]:
    """Return number and instant of the newest scans, newest first."""
    with database.transaction() as cur:
        cur.execute(_READING["scan_ids"], {"limit": limit})
        return cur.fetchall()


def scan_settings(database: Database, scan_id: int) -> dict[str, Any] | None:
    """Return every key path of the session that made a scan, None where no session was recorded then."""
    with database.transaction() as cur:
        cur.execute(_READING["scan_settings"], {"id": scan_id})
        row = cur.fetchone()
    return dict(row[0]) if row else None


def protection_at(database: Database, symbol: str, at: datetime) -> tuple[datetime | None, datetime | None, int] | None:
    """Return (ban until, cooldown until, violations) as they stood at an instant; None: never protected by then."""
    with database.transaction() as cur:
        cur.execute(_READING["protection_at"], {"symbol": row_symbol(symbol), "at": at})
        return cur.fetchone()


def barred_and_held_at(database: Database, at: datetime) -> tuple[frozenset[str], frozenset[str]]:
    """Return the symbols that were banned, and those with an open position, at an instant."""
    with database.transaction() as cur:
        cur.execute(_READING["banned_at"], {"at": at})
        banned = frozenset(store_symbol(row[0]) for row in cur.fetchall())
        cur.execute(_READING["held_at"], {"at": at, "variant": database.variant})
        return banned, frozenset(store_symbol(row[0]) for row in cur.fetchall())
