"""What a stretch of time brought, read from the record. Start at `read_day`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from psycopg2.extensions import cursor

from sigil_ext.db.connection import Database
from sigil_ext.db.queries import load
from sigil_ext.rules.symbols import to_jesse

_SUMMARY = load("summary")
DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Day:
    """A UTC day: closed trades by reason (count, P&L in USD), entries, refused signals, what was open, equity."""

    day: date
    exits: Mapping[str, tuple[int, float]]
    entries: int
    refusals: Mapping[str, int]
    open_positions: tuple[str, ...]
    equity_usd: float | None
    equity_before_usd: float | None


def read_day(database: Database, day: date) -> Day:
    """Return what the record says about `day`, all read at one instant."""
    begins = datetime.combine(day, time(), UTC)
    values = {"variant": database.variant, "from": begins, "to": begins + DAY}
    with database.transaction() as cur:
        cur.execute(_SUMMARY["exits"], values)
        exits = {reason: (int(count), float(pnl)) for reason, count, pnl in cur.fetchall()}
        cur.execute(_SUMMARY["entries"], values)
        entries = int(cur.fetchone()[0])  # type: ignore[index]
        refusals = _rejected(cur, values)
        cur.execute(_SUMMARY["open_at_end"], values)
        symbols = tuple(to_jesse(row[0]) for row in cur.fetchall())
        equity: list[float | None] = []
        for at in (begins + DAY, begins):
            cur.execute(_SUMMARY["equity_at"], {"at": at})
            row = cur.fetchone()
            equity.append(row[0] if row else None)
    return Day(day, exits, entries, refusals, symbols, equity[0], equity[1])


def read_refusals(database: Database, since: datetime, until: datetime) -> dict[str, int]:
    """Return reason -> entry signals that were refused from `since` on and before `until`."""
    with database.transaction() as cur:
        return _rejected(cur, {"from": since, "to": until})


def days_without_summary(database: Database, now: datetime, days: int) -> list[date]:
    """Return the days, of the `days` before the one that `now` is in, that were traded and not summed up."""
    today = datetime.combine(now.astimezone(UTC).date(), time(), UTC)
    with database.transaction() as cur:
        cur.execute(_SUMMARY["days_without_summary"], {"from": today - days * DAY, "to": today})
        return [row[0] for row in cur.fetchall()]


def _rejected(cur: cursor, values: Mapping[str, object]) -> dict[str, int]:
    cur.execute(_SUMMARY["rejected"], values)
    return {reason: int(count) for reason, count in cur.fetchall()}
