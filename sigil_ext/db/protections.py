"""Rows of protections and their history, as the store reads and writes them, in the caller's transaction. Start at `keep`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from psycopg2.extensions import cursor

from sigil_ext.db.common import EventKind
from sigil_ext.db.queries import load, one
from sigil_ext.db.symbols import row_symbol, store_symbol
from sigil_ext.rules.types import Protection, ProtectionEvent

_PROTECTIONS = load("protections")


def of_symbol(cur: cursor, symbol: str) -> Protection | None:
    """Return what bars `symbol`, None where nothing ever did."""
    cur.execute(_PROTECTIONS["one"], {"symbol": row_symbol(symbol)})
    row = cur.fetchone()
    return read(row) if row else None


def every(cur: cursor) -> list[Protection]:
    """Return the protections of all symbols, by symbol."""
    cur.execute(_PROTECTIONS["all"])
    return sorted((read(row) for row in cur.fetchall()), key=lambda p: p.symbol)


def events(cur: cursor, symbol: str) -> tuple[ProtectionEvent, ...]:
    """Return the history of a symbol, oldest first."""
    cur.execute(_PROTECTIONS["events"], {"symbol": row_symbol(symbol)})
    return tuple(ProtectionEvent(store_symbol(row[0]), *row[1:]) for row in cur.fetchall())


def keep(
    cur: cursor, query: str, after: Protection, kind: EventKind, at: datetime, actor: str, reason: str
) -> Protection:
    """Write a protection and its event; return it as it stands then, which may be longer than asked for.

    Args:
        query: "protect" never shortens and leaves the count, "count_violation" counts too, "lift" ends it.
    """
    cur.execute(
        f"WITH kept AS ({_PROTECTIONS[query]}), told AS ({_PROTECTIONS['insert_event']}) SELECT * FROM kept",
        {
            "symbol": row_symbol(after.symbol),
            "expires_at": after.expires_at,
            "ban_until": after.ban_until,
            "violation_count": after.violation_count,
            "created_at": after.created_at or at,
            "last_violation_at": after.last_violation_at,
            "reason": reason or after.reason,
            "at": at,
            "kind": kind,
            "actor": actor,
            "event_reason": reason,
        },
    )
    return read(one(cur))


def read(row: Sequence[Any]) -> Protection:
    """Return the protection of a row: symbol, both ends, count, first and last time, reason."""
    return Protection(store_symbol(row[0]), *row[1:])
