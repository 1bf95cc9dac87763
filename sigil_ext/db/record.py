"""Rows of what was decided and why: signals, refusals, scans; in the caller's transaction. Start at `insert_signals`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from psycopg2.extensions import cursor
from psycopg2.extras import Json, execute_batch, execute_values

from sigil_ext.db.queries import load, one
from sigil_ext.db.symbols import row_symbol, store_symbol
from sigil_ext.rules.types import RefusalCount, RefusalReason, Signal, UniverseRow, UniverseScan

_RECORD = load("record")


def insert_signal(cur: cursor, signal: Signal, *, acted: bool, reject_reason: str | None) -> None:
    """Note an entry signal and what became of it."""
    cur.execute(_RECORD["insert_signal"], _signal_row(signal, acted, reject_reason))


def insert_signals(cur: cursor, signals: Sequence[tuple[Signal, bool, str | None]]) -> None:
    """Note many, in their order: the signal, whether it was acted upon, why it was not."""
    execute_batch(cur, _RECORD["insert_signal"], [_signal_row(*signal) for signal in signals])


def signals(cur: cursor, since: datetime | None) -> list[tuple[Signal, bool, str | None]]:
    """Return the signals since then, with what became of them."""
    cur.execute(_RECORD["signals"], {"since": since})
    return [_read_signal(row) for row in cur.fetchall()]


def count_refusal(cur: cursor, symbol: str, reason: RefusalReason, *, at: datetime, signal: bool) -> None:
    """Count a bar with the guard shut."""
    values = {"symbol": row_symbol(symbol), "reason": reason, "at": at, "signals": int(signal)}
    cur.execute(_RECORD["count_refusal"], values)


def count_refusals(cur: cursor, counts: Sequence[RefusalCount]) -> None:
    """Add many counts; one a symbol and reason."""
    rows = [(row_symbol(c.symbol), c.reason, c.bars, c.signals, c.first_at, c.last_at) for c in counts]
    execute_values(cur, _RECORD["count_refusals"], rows, page_size=1000)


def refusals(cur: cursor) -> list[RefusalCount]:
    """Return all counts, by symbol and reason."""
    cur.execute(_RECORD["refusals"])
    counts = [RefusalCount(store_symbol(row[0]), *row[1:]) for row in cur.fetchall()]
    return sorted(counts, key=lambda c: (c.symbol, c.reason))


def insert_scan(cur: cursor, scan: UniverseScan) -> int:
    """Note a scan, every symbol of it, and return its number."""
    rows = [
        {
            "place": place, "symbol": row_symbol(r.symbol), "accepted": r.accepted, "reason": r.reason,
            "score": None if r.score is None else _finite(r.score), "rank": r.rank,
            "measures": {name: _finite(value) for name, value in r.measures.items()},
        }
        for place, r in enumerate(scan.rows)
    ]  # fmt: skip
    cur.execute(_RECORD["insert_scan"], {"at": scan.at, "rows": Json(rows)})
    return int(one(cur)[0])


def scan(cur: cursor, number: int) -> UniverseScan | None:
    """Return the scan of a number."""
    cur.execute(_RECORD["scan"], {"id": number})
    rows = cur.fetchall()
    if not rows:
        return None
    return UniverseScan(
        rows[0][0],
        tuple(
            UniverseRow(store_symbol(symbol), accepted, reason, score, rank, {k: float(v) for k, v in measures.items()})
            for _, symbol, accepted, reason, score, rank, measures in rows
            if symbol is not None
        ),
    )


def last_scan(cur: cursor) -> tuple[int, UniverseScan] | None:
    """Return number and content of the newest scan."""
    cur.execute(_RECORD["last_scan_id"])
    number = one(cur)[0]
    found = scan(cur, number) if number is not None else None
    return (number, found) if found else None


def known_symbols(cur: cursor) -> list[str]:
    """Return every symbol that any row names."""
    cur.execute(_RECORD["known_symbols"])
    return sorted(store_symbol(row[0]) for row in cur.fetchall())


def _signal_row(signal: Signal, acted: bool, reject_reason: str | None) -> dict[str, Any]:
    return {
        "symbol": row_symbol(signal.symbol),
        "at": signal.at,
        "rule": signal.rule,
        "close": signal.close,
        "highest_high": signal.highest_high,
        "volume_ratio": signal.volume_ratio,
        "rsi": signal.rsi,
        "score": signal.score,
        "acted": acted,
        "reject_reason": reject_reason,
    }


def _read_signal(row: Sequence[Any]) -> tuple[Signal, bool, str | None]:
    symbol, at, rule, close, highest_high, volume_ratio, rsi, score, acted, reject_reason = row
    # Rows of the earlier bot hold no prices; NaN says "not known" where the type has no None.
    close, highest_high, volume_ratio, rsi = (
        math.nan if v is None else float(v) for v in (close, highest_high, volume_ratio, rsi)
    )
    signal = Signal(store_symbol(symbol), at, rule, close, highest_high, volume_ratio, rsi, score)
    return signal, acted, reject_reason


def _finite(value: float) -> float | str:
    """JSON knows no NaN or infinity; their names are stored and read back as numbers."""
    return float(value) if math.isfinite(value) else str(float(value))
