"""Marked equity: cash plus every position at its last price, at any instant, from the fills alone.

Pure, over arrays. The curve is what drawdown is measured on; a curve of closed trades would be blind to open losses.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class FillLike(Protocol):
    """One executed spot order: `at_ms` is when its minute closed, `qty` base currency as ordered, > 0."""

    @property
    def symbol(self) -> str: ...
    @property
    def at_ms(self) -> int: ...
    @property
    def side(self) -> str: ...
    @property
    def qty(self) -> float: ...
    @property
    def price(self) -> float: ...


def marked_equity(
    times_ms: NDArray[np.int64],
    starting_balance: float,
    fills: Iterable[FillLike],
    closes: Mapping[str, tuple[NDArray[np.int64], Floats]],
    cost_rate: float,
) -> tuple[Floats, Floats]:
    """Return (cash, marks) at each of `times_ms`; their sum is the equity in USD.

    A buy pays its full price and receives `1 - cost_rate` of the quantity, a sale receives `1 - cost_rate` of its price:
    the way the spot exchange of Jesse's simulator takes its fee.

    Args:
        times_ms: instants, ascending. fills: any order. cost_rate: fraction per side (0.0015 = 0.15 %).
        closes: per symbol the times at which candles closed (ms, ascending) and their closing prices.
    """
    cash = np.full(len(times_ms), starting_balance, dtype=np.float64)
    held: dict[str, Floats] = {}
    # In order of time, so that a sum of floats up to an instant is the same whatever comes after it.
    for fill in sorted(fills, key=lambda fill: (fill.at_ms, fill.symbol)):
        since = int(np.searchsorted(times_ms, fill.at_ms, side="left"))
        quantity = held.setdefault(fill.symbol, np.zeros(len(times_ms)))
        value = fill.qty * fill.price
        if fill.side == "buy":
            cash[since:] -= value
            quantity[since:] += fill.qty * (1 - cost_rate)
        else:
            cash[since:] += value * (1 - cost_rate)
            quantity[since:] -= fill.qty
    marks = np.zeros(len(times_ms))
    for symbol, quantity in held.items():
        closed_at, close = closes[symbol]
        last = np.searchsorted(closed_at, times_ms, side="right") - 1
        price = np.where(last >= 0, close[np.maximum(last, 0)], 0.0)
        # A position sold to the last unit leaves dust of rounding, not a holding.
        marks += np.where(np.abs(quantity) * price < 1e-9, 0.0, quantity) * price
    return cash, marks


def drawdown_pct(equity: Floats) -> Floats:
    """Return the fall from the highest equity so far, percent, >= 0, shape as `equity`."""
    if len(equity) == 0:
        return np.zeros(0)
    peak = np.maximum.accumulate(equity)
    result: Floats = np.where(peak > 0, (peak - equity) / peak * 100, 0.0)
    return result
