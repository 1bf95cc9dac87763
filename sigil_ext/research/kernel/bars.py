"""Larger bars of one symbol from its minutes, and what of them can be known once for all cells.

A bar is made of the minutes observed within its span, a span without any is no bar: as Jesse's replay makes them. A
strategy is asked at a bar's end only where the bar's last minute was observed. Start at `build`.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from sigil_ext.research.kernel.compiling import kernel
from sigil_ext.rules.indicators import CLOSE, HIGH, LOW, OPEN, PERIOD, VOLUME, breakout, wilder_atr
from sigil_ext.rules.universe import longest_gap_minutes, measure

MINUTE_MS = 60_000
HOUR_MS = 3_600_000
MEASURES = 7
CANDLES, AGE, PRICE, QUOTE_VOLUME, TICK, EMPTY, CHANGE = range(MEASURES)

Rows = NDArray[np.float64]


@kernel
def count_bars(minutes: Rows, length: int) -> int:
    """Return how many bars of `length` minutes the minutes make up, the one still open at the end included."""
    count, last = 0, -1
    for i in range(minutes.shape[0]):
        begin = int(minutes[i, 0]) // (length * MINUTE_MS)
        if begin != last:
            count += 1
            last = begin
    return count


@kernel
def build(
    minutes: Rows,
    length: int,
    start_ms: int,
    bars: Rows,
    first: NDArray[np.int64],
    asked: NDArray[np.bool_],
) -> None:
    """Fill the bars of one symbol.

    Args:
        minutes: candles in Jesse's column order. length: minutes. start_ms: no strategy is asked before.
        bars: rows in Jesse's column order, to be filled. first: number of each bar's first minute.
        asked: whether the strategy is asked at the bar's end.
    """
    n = minutes.shape[0]
    at, i = -1, 0
    while i < n:
        begin = int(minutes[i, 0]) // (length * MINUTE_MS)
        end_ms = (begin + 1) * length * MINUTE_MS
        at += 1
        start = i
        high, low = minutes[i, HIGH], minutes[i, LOW]
        while i < n and minutes[i, 0] < end_ms:
            high, low = max(high, minutes[i, HIGH]), min(low, minutes[i, LOW])
            i += 1
        bars[at, 0] = begin * length * MINUTE_MS
        bars[at, OPEN] = minutes[start, OPEN]
        bars[at, CLOSE] = minutes[i - 1, CLOSE]
        bars[at, HIGH], bars[at, LOW] = high, low
        bars[at, VOLUME] = pairwise_volume(minutes, start, i)
        first[at] = start
        last_minute = int(minutes[i - 1, 0])
        asked[at] = last_minute == end_ms - MINUTE_MS and last_minute >= start_ms


@kernel
def pairwise_volume(rows: Rows, start: int, stop: int) -> float:
    """Return the sum of the volumes of rows[start:stop] in numpy's order of additions, which Jesse's bars follow.

    Source: numpy `core/src/umath/loops_utils.h.src`, pairwise sum.
    """
    n = stop - start
    total: float = 0.0
    if n < 8:
        for i in range(start, stop):
            total += rows[i, VOLUME]
        return total
    if n > 128:
        half = n // 2
        half -= half % 8
        return pairwise_volume(rows, start, start + half) + pairwise_volume(rows, start + half, stop)
    a, b, c, d = rows[start, VOLUME], rows[start + 1, VOLUME], rows[start + 2, VOLUME], rows[start + 3, VOLUME]
    e, f, g, h = rows[start + 4, VOLUME], rows[start + 5, VOLUME], rows[start + 6, VOLUME], rows[start + 7, VOLUME]
    i = start + 8
    while i < start + n - n % 8:
        a, b, c, d = a + rows[i, VOLUME], b + rows[i + 1, VOLUME], c + rows[i + 2, VOLUME], d + rows[i + 3, VOLUME]
        e, f, g, h = e + rows[i + 4, VOLUME], f + rows[i + 5, VOLUME], g + rows[i + 6, VOLUME], h + rows[i + 7, VOLUME]
        i += 8
    total = ((a + b) + (c + d)) + ((e + f) + (g + h))
    while i < stop:
        total += rows[i, VOLUME]
        i += 1
    return total


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
def atr_of_each(bars: Rows, atr: NDArray[np.float64]) -> None:
    """Fill for each bar the ATR(14) as it is known at the bar's end."""
    for j in range(bars.shape[0]):
        atr[j] = wilder_atr(bars[: j + 1], PERIOD)


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
def measures_of(minutes: Rows, times_ms: NDArray[np.int64], out: Rows) -> None:
    """Fill what a scan at each of `times_ms` (ascending) measures of one symbol, a row of `MEASURES` each."""
    n, seen = minutes.shape[0], 0
    for k in range(times_ms.shape[0]):
        now_ms = times_ms[k]
        while seen < n and minutes[seen, 0] < now_ms:
            seen += 1
        count, price, volume, tick, empty, change = measure(minutes[:seen], now_ms)
        out[k, CANDLES], out[k, PRICE], out[k, QUOTE_VOLUME] = count, price, volume
        out[k, TICK], out[k, EMPTY], out[k, CHANGE] = tick, empty, change
        out[k, AGE] = (now_ms - minutes[0, 0]) / HOUR_MS if seen > 0 else 0.0


@kernel
def atr_pct_at(
    minutes: Rows,
    bars: Rows,
    atr: NDArray[np.float64],
    length: int,
    times_ms: NDArray[np.int64],
    prices: NDArray[np.float64],
    out: NDArray[np.float64],
) -> None:
    """Fill the ATR in percent of price that a scan at each of `times_ms` (ascending) sees.

    A bar is there to be seen once a candle of its last minute or later was.
    """
    n, seen, closed = minutes.shape[0], 0, 0
    for k in range(times_ms.shape[0]):
        while seen < n and minutes[seen, 0] < times_ms[k]:
            seen += 1
        if seen == 0:
            out[k] = math.nan
            continue
        known_ms = minutes[seen - 1, 0] + MINUTE_MS
        while closed < bars.shape[0] and bars[closed, 0] + length * MINUTE_MS <= known_ms:
            closed += 1
        out[k] = atr[closed - 1] / prices[k] * 100 if closed > 0 else math.nan


@kernel
def closes_at(minutes: Rows, times_ms: NDArray[np.int64], out: NDArray[np.float64]) -> None:
    """Fill the close of the last candle that ended by each of `times_ms` (ascending), NaN before the first."""
    n, seen = minutes.shape[0], 0
    for k in range(times_ms.shape[0]):
        while seen < n and minutes[seen, 0] < times_ms[k]:
            seen += 1
        out[k] = minutes[seen - 1, CLOSE] if seen > 0 else math.nan
