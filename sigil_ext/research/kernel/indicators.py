"""Indicators and the entry rule at every bar of one symbol, and the bars at which they need not be asked for.

An indicator looks at its last 240 bars only, so each bar's value is a calculation of its own; they are led side by side, in
the order of operations of `rules.indicators`. A test holds the two equal. Start at `signals_of`.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from sigil_ext.research.kernel.compiling import kernel
from sigil_ext.rules.indicators import CLOSE, HIGH, LOW, PERIOD, WINDOW, breakout
from sigil_ext.rules.universe import longest_gap_minutes

MINUTE_MS = 60_000
HOUR_MS = 3_600_000
LANES = 64  # bars whose value is calculated side by side

Rows = NDArray[np.float64]


@kernel
def atr_of_each(bars: Rows, atr: NDArray[np.float64]) -> None:
    """Fill for each bar the ATR(14) as it is known at the bar's end."""
    n = bars.shape[0]
    spans = np.empty(n)
    for j in range(n):
        span = bars[j, HIGH] - bars[j, LOW]
        if j > 0:
            previous = bars[j - 1, CLOSE]
            span = max(span, abs(bars[j, HIGH] - previous), abs(bars[j, LOW] - previous))
        spans[j] = span
    average = 0.0
    for j in range(min(n, WINDOW)):  # from the first bar on: one calculation, led on
        if j < PERIOD:
            average += spans[j]
            if j == PERIOD - 1:
                average /= PERIOD
        else:
            average = (average * (PERIOD - 1) + spans[j]) / PERIOD
        atr[j] = average if j >= PERIOD - 1 else math.nan
    for j in range(WINDOW, n, LANES):
        # Each in a window of its own, whose first bar has no close before it.
        lanes = min(LANES, n - j)
        begin = j - WINDOW + 1
        averages = atr[j : j + lanes]
        for k in range(lanes):
            averages[k] = bars[begin + k, HIGH] - bars[begin + k, LOW]
        for i in range(1, PERIOD):
            following = spans[begin + i : begin + i + lanes]
            for k in range(lanes):
                averages[k] += following[k]
        for k in range(lanes):
            averages[k] /= PERIOD
        for i in range(PERIOD, WINDOW):
            following = spans[begin + i : begin + i + lanes]
            for k in range(lanes):
                averages[k] = (averages[k] * (PERIOD - 1) + following[k]) / PERIOD


@kernel
def atr_by(
    bars: Rows, atr: NDArray[np.float64], length: int, minutes: NDArray[np.int64], out: NDArray[np.float64]
) -> None:
    """Fill the ATR of the last bar of `length` minutes that ended by each of `minutes` (ascending), NaN without one."""
    closed = 0
    for k in range(minutes.shape[0]):
        while closed < bars.shape[0] and bars[closed, 0] / MINUTE_MS + length <= minutes[k]:
            closed += 1
        out[k] = atr[closed - 1] if closed > 0 else math.nan


@kernel
def rises(bars: Rows, longest: int, counts: NDArray[np.int16]) -> None:
    """Fill for each bar how many bars right before it had their high under its close, `longest` at most."""
    for j in range(bars.shape[0]):
        close = bars[j, CLOSE]
        i = j - 1
        while i >= 0 and j - i <= longest and bars[i, HIGH] < close:
            i -= 1
        counts[j] = j - 1 - i


@kernel
def signals_of(
    minutes: Rows,
    bars: Rows,
    first: NDArray[np.int64],
    asked: NDArray[np.bool_],
    counts: NDArray[np.int16],
    length: int,
    lookback: int,
    volume_factor: float,
    volume_lookback: int,
    rsi_min: float,
    rsi_max: float,
    at: NDArray[np.int32],
    gaps: NDArray[np.float64],
) -> int:
    """Fill the bars at which the entry rule fires and the longest gap of the hour before; return how many there are."""
    found = 0
    n = bars.shape[0]
    for j in range(n):
        # The highest high is under the close exactly where enough bars before were: the rule need not be asked elsewhere.
        if not asked[j] or counts[j] < lookback:
            continue
        fired, _, _, _ = breakout(bars[: j + 1], lookback, volume_factor, volume_lookback, rsi_min, rsi_max)
        if not fired:
            continue
        now_ms = int(bars[j, 0]) + length * MINUTE_MS
        seen = first[j + 1] if j + 1 < n else minutes.shape[0]
        at[found] = j
        gaps[found] = longest_gap_minutes(minutes[:seen], now_ms, HOUR_MS)
        found += 1
    return found


@kernel
def in_time(slots: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Return the order that sorts by slot (0 to count - 1), what is equal staying as it was."""
    places = np.zeros(count + 1, np.int64)
    for slot in slots:
        places[slot + 1] += 1
    for slot in range(count):
        places[slot + 1] += places[slot]
    order = np.empty(slots.shape[0], np.int64)
    for i in range(slots.shape[0]):
        order[places[slots[i]]] = i
        places[slots[i]] += 1
    return order
