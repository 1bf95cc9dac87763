"""An open position as a strategy manages it, and the trade that it becomes. Imports no Jesse."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from sigil_ext.bridge.records import Fill, Trade
from sigil_ext.rules import sizing
from sigil_ext.rules.types import Entry, ExitReason, Signal


@dataclass(slots=True)
class Holding:
    """An open position as its strategy manages it. Extremes count the entry itself and every closed bar since.

    `seen_ms` is the open time of the first bar not looked at yet; `pending_qty` is ordered and not filled yet. `lowest` and
    `highest` are those of the whole minutes held so far, noted on paper only.
    """

    position_id: int
    opened_at_ms: int
    entry_price: float
    atr: float
    stop_pct: float
    hard_stop: float
    stop: float
    high_water: float
    low_water: float
    entry: Entry
    cash_bound: bool
    seen_ms: int
    pending_qty: float
    entries: int = 1
    exit_reason: ExitReason | None = None
    fills: list[Fill] = field(default_factory=list)
    lowest: float = math.inf
    highest: float = -math.inf


def trade_of(symbol: str, holding: Holding, at_ms: int, reason: ExitReason, cost_rate: float) -> Trade:
    """Return the trade of a position whose last order filled at `at_ms`.

    Args:
        cost_rate: fraction a side (0.0015 = 0.15 %), taken from the coins of a buy and from the money of a sale.
    """
    bought = [fill for fill in holding.fills if fill.side == "buy"]
    sold = [fill for fill in holding.fills if fill.side == "sell"]
    paid, received = _value(bought), _value(sold)
    return Trade(
        symbol=symbol,
        opened_at_ms=holding.opened_at_ms,
        closed_at_ms=at_ms,
        entry_price=_average_price(bought),
        exit_price=_average_price(sold),
        qty=sum(fill.qty for fill in bought),
        fee=(paid + received) * cost_rate,
        pnl_usd=received * (1 - cost_rate) - paid,
        exit_reason=reason,
        atr_at_entry=holding.entry.atr_at_entry,
        stop_pct=holding.stop_pct,
        hard_stop_price=holding.hard_stop,
        stop_price=holding.stop,
        risk_usd=sizing.risk_usd(paid, holding.stop_pct),
        notional_usd=paid,
        cap_bound=holding.entry.cap_bound,
        cash_bound=holding.cash_bound,
        universe_id=holding.entry.universe_id,
        entries=holding.entries,
        high_water=holding.high_water,
        signal=_figures(holding.entry.signal),
        fills=holding.fills,
    )


def _value(fills: list[Fill]) -> float:
    return sum(fill.qty * fill.price for fill in fills)


def _average_price(fills: list[Fill]) -> float:
    if len(fills) == 1:
        return fills[0].price  # to the last float, which a division of the value would not give
    return _value(fills) / sum(fill.qty for fill in fills)


def _figures(signal: Signal | None) -> dict[str, float]:
    if signal is None:
        return {}
    return {
        "close": signal.close,
        "highest_high": signal.highest_high,
        "volume_ratio": signal.volume_ratio,
        "rsi": signal.rsi,
    }
