"""Alerts that sum up: one a UTC day, one an hour in which entry signals were refused. Each is written once.

The caller says what time it is: a replay's market, or the clock. Start at `daily_summaries`.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta

from sigil_ext.db.connection import Database
from sigil_ext.db.outbox import Outbox
from sigil_ext.db.summary import DAY, days_without_summary, read_day, read_refusals
from sigil_ext.rules import messages

DAYS_BACK = 7


def daily_summary(database: Database, day: date) -> bool:
    """Alert on what `day` (UTC) brought; False if that was done before. Call it when the day is over."""
    found = read_day(database, day)
    title, body = messages.daily_summary(
        day=day,
        trades=sum(count for count, _ in found.exits.values()),
        pnl_usd=sum(pnl for _, pnl in found.exits.values()),
        by_reason=found.exits,
        entries=found.entries,
        refusals=found.refusals,
        open_positions=found.open_positions,
        equity_usd=found.equity_usd,
        equity_before_usd=found.equity_before_usd,
    )
    at = datetime.combine(day, time(), UTC) + DAY
    return Outbox(database).put("daily_summary", at=at, title=title, body=body, key=f"daily_summary {day.isoformat()}")


def daily_summaries(database: Database, now: datetime, days_back: int = DAYS_BACK) -> list[date]:
    """Sum up every traded day before `now` that has no summary yet, `days_back` days at most; return them."""
    return [day for day in days_without_summary(database, now, days_back) if daily_summary(database, day)]


def refused_summary(database: Database, now: datetime) -> bool:
    """Alert on the entry signals refused in the last whole hour before `now`; False if none, or done before."""
    until = now.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    since = until - timedelta(hours=1)
    counts = read_refusals(database, since, until)
    if not counts:
        return False
    title, body = messages.refused(since=since, until=until, counts=counts)
    return Outbox(database).put("refused", at=until, title=title, body=body, key=f"refused {since.isoformat()}")
