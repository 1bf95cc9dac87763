"""What a cell of a grid leaves behind: its trades as one array, the same whichever engine ran it.

Plain values, no engine here. `TRADE` is the row; `from_records` makes the same of a run of Jesse's. Start at `CellTrades`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from sigil_ext.bridge.records import Trade
from sigil_ext.errors import UsageError
from sigil_ext.rules.types import EXIT_REASONS

__all__ = ["EXIT_REASONS", "TRADE", "CellTrades", "UnsupportedAxis", "from_records"]

# One position from open to close, as `bridge.records.Trade` has it. Prices in quote currency, money in USD, *_pct percent;
# `symbol` counts the sorted symbols of the run from 0, `exit_reason` is an index of EXIT_REASONS, NaN is "not known".
TRADE = np.dtype(
    [
        ("symbol", np.int16),
        ("opened_at_ms", np.int64),
        ("closed_at_ms", np.int64),
        ("entry_price", np.float64),
        ("exit_price", np.float64),
        ("qty", np.float64),
        ("fee", np.float64),
        ("pnl_usd", np.float64),
        ("notional_usd", np.float64),
        ("atr_at_entry", np.float64),
        ("stop_pct", np.float64),
        ("hard_stop_price", np.float64),
        ("stop_price", np.float64),
        ("risk_usd", np.float64),
        ("high_water", np.float64),
        ("entries", np.int16),
        ("exit_reason", np.int8),
        ("cap_bound", np.bool_),
        ("cash_bound", np.bool_),
    ]
)
_KNOWN_TO_SIGIL_ONLY = ("atr_at_entry", "stop_pct", "hard_stop_price", "stop_price", "risk_usd", "high_water")


class UnsupportedAxis(UsageError):
    """The kernel cannot run a key at this value; Jesse's engine can."""

    def __init__(self, key: str, value: object, why: str) -> None:
        super().__init__(f"the kernel cannot run {key}={value}: {why}; use --engine jesse")
        self.key = key


@dataclass(frozen=True, slots=True)
class CellTrades:
    """What one cell came to.

    Attributes:
        trades: rows of `TRADE` in the order in which they closed.
        final_equity: USD in the wallet once the last position is sold.
        signals_refused: entry signals that the guard, the sizing or the store did not let through, by reason.
    """

    trades: NDArray[np.void]
    final_equity: float
    signals_refused: dict[str, int] = field(default_factory=dict)


def from_records(
    trades: Sequence[Trade],
    symbols: Sequence[str],
    final_equity: float,
    signals_refused: Mapping[str, int] | None = None,
) -> CellTrades:
    """Return a run of Jesse's as a cell.

    Args:
        trades: `RunRecord.trades`. symbols: of the run (TST-USDT), any order; they are numbered by name.
        final_equity: `SimulationResult.final_cash`. signals_refused: `RunRecord.signals_refused`.
    """
    number = {symbol: index for index, symbol in enumerate(sorted(symbols))}
    rows = np.zeros(len(trades), dtype=TRADE)
    for row, trade in zip(rows, trades, strict=True):
        for name in TRADE.names or ():
            value = getattr(trade, name)
            if name == "symbol":
                value = number[trade.symbol]
            elif name == "exit_reason":
                value = EXIT_REASONS.index(value)
            elif value is None and name in _KNOWN_TO_SIGIL_ONLY:
                value = math.nan
            row[name] = value
    return CellTrades(rows, final_equity, {k: int(n) for k, n in (signals_refused or {}).items() if n})
