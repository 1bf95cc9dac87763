"""What scans measure of one symbol over its last 24 hours, for all scans of a run in one pass over its candles.

`rules.universe.measure` looks at each scan's 24 hours anew; here counts and the least tick slide along, and the sums, whose
order of additions matters to the last bit, are led for several scans side by side. A test holds the two equal.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from sigil_ext.research.kernel.compiling import kernel
from sigil_ext.rules.indicators import CLOSE, HIGH, LOW, OPEN, VOLUME
from sigil_ext.rules.universe import DAY_MS

MINUTE_MS = 60_000
HOUR_MS = 3_600_000
MEASURES = 7
CANDLES, AGE, PRICE, QUOTE_VOLUME, TICK, EMPTY, CHANGE = range(MEASURES)
BLOCK = 32  # minutes whose least step is kept

Rows = NDArray[np.float64]
Floats = NDArray[np.float64]
Numbers = NDArray[np.int64]


@kernel
def measures_of(minutes: Rows, times_ms: Numbers, room: Rows, out: Rows) -> None:
    """Fill what a scan at each of `times_ms` (ascending) measures of one symbol, a row of `MEASURES` each.

    Args:
        room: two rows to calculate in, as long as there are minutes or longer.
    """
    n, scans = minutes.shape[0], times_ms.shape[0]
    worth, steps, least = room[0, :n], room[1, :n], np.empty(-(-n // BLOCK))
    worths_and_steps(minutes, worth, steps)
    for b in range(least.shape[0]):
        least[b] = smallest(steps, b * BLOCK, min(n, (b + 1) * BLOCK))
    begins, ends = np.empty(scans, np.int64), np.empty(scans, np.int64)
    begin, end, empty = 0, 0, 0
    for k in range(scans):
        now_ms = float(times_ms[k])
        while end < n and minutes[end, 0] < now_ms:
            empty += minutes[end, VOLUME] <= 0.0
            end += 1
        while begin < end and minutes[begin, 0] < now_ms - DAY_MS:
            empty -= minutes[begin, VOLUME] <= 0.0
            begin += 1
        begins[k], ends[k] = begin, end
        count = end - begin
        out[k, CANDLES] = count
        out[k, AGE] = (now_ms - minutes[0, 0]) / HOUR_MS if end > 0 else 0.0
        if count == 0:
            out[k, PRICE] = out[k, TICK] = out[k, EMPTY] = out[k, CHANGE] = math.nan
            continue
        price, tick = minutes[end - 1, CLOSE], smallest_by_blocks(steps, least, begin, end)
        out[k, PRICE], out[k, EMPTY] = price, empty / count * 100.0
        out[k, TICK] = tick / price * 100.0 if tick < math.inf else math.nan
        out[k, CHANGE] = (price / minutes[begin, OPEN] - 1.0) * 100.0
    turnovers(worth, begins, ends, out[:, QUOTE_VOLUME])


@kernel
def worths_and_steps(minutes: Rows, worth: Floats, steps: Floats) -> None:
    """Fill of each candle what was traded in quote currency, the last candle first, and its least price step above 0."""
    n = minutes.shape[0]
    for i in range(n):
        opened, close, high, low = minutes[i, OPEN], minutes[i, CLOSE], minutes[i, HIGH], minutes[i, LOW]
        worth[n - 1 - i] = minutes[i, VOLUME] * (high + low + close) / 3.0
        tick = math.inf
        for step in (high - low, abs(close - opened), high - close, high - opened):
            if step > 0.0 and step < tick:
                tick = step
        steps[i] = tick


@kernel
def smallest(values: Floats, begin: int, end: int) -> float:
    """Return the smallest of values[begin:end], inf of none."""
    found = math.inf
    for value in values[begin:end]:
        if value < found:
            found = value
    return found


@kernel
def smallest_by_blocks(values: Floats, least: Floats, begin: int, end: int) -> float:
    """Return what `smallest` does, by the smallest of each whole block."""
    first, last = -(-begin // BLOCK), end // BLOCK
    if first >= last:
        return smallest(values, begin, end)
    inner = smallest(least, first, last)
    return min(inner, min(smallest(values, begin, first * BLOCK), smallest(values, last * BLOCK, end)))


@kernel
def turnovers(worth: Floats, begins: Numbers, ends: Numbers, out: Floats) -> None:
    """Fill the sum of what was traded from the last candle before each end back to each begin, NaN over none.

    A processor adds eight numbers as fast as one, so eight scans are added up side by side, each in its own order.
    """
    n, scans = worth.shape[0], ends.shape[0]
    k = 0
    while k + 8 <= scans:
        together = n
        for s in range(k, k + 8):
            together = min(together, ends[s] - begins[s])
        v0, v1, v2, v3 = (
            worth[n - ends[k] :],
            worth[n - ends[k + 1] :],
            worth[n - ends[k + 2] :],
            worth[n - ends[k + 3] :],
        )
        v4, v5, v6, v7 = (
            worth[n - ends[k + 4] :], worth[n - ends[k + 5] :], worth[n - ends[k + 6] :], worth[n - ends[k + 7] :],
        )  # fmt: skip
        s0 = s1 = s2 = s3 = s4 = s5 = s6 = s7 = 0.0
        for i in range(together):
            s0, s1, s2, s3 = s0 + v0[i], s1 + v1[i], s2 + v2[i], s3 + v3[i]
            s4, s5, s6, s7 = s4 + v4[i], s5 + v5[i], s6 + v6[i], s7 + v7[i]
        out[k], out[k + 1], out[k + 2], out[k + 3] = s0, s1, s2, s3
        out[k + 4], out[k + 5], out[k + 6], out[k + 7] = s4, s5, s6, s7
        for s in range(k, k + 8):
            out[s] = added(worth, out[s], n - ends[s] + together, n - begins[s])
        k += 8
    for s in range(k, scans):
        out[s] = added(worth, 0.0, n - ends[s], n - begins[s])
    for s in range(scans):
        if begins[s] == ends[s]:
            out[s] = math.nan


@kernel
def added(values: Floats, total: float, begin: int, end: int) -> float:
    """Return `total` plus values[begin:end], one after the other."""
    for value in values[begin:end]:
        total += value
    return total


@kernel
def atr_pct_at(
    minutes: Rows,
    bars: Rows,
    first: Numbers,
    atr_bars: Rows,
    atr: Floats,
    length: int,
    times_ms: Numbers,
    prices: Floats,
    out: Floats,
) -> None:
    """Fill the ATR in percent of price that a scan at each of `times_ms` (ends of bars, ascending) sees.

    A bar is there to be seen once a candle of its last minute or later was.

    Args:
        bars, first: of the signal timeframe. atr_bars, atr, length: of the ATR's.
    """
    n, seen, closed = bars.shape[0], 0, 0
    for k in range(times_ms.shape[0]):
        while seen < n and bars[seen, 0] < times_ms[k]:
            seen += 1
        if seen == 0:
            out[k] = math.nan
            continue
        known_ms = minutes[first[seen] - 1 if seen < n else minutes.shape[0] - 1, 0] + MINUTE_MS
        while closed < atr_bars.shape[0] and atr_bars[closed, 0] + length * MINUTE_MS <= known_ms:
            closed += 1
        out[k] = atr[closed - 1] / prices[k] * 100 if closed > 0 else math.nan
