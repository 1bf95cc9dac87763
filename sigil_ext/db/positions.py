"""Rows of both position books, as the store reads and writes them, in the caller's transaction. Decides nothing.

`micro_positions` is Sigil's own book, `paper_positions` the earlier bot's. Start at `insert`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from psycopg2.extensions import cursor
from psycopg2.extras import execute_batch

from sigil_ext.db import protections, state
from sigil_ext.db.common import averaged, unknown_position
from sigil_ext.db.queries import load, one
from sigil_ext.db.symbols import row_symbol, store_symbol
from sigil_ext.rules.types import Breaker, Entry, Exit, ExitReason, OpenPosition, Protection

_POSITIONS = load("positions")


def open_on(cur: cursor, variant: str, symbol: str) -> OpenPosition | None:
    """Return the open position on `symbol`, the oldest of several, Sigil's own book first."""
    cur.execute(_POSITIONS["open_on_symbol"], {"symbol": row_symbol(symbol), "variant": variant})
    row = cur.fetchone()
    return _read(row) if row else None


def all_open(cur: cursor, variant: str) -> list[OpenPosition]:
    """Return every open position of both books."""
    cur.execute(_POSITIONS["all_open"], {"variant": variant})
    return [_read(row) for row in cur.fetchall()]


def before_entry(cur: cursor, variant: str, symbol: str) -> tuple[Breaker, Protection | None, list[str]]:
    """Return what may forbid an entry: breaker, the symbol's protection, the symbols of every open position of both books."""
    cur.execute(_POSITIONS["before_entry"], {"variant": variant, "symbol": row_symbol(symbol)})
    breaker, pause, held, *protection = one(cur)
    return (
        state.breaker_of(breaker, pause),
        protections.read(protection) if protection[0] is not None else None,
        [store_symbol(name) for name in held],
    )


def insert(cur: cursor, variant: str, entry: Entry) -> int:
    """Insert an open position and return its number."""
    cur.execute(
        _POSITIONS["insert"],
        {
            "symbol": row_symbol(entry.symbol),
            "variant": variant,
            "at": entry.at,
            "price": entry.price,
            "qty": entry.qty,
            "notional_usd": entry.notional_usd,
            "stop_price": entry.stop_price,
            "stop_pct": entry.stop_pct,
            "atr_at_entry": entry.atr_at_entry,
            "risk_usd": entry.risk_usd,
            "cap_bound": entry.cap_bound,
            "universe_id": entry.universe_id,
        },
    )
    return int(one(cur)[0])


def increase(
    cur: cursor, variant: str, position_id: int, *, at: datetime, price: float, qty: float, stop_price: float
) -> None:
    """Add to an open position at a price.

    Raises:
        UsageError: it is not open, or the variant never had it.
    """
    cur.execute(_POSITIONS["lock_micro"], {"id": position_id, "variant": variant})
    row = cur.fetchone()
    if row is None or row[0] != "open":
        raise unknown_position(position_id, variant)
    total, average = averaged(row[2], row[3], qty, price)
    cur.execute(
        _POSITIONS["increase"],
        {
            "id": position_id,
            "qty": total,
            "entry_price": average,
            "stop_price": stop_price,
            "added_usd": qty * price,
            "at": at,
        },
    )


def move_stop(
    cur: cursor, variant: str, position_id: int, *, at: datetime, stop_price: float, high_water: float
) -> None:
    """Raise stop and high-water mark; nothing happens to a position that is closed already.

    Raises:
        UsageError: the variant never had it.
    """
    cur.execute(_POSITIONS["lock_micro"], {"id": position_id, "variant": variant})
    if cur.fetchone() is None:
        raise unknown_position(position_id, variant)
    values = {"id": position_id, "at": at, "stop_price": stop_price, "high_water": high_water}
    cur.execute(_POSITIONS["move_stop"], values)


def move_stops(cur: cursor, moves: Sequence[tuple[int, datetime, float, float]]) -> None:
    """Note moves in their order: position, when, stop price, high water. Closed ones are passed over."""
    rows = [{"id": number, "at": at, "stop_price": stop, "high_water": high} for number, at, stop, high in moves]
    execute_batch(cur, _POSITIONS["move_stop"], rows)


def close(cur: cursor, variant: str, exit: Exit) -> bool:
    """Close the row and return True; False if it was closed before. Numbers of the two tables may be equal.

    Raises:
        UsageError: the variant never had it.
    """
    values = {
        "id": exit.position_id,
        "symbol": row_symbol(exit.symbol),
        "variant": variant,
        "price": exit.price,
        "at": exit.at,
        "reason": exit.reason,
        "fees_usd": exit.fees_usd,
        "pnl_usd": exit.pnl_usd,
    }
    for query in ("close_micro", "close_paper"):
        cur.execute(_POSITIONS[query], values)
        if cur.rowcount:
            return True
    cur.execute(_POSITIONS["exists"], values)
    if not one(cur)[0]:
        raise unknown_position(exit.position_id, variant)
    return False


def close_found(
    cur: cursor, variant: str, position: OpenPosition, *, at: datetime, price: float | None, reason: ExitReason,
    fees_usd: float | None, pnl_usd: float | None,
) -> bool:  # fmt: skip
    """Close the row of exactly this book's position; return False if it was closed before."""
    values = {
        "id": position.id, "symbol": row_symbol(position.symbol), "variant": variant, "price": price, "at": at,
        "reason": reason, "fees_usd": fees_usd or 0.0, "pnl_usd": pnl_usd,
    }  # fmt: skip
    cur.execute(_POSITIONS["close_micro" if position.table == "micro_positions" else "close_paper"], values)
    return bool(cur.rowcount)


def write_excursions(cur: cursor, variant: str, excursions: Sequence[tuple[int, float, float]]) -> None:
    """Note how far closed positions went against their entries and in their favour: position, MAE and MFE in R."""
    rows = [{"id": number, "variant": variant, "mae_r": mae, "mfe_r": mfe} for number, mae, mfe in excursions]
    execute_batch(cur, _POSITIONS["note_excursions"], rows)


def note_downtime(cur: cursor, variant: str, position_id: int) -> None:
    """Mark a position that was entered or left on candles fetched after an outage."""
    cur.execute(_POSITIONS["note_downtime"], {"id": position_id, "variant": variant})


def _read(row: Sequence[Any]) -> OpenPosition:
    return OpenPosition(row[0], store_symbol(row[1]), *row[2:])
