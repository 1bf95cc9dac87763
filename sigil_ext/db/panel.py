"""What the API and the stream of events ask of one variant's database, query by query. Reads only. Start at `rows`.

The shapes are those of the queries in `sql/readings.sql` and `sql/events.sql`; `services/readings*.py` and `services/events.py`
give them names.
"""

from __future__ import annotations

from typing import Any, Literal

from sigil_ext.db.connection import Database
from sigil_ext.db.queries import fetch, load

Reading = Literal[
    "positions",
    "signals",
    "refusals",
    "acts",
    "audits",
    "audit",
    "scans",
    "protection_events",
    "alerts",
    "probes",
    "equity_span",
    "equity",
    "drawdown",
    "snapshot",
    "day_began_with",
    "closed",
    "shares",
    "last_trades",
    "last_session",
    "last_session_settings",
    "newest_minutes",
    "sessions_with",
    "minutes_of_symbol",
    "last_minute_of_symbol",
    "sampled_minutes",
    "minutes_from_to",
    "minutes_span",
    "clock",
    "schema",
]
Look = Literal[
    "here",
    "known",
    "since",
    "equity_since",
    "positions",
    "new_positions",
]
_READINGS, _EVENTS = load("readings"), load("events")


def rows(database: Database, name: Reading, **values: Any) -> list[tuple[Any, ...]]:
    """Return the rows of a query of `sql/readings.sql`, in the caller's transaction if there is one."""
    return fetch(database, _READINGS[name], **values)


def looked(database: Database, name: Look, **values: Any) -> list[tuple[Any, ...]]:
    """Return the rows of a query of `sql/events.sql`, in the caller's transaction if there is one."""
    return fetch(database, _EVENTS[name], **values)
