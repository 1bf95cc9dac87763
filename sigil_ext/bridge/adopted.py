"""Open positions that a new session found in its database: the earlier bot's, or those of a session that was ended.

They were not bought by this session's core, so they are followed here, by the same rules: a stop from what is known of them,
the trail where an ATR at entry is known, the flat exit. Their cost is not in the wallet, their proceeds come into it.
Start at `adopt` and `AdoptedBook.minute`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sigil_ext.bridge.records import Fill, Trade
from sigil_ext.rules import exits, sizing, stops
from sigil_ext.rules.indicators import CLOSE, HIGH, LOW, OPEN
from sigil_ext.rules.types import ExitReason, OpenPosition
from sigil_ext.settings.models import VariantSettings

MINUTE_MS = 60_000
Row = Sequence[float]


@dataclass(slots=True)
class Adopted:
    """An adopted position. `seen`: a candle of it was met since; `atr` None: not known, so it has no trail."""

    id: int
    table: str
    symbol: str
    opened_at_ms: int
    entry_price: float
    qty: float
    atr: float | None
    stop_pct: float
    hard_stop: float
    stop: float
    high_water: float
    low_water: float
    lowest: float
    highest: float
    seen: bool = False


def adopt(position: OpenPosition, settings: VariantSettings) -> Adopted:
    """Return `position` with the stop that follows from what is known: its own where it has one, else by the rules."""
    s = settings.hard_stop
    entry, atr = position.entry_price, position.atr_at_entry
    known = math.nan if atr is None else atr
    pct = position.stop_pct or stops.hard_stop_pct(known, entry, s.multiplier, s.floor_pct, s.cap_pct)
    hard = stops.stop_price(entry, pct)
    high = max(entry, position.high_water or entry)
    return Adopted(
        id=position.id, table=position.table, symbol=position.symbol,
        opened_at_ms=int(position.opened_at.timestamp() * 1000), entry_price=entry, qty=position.qty, atr=atr,
        stop_pct=pct, hard_stop=hard, stop=max(hard, position.stop_price or hard), high_water=high, low_water=entry,
        lowest=entry, highest=high,
    )  # fmt: skip


class AdoptedBook:
    """The adopted positions of one session that are still open."""

    def __init__(self, positions: Sequence[Mapping[str, Any]], settings: VariantSettings) -> None:
        """Args: positions: as `as_record` gives them."""
        self.open = {p["symbol"]: Adopted(**p) for p in positions}
        self.settings = settings

    def minute(
        self, open_ms: int, candles: Mapping[str, Row], bar: NDArray[np.float64] | None, symbol: str
    ) -> tuple[Adopted, float, ExitReason] | None:
        """Look at one closed minute of `symbol`; return (position, price, reason) if it is left, else None.

        Args:
            bar: the signal bar that closed with this minute, None if none did.
        """
        position = self.open[symbol]
        row = candles.get(symbol)
        if row is not None:
            opened, low = float(row[OPEN]), float(row[LOW])
            if low <= position.stop:
                # Beyond its stop before anybody watched: closed for that, which says nothing about the coin.
                missed = not position.seen and opened <= position.stop
                reason = "adopted_close" if missed else exits.filled_stop(position.stop, position.hard_stop)
                return position, min(position.stop, opened), reason
            position.seen = True
            position.lowest, position.highest = min(position.lowest, low), max(position.highest, float(row[HIGH]))
        if bar is None:
            return None
        reason_at_close = self._at_close(position, bar, open_ms + MINUTE_MS)
        return (position, float(bar[CLOSE]), reason_at_close) if reason_at_close else None

    def _at_close(self, position: Adopted, bar: NDArray[np.float64], now_ms: int) -> ExitReason | None:
        s = self.settings
        position.high_water = max(position.high_water, float(bar[HIGH]))
        position.low_water = min(position.low_water, float(bar[LOW]))
        atr = math.nan if position.atr is None else position.atr
        position.stop = stops.trail_stop(
            position.entry_price, position.stop, position.high_water, atr, s.trail.activation_atr, s.trail.multiplier
        )
        return exits.first_exit(
            exits.ExitView(
                close=float(bar[CLOSE]), entry=position.entry_price, hard_stop=position.hard_stop, stop=position.stop,
                high_water=position.high_water, low_water=position.low_water,
                age_minutes=(now_ms - position.opened_at_ms) / MINUTE_MS,
                flat_after_minutes=s.flat.after.total_seconds() / 60, flat_max_move_pct=s.flat.max_move_pct,
            )
        )  # fmt: skip

    def leave(self, symbol: str, price: float, reason: ExitReason, at_ms: int) -> Trade:
        """Take the position off the book and return the trade it became; costs are taken from both sides."""
        p = self.open.pop(symbol)
        rate = self.settings.costs.rate
        paid, received = p.qty * p.entry_price, p.qty * price
        r = p.entry_price * p.stop_pct / 100
        return Trade(
            symbol=symbol, opened_at_ms=p.opened_at_ms, closed_at_ms=at_ms, entry_price=p.entry_price, exit_price=price,
            qty=p.qty, fee=(paid + received) * rate, pnl_usd=received * (1 - rate) - paid * (1 + rate),
            exit_reason=reason, atr_at_entry=p.atr, stop_pct=p.stop_pct, hard_stop_price=p.hard_stop, stop_price=p.stop,
            risk_usd=sizing.risk_usd(paid, p.stop_pct), notional_usd=paid, cap_bound=False, cash_bound=False,
            universe_id=None, entries=1, high_water=p.high_water, signal={},
            fills=[Fill(symbol, p.opened_at_ms, "buy", p.qty, p.entry_price), Fill(symbol, at_ms, "sell", p.qty, price)],
            mae_r=max(0.0, (p.entry_price - min(p.lowest, price)) / r),
            mfe_r=max(0.0, (max(p.highest, price) - p.entry_price) / r),
        )  # fmt: skip

    def proceeds(self, symbol: str, price: float) -> float:
        """Return what selling the position brings into the wallet, USD after costs."""
        return self.open[symbol].qty * price * (1 - self.settings.costs.rate)


def as_record(position: Adopted) -> dict[str, Any]:
    """Return plain values for the session's record."""
    return asdict(position)


def reconciled_cash(starting_balance: float, realized_usd: float, held: Sequence[Adopted], rate: float) -> float:
    """Return the wallet of an account from first principles: what it began with, plus what closed positions brought,
    minus what the open ones cost, costs included; never below 0, which an account without debts cannot be."""
    spent = sum(p.qty * p.entry_price * (1 + rate) for p in held)
    return max(0.0, starting_balance + realized_usd - spent)
