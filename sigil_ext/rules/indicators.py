"""Indicators and the entry rule over closed bars.

A bar is a row in Jesse's column order: timestamp (ms), open, close, high, low, volume. Each value depends on the last
`WINDOW` bars only, so that it is the same whether a run began yesterday or a year ago: a restart changes nothing.
Start at `breakout`.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from sigil_ext.rules.compiled import compiled

OPEN, CLOSE, HIGH, LOW, VOLUME = 1, 2, 3, 4, 5
WINDOW = 240
PERIOD = 14

Bars = NDArray[np.float64]


@compiled
def wilder_atr(bars: Bars, period: int) -> float:
    """Return the average true range of the last bar in price units, NaN with fewer than `period` bars.

    Args:
        bars: closed bars, shape (n, 6), oldest first; only the last `WINDOW` rows count.
        period: bars of the average, usually 14.
    Source: J. W. Wilder, New Concepts in Technical Trading Systems (1978); equal to Jesse's `ta.atr` on the same rows.
    """
    n = bars.shape[0]
    first = max(0, n - WINDOW)
    if n - first < period:
        return math.nan
    average = 0.0
    for i in range(first, n):
        span = bars[i, HIGH] - bars[i, LOW]
        if i > first:
            previous = bars[i - 1, CLOSE]
            span = max(span, abs(bars[i, HIGH] - previous), abs(bars[i, LOW] - previous))
        seen = i - first + 1
        if seen <= period:
            average += span
            if seen == period:
                average /= period
        else:
            average = (average * (period - 1) + span) / period
    return average


@compiled
def wilder_rsi(bars: Bars, period: int) -> float:
    """Return the relative strength index of the last close, 0..100, NaN with no more than `period` bars.

    Args:
        bars: closed bars, shape (n, 6), oldest first; only the last `WINDOW` rows count.
        period: bars of the average, usually 14.
    Source: J. W. Wilder (1978); equal to Jesse's `ta.rsi` on the same rows.
    """
    n = bars.shape[0]
    first = max(0, n - WINDOW)
    if n - first <= period:
        return math.nan
    gain, loss = 0.0, 0.0
    for i in range(first + 1, n):
        change = bars[i, CLOSE] - bars[i - 1, CLOSE]
        up, down = max(change, 0.0), max(-change, 0.0)
        seen = i - first
        if seen <= period:
            gain += up
            loss += down
            if seen == period:
                gain /= period
                loss /= period
        else:
            gain = (gain * (period - 1) + up) / period
            loss = (loss * (period - 1) + down) / period
    if gain + loss == 0.0:
        return 50.0  # a price that never moved is neither strong nor weak
    return 100.0 * gain / (gain + loss)


@compiled
def breakout(
    bars: Bars, breakout_lookback: int, volume_factor: float, volume_lookback: int, rsi_min: float, rsi_max: float
) -> tuple[bool, float, float, float]:
    """Return (fired, highest high, volume ratio, RSI) of the entry rule on the last bar.

    Fires when the last close is above the highest high of the `breakout_lookback` bars before it, its volume is positive
    and at least `volume_factor` times the mean volume of the `volume_lookback` bars before it, and RSI(14) lies within
    [`rsi_min`, `rsi_max`]. The figures are NaN where the rule gave up before it needed them; with too few bars it never
    fires. A volume ratio over a mean of zero is inf.

    Args:
        bars: closed bars, shape (n, 6), oldest first.
    """
    n = bars.shape[0]
    if n < max(breakout_lookback, volume_lookback, PERIOD) + 1:
        return False, math.nan, math.nan, math.nan
    last = n - 1
    highest = bars[last - 1, HIGH]
    for i in range(last - breakout_lookback, last - 1):
        highest = max(highest, bars[i, HIGH])
    if not bars[last, CLOSE] > highest:
        return False, highest, math.nan, math.nan
    total = 0.0
    for i in range(last - volume_lookback, last):
        total += bars[i, VOLUME]
    mean = total / volume_lookback
    volume = bars[last, VOLUME]
    ratio = volume / mean if mean > 0.0 else math.inf
    if not (volume > 0.0 and volume >= volume_factor * mean):
        return False, highest, ratio, math.nan
    rsi = wilder_rsi(bars, PERIOD)
    return rsi_min <= rsi <= rsi_max, highest, ratio, rsi
