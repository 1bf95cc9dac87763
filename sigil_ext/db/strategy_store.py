"""The memory of a paper session that runs a strategy of the user's own: its positions as rows, written with the minute.

A row shows what is held while it is open, and the whole trade, as Jesse reckons it, once it is closed. A short position
has a negative quantity. Start at `StrategyStore.opened`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sigil_ext.db.connection import Database
from sigil_ext.db.journal import RecordedSession
from sigil_ext.db.minute_store import MinuteStore, Operation
from sigil_ext.db.symbols import row_symbol, store_symbol


@dataclass(frozen=True, slots=True)
class StrategyRow:
    """A position of a strategy's session as the database has it. Times in ms; None where it is open."""

    id: int
    symbol: str
    opened_ms: int
    entry_price: float
    qty: float
    closed_ms: int | None
    exit_price: float | None
    exit_reason: str | None


@dataclass(frozen=True, slots=True)
class Opened:
    """A position that was opened. `qty` is base currency, negative when it is short."""

    symbol: str
    at: datetime
    price: float
    qty: float


@dataclass(frozen=True, slots=True)
class Left:
    """A trade that is over. `detail`: how it was traded, for people."""

    position_id: int
    at: datetime
    entry_price: float
    exit_price: float
    qty: float
    reason: str
    fees_usd: float
    pnl_usd: float
    detail: str


class StrategyStore(MinuteStore):
    """A minute's memory with the positions of a foreign strategy; nothing is checked before they are written."""

    def opened(self, position: Opened) -> int:
        """Note a new position; return its number, which is provisional until the minute is written."""
        self._provisional -= 1
        self._later("opened", position, number=self._provisional)
        return self._provisional

    def changed(self, position_id: int, *, at: datetime, price: float, qty: float, grew: bool) -> None:
        """Note what an open position is after it was increased or reduced."""
        self._later("changed", position_id, at, price, qty, grew)

    def left(self, trade: Left) -> None:
        """Note the end of a position."""
        self._later("left", trade)

    def _write(self, op: Operation) -> None:
        match op.kind:
            case "opened":
                self._renumber(op, self._insert(op.args[0]))
            case "changed":
                position, at, price, qty, grew = op.args
                self._execute(
                    "UPDATE micro_positions SET entry_price = %(price)s, qty = %(qty)s, notional_usd = %(usd)s,"
                    " increases = increases + %(grew)s, updated_at = %(at)s WHERE id = %(id)s",
                    {"id": self.position_id(position), "at": at, "price": price, "qty": qty, "usd": abs(qty * price),
                     "grew": int(grew)},
                )  # fmt: skip
            case "left":
                self._close_trade(op.args[0])
            case _:
                super()._write(op)

    def _insert(self, position: Opened) -> int:
        with self.database.transaction() as cur:
            cur.execute(
                "INSERT INTO micro_positions (symbol, variant_id, status, qty, entry_price, opened_at, notional_usd,"
                " updated_at) VALUES (%(symbol)s, %(variant)s, 'open', %(qty)s, %(price)s, %(at)s, %(usd)s, %(at)s)"
                " RETURNING id",
                {
                    "symbol": row_symbol(position.symbol), "variant": self.variant, "qty": position.qty,
                    "price": position.price, "at": position.at, "usd": abs(position.qty * position.price),
                },
            )  # fmt: skip
            return int(cur.fetchone()[0])  # type: ignore[index]

    def _close_trade(self, trade: Left) -> None:
        self._execute(
            "UPDATE micro_positions SET status = 'closed', entry_price = %(entry)s, exit_price = %(exit)s, qty = %(qty)s,"
            " closed_at = %(at)s, exit_reason = %(reason)s, exit_detail = %(detail)s, fees_usd = %(fees)s,"
            " pnl_usd = %(pnl)s, notional_usd = %(usd)s, updated_at = %(at)s WHERE id = %(id)s AND status = 'open'",
            {
                "id": self.position_id(trade.position_id), "entry": trade.entry_price, "exit": trade.exit_price,
                "qty": trade.qty, "at": trade.at, "reason": trade.reason, "detail": trade.detail, "fees": trade.fees_usd,
                "pnl": trade.pnl_usd, "usd": abs(trade.qty * trade.entry_price),
            },
        )  # fmt: skip

    def _execute(self, statement: str, values: Mapping[str, object]) -> None:
        with self.database.transaction() as cur:
            cur.execute(statement, values)


def rows_of(database: Database, session: RecordedSession) -> list[StrategyRow]:
    """Return the positions of a session in the order in which they were opened."""
    with database.transaction() as cur:
        cur.execute(
            "SELECT id, symbol, (extract(epoch FROM opened_at) * 1000)::bigint, entry_price, qty,"
            " (extract(epoch FROM closed_at) * 1000)::bigint, exit_price, exit_reason FROM micro_positions"
            " WHERE variant_id = %s AND id > %s AND opened_at >= to_timestamp(%s / 1000.0) AND status <> 'superseded'"
            " ORDER BY id",
            (database.variant, session.positions_after, session.start_ms),
        )
        return [StrategyRow(row[0], store_symbol(row[1]), *row[2:]) for row in cur.fetchall()]


def refused_of(database: Database, session: RecordedSession) -> dict[tuple[str, int], str]:
    """Return (symbol, ms) -> reason of every entry that a strategy wanted and was refused in this session."""
    after = (session.strategy or {}).get("signals_after", 0)
    with database.transaction() as cur:
        cur.execute(
            "SELECT symbol, (extract(epoch FROM created_at) * 1000)::bigint, reject_reason FROM signals"
            " WHERE NOT acted AND id > %s AND created_at >= to_timestamp(%s / 1000.0)",
            (after, session.start_ms),
        )
        return {(store_symbol(symbol), at): reason for symbol, at, reason in cur.fetchall()}


def last_signal(database: Database) -> int:
    """Return the number of the newest signal, 0 where there is none."""
    with database.transaction() as cur:
        cur.execute("SELECT coalesce(max(id), 0) FROM signals")
        return int(cur.fetchone()[0])  # type: ignore[index]
