"""How far a trade went against its entry and in its favour (MAE, MFE), and what the market did after it.

Pure, over 1m candles in Jesse's column order. Every trade is long.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sigil_ext.rules.indicators import HIGH, LOW

DAY_MS = 86_400_000


def excursions_r(
    minutes: NDArray[np.float64],
    opened_at_ms: int,
    closed_at_ms: int,
    entry: float,
    exit_price: float,
    stop_pct: float,
    *,
    left_at_close: bool,
) -> tuple[float, float]:
    """Return (MAE, MFE) in R, both >= 0; R is the distance from entry to hard stop.

    Counted are whole minutes held and the exit price. The minute in which a stop filled is counted by its exit price
    only, because nobody knows what came first in it; the last minute of an exit at its close was held to the end.

    Args:
        minutes: candles, shape (n, 6), oldest first. opened_at_ms, closed_at_ms: ends of the minutes of the two fills.
    """
    r = entry * stop_pct / 100
    until = closed_at_ms if left_at_close else closed_at_ms - 60_000
    first = int(np.searchsorted(minutes[:, 0], opened_at_ms, side="left"))
    last = int(np.searchsorted(minutes[:, 0], until, side="left"))
    held = minutes[first:last]
    low = min(exit_price, float(held[:, LOW].min())) if len(held) else exit_price
    high = max(exit_price, float(held[:, HIGH].max())) if len(held) else exit_price
    return max(0.0, (entry - low) / r), max(0.0, (high - entry) / r)


def next_day_pct(
    minutes: NDArray[np.float64], closed_at_ms: int, exit_price: float
) -> tuple[float | None, float | None]:
    """Return the highest high and lowest low of the 24 hours after the exit, percent of the exit price.

    None where the candles end less than 24 hours after the exit: half a day is not a day.
    """
    if len(minutes) == 0 or minutes[-1, 0] + 60_000 < closed_at_ms + DAY_MS:
        return None, None
    first = int(np.searchsorted(minutes[:, 0], closed_at_ms, side="left"))
    last = int(np.searchsorted(minutes[:, 0], closed_at_ms + DAY_MS, side="left"))
    after = minutes[first:last]
    if len(after) == 0:
        return None, None
    high, low = float(after[:, HIGH].max()), float(after[:, LOW].min())
    return (high / exit_price - 1) * 100, (low / exit_price - 1) * 100
