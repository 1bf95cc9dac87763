"""What the panel's pages ask of one variant's database beyond the reading commands. Reads only. Start at `exits`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sigil_ext.db.connection import Database
from sigil_ext.db.paper_periods import StoredAudit
from sigil_ext.db.queries import fetch, load
from sigil_ext.db.recorded_minutes import CANDLE_BYTES, RecordedMinutes
from sigil_ext.db.symbols import store_symbol
from sigil_ext.instants import utc
from sigil_ext.rules.types import ProtectionEvent

_BOARD = load("board")
_READING = load("reading")


@dataclass(frozen=True, slots=True)
class ExitSum:
    """Closed trades of one exit reason: how many, how many won, USD after costs, costs, how long they were held."""

    reason: str
    trades: int
    won: int
    pnl_usd: float
    fees_usd: float
    held: timedelta


@dataclass(frozen=True, slots=True)
class EquitySpan:
    """What stretch of time the wallet was recorded for; USD at its beginning and at its highest."""

    first: datetime
    last: datetime
    snapshots: int
    days: int
    first_usd: float
    peak_usd: float


@dataclass(frozen=True, slots=True)
class StoredSignal:
    """An entry signal and what became of it."""

    symbol: str
    at: datetime
    rule: str
    close: float | None
    highest_high: float | None
    volume_ratio: float | None
    rsi: float | None
    acted: bool
    reject_reason: str | None


@dataclass(frozen=True, slots=True)
class SessionRow:
    """The last paper session; `ended_at` None while it may go on."""

    id: int
    started_at: datetime
    ended_at: datetime | None
    settings: Mapping[str, Any]
    symbols: tuple[str, ...]
    begins: datetime
    feed: str
    strategy: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class Hour:
    """Minutes recorded in one hour of the market, how many of them were fetched after an outage, the last write."""

    begins: datetime
    minutes: int
    downtime: int
    written_at: datetime


@dataclass(frozen=True, slots=True)
class ScanRow:
    """A scan of the pool: for which instant, when it was written, how many of how many symbols may be entered."""

    id: int
    at: datetime
    written_at: datetime
    accepted: int
    pool: int


@dataclass(frozen=True, slots=True)
class FeedEvent:
    at: datetime
    kind: str
    symbol: str | None
    detail: str


@dataclass(frozen=True, slots=True)
class ProbeRun:
    """A run of the probe; no findings: all was well."""

    at: datetime
    host: str
    findings: Sequence[Mapping[str, str]]
    took_ms: int


@dataclass(frozen=True, slots=True)
class ChannelRow:
    """How an alert channel stands; its name never holds the address."""

    channel: str
    failures: int
    last_sent_at: datetime | None
    failing_since: datetime | None
    last_error: str | None
    waiting: int


@dataclass(frozen=True, slots=True)
class ActRow:
    """An act of a person or the system; `outcome` only of what a session is asked to do."""

    at: datetime
    actor: str
    act: str
    symbol: str | None
    reason: str
    outcome: str | None


def exits(database: Database) -> list[ExitSum]:
    """Return closed trades of both books by exit reason, the most frequent first."""
    return [
        ExitSum(reason, count, won, float(pnl), float(fees), timedelta(seconds=float(held or 0)))
        for reason, count, won, pnl, fees, held in fetch(database, _BOARD["exits"], variant=database.variant)
    ]


def equity_curve(database: Database, since: datetime, until: datetime, points: int) -> list[tuple[datetime, float]]:
    """Return (time, USD) from `since` on, at most about `points` of them: the last of each stretch of time."""
    step = max((until - since).total_seconds() / points, 1.0)
    return [(at, float(usd)) for at, usd in fetch(database, _BOARD["equity_curve"], **{"from": since, "step": step})]


def signals(database: Database, limit: int) -> list[StoredSignal]:
    """Return the newest entry signals, newest first."""
    return [StoredSignal(store_symbol(row[0]), *row[1:]) for row in fetch(database, _BOARD["signals"], limit=limit)]


def protection_changes(database: Database, limit: int) -> list[ProtectionEvent]:
    """Return the newest changes to protections, newest first."""
    found = fetch(database, _BOARD["protection_events"], limit=limit)
    return [ProtectionEvent(store_symbol(row[0]), *row[1:]) for row in found]


def last_session(database: Database) -> SessionRow | None:
    """Return the last paper session, None where there was none."""
    found = fetch(database, _BOARD["session"])
    if not found:
        return None
    number, started, ended, settings, symbols, start_ms, feed, strategy = found[0]
    return SessionRow(number, started, ended, settings, tuple(symbols), utc(start_ms), feed, strategy)


def settings_at(database: Database, at: datetime) -> Mapping[str, Any] | None:
    """Return every key path of the session that traded at an instant, None where no session had begun."""
    found = fetch(database, _BOARD["session_at"], ms=int(at.timestamp() * 1000))
    return found[0][1] if found else None


def minutes_by_hour(database: Database, session: int, hours: int) -> list[Hour]:
    """Return the last `hours` hours of the record of a session, oldest first; hours without a minute are left out."""
    return [
        Hour(utc(hour * 3_600_000), count, late, at)
        for hour, count, late, at in fetch(database, _BOARD["minutes_by_hour"], session=session, hours=hours)
    ]


def minutes(database: Database, symbol: str, since: datetime, until: datetime) -> NDArray[np.float64]:
    """Return `symbol`'s recorded candles that open in [since, until), oldest first; of a minute twice the later session's.

    Shape (n, 6), Jesse's column order. Minutes are unpacked at once: a chart asks for ten thousand of them.
    """
    span = {"since": int(since.timestamp() * 1000), "until": int(until.timestamp() * 1000)}
    parts = [np.zeros((0, 6))]
    with database.transaction() as cur:
        cur.execute(_BOARD["sessions_between"], span)
        for session, symbols in cur.fetchall():
            if symbol in symbols:
                cur.execute(_READING["minutes_between"], {"id": session, **span})
                recorded = RecordedMinutes(database.variant, session, len(symbols))
                parts.append(_candles_of(cur.fetchall(), symbols.index(symbol), recorded))
    # Stable and backwards: the first of equal times is then the latest session's.
    table = np.concatenate(parts)[::-1]
    _, first = np.unique(table[:, 0], return_index=True)
    return table[first]


def _candles_of(minutes: Sequence[tuple[int, Any]], number: int, recorded: RecordedMinutes) -> NDArray[np.float64]:
    rows = [(open_ms, bytes(packed)) for open_ms, packed in minutes if packed]
    for open_ms, packed in rows:
        recorded.demand_whole(open_ms, packed)
    table = np.frombuffer(b"".join(packed for _, packed in rows), dtype=np.float64).reshape(-1, 6)
    opened = np.repeat([float(open_ms) for open_ms, _ in rows], [len(packed) // CANDLE_BYTES for _, packed in rows])
    wanted = table[:, 0] == number
    return np.column_stack((opened[wanted], table[wanted, 1:]))


def scans(database: Database, limit: int) -> list[ScanRow]:
    """Return the newest scans, newest first."""
    return [ScanRow(*row) for row in fetch(database, _BOARD["scans"], limit=limit)]


def feed_events(database: Database, limit: int) -> list[FeedEvent]:
    """Return what the feed met lately, newest first."""
    return [FeedEvent(*row) for row in fetch(database, _BOARD["feed_events"], limit=limit)]


def probe_runs(database: Database, limit: int) -> list[ProbeRun]:
    """Return the newest runs of the probe, newest first."""
    return [ProbeRun(*row) for row in fetch(database, _BOARD["probe_runs"], limit=limit)]


def channels(database: Database) -> list[ChannelRow]:
    """Return how each alert channel stands that was ever used."""
    return [ChannelRow(*row) for row in fetch(database, _BOARD["channels"])]


def audits(database: Database, limit: int) -> list[StoredAudit]:
    """Return the newest audits, newest first."""
    return [StoredAudit(*row) for row in fetch(database, _BOARD["audits"], limit=limit)]


def migrations(database: Database) -> list[tuple[int, str, datetime]]:
    """Return (version, name, applied at) of the schema, newest first."""
    return [(int(version), name, at) for version, name, at in fetch(database, _BOARD["migrations"])]


def jobs(database: Database) -> list[tuple[str, datetime | None]]:
    """Return (id, next run) of the scheduler's stored jobs; empty before a session on a live feed ran."""
    if not fetch(database, _BOARD["jobs_there"])[0][0]:
        return []
    return [(name, at) for name, at in fetch(database, _BOARD["jobs"])]


def acts(database: Database, limit: int) -> list[ActRow]:
    """Return the newest acts upon breaker, pause, protections and positions, newest first."""
    found = [ActRow(*row) for row in fetch(database, _BOARD["acts"], limit=limit)]
    return [
        ActRow(a.at, a.actor, a.act, store_symbol(a.symbol) if a.symbol else None, a.reason, a.outcome) for a in found
    ]
