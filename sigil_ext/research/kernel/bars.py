"""Larger bars of one symbol from its minutes, and what of them can be known once for all cells.

A bar is made of the minutes observed within its span, a span without any is no bar: as Jesse's replay makes them. A
strategy is asked at a bar's end only where the bar's last minute was observed. Start at `build`.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from sigil_ext.research.kernel.compiling import kernel
from sigil_ext.rules.indicators import CLOSE, HIGH, LOW, OPEN, VOLUME

MINUTE_MS = 60_000

Rows = NDArray[np.float64]


@kernel
def count_bars(minutes: Rows, length: int) -> int:
    """Return how many bars of `length` minutes the minutes make up, the one still open at the end included."""
    n, span_ms = minutes.shape[0], length * MINUTE_MS
    if n == 0:
        return 0
    first, last = int(minutes[0, 0]), int(minutes[n - 1, 0])
    if (last - first) // MINUTE_MS == n - 1:  # no hole
        return last // span_ms - first // span_ms + 1
    count, end_ms = 0, 0.0
    for i in range(n):
        if minutes[i, 0] >= end_ms:
            count += 1
            end_ms = float((int(minutes[i, 0]) // span_ms + 1) * span_ms)
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
        end_ms = float((begin + 1) * length * MINUTE_MS)
        at += 1
        start = i
        high, low = minutes[i, HIGH], minutes[i, LOW]
        i += 1
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
def dips_of(minutes: Rows, dips: NDArray[np.float64]) -> None:
    """Fill the lowest price of each minute that a stop can meet: its low, or an open that lies lower still."""
    for i in range(minutes.shape[0]):
        low, opened = minutes[i, LOW], minutes[i, OPEN]
        dips[i] = opened if opened < low else low


@kernel
def merged(fine: Rows, length: int, bars: Rows) -> int:
    """Fill the bars of `length` minutes that finer ones make up, all but their volume (0); return how many there are.

    Args:
        fine: bars of a length that divides `length`. bars: as many rows as `fine`, or more.
    """
    at, end_ms = -1, 0.0
    for i in range(fine.shape[0]):
        if fine[i, 0] >= end_ms:
            begin_ms = int(fine[i, 0]) // (length * MINUTE_MS) * (length * MINUTE_MS)
            end_ms = float(begin_ms + length * MINUTE_MS)
            at += 1
            bars[at, 0], bars[at, OPEN], bars[at, VOLUME] = begin_ms, fine[i, OPEN], 0.0
            bars[at, HIGH], bars[at, LOW] = fine[i, HIGH], fine[i, LOW]
        bars[at, CLOSE] = fine[i, CLOSE]
        bars[at, HIGH], bars[at, LOW] = max(bars[at, HIGH], fine[i, HIGH]), min(bars[at, LOW], fine[i, LOW])
    return at + 1


@kernel
def mark_ends(bars: Rows, asked: NDArray[np.bool_], length: int, from_minute: int, marks: NDArray[np.bool_]) -> None:
    """Set `marks` of each end of a bar at which the strategy is asked; marks are `length` minutes apart."""
    for j in range(bars.shape[0]):
        if asked[j]:
            marks[(int(bars[j, 0]) // MINUTE_MS + length - from_minute) // length] = True


@kernel
def closes_at(bars: Rows, times_ms: NDArray[np.int64], out: NDArray[np.float64]) -> None:
    """Fill the close of the last candle that ended by each of `times_ms` (ends of bars, ascending), NaN before the first."""
    n, seen = bars.shape[0], 0
    for k in range(times_ms.shape[0]):
        while seen < n and bars[seen, 0] < times_ms[k]:
            seen += 1
        out[k] = bars[seen - 1, CLOSE] if seen > 0 else math.nan
