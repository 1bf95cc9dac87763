"""The record of a variant's paper trading as comparison and gate look at it: sessions, closed trades, how well it was
observed, audits; and the verdicts of the gate. Start at `sessions`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from psycopg2.extras import Json

from sigil_ext.db.connection import Database
from sigil_ext.db.queries import fetch, load
from sigil_ext.db.symbols import store_symbol

MINUTE_MS = 60_000
NO_MARK = "0 0"  # of no closed position at all
_PERIODS = load("paper_periods")
_FOUND = f"WITH found AS ({_PERIODS['own_closed']})"


@dataclass(frozen=True, slots=True)
class PaperSession:
    """A session; `last_ms` is the open time of its last recorded minute, None before the first."""

    id: int
    settings: Mapping[str, Any]
    strategy: Mapping[str, Any] | None
    feed: str
    symbols: tuple[str, ...]
    start_ms: int
    ended: bool
    last_ms: int | None


@dataclass(frozen=True, slots=True)
class ClosedPosition:
    """A closed position of either book. USD after costs; times in ms; `downtime`: on candles fetched afterwards."""

    symbol: str
    opened_ms: int
    closed_ms: int
    pnl_usd: float
    fees_usd: float
    risk_usd: float | None
    exit_reason: str | None
    downtime: bool


@dataclass(frozen=True, slots=True)
class Observed:
    """Minutes recorded in a period, how many of them live, the first and last live one, the longest step between two."""

    minutes: int
    live: int
    first_ms: int | None
    last_ms: int | None
    longest_step_ms: int


@dataclass(frozen=True, slots=True)
class StoredAudit:
    """An audit of (a part of) a session. `report` holds the differences."""

    id: int
    session: int
    at: datetime
    since: datetime
    until: datetime
    matched: int
    paper_only: int
    backtest_only: int
    differing: int
    unexplained: int
    report: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class StoredVerdict:
    """A verdict of the gate as it was given."""

    id: int
    at: datetime
    since: datetime | None
    until: datetime | None
    outcome: str
    looks: int
    asked_by: str
    document: Mapping[str, Any]


def sessions(database: Database) -> list[PaperSession]:
    """Return every paper session, oldest first."""
    return [
        PaperSession(number, settings, strategy, feed, tuple(symbols), start_ms, ended, last_ms)
        for number, settings, strategy, feed, symbols, start_ms, ended, last_ms in fetch(database, _PERIODS["sessions"])
    ]


def closed_positions(
    database: Database, since: datetime, until: datetime, *, both_books: bool = False
) -> list[ClosedPosition]:
    """Return what closed from `since` to `until`, both included; with `both_books` the earlier bot's other table too."""
    found = fetch(
        database, _PERIODS["closed_positions"],
        **{"variant": database.variant, "from": since, "to": until, "both": both_books},
    )  # fmt: skip
    return [_closed(row) for row in found]


def closed_mark(database: Database, since: datetime, until: datetime) -> str:
    """Return a mark that is another one as soon as `closed_positions` of the variant's own book would say anything else."""
    query = f"{_FOUND} {_PERIODS['closed_mark']}"
    return str(fetch(database, query, **{"variant": database.variant, "from": since, "to": until})[0][0])


def marked_closed_positions(database: Database, since: datetime, until: datetime) -> tuple[str, list[ClosedPosition]]:
    """Return `closed_positions` of the variant's own book with their `closed_mark`, both of one moment."""
    query = f"{_FOUND}, mark AS ({_PERIODS['closed_mark']}) {_PERIODS['marked_closed_positions']}"
    found = fetch(database, query, **{"variant": database.variant, "from": since, "to": until})
    return str(found[0][-1]) if found else NO_MARK, [_closed(row[:-1]) for row in found]


def _closed(row: tuple[Any, ...]) -> ClosedPosition:
    return ClosedPosition(store_symbol(row[0]), _ms(row[1]), _ms(row[2]), *row[3:])


def span(database: Database) -> tuple[datetime, datetime] | None:
    """Return when the first position opened and the last one changed, None where there never was one."""
    first, last = fetch(database, _PERIODS["span"], variant=database.variant)[0]
    return None if first is None else (first, last)


def observed(
    database: Database, session_ids: Sequence[int], since: datetime, until: datetime, soon: timedelta
) -> Observed:
    """Return how the time was observed; live is a minute that was written within `soon` of its end, as it happened."""
    row = fetch(
        database, _PERIODS["observed"], sessions=list(session_ids), soon=timedelta(minutes=1) + soon,
        **{"from": _ms(since), "to": _ms(until)},
    )[0]  # fmt: skip
    return Observed(*row)


def audits(database: Database, since: datetime, until: datetime) -> list[StoredAudit]:
    """Return the audits that looked at any of the time, oldest first."""
    return [StoredAudit(*row) for row in fetch(database, _PERIODS["audits"], **{"from": since, "to": until})]


def feed_events(database: Database, session_ids: Sequence[int], since: datetime, until: datetime) -> dict[str, int]:
    """Return kind -> how often the feed told of it."""
    rows = fetch(database, _PERIODS["feed_events"], sessions=list(session_ids), **{"from": since, "to": until})
    return {kind: int(count) for kind, count in rows}


def equity_change(database: Database, since: datetime, until: datetime) -> float | None:
    """Return what the wallet gained, open positions marked, in USD; None where it was not recorded."""
    first, last = fetch(database, _PERIODS["equity"], **{"from": since, "to": until})[0]
    return None if first is None else float(last) - float(first)


def open_positions(database: Database, since: datetime) -> int:
    """Return how many positions opened since then are still open."""
    return int(fetch(database, _PERIODS["open_positions"], variant=database.variant, **{"from": since})[0][0])


def looks(database: Database, since: datetime) -> int:
    """Return how often the gate was asked about the period that begins at `since`."""
    return int(fetch(database, _PERIODS["looks"], since=since)[0][0])


def write_verdict(
    database: Database, *, since: datetime | None, until: datetime | None, outcome: str, looks: int, asked_by: str,
    document: Mapping[str, Any],
) -> tuple[int, datetime]:  # fmt: skip
    """Keep a verdict and return its number and time."""
    row = fetch(
        database, _PERIODS["write_verdict"], since=since, until=until, outcome=outcome, looks=looks, asked_by=asked_by,
        document=Json(dict(document)),
    )[0]  # fmt: skip
    return int(row[0]), row[1]


def verdicts(database: Database, limit: int) -> list[StoredVerdict]:
    """Return the newest verdicts of the gate, newest first."""
    return [StoredVerdict(*row) for row in fetch(database, _PERIODS["verdicts"], limit=limit)]


def _ms(at: datetime) -> int:
    return round(at.timestamp() * 1000)
