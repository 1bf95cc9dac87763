"""Breaker and pause of a variant in `system_state`, and the acts of people, in the caller's transaction. Start at `breaker`."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from psycopg2.extensions import cursor
from psycopg2.extras import Json

from sigil_ext.db.queries import load
from sigil_ext.db.symbols import row_symbol, store_symbol
from sigil_ext.rules.types import Breaker, OperatorAct

_STATE = load("state")


def breaker(cur: cursor) -> Breaker:
    """Return breaker and pause as they stand."""
    cur.execute(_STATE["read"])
    found = dict(cur.fetchall())
    return breaker_of(found.get("breaker"), found.get("pause"))


def breaker_of(breaker: Any, pause: Any) -> Breaker:
    """Return what the two values of `system_state` say, None where there is no row."""
    trip, pause = _ours(breaker), _ours(pause)
    return Breaker(
        tripped=bool(trip.get("tripped")),
        reason=trip.get("reason"),
        tripped_at=_time(trip.get("at")),
        tripped_by=trip.get("by"),
        paused=bool(pause.get("paused")),
        pause_reason=pause.get("reason"),
        paused_at=_time(pause.get("at")),
        paused_by=pause.get("by"),
    )


def write(cur: cursor, key: str, written_at: datetime, **value: Any) -> None:
    """Write what stands under `key`: "breaker" or "pause"."""
    cur.execute(_STATE["write"], {"key": key, "value": Json(value), "at": written_at})


def acts(cur: cursor) -> tuple[OperatorAct, ...]:
    """Return every act, oldest first."""
    cur.execute(_STATE["acts"])
    return tuple(
        OperatorAct(at, actor, act, store_symbol(symbol) if symbol else None, reason)
        for at, actor, act, symbol, reason in cur.fetchall()
    )


def insert_act(cur: cursor, act: OperatorAct) -> None:
    """Note who did what, when and why."""
    cur.execute(
        _STATE["insert_act"],
        {
            "at": act.at,
            "actor": act.actor,
            "act": act.act,
            "symbol": row_symbol(act.symbol) if act.symbol else None,
            "reason": act.reason,
        },
    )


def _ours(value: Any) -> dict[str, Any]:
    # The earlier bot may have left something else under these names: what is not ours to read counts by its truth.
    return value if isinstance(value, dict) else {"tripped": bool(value), "paused": bool(value)}


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
